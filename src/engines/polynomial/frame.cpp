#include "engines/polynomial/frame.hpp"

#include "base/error.hpp"
#include "engines/columns.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/kernels.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

constexpr std::int64_t kRows = 4096;  // rows of a statistics block; fixed, so sums do not depend on threads
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A block of rows as float64 columns: element (r, c) is columns[c * ld + r]; ld is a multiple of 8, and what is beyond
/// `count` repeats the last row.
struct ColumnBlock {
  std::int64_t block = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t ld = 0;
  double* columns = nullptr;

  [[nodiscard]] double* column(std::size_t c) const noexcept { return columns + static_cast<std::int64_t>(c) * ld; }
  void pad(std::int64_t width) const noexcept {
    for (std::int64_t c = 0; c < width; ++c) {
      double* column = columns + c * ld;
      std::fill(column + count, column + ld, column[count - 1]);
    }
  }
};

/// Calls body(ColumnBlock) over blocks of `source`.
template <class Body>
void for_blocks(const base::Rows& source, const base::Context& context, const Body& body) {
  const std::int64_t blocks = base::blocks_of(source.rows, kRows);
  std::vector<std::vector<double>> scratch(usize(std::max(1, context.threads)));
  base::parallel_for(context, blocks, [&](std::int64_t block, int thread) {
    ColumnBlock part;
    part.block = block;
    part.first = block * kRows;
    part.count = std::min(kRows, source.rows - part.first);
    part.ld = base::round_up_to(part.count, 8);
    part.ld += part.ld % 512 == 0 ? 8 : 0;  // columns a power of two apart would share few lines of the cache
    std::vector<double>& columns = scratch[usize(thread)];
    columns.resize(usize(part.ld * source.columns));
    part.columns = columns.data();
    load_columns(source, part.first, part.count, columns.data(), part.ld);
    body(part);
  });
}

const simd::StatisticsKernels& statistics_kernels() { return simd::kernels().statistics; }

double power_of_two_above(double value) noexcept {
  if (value == 0.0) {
    return 1.0;
  }
  int exponent = 0;
  std::frexp(value, &exponent);  // value < 2^exponent
  return std::ldexp(1.0, std::clamp(exponent, -1000, 1000));
}

}  // namespace

double FarCharge::at(double norm) const noexcept {
  if (mass.empty()) {
    return 0.0;
  }
  const double next = std::floor(norm / step * (1.0 + 1e-12)) + 1.0;
  return next < static_cast<double>(mass.size()) ? mass[static_cast<std::size_t>(next)] : kInfinity;
}

double centred_square(const std::vector<double>& metric, const double* row,
                      const std::vector<double>& centre) noexcept {
  double square = 0.0;
  for (std::size_t l = 0; l < metric.size(); ++l) {
    const double away = std::fabs(row[l] - centre[l]);
    square += std::fabs(metric[l]) * away * away;
  }
  return square;
}

double metric_norm(double square, std::size_t dim) noexcept {
  return std::sqrt(square + static_cast<double>(dim) * kRadiusUnderflow) * (1.0 + 1e-9);
}

std::vector<double> metric_of(const HeadProblem& problem) {
  std::vector<double> metric(usize(problem.dim()), problem.score.scale);
  if (problem.score.kind == ScoreKind::gaussian) {
    for (std::size_t l = 0; l < metric.size(); ++l) {
      metric[l] = 1.0 / (problem.score.bandwidth[l] * problem.score.bandwidth[l]);
    }
  }
  return metric;
}

namespace {

/// Per axis the mean of the middle four fifths of at most a thousand rows, evenly spaced.
std::vector<double> trimmed_mean(const base::Rows& rows) {
  constexpr std::int64_t kSample = 1024;
  const std::size_t columns = usize(rows.columns);
  const std::int64_t stride = std::max<std::int64_t>(1, rows.rows / kSample);
  std::vector<std::vector<double>> sample(columns);
  std::vector<double> row(columns);
  for (std::int64_t i = stride / 2; i < rows.rows; i += stride) {
    base::load_rows(rows, i, 1, row.data(), rows.columns);
    for (std::size_t c = 0; c < columns; ++c) {
      if (std::isfinite(row[c])) {  // what is not is found by the pass over all rows
        sample[c].push_back(row[c]);
      }
    }
  }
  std::vector<double> mean(columns, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    // The tenths at both ends are split off; sorting all would take several times as long.
    const auto trim = static_cast<std::ptrdiff_t>(sample[c].size() / 10);
    const auto first = sample[c].begin() + trim;
    const auto last = sample[c].end() - trim;
    if (trim > 0) {
      std::nth_element(sample[c].begin(), first, sample[c].end());
      std::nth_element(first, last, sample[c].end());
    }
    const auto count = static_cast<double>(last - first);
    mean[c] = std::accumulate(first, last, 0.0, [&](double sum, double x) { return sum + x / count; });
  }
  return mean;
}

}  // namespace

QueryExtent query_extent(const HeadProblem& problem, const base::Context& context) {
  const std::size_t dim = usize(problem.dim());
  const auto blocks = usize(base::blocks_of(problem.n_q(), kRows));
  const std::vector<double> metric = metric_of(problem);
  QueryExtent extent;
  extent.centre = trimmed_mean(problem.queries);
  std::vector<QueryExtent> parts(blocks);
  for_blocks(problem.queries, context, [&](const ColumnBlock& q) {
    q.pad(problem.dim());
    QueryExtent& part = parts[usize(q.block)];
    std::vector<double> square(usize(q.ld), 0.0);
    double poison = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      const simd::ColumnMeasure found =
          statistics_kernels().measure({q.column(l), q.ld, extent.centre[l], std::fabs(metric[l]), square.data()});
      part.half.push_back(found.half);
      part.max_abs = std::max(part.max_abs, found.largest);
      poison += found.poison;
    }
    if (poison != 0.0) {
      require_finite_columns(problem, "q", q.columns, q.first, q.count, problem.dim(), q.ld);
    }
    part.norm = statistics_kernels().largest(square.data(), q.ld);
  });
  extent.half.assign(dim, 0.0);
  for (const QueryExtent& part : parts) {
    for (std::size_t l = 0; l < dim; ++l) {
      extent.half[l] = std::max(extent.half[l], part.half[l]);
    }
    extent.norm = std::max(extent.norm, part.norm);
    extent.max_abs = std::max(extent.max_abs, part.max_abs);
  }
  extent.norm = metric_norm(extent.norm, dim);
  return extent;
}

namespace {

/// What the first pass over the keys finds in a block, sums relative to the block's largest weight.
struct WeightBlock {
  double largest = -kInfinity;  ///< log weight
  double terms = 0.0;           ///< largest sum of absolute terms, for the rounding bound
  double max_abs = 0.0;
  double norm_before = 0.0;
  std::int64_t visible = 0;
  double weight = 0.0;
  std::vector<double> sums;  ///< of weight times coordinate
};

/// Puts hidden keys of a block, which may hold anything, where they are in nobody's way; returns the number of others.
std::int64_t park_hidden(const double* log_weight, const ColumnBlock& keys, const std::vector<double>& place) noexcept {
  std::int64_t visible = keys.count;
  for (std::int64_t r = 0; r < keys.count; ++r) {
    if (log_weight[r] == -kInfinity) {
      --visible;
      for (std::size_t l = 0; l < place.size(); ++l) {
        keys.column(l)[r] = place[l];
      }
    }
  }
  return visible;
}

/// Log weights of a block of keys (in: their biases), and what is to be known of them.
WeightBlock log_weights(const HeadProblem& problem, const Frame& frame, const ColumnBlock& keys, double* log_weight) {
  const std::size_t dim = usize(frame.dim());
  const bool gaussian = problem.score.kind == ScoreKind::gaussian;
  WeightBlock out;
  std::vector<double> weights(usize(keys.ld), -kInfinity);
  std::vector<double> terms(usize(keys.ld), 0.0);
  std::vector<double> norms(usize(keys.ld), 0.0);
  for (std::int64_t r = 0; r < keys.count; ++r) {
    weights[usize(r)] = log_weight[r];
    terms[usize(r)] = log_weight[r] == -kInfinity ? 0.0 : std::fabs(log_weight[r]);
  }
  double poison = 0.0;
  for (std::size_t l = 0; l < dim; ++l) {
    const double metric = frame.metric[l];
    const double linear = gaussian ? 0.0 : metric * frame.query_centre[l];
    const simd::ColumnMeasure found = statistics_kernels().weigh(
        {keys.column(l), keys.ld, gaussian ? frame.query_centre[l] : 0.0, linear, gaussian ? -0.5 * metric : 0.0,
         std::fabs(metric), weights.data(), terms.data(), norms.data()});
    out.max_abs = std::max(out.max_abs, found.largest);
    poison += found.poison;
  }
  if (poison != 0.0) {
    require_finite_columns(problem, "keys", keys.columns, keys.first, keys.count, frame.dim(), keys.ld);
  }
  std::copy_n(weights.begin(), keys.count, log_weight);
  out.terms = statistics_kernels().largest(terms.data(), keys.ld);
  out.norm_before = statistics_kernels().largest(norms.data(), keys.ld);
  out.largest = statistics_kernels().largest(weights.data(), keys.ld);
  // Any centre is correct; the weighted mean makes Jensen's bound best.
  out.sums.assign(dim, 0.0);
  if (out.largest > -kInfinity) {
    out.weight = statistics_kernels().exponentials(weights.data(), out.largest, keys.ld, weights.data());
    for (std::size_t l = 0; l < dim; ++l) {
      out.sums[l] = statistics_kernels().dot(weights.data(), keys.column(l), keys.ld);
    }
  }
  return out;
}

std::vector<double> weighted_mean(const std::vector<WeightBlock>& parts, double largest, std::size_t dim) {
  std::vector<double> mean(dim, 0.0);
  double weight = 0.0;
  for (const WeightBlock& part : parts) {
    const double factor = part.largest > -kInfinity ? std::exp(part.largest - largest) : 0.0;
    weight += factor * part.weight;
    for (std::size_t l = 0; l < dim; ++l) {
      mean[l] += factor * part.sums[l];
    }
  }
  for (double& value : mean) {
    value = weight > 0.0 ? value / weight : 0.0;
  }
  return mean;
}

}  // namespace

KeyExtent measure_keys(const HeadProblem& problem, Frame& frame, const base::Context& context) {
  const std::size_t dim = usize(frame.dim());
  const auto blocks = usize(base::blocks_of(problem.n_kv(), kRows));
  std::vector<std::vector<double>> halves(blocks);
  std::vector<double> norms(blocks, 0.0);
  std::vector<std::int64_t> farthest(blocks, 0);
  for_blocks(problem.keys, context, [&](const ColumnBlock& keys) {
    park_hidden(frame.log_weight.data() + keys.first, keys, frame.key_centre);
    keys.pad(frame.dim());
    const std::size_t b = usize(keys.block);
    std::vector<double> square(usize(keys.ld), 0.0);
    for (std::size_t l = 0; l < dim; ++l) {
      halves[b].push_back(
          statistics_kernels()
              .measure({keys.column(l), keys.ld, frame.key_centre[l], std::fabs(frame.metric[l]), square.data()})
              .half);
    }
    norms[b] = statistics_kernels().largest(square.data(), keys.ld);
    const auto at = std::find(square.begin(), square.end(), norms[b]);
    farthest[b] = keys.first + std::min<std::int64_t>(at - square.begin(), keys.count - 1);
  });
  std::vector<std::size_t> order(blocks);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return norms[a] > norms[b]; });
  for (std::size_t i = 0; i < std::min(blocks, kFarKeys); ++i) {
    frame.far_keys.push_back(farthest[order[i]]);
  }
  KeyExtent extent;
  extent.half.assign(dim, 0.0);
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t l = 0; l < dim; ++l) {
      extent.half[l] = std::max(extent.half[l], halves[b][l]);
    }
    extent.norm = std::max(extent.norm, norms[b]);
  }
  extent.norm = metric_norm(extent.norm, dim);
  return extent;
}

KeyWeights weigh_keys(const HeadProblem& problem, Frame& frame, const base::Context& context) {
  const std::size_t dim = usize(frame.dim());
  const auto blocks = usize(base::blocks_of(problem.n_kv(), kRows));
  frame.log_weight = base::Buffer<double>(problem.n_kv(), context.memory);
  std::vector<WeightBlock> parts(blocks);
  // Hidden keys are parked where their terms are 0.
  const std::vector<double> nowhere =
      problem.score.kind == ScoreKind::gaussian ? frame.query_centre : std::vector<double>(dim, 0.0);
  for_blocks(problem.keys, context, [&](const ColumnBlock& keys) {
    double* log_weight = frame.log_weight.data() + keys.first;
    std::fill_n(log_weight, keys.count, 0.0);
    std::int64_t visible = keys.count;
    if (problem.has_bias()) {
      load_bias(problem, keys.first, keys.count, log_weight);
      visible = park_hidden(log_weight, keys, nowhere);
    }
    keys.pad(frame.dim());
    parts[usize(keys.block)] = log_weights(problem, frame, keys, log_weight);
    parts[usize(keys.block)].visible = visible;
  });
  KeyWeights all;
  double terms = 0.0;
  for (const WeightBlock& part : parts) {
    all.largest = std::max(all.largest, part.largest);
    terms = std::max(terms, part.terms);
    all.max_abs = std::max(all.max_abs, part.max_abs);
    all.norm_before = std::max(all.norm_before, part.norm_before);
    all.visible += part.visible;
  }
  // log_weight: products, differences and a sum of dim + 1 terms; then the subtraction of M and of a block's exponent,
  // whose magnitudes are at most twice the terms, the product with log2 e, which is rounded itself, and exp2 (at most
  // 1.154 U, and 8 ulp allowed).
  all.error = (static_cast<double>(dim) + 24.0) * kU64 * terms + 1000.0 * kU64;
  all.mean = weighted_mean(parts, all.visible > 0 ? all.largest : 0.0, dim);
  return all;
}

double radius_as_given(const HeadProblem& problem, const QueryExtent& queries, double norm_before) noexcept {
  // |q| |k| for the dot score; for the Gaussian one half the largest squared distance.
  double query_norm = queries.norm;
  if (problem.score.kind == ScoreKind::dot) {
    double shift = 0.0;
    for (const double centre : queries.centre) {
      shift += std::fabs(problem.score.scale) * centre * centre;
    }
    query_norm += std::sqrt(shift);
    return query_norm * std::sqrt(norm_before);
  }
  const double reach = query_norm + std::sqrt(norm_before);
  return 0.5 * reach * reach;
}

Frame make_frame(const HeadProblem& problem, const QueryExtent& extent, const base::Context& context) {
  Frame frame;
  frame.metric = metric_of(problem);
  frame.query_centre = extent.centre;
  frame.query_half = extent.half;
  const KeyWeights keys = weigh_keys(problem, frame, context);
  frame.visible_keys = keys.visible;
  frame.max_abs_key = keys.max_abs;
  frame.log_scale = keys.visible > 0 ? keys.largest : 0.0;
  frame.weight_error = keys.error;
  frame.key_centre = keys.mean;
  set_key_extent(frame, extent, measure_keys(problem, frame, context));
  frame.radius_before = radius_as_given(problem, extent, keys.norm_before);
  return frame;
}

void set_key_extent(Frame& frame, const QueryExtent& queries, const KeyExtent& keys) {
  const std::size_t dim = usize(frame.dim());
  frame.key_half = keys.half;
  frame.key_norm = keys.norm;
  frame.query_scale.resize(dim);
  frame.key_scale.resize(dim);
  frame.z.resize(dim);
  double box = 0.0;
  for (std::size_t l = 0; l < dim; ++l) {
    frame.query_scale[l] = power_of_two_above(queries.half[l]);
    frame.key_scale[l] = power_of_two_above(frame.key_half[l]);
    frame.z[l] = frame.metric[l] * frame.query_scale[l] * frame.key_scale[l];
    box += std::fabs(frame.metric[l]) * queries.half[l] * frame.key_half[l];
  }
  frame.radius =
      std::min(queries.norm * frame.key_norm, box + static_cast<double>(dim) * kRadiusUnderflow) * (1.0 + 1e-5);
  // Beyond this the scales above are no longer larger than the coordinates: serve no row.
  const auto too_wide = [](double half) { return !(half < 0x1p+990); };
  if (std::any_of(queries.half.begin(), queries.half.end(), too_wide) ||
      std::any_of(frame.key_half.begin(), frame.key_half.end(), too_wide)) {
    frame.radius = kInfinity;
  }
}

RowRadius row_radius(const Frame& frame, const double* centred_query) noexcept {
  RowRadius out;
  double square = static_cast<double>(frame.metric.size()) * kRadiusUnderflow;
  double box = square;
  bool inside = true;
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    const double away = std::fabs(centred_query[l]);
    const double metric = std::fabs(frame.metric[l]);
    inside = inside && away <= frame.query_half[l];
    square += metric * away * away;
    box += metric * away * frame.key_half[l];
  }
  // 1e-6 covers the float64 roundings here and |x y| against the unrounded coordinates, (1 + 2^-24)^2.
  out.box = box * (1.0 + 1e-6);
  out.norm = std::sqrt(square) * (1.0 + 1e-6);
  out.radius = std::min(out.norm * frame.key_norm, out.box);
  out.box = out.radius;  // sum_l |q_l k_l| <= |q| |k| as well
  out.inside = inside && out.radius <= frame.radius && std::isfinite(frame.radius);
  return out;
}

template <class T>
void load_key_coordinates(const HeadProblem& problem, const Frame& frame, std::int64_t first, std::int64_t count, T* x,
                          std::int64_t ld, std::vector<double>& scratch) {
  const std::int64_t dim = frame.dim();
  scratch.resize(usize(count * dim));
  load_columns(problem.keys, first, count, scratch.data(), count);
  for (std::int64_t l = 0; l < dim; ++l) {
    const double inverse = 1.0 / frame.key_scale[usize(l)];  // a power of two: exact
    polynomial_kernels<T>().place({scratch.data() + l * count, count, frame.key_centre[usize(l)], inverse, x + l * ld});
  }
  for (std::int64_t j = 0; j < count; ++j) {
    if (frame.log_weight[usize(first + j)] == -kInfinity) {
      for (std::int64_t l = 0; l < dim; ++l) {
        x[l * ld + j] = T(0);
      }
    }
  }
}
template void load_key_coordinates<float>(const HeadProblem&, const Frame&, std::int64_t, std::int64_t, float*,
                                          std::int64_t, std::vector<double>&);
template void load_key_coordinates<double>(const HeadProblem&, const Frame&, std::int64_t, std::int64_t, double*,
                                           std::int64_t, std::vector<double>&);

}  // namespace polyattn::engines
