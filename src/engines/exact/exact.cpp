#include "engines/exact/exact.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/tile.hpp"
#include "engines/finite.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kSlack = 1 + 0x1p-30;
/// Tiles that share a key block while it is in cache.
constexpr std::int64_t kTilesPerItem = 4;
/// Work between two looks at the progress meter: a few milliseconds.
constexpr double kWorkPerLook = 0x1p28;

/// What is known of the queries of one tile, lane by lane.
struct QueryFacts {
  std::array<double, kTile> norm{};        // |q|
  std::array<double, kTile> hoelder{};     // sum |q_l| max_j |k_jl|
  std::array<double, kTile> box{};         // gaussian: max_j |s_ij| by the keys' bounding box, log2 units
  std::array<double, kTile> conversion{};  // gaussian: RowMeasures::conversion
  std::array<bool, kTile> finite{};
};

/// Everything the rows of one head share.
template <class T>
struct Head {
  const HeadProblem& problem;
  const PackedKeys<T>& keys;
  const RowList& rows;
  const HeadOutputs& out;
  TileScoring<T> scoring;
  RowCertifier<T> certifier;
  base::Buffer<double> max_key;  // [d padded] max_j |k_jl|
  std::vector<double> rate;      // [d] gaussian: a_l^2
  bool converts;                 // gaussian: T does not hold every coordinate
  std::int64_t stride;           // d padded
};

/// What one thread works with.
template <class T>
struct Worker {
  std::vector<Tile<T>> tiles;
  std::vector<QueryFacts> facts;
  base::Buffer<double> staged;  // [48][stride], zeros beyond d
  std::vector<double> row;      // [d_v]
};

template <class T>
Head<T> make_head(const HeadProblem& problem, const PackedKeys<T>& keys, const RowList& rows, const HeadOutputs& out) {
  const bool queries_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.queries);
  Head<T> head{
      problem,
      keys,
      rows,
      out,
      tile_scoring<T>(problem.score, problem.dim()),
      RowCertifier<T>(problem.score, problem.dim(), keys.statistics, keys.shift, queries_exact, out.output.dtype),
      base::Buffer<double>(base::round_up_to(problem.dim(), simd::kPadding), 0.0, nullptr),
      {},
      !queries_exact || !keys.statistics.keys_exact,
      base::round_up_to(problem.dim(), simd::kPadding)};
  for (std::size_t l = 0; l < usize(problem.dim()); ++l) {
    const KeyStatistics& statistics = keys.statistics;
    if (statistics.visible > 0) {
      head.max_key[l] = std::max(std::fabs(statistics.key_min[l]), std::fabs(statistics.key_max[l]));
    }
    if (problem.score.kind == ScoreKind::gaussian) {
      const double h = problem.score.bandwidth[l];
      head.rate.push_back(kLog2E / 2 / h / h * kSlack);
    }
  }
  return head;
}

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
const simd::ExactKernels<T>& exact_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return simd::kernels().exact32;
  } else {
    return simd::kernels().exact64;
  }
}

template <class T>
void note_query(const Head<T>& head, const simd::ExactKernels<T>& kernels, const double* q, std::size_t lane,
                QueryFacts& facts) noexcept {
  double square = 0.0;
  kernels.measure_query(q, head.stride, head.max_key.data(), &square, &facts.hoelder[lane]);
  facts.finite[lane] = true;
  // 2^-1000 stands for each square that underflowed.
  const auto dim = static_cast<double>(head.problem.dim());
  facts.norm[lane] = std::sqrt(square + 0x1p-1000 * dim) * kSlack;
  if (!std::isfinite(square)) {
    double largest = 0.0;
    for (std::int64_t l = 0; l < head.stride; ++l) {
      largest = std::max(largest, std::fabs(q[l]));
      facts.finite[lane] = facts.finite[lane] && std::isfinite(q[l]);
    }
    facts.norm[lane] = largest * std::sqrt(dim) * kSlack;
  }
  const KeyStatistics& statistics = head.keys.statistics;
  double box = 0.0;
  double conversion = 0.0;
  for (std::size_t l = 0; l < head.rate.size(); ++l) {  // gaussian only
    const double far = std::max(q[l] - statistics.key_min[l], statistics.key_max[l] - q[l]);
    box += head.rate[l] * far * far;
    const double lost = head.converts ? 0x1p-24 * (std::fabs(q[l]) + head.max_key[l]) : 0.0;
    conversion += head.rate[l] * lost * lost;
  }
  facts.box[lane] = box * kSlack;
  facts.conversion[lane] = conversion * kSlack;
}

/// Loads rows [first, first + lanes) of the list into a tile.
template <class T>
void load_tile(const Head<T>& head, std::int64_t first, std::int64_t lanes, base::Buffer<double>& staged, Tile<T>& tile,
               QueryFacts& facts) {
  const HeadProblem& problem = head.problem;
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  tile.reset(lanes);
  if (head.rows.all) {
    base::load_rows(problem.queries, first, lanes, staged.data(), head.stride);
  } else {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      base::load_rows(problem.queries, head.rows.row(first + lane), 1, staged.data() + lane * head.stride, head.stride);
    }
  }
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    note_query(head, kernels, staged.data() + lane * head.stride, usize(lane), facts);
    if (!facts.finite[usize(lane)] && problem.non_finite == NonFinite::error) {
      fail_on_query(problem, head.rows, first + lane);
    }
    tile.set_limit(lane, problem.mask.visible(head.rows.row(first + lane), problem.n_kv()));
  }
  kernels.pack_queries(staged.data(), head.stride, lanes, problem.dim(), head.scoring.query_factor, tile.queries());
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

/// Output and certificate of one row. `averages` is the tile's [d_v][48].
template <class T>
void write_row(const Head<T>& head, const Tile<T>& tile, const QueryFacts& facts, std::int64_t lane,
               std::int64_t list_index, const double* averages, std::vector<double>& row) {
  const HeadProblem& problem = head.problem;
  const HeadOutputs& out = head.out;
  const std::int64_t index = head.rows.row(list_index);
  const std::int64_t target = head.rows.target(list_index);
  const std::int64_t visible = problem.mask.visible(index, problem.n_kv());
  const bool empty = head.keys.statistics.first_visible >= visible;
  const double sum = tile.total_sum()[lane];
  // Scores against an infinite query are infinite or NaN, and neither has a softmax. A sum of zero means that every
  // score is -inf: in T, or by infinite keys.
  const bool meaningless = !facts.finite[usize(lane)] || (sum == 0.0 && !head.keys.statistics.finite);
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
  RowMeasures measures;
  measures.row_max = tile.row_max(lane);
  measures.keys = visible;
  measures.largest_output = largest;
  measures.conversion = facts.conversion[usize(lane)];
  measures.size = facts.box[usize(lane)];
  if (problem.score.kind == ScoreKind::dot) {
    const double norm = facts.norm[usize(lane)];
    const double factor = std::fabs(head.scoring.query_factor) * kSlack;
    measures.size = factor * std::min(facts.hoelder[usize(lane)] * kSlack, norm * head.keys.statistics.max_norm);
    measures.packed_query = factor * norm;
  }
  if (sizeof(T) == sizeof(double) && problem.non_finite == NonFinite::error &&
      (head.certifier.may_overflow(measures) || !finite)) {
    base::fail(ErrorCode::non_finite, "scores of row " + std::to_string(index) + " (batch " +
                                          std::to_string(problem.batch) + ", head " + std::to_string(problem.head) +
                                          ") are beyond the range of float64");
  }
  ExactBound bound = head.certifier.certify(measures, out.relative != nullptr);
  if (!finite) {
    bound = {kInfinity, kInfinity, kInfinity};
  }
  if (out.lse != nullptr) {
    const double lse = (tile.total_max()[lane] + head.keys.shift + std::log2(sum)) * kLn2;
    out.lse[target] = meaningless ? std::numeric_limits<double>::quiet_NaN() : lse;
  }
  write(out.lse_bound, target, bound.lse);
  write(out.row_max, target, (tile.row_max(lane) + head.keys.shift) * kLn2);
  write(out.approximation, target, 0.0);
  write(out.rounding, target, bound.rounding);
  write(out.storage, target, finite ? head.certifier.storage(largest) : kInfinity);
  write(out.relative, target, bound.relative);
}

/// Answers rows [first, last) of the list, at most kTilesPerItem tiles.
template <class T>
void answer_rows(const Head<T>& head, std::int64_t first, std::int64_t last, Worker<T>& worker,
                 const base::Context& context) {
  const HeadProblem& problem = head.problem;
  const std::int64_t tiles = base::blocks_of(last - first, kTile);
  std::int64_t longest = 0;
  double pairs = 0.0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t begin = first + t * kTile;
    load_tile(head, begin, std::min(last - begin, std::int64_t{kTile}), worker.staged, worker.tiles[usize(t)],
              worker.facts[usize(t)]);
  }
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t visible = problem.mask.visible(head.rows.row(i), problem.n_kv());
    longest = std::max(longest, visible);
    pairs += static_cast<double>(visible);
  }
  // Whole superblocks between two looks, so that looking does not change when sums are flushed.
  const std::int64_t blocks = base::blocks_of(longest, kKeyBlock);
  const double work = exact_work(pairs, problem.dim(), problem.value_dim());
  const double looks = std::ceil(work / kWorkPerLook);
  const auto step = base::round_up_to(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(blocks) / std::max(looks, 1.0))),
      kSuperblock);
  for (std::int64_t block = 0; block < blocks; block += step) {
    const std::int64_t end = std::min(block + step, blocks);
    absorb<T>(head.keys, std::span(worker.tiles.data(), usize(tiles)), block, end);
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(end - block) / static_cast<double>(blocks));
      base::check_cancelled(context);
    }
  }
  for (std::int64_t t = 0; t < tiles; ++t) {
    Tile<T>& tile = worker.tiles[usize(t)];
    const double* averages = tile.divide(head.keys);
    for (std::int64_t lane = 0; lane < tile.lanes(); ++lane) {
      write_row(head, tile, worker.facts[usize(t)], lane, first + t * kTile + lane, averages, worker.row);
    }
  }
}

}  // namespace

template <class T>
void exact_rows(const HeadProblem& problem, const PackedKeys<T>& keys, const RowList& rows, const HeadOutputs& out,
                const base::Context& context) {
  const std::int64_t count = rows.count(problem.n_q());
  const Head<T> head = make_head(problem, keys, rows, out);
  const int threads = std::max(1, context.threads);
  // Fewer tiles together where there are few, so that every thread finds work.
  const std::int64_t tiles = base::blocks_of(count, kTile);
  const std::int64_t per_item = std::clamp<std::int64_t>(tiles / (2 * threads), 1, kTilesPerItem);
  const std::int64_t items = base::blocks_of(tiles, per_item);
  std::vector<Worker<T>> workers(usize(std::min<std::int64_t>(threads, std::max<std::int64_t>(items, 1))));
  for (Worker<T>& worker : workers) {
    for (std::int64_t t = 0; t < std::min(per_item, tiles); ++t) {
      worker.tiles.emplace_back(problem.dim(), problem.value_dim(), head.scoring, context.memory);
    }
    worker.facts.resize(usize(per_item));
    worker.staged = base::Buffer<double>(base::checked_mul(kTile, head.stride, "queries"), 0.0, context.memory);
    worker.row.resize(usize(problem.value_dim()));
  }
  const std::int64_t rows_per_item = per_item * kTile;
  base::parallel_for(context, items, [&](std::int64_t item, int thread) {
    // Under a causal mask the last rows are the longest: they go first.
    const std::int64_t first = (items - 1 - item) * rows_per_item;
    answer_rows(head, first, std::min(count, first + rows_per_item), workers[usize(thread)], context);
  });
}

std::int64_t exact_bytes(std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads,
                         std::int64_t element) {
  const std::int64_t worker =
      kTilesPerItem * tile_bytes(dim, value_dim, element) + 8 * kTile * base::round_up_to(dim, simd::kPadding);
  return packed_bytes(n_kv, dim, value_dim, element) + base::checked_mul(worker, std::max(1, threads), "keys");
}

double exact_work(double pairs, std::int64_t dim, std::int64_t value_dim) noexcept {
  return pairs * static_cast<double>(dim + value_dim + 12);
}

template void exact_rows<float>(const HeadProblem&, const PackedKeys<float>&, const RowList&, const HeadOutputs&,
                                const base::Context&);
template void exact_rows<double>(const HeadProblem&, const PackedKeys<double>&, const RowList&, const HeadOutputs&,
                                 const base::Context&);

}  // namespace polyattn::engines
