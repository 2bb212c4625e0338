// What a typical row needs at least. With R the bound of its scores s and moments m_t = sum w s^t / sum w, a polynomial
// of degree g that matches Taylor's up to s^(2q - 1) errs by e |s|^2q with e >= 2 (R/2)^k sum_j (R/2)^2j (k + 2j)! /
// (j! (k + j)! (k + 2j + 2q)!), k = g - 2q + 1: its first Chebyshev coefficient left out, all being positive. So the
// certificate is at least e m_2q, less what values fall short of their range.

#include "planning/glance.hpp"

#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/key_side.hpp"
#include "planning/some_rows.hpp"
#include "polyattn/polynomial.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::planning {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMostRows = 16;
constexpr std::int64_t kMostKeys = 64;
/// Part of the time of exact that a glance may take, and seconds of one product of a row and a key, an axis.
constexpr double kGlanceShare = 0.01;
constexpr double kAxisSeconds = 1.0e-9;
/// Part of the time of exact that a search may cost where it is not sure to pay.
constexpr double kSearchShare = 0.03;
/// Errors are multiplied with the distance of values from answers, as a rule at least this part of their range.
constexpr double kTypicalDistance = 0.15;
/// So far below the tolerance an error is sure to meet it.
constexpr double kSure = 5.0;
/// Twice less far it is likely to: enough where the polynomial, search included, would take this part of the time of
/// exact.
constexpr double kLikely = 4.0;
constexpr double kWin = 0.5;
/// Near a tie a search can win little and lose all it costs.
constexpr double kNearTie = 0.85;
constexpr int kMatched = 4;  ///< largest q
constexpr int kHighest = 30;
/// Of the rows looked at, by radius: polynomials are to serve half of them at least.
constexpr double kTypicalRow = 0.4;
constexpr std::int64_t kMostRank = std::int64_t{1} << 24;

/// The few keys around their mean, with the weights that a shift of the queries leaves them.
struct LookedAt {
  std::vector<double> metric;
  std::vector<double> query_centre;
  std::vector<double> keys;    ///< centred, times the metric
  std::vector<double> weight;  ///< sum 1
  double key_norm = 0.0;
};

std::vector<double> mean_of(const std::vector<double>& data, std::size_t columns, const std::vector<double>* weight) {
  std::vector<double> mean(columns, 0.0);
  const std::size_t rows = columns == 0 ? 0 : data.size() / columns;
  for (std::size_t i = 0; i < rows; ++i) {
    const double w = weight != nullptr ? (*weight)[i] : 1.0 / static_cast<double>(rows);
    for (std::size_t l = 0; l < columns; ++l) {
      mean[l] += w * data[i * columns + l];
    }
  }
  return mean;
}

LookedAt look_at(const engines::HeadProblem& problem, const SomeRows& queries, const SomeRows& keys) {
  LookedAt seen;
  seen.metric = engines::metric_of(problem);
  const std::size_t dim = seen.metric.size();
  seen.query_centre = mean_of(queries.data, dim, nullptr);
  const bool gaussian = problem.score.kind == engines::ScoreKind::gaussian;
  double top = -kInfinity;
  for (std::size_t j = 0; j < keys.index.size(); ++j) {
    double log_weight = 0.0;
    if (problem.has_bias()) {
      engines::load_bias(problem, keys.index[j], 1, &log_weight);
    }
    for (std::size_t l = 0; l < dim; ++l) {
      const double k = keys.data[j * dim + l];
      const double away = k - seen.query_centre[l];
      log_weight += seen.metric[l] * (gaussian ? -0.5 * away * away : seen.query_centre[l] * k);
    }
    seen.weight.push_back(log_weight);
    top = log_weight > top ? log_weight : top;
  }
  double total = 0.0;
  for (double& weight : seen.weight) {
    weight = std::exp(weight - top);
    total += weight;
  }
  for (double& weight : seen.weight) {
    weight /= total;
  }
  const std::vector<double> centre = mean_of(keys.data, dim, &seen.weight);
  double square = 0.0;
  for (std::size_t j = 0; j < keys.index.size(); ++j) {
    double norm = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      const double away = keys.data[j * dim + l] - centre[l];
      norm += std::fabs(seen.metric[l]) * away * away;
      seen.keys.push_back(seen.metric[l] * away);
    }
    square = std::max(square, norm);
  }
  seen.key_norm = std::sqrt(square);
  return seen;
}

struct TypicalRow {
  double radius = 0.0;
  double mass = 0.0;            ///< sum w exp(s)
  std::vector<double> moments;  ///< sum w s^2q, q = 0 .. kMatched
};

TypicalRow typical_row(const LookedAt& seen, const SomeRows& queries) {
  const std::size_t dim = seen.metric.size();
  std::vector<std::pair<double, std::size_t>> norms;
  for (std::size_t i = 0; i < queries.index.size(); ++i) {
    double square = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      const double away = queries.data[i * dim + l] - seen.query_centre[l];
      square += std::fabs(seen.metric[l]) * away * away;
    }
    norms.emplace_back(std::sqrt(square), i);
  }
  const auto at = norms.begin() + static_cast<std::ptrdiff_t>(kTypicalRow * static_cast<double>(norms.size() - 1));
  std::nth_element(norms.begin(), at, norms.end());
  TypicalRow row;
  row.radius = at->first * seen.key_norm;
  row.moments.assign(kMatched + 1, 0.0);
  const double* q = queries.data.data() + at->second * dim;
  for (std::size_t j = 0; j < seen.weight.size(); ++j) {
    double score = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      score += (q[l] - seen.query_centre[l]) * seen.keys[j * dim + l];
    }
    row.mass += seen.weight[j] * std::exp(std::min(score, 600.0));
    double power = seen.weight[j];
    for (double& moment : row.moments) {
      moment += power;
      power *= score * score;
    }
  }
  return row;
}

/// The least that the error of degree g can be, per unit of weight, whichever q; beyond `limit` only that it is.
double least_error(const TypicalRow& row, int degree, double limit) {
  const double half = row.radius / 2.0;
  double least = kInfinity;
  for (int q = 0; q <= kMatched && 2 * q <= degree; ++q) {
    const int k = degree - 2 * q + 1;
    double term = 2.0;
    for (int t = 1; t <= k; ++t) {
      term *= half / t;  // (R/2)^k / k!
    }
    for (int t = k + 1; t <= k + 2 * q; ++t) {
      term /= t;  // then / (k + 2q)! in place of k!
    }
    double sum = term;
    for (int j = 1; j <= 400 && term > 1e-3 * sum && sum * row.moments[usize(q)] <= std::min(limit, least); ++j) {
      const double a = k + 2 * j;
      term *= half * half * a * (a - 1.0) / (j * static_cast<double>(k + j) * (a + 2.0 * q) * (a + 2.0 * q - 1.0));
      sum += term;
    }
    least = std::min(least, sum * row.moments[usize(q)]);
  }
  return least;
}

/// Whether float32 is out of the question: the polynomial's terms add up to exp(box), in the mean of coordinates.
bool needs_float64(const TypicalRow& row, const Request& request, int degree, std::int64_t rank, std::int64_t keys,
                   double tolerance) {
  if (request.arithmetic == Arithmetic::float32) {
    return false;
  }
  const double gamma = engines::rounding_model<float>(degree, rank, keys).gamma;
  return request.arithmetic == Arithmetic::float64 ||
         gamma * std::exp(std::min(row.radius, 600.0)) / row.mass * kTypicalDistance > tolerance;
}

}  // namespace

Glance glance(const engines::HeadProblem& problem, const Request& request, const CostModel& cost, double queries,
              double pairs) {
  Glance out;
  const Arithmetic fastest = request.arithmetic == Arithmetic::float64 ? Arithmetic::float64 : Arithmetic::float32;
  const auto seconds_of = [&](int degree, Arithmetic arithmetic) {
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    return rank < 0 || rank > kMostRank ? kInfinity
                                        : cost.polynomial_seconds(problem, queries, {rank, degree, false}, arithmetic);
  };
  out.search_seconds = cost.search_seconds(problem);
  // No exact arithmetic takes longer than this, no polynomial less time than degree 0.
  const double slowest =
      cost.exact_seconds(problem, pairs, request.arithmetic == Arithmetic::automatic ? Arithmetic::float64 : fastest);
  out.exact_seconds = cost.exact_seconds(problem, pairs, fastest);
  out.seconds = seconds_of(0, fastest);
  out.worth = out.seconds < slowest && out.seconds + std::min(out.search_seconds, kSearchShare * slowest) < slowest;
  if (!out.worth) {
    return out;
  }
  const double budget = kGlanceShare * out.exact_seconds / (kAxisSeconds * static_cast<double>(problem.dim() + 1));
  const auto most = [&](std::int64_t count) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(budget / 4.0), 8, count);
  };
  const SomeRows some_queries = load(problem.queries, spaced(problem.n_q(), most(kMostRows)));
  const SomeRows some_keys = load(problem.keys, visible_keys(problem, most(kMostKeys)));
  const Extremes values = extremes_of(load(problem.values, some_keys.index), usize(problem.value_dim()));
  const LookedAt seen = look_at(problem, some_queries, some_keys);
  const TypicalRow row = typical_row(seen, some_queries);
  const double range = range_of(values);
  const double of_range = request.tolerance.kind == ToleranceKind::of_value_range ? request.tolerance.value
                                                                                  : request.tolerance.value / range;
  // Denominators err by the whole of what answers see a part of. Without values they are all there is.
  const double of_denominators =
      std::min(request.lse_tolerance.value_or(kInfinity), std::log1p(request.density_share.value_or(kInfinity)));
  const double tolerance = std::min(range > 0.0 ? of_range : kInfinity, kTypicalDistance * of_denominators);
  out.radius = row.radius;
  if (!std::isfinite(row.mass) || !(row.mass > 0.0) || !std::isfinite(row.radius) || !std::isfinite(tolerance)) {
    return out;  // nothing to go by
  }
  if (request.arithmetic == Arithmetic::automatic && range > 0.0 &&
      !(2.0 * likely_float32_bound(problem, request.output, some_queries, some_keys, values) <= of_range * range)) {
    out.exact_seconds = slowest;
  }
  out.worth = false;
  for (int degree = 0; degree <= kHighest; ++degree) {
    if (!(seconds_of(degree, fastest) < out.exact_seconds)) {
      break;
    }
    const double error =
        kTypicalDistance * least_error(row, degree, tolerance * row.mass / kTypicalDistance) / row.mass;
    if (error > tolerance) {
      continue;
    }
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    const bool wide = needs_float64(row, request, degree, rank, problem.n_kv(), tolerance);
    const double seconds = seconds_of(degree, wide ? Arithmetic::float64 : fastest);
    if (out.degree < 0) {
      out.degree = degree;
      out.seconds = seconds;
    }
    // A search that costs little may be in vain; one that costs more has to be sure to pay, or likely to pay well.
    const double taken = (seconds + out.search_seconds) / out.exact_seconds;
    const double margin = taken < kWin ? kLikely : kSure;
    if (out.search_seconds <= kSearchShare * out.exact_seconds || margin * error <= tolerance) {
      out.worth = taken < kNearTie;
      break;
    }
  }
  return out;
}

}  // namespace polyattn::planning
