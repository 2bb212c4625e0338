#include "engines/exact/row_results.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/kernels.hpp"
#include "engines/finite.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kTile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kSlack = 1 + 0x1p-30;

/// First row of the list whose query is not finite: what the error names, whichever thread met one first.
[[noreturn]] void fail_on_query(const HeadProblem& problem, const RowList& rows, std::int64_t met) {
  std::vector<double> row(usize(problem.dim()));
  for (std::int64_t i = 0; i <= met; ++i) {
    base::load_rows(problem.queries, rows.row(i), 1, row.data(), problem.dim());
    require_finite(problem, "q", row.data(), rows.row(i), 1, problem.dim());
  }
  base::fail(ErrorCode::non_finite, "q: a query is not finite");
}

template <class T>
void note_query(const RowContext<T>& context, const simd::ExactKernels<T>& kernels, const double* q, std::size_t lane,
                QueryFacts& facts) noexcept {
  double square = 0.0;
  kernels.measure_query(q, context.stride, context.max_key.data(), &square, &facts.hoelder[lane]);
  facts.finite[lane] = true;
  // 2^-1000 stands for each square that underflowed.
  const auto dim = static_cast<double>(context.problem.dim());
  facts.norm[lane] = std::sqrt(square + 0x1p-1000 * dim) * kSlack;
  if (!std::isfinite(square)) {
    double largest = 0.0;
    for (std::int64_t l = 0; l < context.stride; ++l) {
      largest = std::max(largest, std::fabs(q[l]));
      facts.finite[lane] = facts.finite[lane] && std::isfinite(q[l]);
    }
    facts.norm[lane] = largest * std::sqrt(dim) * kSlack;
  }
  const KeyStatistics& statistics = context.keys;
  double box = 0.0;
  double conversion = 0.0;
  for (std::size_t l = 0; l < context.rate.size(); ++l) {  // gaussian only
    const double far = std::max(q[l] - statistics.key_min[l], statistics.key_max[l] - q[l]);
    box += context.rate[l] * far * far;
    const double lost = context.converts ? 0x1p-24 * (std::fabs(q[l]) + context.max_key[l]) : 0.0;
    conversion += context.rate[l] * lost * lost;
  }
  facts.box[lane] = box * kSlack;
  facts.conversion[lane] = conversion * kSlack;
}

void write(double* array, std::int64_t target, double value) noexcept {
  if (array != nullptr) {
    array[target] = value;
  }
}

/// A row that sees no key.
void write_empty(const HeadOutputs& out, std::int64_t target) noexcept {
  write(out.lse, target, -kInfinity);
  write(out.row_max, target, -kInfinity);
  for (double* zero : {out.lse_bound, out.approximation, out.rounding, out.storage, out.relative}) {
    write(zero, target, 0.0);
  }
}

/// Throws Error (non_finite) for the first NaN or +inf that a mask over pairs adds to what row `row` sees. There is
/// none if a finite number was beyond T.
void require_finite_mask(const HeadProblem& problem, std::int64_t row) {
  const KeyRange range = problem.range(row);
  const std::int64_t position = problem.position(row);
  std::vector<double> all(usize(range.size()));
  load_bias(problem, range.first, range.size(), all.data());
  for (double& added : all) {  // of keys hidden for all rows masks over pairs may say anything
    added = added == -kInfinity ? added : 0.0;
  }
  add_pair_mask(problem.pairs, position, range.first, range.size(), all.data());
  for (std::int64_t j = range.first; j < range.last; ++j) {
    const double added = all[usize(j - range.first)];
    if (!(added < kInfinity) && !(problem.mask.exclude_self && j == position)) {
      base::fail(ErrorCode::non_finite, "additive", "finite numbers or -infinity",
                 std::string(std::isnan(added) ? "NaN" : "infinity") + " at batch " + std::to_string(problem.batch) +
                     ", head " + std::to_string(problem.head) + ", row " + std::to_string(row) + ", key " +
                     std::to_string(j));
    }
  }
}

/// What the row's bound depends on.
template <class T>
RowMeasures measure(const RowContext<T>& context, const Tile<T>& tile, const QueryFacts& facts, std::int64_t lane,
                    std::int64_t row) {
  RowMeasures measures;
  measures.row_max = tile.row_max(lane);
  const KeyRange range = context.problem.range(row);
  measures.keys = range.size() + context.more_keys;
  measures.from_start = range.first == 0;
  measures.clipped = context.problem.mask.from_first();
  measures.largest_output = tile.largest(lane);
  measures.conversion = facts.conversion[usize(lane)];
  measures.size = facts.box[usize(lane)];
  measures.mask_size = tile.mask_size(lane);
  if (context.problem.score.kind == ScoreKind::dot) {
    const double norm = facts.norm[usize(lane)];
    const double factor = std::fabs(context.scoring.query_factor) * kSlack;
    measures.size = factor * std::min(facts.hoelder[usize(lane)] * kSlack, norm * context.keys.max_norm);
    measures.packed_query = factor * norm;
  }
  return measures;
}

/// Output and certificate of one row. `averages` is the tile's [d_v][48].
template <class T>
void write_row(const RowContext<T>& context, const Tile<T>& tile, const QueryFacts& facts, std::int64_t lane,
               std::int64_t list_index, const double* averages, std::vector<double>& row) {
  const HeadProblem& problem = context.problem;
  const HeadOutputs& out = context.out;
  const std::int64_t index = context.rows.row(list_index);
  const std::int64_t target = context.rows.target(list_index);
  const double sum = tile.total_sum()[lane];
  if (std::isnan(tile.mask_size(lane)) && problem.non_finite == NonFinite::error) {
    require_finite_mask(problem, index);
  }
  // A sum of zero: no key is visible, or every score is -inf, in T or by infinite keys.
  const bool empty = sum == 0.0 && !sees_any_key(problem, index);
  // Scores against an infinite query are infinite or NaN, and neither has a softmax.
  const bool meaningless = !facts.finite[usize(lane)] || (sum == 0.0 && !context.keys.finite);
  const bool zero = empty || (sum == 0.0 && !meaningless);
  for (std::int64_t c = 0; c < problem.value_dim(); ++c) {
    row[usize(c)] = averages[c * kTile + lane];
  }
  if (zero || meaningless) {
    std::fill(row.begin(), row.end(), zero ? 0.0 : std::numeric_limits<double>::quiet_NaN());
  }
  if (problem.value_dim() > 0 && out.output.data != nullptr) {
    base::store_row(out.output, target, row.data(), problem.value_dim());
  }
  if (empty) {
    write_empty(out, target);
    return;
  }
  const double largest = tile.largest(lane);
  const bool finite = std::isfinite(sum) && sum > 0.0 && std::isfinite(largest) && !meaningless;
  const RowMeasures measures = measure(context, tile, facts, lane, index);
  if (sizeof(T) == sizeof(double) && problem.non_finite == NonFinite::error &&
      (context.certifier.may_overflow(measures) || !finite)) {
    base::fail(ErrorCode::non_finite, "scores of row " + std::to_string(index) + " (batch " +
                                          std::to_string(problem.batch) + ", head " + std::to_string(problem.head) +
                                          ") are beyond the range of float64");
  }
  ExactBound bound = context.certifier.certify(measures, out.relative != nullptr);
  if (!finite) {
    bound = {kInfinity, kInfinity, kInfinity};
  }
  if (out.lse != nullptr) {
    const double lse = (tile.total_max()[lane] + context.shift + std::log2(sum)) * kLn2;
    out.lse[target] = meaningless ? std::numeric_limits<double>::quiet_NaN() : lse;
  }
  write(out.lse_bound, target, bound.lse);
  write(out.row_max, target, (tile.row_max(lane) + context.shift) * kLn2);
  write(out.approximation, target, 0.0);
  write(out.rounding, target, bound.rounding);
  write(out.storage, target, finite ? context.certifier.storage(largest) : kInfinity);
  write(out.relative, target, bound.relative);
}

}  // namespace

template <class T>
RowContext<T>::RowContext(const HeadProblem& head, const RowList& list, const HeadOutputs& outputs,
                          const TileScoring<T>& score, const KeyStatistics& statistics, double key_shift,
                          double scale_of_values)
    : problem(head),
      rows(list),
      out(outputs),
      scoring(score),
      keys(statistics),
      shift(key_shift),
      value_scale(scale_of_values),
      certifier(problem.score, problem.dim(), keys, shift,
                sizeof(T) == sizeof(double) || base::fits_float32(problem.queries), out.output.dtype, problem.soft_cap),
      max_key(base::round_up_to(problem.dim(), simd::kPadding), 0.0, nullptr),
      converts(sizeof(T) != sizeof(double) && !(base::fits_float32(problem.queries) && keys.keys_exact)),
      stride(base::round_up_to(problem.dim(), simd::kPadding)) {
  for (std::size_t l = 0; l < usize(problem.dim()); ++l) {
    if (keys.visible > 0) {
      max_key[l] = std::max(std::fabs(keys.key_min[l]), std::fabs(keys.key_max[l]));
    }
    if (problem.score.kind == ScoreKind::gaussian) {
      const double h = problem.score.bandwidth[l];
      rate.push_back(simd::kLog2E / 2 / h / h * kSlack);
    }
  }
}

void stage_queries(const HeadProblem& problem, const RowList& rows, std::int64_t first, std::int64_t lanes,
                   std::int64_t stride, double* staged) {
  if (rows.all) {
    base::load_rows(problem.queries, first, lanes, staged, stride);
    return;
  }
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    base::load_rows(problem.queries, rows.row(first + lane), 1, staged + lane * stride, stride);
  }
}

template <class T>
void load_tile(const HeadProblem& problem, const RowList& rows, std::int64_t first, const double* staged,
               std::int64_t stride, Tile<T>& tile) {
  for (std::int64_t lane = 0; lane < tile.lanes(); ++lane) {
    const std::int64_t row = rows.row(first + lane);
    tile.set_range(lane, problem.range(row), problem.position(row));
  }
  tile.set_pairs(&problem.pairs, problem.mask.exclude_self);
  exact_kernels<T>().pack_queries(staged, stride, tile.lanes(), problem.dim(), tile.scoring().query_factor,
                                  tile.queries());
}

template <class T>
void note_queries(const RowContext<T>& context, std::int64_t first, std::int64_t lanes, const double* staged,
                  QueryFacts& facts) {
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    note_query(context, kernels, staged + lane * context.stride, usize(lane), facts);
    if (!facts.finite[usize(lane)] && context.problem.non_finite == NonFinite::error) {
      fail_on_query(context.problem, context.rows, first + lane);
    }
  }
}

template <class T>
void write_rows(const RowContext<T>& context, Tile<T>& tile, const QueryFacts& facts, std::int64_t first,
                std::vector<double>& row) {
  // Where rows see intervals the hull that is known depends on which rows were asked for, and a row's bits must not.
  KeyStatistics no_hull;
  no_hull.finite = false;
  const double* averages = tile.divide(context.problem.mask.from_first() ? context.keys : no_hull, context.value_scale);
  for (std::int64_t lane = 0; lane < tile.lanes(); ++lane) {
    write_row(context, tile, facts, lane, first + lane, averages, row);
  }
}

template struct RowContext<float>;
template struct RowContext<double>;
template void load_tile<float>(const HeadProblem&, const RowList&, std::int64_t, const double*, std::int64_t,
                               Tile<float>&);
template void load_tile<double>(const HeadProblem&, const RowList&, std::int64_t, const double*, std::int64_t,
                                Tile<double>&);
template void note_queries<float>(const RowContext<float>&, std::int64_t, std::int64_t, const double*, QueryFacts&);
template void note_queries<double>(const RowContext<double>&, std::int64_t, std::int64_t, const double*, QueryFacts&);
template void write_rows<float>(const RowContext<float>&, Tile<float>&, const QueryFacts&, std::int64_t,
                                std::vector<double>&);
template void write_rows<double>(const RowContext<double>&, Tile<double>&, const QueryFacts&, std::int64_t,
                                 std::vector<double>&);

}  // namespace polyattn::engines
