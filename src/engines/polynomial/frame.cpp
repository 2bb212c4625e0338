#include "engines/polynomial/frame.hpp"

#include "base/error.hpp"
#include "engines/finite.hpp"
#include "numerics/rounding.hpp"

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

/// Calls body(first, count, rows, block) over blocks of `source`, rows as float64 [count][columns].
template <class Body>
void for_blocks(const base::Rows& source, const base::Context& context, const Body& body) {
  const std::int64_t blocks = base::blocks_of(source.rows, kRows);
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, source.rows - first);
    std::vector<double> rows(usize(count * source.columns));
    base::load_rows(source, first, count, rows.data(), source.columns);
    body(first, count, rows.data(), block);
  });
}

/// Column sums of one block and of all: plain float64 sums in a fixed order.
struct ColumnSums {
  std::vector<double> sums;
  double weight = 0.0;
};

std::vector<double> mean_of(const std::vector<ColumnSums>& parts, std::size_t columns) {
  std::vector<double> mean(columns, 0.0);
  double weight = 0.0;
  for (const ColumnSums& part : parts) {
    if (part.sums.empty()) {
      continue;
    }
    weight += part.weight;
    for (std::size_t c = 0; c < columns; ++c) {
      mean[c] += part.sums[c];
    }
  }
  for (double& value : mean) {
    value = weight > 0.0 ? value / weight : 0.0;
  }
  return mean;
}

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
      sample[c].push_back(row[c]);
    }
  }
  std::vector<double> mean(columns, 0.0);
  for (std::size_t c = 0; c < columns; ++c) {
    std::sort(sample[c].begin(), sample[c].end());
    const std::size_t trim = sample[c].size() / 10;
    for (std::size_t i = trim; i < sample[c].size() - trim; ++i) {
      mean[c] += sample[c][i] / static_cast<double>(sample[c].size() - 2 * trim);
    }
  }
  return mean;
}

}  // namespace

QueryExtent query_extent(const HeadProblem& problem, const base::Context& context) {
  const std::size_t dim = usize(problem.dim());
  const auto blocks = usize(base::blocks_of(problem.n_q(), kRows));
  const std::vector<double> metric = metric_of(problem);
  QueryExtent extent;
  std::vector<double> largest(blocks, 0.0);
  for_blocks(problem.queries, context, [&](std::int64_t first, std::int64_t count, const double* rows, std::int64_t b) {
    require_finite(problem, "q", rows, first, count, problem.dim());
    for (std::int64_t i = 0; i < count * problem.dim(); ++i) {
      largest[usize(b)] = std::max(largest[usize(b)], std::fabs(rows[i]));
    }
  });
  extent.centre = trimmed_mean(problem.queries);
  extent.max_abs = largest.empty() ? 0.0 : *std::max_element(largest.begin(), largest.end());
  std::vector<std::vector<double>> halves(blocks);
  std::vector<double> norms(blocks, 0.0);
  for_blocks(problem.queries, context, [&](std::int64_t, std::int64_t count, const double* rows, std::int64_t b) {
    std::vector<double>& half = halves[usize(b)];
    half.assign(dim, 0.0);
    double norm = 0.0;
    for (std::int64_t r = 0; r < count; ++r) {
      double square = 0.0;
      for (std::size_t l = 0; l < dim; ++l) {
        const double away = std::fabs(rows[usize(r) * dim + l] - extent.centre[l]);
        half[l] = std::max(half[l], away);
        square += std::fabs(metric[l]) * away * away;
      }
      norm = std::max(norm, square);
    }
    norms[usize(b)] = norm;
  });
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

namespace {

/// log_weight of a block of keys, its largest value, and the largest sum of absolute terms (for the rounding bound).
struct WeightBlock {
  double largest = -kInfinity;
  double terms = 0.0;
  double max_abs = 0.0;
  double norm_before = 0.0;
  std::int64_t visible = 0;
};

WeightBlock log_weights(const HeadProblem& problem, const Frame& frame, std::int64_t first, std::int64_t count,
                        const double* rows, double* log_weight) {
  const std::size_t dim = usize(frame.dim());
  const bool gaussian = problem.score.kind == ScoreKind::gaussian;
  std::vector<double> bias(usize(count), 0.0);
  if (problem.has_bias()) {
    load_bias(problem, first, count, bias.data());
  }
  WeightBlock out;
  for (std::int64_t r = 0; r < count; ++r) {
    const double b = bias[usize(r)];
    if (b == -kInfinity) {
      log_weight[first + r] = -kInfinity;
      continue;
    }
    const double* key = rows + usize(r) * dim;
    require_finite(problem, "keys", key, first + r, 1, frame.dim());
    double sum = b;
    double terms = std::fabs(b);
    double norm = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      const double away = gaussian ? key[l] - frame.query_centre[l] : key[l];
      const double term = frame.metric[l] * (gaussian ? -0.5 * away * away : frame.query_centre[l] * away);
      sum += term;
      terms += std::fabs(term);
      norm += std::fabs(frame.metric[l]) * away * away;
      out.max_abs = std::max(out.max_abs, std::fabs(key[l]));
    }
    log_weight[first + r] = sum;
    out.largest = std::max(out.largest, sum);
    out.terms = std::max(out.terms, terms);
    out.norm_before = std::max(out.norm_before, norm);
    ++out.visible;
  }
  return out;
}

/// Centre of the keys, and their extent.
KeyExtent centre_keys(const HeadProblem& problem, Frame& frame, const base::Context& context) {
  const std::size_t dim = usize(frame.dim());
  const auto blocks = usize(base::blocks_of(problem.n_kv(), kRows));
  std::vector<ColumnSums> sums(blocks);
  for_blocks(problem.keys, context, [&](std::int64_t first, std::int64_t count, const double* rows, std::int64_t b) {
    ColumnSums& part = sums[usize(b)];
    part.sums.assign(dim, 0.0);
    for (std::int64_t r = 0; r < count; ++r) {
      // Any centre is correct; the weighted mean makes Jensen's bound best. Keys of weight below 2^-60 do not matter.
      const double log_weight = frame.log_weight[usize(first + r)] - frame.log_scale;
      if (!(log_weight > -42.0)) {
        continue;
      }
      const double weight = std::exp(log_weight);
      part.weight += weight;
      for (std::size_t l = 0; l < dim; ++l) {
        part.sums[l] += weight * rows[usize(r) * dim + l];
      }
    }
  });
  frame.key_centre = mean_of(sums, dim);
  std::vector<std::vector<double>> halves(blocks);
  std::vector<double> norms(blocks, 0.0);
  std::vector<std::int64_t> farthest(blocks, 0);
  for_blocks(problem.keys, context, [&](std::int64_t first, std::int64_t count, const double* rows, std::int64_t b) {
    std::vector<double>& half = halves[usize(b)];
    half.assign(dim, 0.0);
    for (std::int64_t r = 0; r < count; ++r) {
      if (frame.log_weight[usize(first + r)] == -kInfinity) {
        continue;
      }
      const double* key = rows + usize(r) * dim;
      for (std::size_t l = 0; l < dim; ++l) {
        half[l] = std::max(half[l], std::fabs(key[l] - frame.key_centre[l]));
      }
      const double square = centred_square(frame.metric, key, frame.key_centre);
      if (square > norms[usize(b)]) {
        norms[usize(b)] = square;
        farthest[usize(b)] = first + r;
      }
    }
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

}  // namespace

Frame make_frame(const HeadProblem& problem, const QueryExtent& extent, const base::Context& context) {
  Frame frame;
  const std::size_t dim = usize(problem.dim());
  const auto blocks = usize(base::blocks_of(problem.n_kv(), kRows));
  frame.metric = metric_of(problem);
  frame.query_centre = extent.centre;
  frame.query_half = extent.half;
  frame.log_weight = base::Buffer<double>(problem.n_kv(), context.memory);
  std::vector<WeightBlock> parts(blocks);
  for_blocks(problem.keys, context, [&](std::int64_t first, std::int64_t count, const double* rows, std::int64_t b) {
    parts[usize(b)] = log_weights(problem, frame, first, count, rows, frame.log_weight.data());
  });
  WeightBlock all;
  for (const WeightBlock& part : parts) {
    all.largest = std::max(all.largest, part.largest);
    all.terms = std::max(all.terms, part.terms);
    all.max_abs = std::max(all.max_abs, part.max_abs);
    all.norm_before = std::max(all.norm_before, part.norm_before);
    all.visible += part.visible;
  }
  frame.visible_keys = all.visible;
  frame.max_abs_key = all.max_abs;
  frame.log_scale = all.visible > 0 ? all.largest : 0.0;
  // log_weight: products, differences and a sum of dim + 1 terms; then the subtraction of M and of a block's exponent,
  // whose magnitudes are at most twice the terms, and exp itself (at most 2 ulp).
  frame.weight_error = (static_cast<double>(dim) + 16.0) * kU64 * all.terms + 1000.0 * kU64;
  set_key_extent(frame, extent, centre_keys(problem, frame, context));
  // As given: |q| |k| for the dot score; for the Gaussian one half the largest squared distance.
  double query_norm = extent.norm;
  if (problem.score.kind == ScoreKind::dot) {
    double shift = 0.0;
    for (std::size_t l = 0; l < dim; ++l) {
      shift += std::fabs(frame.metric[l]) * extent.centre[l] * extent.centre[l];
    }
    query_norm += std::sqrt(shift);
    frame.radius_before = query_norm * std::sqrt(all.norm_before);
  } else {
    const double reach = query_norm + std::sqrt(all.norm_before);
    frame.radius_before = 0.5 * reach * reach;
  }
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
  base::load_columns(problem.keys, first, count, scratch.data(), count);
  for (std::int64_t l = 0; l < dim; ++l) {
    const double centre = frame.key_centre[usize(l)];
    const double inverse = 1.0 / frame.key_scale[usize(l)];  // a power of two: exact
    const double* column = scratch.data() + l * count;
    for (std::int64_t j = 0; j < count; ++j) {
      x[l * ld + j] = static_cast<T>((column[j] - centre) * inverse);
    }
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
