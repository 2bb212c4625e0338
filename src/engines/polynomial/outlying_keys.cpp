#include "engines/polynomial/outlying_keys.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr std::int64_t kRows = 4096;  // keys of a partial sum; fixed, so sums do not depend on threads
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Mean of the keys, weighted with exp(log_weight - largest). Any centre is correct; this one makes Jensen's bound
/// best.
std::vector<double> mean_of_keys(const HeadProblem& problem, const Frame& frame, double largest,
                                 const base::Context& context) {
  const std::size_t dim = usize(frame.dim());
  const std::int64_t blocks = base::blocks_of(problem.n_kv(), kRows);
  std::vector<std::vector<double>> sums(usize(blocks), std::vector<double>(dim + 1, 0.0));
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, problem.n_kv() - first);
    std::vector<double> rows(usize(count) * dim);
    base::load_rows(problem.keys, first, count, rows.data(), frame.dim());
    std::vector<double>& sum = sums[usize(block)];
    for (std::int64_t r = 0; r < count; ++r) {
      const double log_weight = frame.log_weight[usize(first + r)];
      if (log_weight == -kInfinity) {
        continue;
      }
      const double weight = std::exp(log_weight - largest);
      for (std::size_t l = 0; l < dim; ++l) {
        sum[l] += weight * rows[usize(r) * dim + l];
      }
      sum[dim] += weight;
    }
  });
  std::vector<double> mean(dim + 1, 0.0);
  for (const std::vector<double>& sum : sums) {
    for (std::size_t l = 0; l <= dim; ++l) {
      mean[l] += sum[l];
    }
  }
  for (std::size_t l = 0; l < dim; ++l) {
    mean[l] /= mean[dim];
  }
  mean.pop_back();
  return mean;
}

/// Copies of the keys set apart, their values and log weights.
void gather(const HeadProblem& problem, const Frame& whole, OutlyingKeys& out, base::MemoryMeter* memory) {
  const std::int64_t count = out.count();
  const std::int64_t dim = problem.dim();
  const std::int64_t value_dim = problem.value_dim();
  out.key_rows = base::Buffer<double>(count * dim, memory);
  out.value_rows = base::Buffer<double>(count * value_dim, memory);
  out.frame.log_weight = base::Buffer<double>(count, memory);
  double largest = -kInfinity;
  double least = kInfinity;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t j = out.index[usize(i)];
    base::load_rows(problem.keys, j, 1, out.key_rows.data() + i * dim, dim);
    base::load_rows(problem.values, j, 1, out.value_rows.data() + i * value_dim, value_dim);
    const double log_weight = whole.log_weight[usize(j)];
    out.frame.log_weight[usize(i)] = log_weight;
    largest = std::max(largest, log_weight);
    least = std::min(least, log_weight);
  }
  out.log_range = largest - least;
  out.problem.queries.columns = dim;
  out.problem.keys = {{{out.key_rows.data(), DType::float64, 0, count, dim, 1}}, count, dim};
  out.problem.values = {{{out.value_rows.data(), DType::float64, 0, count, value_dim, 1}}, count, value_dim};
  out.problem.score = problem.score;
}

/// Shape of a frame that differs from `whole` in its keys alone; extents and scales are still to be set.
FrameShape shape_about(const Frame& whole, const std::vector<double>& key_centre) {
  FrameShape shape = static_cast<const FrameShape&>(whole);
  shape.key_centre = key_centre;
  shape.far_keys.clear();
  return shape;
}

}  // namespace

Frame set_apart(const HeadProblem& problem, const Frame& whole, const QueryExtent& extent,
                std::vector<std::int64_t> apart, const base::Context& context) {
  auto outlying = std::make_shared<OutlyingKeys>();
  outlying->index = std::move(apart);
  gather(problem, whole, *outlying, context.memory);
  Frame frame;
  frame.log_weight = base::Buffer<double>(problem.n_kv(), context.memory);
  std::copy(whole.log_weight.begin(), whole.log_weight.end(), frame.log_weight.begin());
  for (const std::int64_t j : outlying->index) {
    frame.log_weight[usize(j)] = -kInfinity;
  }
  const double largest = *std::max_element(frame.log_weight.begin(), frame.log_weight.end());
  static_cast<FrameShape&>(frame) = shape_about(whole, whole.key_centre);
  frame.key_centre = mean_of_keys(problem, frame, largest, context);
  // Whole powers of two, so that the exact part, which has units of its own, is brought to these exactly.
  outlying->exponent = std::ceil(largest * std::numbers::log2e);
  frame.log_scale = outlying->exponent * std::numbers::ln2;
  set_key_extent(frame, extent, measure_keys(problem, frame, context));
  static_cast<FrameShape&>(outlying->frame) = shape_about(whole, frame.key_centre);
  set_key_extent(outlying->frame, extent, measure_keys(outlying->problem, outlying->frame, context));
  outlying->query_norm = extent.norm * (1.0 + 1e-5);
  frame.outlying = std::move(outlying);
  return frame;
}

}  // namespace polyattn::engines
