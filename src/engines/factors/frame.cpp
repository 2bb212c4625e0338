#include "engines/factors/frame.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/factors/extent.hpp"
#include "engines/finite.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

/// In each degree: 5 in y/R (2 in a_l = 1/H^2, difference, product, quotient), 1 in x, 2 in powers, 3 in t!/alpha!.
constexpr std::int64_t kRoundings = 11;

/// Queries of all heads, one after the other, or the keys: float64 [count, dim].
struct Loaded {
  base::Buffer<double> data;
  PointSet points;
};

Loaded load(std::span<const HeadProblem> heads, bool keys, const base::Context& context) {
  const HeadProblem& first = heads.front();
  const auto sets = keys ? std::int64_t{1} : static_cast<std::int64_t>(heads.size());
  const std::int64_t rows = keys ? first.n_kv() : first.n_q();
  Loaded loaded{base::Buffer<double>(base::checked_product({sets, rows, first.dim()}, "memory"), context.memory), {}};
  for (std::int64_t set = 0; set < sets; ++set) {
    const HeadProblem& head = heads[usize(set)];
    double* out = loaded.data.data() + set * rows * first.dim();
    base::load_rows(keys ? head.keys : head.queries, 0, rows, out, first.dim());
    require_finite(head, keys ? "keys" : "q", out, 0, rows, first.dim());
  }
  loaded.points = {loaded.data.data(), sets * rows, first.dim()};
  return loaded;
}

std::vector<double> metric_of_score(const HeadProblem& head) {
  std::vector<double> metric(usize(head.dim()), head.score.scale);
  if (head.score.kind == ScoreKind::gaussian) {
    for (std::size_t l = 0; l < metric.size(); ++l) {
      metric[l] = 1.0 / (head.score.bandwidth[l] * head.score.bandwidth[l]);
    }
  }
  return metric;
}

struct Exponents {
  base::Buffer<double> row;
  base::Buffer<double> column;
  double terms = 0.0;  ///< largest sum of the absolute values of the terms of a row_i and of a column_j, added
};

/// Dot: row_i = sum a (q - c) kappa, column_j = sum a c k. Gaussian: row_i = sum a (q - c)(kappa - c) - a (q - c)^2/2,
/// column_j = -sum a (k - c)^2/2.
Exponents exponents_of(const PointSet& q, const PointSet& k, const std::vector<double>& metric, bool gaussian,
                       const std::vector<double>& c, const std::vector<double>& kappa, const base::Context& context) {
  Exponents out{base::Buffer<double>(q.count, context.memory), base::Buffer<double>(k.count, context.memory)};
  double row_terms = 0.0;
  for (std::int64_t i = 0; i < q.count; ++i) {
    double sum = 0.0;
    double terms = 0.0;
    for (std::size_t l = 0; l < metric.size(); ++l) {
      const double away = q.data[usize(i * q.dim) + l] - c[l];
      const double linear = metric[l] * away * (gaussian ? kappa[l] - c[l] : kappa[l]);
      const double square = gaussian ? 0.5 * metric[l] * away * away : 0.0;
      sum += linear - square;
      terms += std::fabs(linear) + square;
    }
    out.row[usize(i)] = sum;
    row_terms = std::max(row_terms, terms);
  }
  double column_terms = 0.0;
  for (std::int64_t j = 0; j < k.count; ++j) {
    double sum = 0.0;
    double terms = 0.0;
    for (std::size_t l = 0; l < metric.size(); ++l) {
      const double key = k.data[usize(j * k.dim) + l];
      const double away = key - c[l];
      const double term = gaussian ? -0.5 * metric[l] * away * away : metric[l] * c[l] * key;
      sum += term;
      terms += std::fabs(term);
    }
    out.column[usize(j)] = sum;
    column_terms = std::max(column_terms, terms);
  }
  out.terms = row_terms + column_terms;
  return out;
}

/// Largest and smallest of a buffer, as a middle and half a width.
struct Middle {
  double middle = 0.0;
  double half = 0.0;
};
Middle middle_of(const base::Buffer<double>& values) noexcept {
  if (values.size() == 0) {
    return {};
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {0.5 * *low + 0.5 * *high, 0.5 * *high - 0.5 * *low};
}

void set_exponents(FactorFrame& frame, Exponents exponents, std::int64_t dim) {
  frame.sides[0].exponent = std::move(exponents.row);
  frame.sides[1].exponent = std::move(exponents.column);
  // Fewer than 8 roundings a term, 2 dim additions.
  frame.exponent_error = numerics::inflate(static_cast<double>(2 * dim + 16) * kU64 * exponents.terms, 2 * dim + 16) +
                         static_cast<double>(dim) * 0x1p-740;
}

void set_coordinates(FactorFrame& frame, const PointSet& q, const PointSet& k, const std::vector<double>& metric,
                     const Extent& queries, const Extent& keys, const base::Context& context) {
  std::vector<std::size_t> axes;
  for (std::size_t l = 0; l < metric.size(); ++l) {
    if (metric[l] != 0.0 && queries.half[l] > 0.0 && keys.half[l] > 0.0) {
      axes.push_back(l);
    }
  }
  frame.active = static_cast<std::int64_t>(axes.size());
  base::Buffer<double>& y = frame.sides[0].coordinates;
  base::Buffer<double>& x = frame.sides[1].coordinates;
  y = base::Buffer<double>(q.count * frame.active, context.memory);
  x = base::Buffer<double>(k.count * frame.active, context.memory);
  for (std::size_t axis = 0; axis < axes.size(); ++axis) {
    const std::size_t l = axes[axis];
    const double unit = std::ldexp(1.0, std::ilogb(keys.half[l]) + 1);  // above every |k - kappa|, at most twice that
    const double weight = metric[l] * unit;
    const double shrink = 1.0 / unit;
    for (std::int64_t i = 0; i < q.count; ++i) {
      y[usize(i * frame.active) + axis] = (q.data[usize(i * q.dim) + l] - queries.centre[l]) * weight;
    }
    for (std::int64_t j = 0; j < k.count; ++j) {
      x[usize(j * frame.active) + axis] = (k.data[usize(j * k.dim) + l] - keys.centre[l]) * shrink;
    }
  }
}

bool all_moderate(const std::vector<double>& values) noexcept {
  return std::all_of(values.begin(), values.end(), [](double value) { return moderate(std::fabs(value)); });
}

double stated_radius(const std::vector<Extent>& queries, const std::vector<Extent>& keys,
                     const std::vector<double>& metric, bool gaussian) noexcept {
  if (!gaussian) {
    return radius_of(queries.front(), keys.front(), metric);
  }
  const double reach = queries.front().norm + keys.front().norm;
  return numerics::inflate(0.5 * reach * reach, 4);
}

}  // namespace

Balance balance(const FactorFrame& frame, double middle) noexcept {
  if (frame.sides[0].exponent.size() + frame.sides[1].exponent.size() == 0) {
    return {0.0, std::fabs(middle)};
  }
  const Middle row = middle_of(frame.sides[0].exponent);
  const Middle column = middle_of(frame.sides[1].exponent);
  const double common = 0.5 * (row.middle + middle + column.middle);
  return {common - (row.middle + middle), std::fabs(common) + std::max(row.half, column.half)};
}

namespace {

/// The pair of smallest radius whose exponents stay within range; sets those.
std::pair<const Extent*, const Extent*> choose_centres(FactorFrame& frame, const PointSet& q, const PointSet& k,
                                                       const std::vector<Extent>& queries,
                                                       const std::vector<Extent>& keys,
                                                       const std::vector<double>& metric, const HeadProblem& head,
                                                       double most_exponent, const base::Context& context) {
  struct Choice {
    double radius;
    const Extent* queries;
    const Extent* keys;
  };
  std::vector<Choice> choices;
  for (const Extent& one : queries) {
    for (const Extent& other : keys) {
      if (all_moderate(metric) && all_moderate(one.half) && all_moderate(other.half)) {
        choices.push_back({radius_of(one, other, metric), &one, &other});
      }
    }
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const Choice& one, const Choice& other) { return one.radius < other.radius; });
  const bool gaussian = head.score.kind == ScoreKind::gaussian;
  for (const Choice& choice : choices) {
    set_exponents(frame, exponents_of(q, k, metric, gaussian, choice.queries->centre, choice.keys->centre, context),
                  head.dim());
    // The middle of the scores is at most half a radius away from 0.
    if (std::isfinite(frame.exponent_error) && balance(frame, 0.0).largest + 0.5 * choice.radius <= most_exponent) {
      return {choice.queries, choice.keys};
    }
  }
  base::fail(ErrorCode::not_reachable, "factors: not reachable: at batch " + std::to_string(head.batch) + ", head " +
                                           std::to_string(head.head) +
                                           " their entries would leave the range of the dtype (scores as stated are "
                                           "bounded by " +
                                           base::text(frame.radius_before) + ")");
}

}  // namespace

FactorFrame make_factor_frame(std::span<const HeadProblem> heads, double most_exponent, const base::Context& context) {
  const HeadProblem& head = heads.front();
  const bool gaussian = head.score.kind == ScoreKind::gaussian;
  const Loaded q = load(heads, false, context);
  const Loaded k = load(heads, true, context);
  const std::vector<double> metric = metric_of_score(head);
  const std::vector<Extent> queries = candidate_extents(q.points, metric);
  const std::vector<Extent> keys = candidate_extents(k.points, metric);

  FactorFrame frame;
  frame.sides.resize(2);
  frame.sides[0].count = q.points.count;
  frame.sides[1].count = k.points.count;
  frame.roundings = kRoundings;
  if (frame.empty()) {
    return frame;  // no pair, no score: all that is left is a matrix with a side of 0
  }
  frame.radius_before = stated_radius(queries, keys, metric, gaussian);
  const auto [queries_about, keys_about] =
      choose_centres(frame, q.points, k.points, queries, keys, metric, head, most_exponent, context);
  set_coordinates(frame, q.points, k.points, metric, *queries_about, *keys_about, context);
  frame.absolute = radius_of(*queries_about, *keys_about, metric);
  frame.low = -frame.absolute;
  frame.high = frame.absolute;
  return frame;
}

}  // namespace polyattn::engines
