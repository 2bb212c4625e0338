#include "engines/finite.hpp"
#include "engines/tuples/column_blocks.hpp"
#include "engines/tuples/set_frame.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr std::int64_t kLook = 128;  // rows of which the farthest is remembered

/// Of a block: extents and norms, and the rows of largest norm of every kLook rows.
struct QueryBlock {
  std::vector<double> half;
  double norm = 0.0;
  double before = 0.0;
  std::vector<std::pair<double, std::int64_t>> far;
};

QueryBlock measure_block(const HeadProblem& problem, const std::vector<double>& factors, Columns& q) {
  const simd::StatisticsKernels& statistics = simd::kernels().statistics;
  QueryBlock out;
  std::vector<double> square(usize(q.padded), 0.0);
  std::vector<double> before(usize(q.padded), 0.0);
  double poison = 0.0;
  for (std::size_t l = 0; l < factors.size(); ++l) {
    const double metric = factors[l] * factors[l];
    const simd::ColumnMeasure found = statistics.measure({q.column(l), q.padded, 0.0, metric, square.data()});
    statistics.measure({q.column(l), q.padded, 0.0, 1.0, before.data()});
    out.half.push_back(found.half);
    poison += found.poison;
  }
  if (poison != 0.0) {
    require_finite_columns(problem, "q", q.data.data(), q.first, q.count, problem.dim(), q.ld);
    out.half.assign(factors.size(), std::numeric_limits<double>::infinity());  // propagated: nothing is served
  }
  out.norm = statistics.largest(square.data(), q.padded);
  out.before = statistics.largest(before.data(), q.padded);
  for (std::int64_t r = 0; r < q.count; r += kLook) {
    const auto first = square.begin() + r;
    const auto at = std::max_element(first, first + std::min(kLook, q.count - r));
    out.far.emplace_back(*at, q.first + (at - square.begin()));
  }
  return out;
}

}  // namespace

QueryNorms measure_queries(const HeadProblem& problem, const std::vector<double>& factors,
                           const base::Context& context) {
  const KeyRange all{0, problem.n_q()};
  std::vector<QueryBlock> parts(usize(base::blocks_of(all.size(), kColumnRows)));
  for_column_blocks(problem.queries, all, context,
                    [&](Columns& q) { parts[usize(q.block)] = measure_block(problem, factors, q); });
  QueryNorms out;
  out.half.assign(factors.size(), 0.0);
  std::vector<std::pair<double, std::int64_t>> far;
  for (const QueryBlock& part : parts) {
    for (std::size_t l = 0; l < factors.size(); ++l) {
      out.half[l] = std::max(out.half[l], part.half[l]);
    }
    out.norm = std::max(out.norm, part.norm);
    out.norm_before = std::max(out.norm_before, part.before);
    far.insert(far.end(), part.far.begin(), part.far.end());
  }
  out.norm = root_above(out.norm, problem.dim(), 2);
  out.norm_before = root_above(out.norm_before, problem.dim(), 2);
  std::sort(far.begin(), far.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t i = 0; i < std::min(far.size(), kFarKeys); ++i) {
    out.far.push_back(far[i].second);
  }
  return out;
}

}  // namespace polyattn::engines
