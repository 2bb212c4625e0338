#include "engines/exact/exact.hpp"

#include "base/checked.hpp"
#include "engines/exact/row_results.hpp"
#include "engines/exact/stream.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

/// Tiles that share a key block while it is in cache.
constexpr std::int64_t kTilesPerItem = 4;
/// Work between two looks at the progress meter: a few milliseconds.
constexpr double kWorkPerLook = 0x1p28;

/// What one thread works with.
template <class T>
struct Worker {
  Worker(const HeadProblem& problem, const TileScoring<T>& scoring, std::int64_t count, std::int64_t stride,
         base::MemoryMeter* memory)
      : facts(usize(count)),
        work(needs_masks(problem), memory),
        staged(base::checked_mul(kTile, stride, "queries"), 0.0, memory),
        row(usize(problem.value_dim())) {
    for (std::int64_t t = 0; t < count; ++t) {
      tiles.emplace_back(problem.dim(), problem.value_dim(), scoring, memory);
    }
  }
  std::vector<Tile<T>> tiles;
  std::vector<QueryFacts> facts;
  TileWork<T> work;
  base::Buffer<double> staged;  // [48][stride], zeros beyond d
  std::vector<double> row;      // [d_v]
};

/// Answers rows [first, last) of the list, at most kTilesPerItem tiles.
template <class T>
void answer_rows(const RowContext<T>& rows, const PackedKeys<T>& keys, std::int64_t first, std::int64_t last,
                 Worker<T>& worker, const base::Context& context) {
  const HeadProblem& problem = rows.problem;
  const std::int64_t tiles = base::blocks_of(last - first, kTile);
  KeyRange seen{keys.count, 0};
  double pairs = 0.0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    const std::int64_t begin = first + t * kTile;
    Tile<T>& tile = worker.tiles[usize(t)];
    tile.reset(std::min(last - begin, std::int64_t{kTile}));
    stage_queries(problem, rows.rows, begin, tile.lanes(), rows.stride, worker.staged.data());
    note_queries(rows, begin, tile.lanes(), worker.staged.data(), worker.facts[usize(t)]);
    load_tile(problem, rows.rows, begin, worker.staged.data(), rows.stride, tile);
  }
  for (std::int64_t i = first; i < last; ++i) {
    const KeyRange range = problem.range(rows.rows.row(i));
    if (range.size() > 0) {
      seen = {std::min(seen.first, range.first), std::max(seen.last, range.last)};
      pairs += static_cast<double>(range.size());
    }
  }
  // Whole superblocks between two looks, so that looking does not change when sums are flushed.
  const std::int64_t start = std::min(seen.first, seen.last) / (kKeyBlock * kSuperblock) * kSuperblock;
  const std::int64_t blocks = base::blocks_of(seen.last, kKeyBlock);
  const double work = exact_work(pairs, problem.dim(), problem.value_dim());
  const double looks = std::max(std::ceil(work / kWorkPerLook), 1.0);
  const auto step = base::round_up_to(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(blocks - start) / looks)), kSuperblock);
  for (std::int64_t block = start; block < blocks; block += step) {
    const std::int64_t end = std::min(block + step, blocks);
    absorb<T>(keys, std::span(worker.tiles.data(), usize(tiles)), worker.work, block, end);
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(end - block) / static_cast<double>(blocks - start));
      base::check_cancelled(context);
    }
  }
  for (std::int64_t t = 0; t < tiles; ++t) {
    write_rows(rows, worker.tiles[usize(t)], worker.facts[usize(t)], first + t * kTile, worker.row);
  }
}

}  // namespace

template <class T>
void exact_rows(const HeadProblem& problem, const PackedKeys<T>& keys, const RowList& rows, const HeadOutputs& out,
                const base::Context& context) {
  const std::int64_t count = rows.count(problem.n_q());
  const auto scoring = tile_scoring<T>(problem.score, problem.dim(), problem.soft_cap);
  const RowContext<T> shared(problem, rows, out, scoring, keys.statistics, keys.shift(), keys.value_scale);
  const int threads = std::max(1, context.threads);
  // Fewer tiles together where there are few, so that every thread finds work.
  const std::int64_t tiles = base::blocks_of(count, kTile);
  const std::int64_t per_item = std::clamp<std::int64_t>(tiles / (2 * threads), 1, kTilesPerItem);
  const std::int64_t items = base::blocks_of(tiles, per_item);
  std::vector<Worker<T>> workers;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(threads, std::max<std::int64_t>(items, 1)); ++i) {
    workers.emplace_back(problem, scoring, std::min(per_item, tiles), shared.stride, context.memory);
  }
  const std::int64_t rows_per_item = per_item * kTile;
  base::parallel_for(context, items, [&](std::int64_t item, int thread) {
    // Under a causal mask the last rows are the longest: they go first.
    const std::int64_t first = (items - 1 - item) * rows_per_item;
    answer_rows(shared, keys, first, std::min(count, first + rows_per_item), workers[usize(thread)], context);
  });
}

template <class T>
KeyStatistics packed_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                          const base::Context& context) {
  PackedKeys<T> packed = pack_keys<T>(problem, context);
  exact_rows(problem, packed, rows, out, context);
  return std::move(packed.statistics);
}

template <class T>
KeyStatistics exact_head(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                         const base::Context& context) {
  const bool few = rows.count(problem.n_q()) <= kFewRows;
  return few ? stream_rows<T>(problem, rows, out, context) : packed_rows<T>(problem, rows, out, context);
}

std::int64_t exact_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads,
                         std::int64_t element) {
  if (rows <= kFewRows) {
    return stream_bytes(rows, n_kv, dim, value_dim, threads, element);
  }
  const std::int64_t worker = kTilesPerItem * tile_bytes(dim, value_dim, element) + tile_work_bytes(true, element) +
                              8 * kTile * base::round_up_to(dim, simd::kPadding);
  return packed_bytes(n_kv, dim, value_dim, element) + base::checked_mul(worker, std::max(1, threads), "keys");
}

double exact_work(double pairs, std::int64_t dim, std::int64_t value_dim) noexcept {
  return pairs * static_cast<double>(dim + value_dim + 12);
}

template void exact_rows<float>(const HeadProblem&, const PackedKeys<float>&, const RowList&, const HeadOutputs&,
                                const base::Context&);
template void exact_rows<double>(const HeadProblem&, const PackedKeys<double>&, const RowList&, const HeadOutputs&,
                                 const base::Context&);
template KeyStatistics packed_rows<float>(const HeadProblem&, const RowList&, const HeadOutputs&, const base::Context&);
template KeyStatistics packed_rows<double>(const HeadProblem&, const RowList&, const HeadOutputs&,
                                           const base::Context&);
template KeyStatistics exact_head<float>(const HeadProblem&, const RowList&, const HeadOutputs&, const base::Context&);
template KeyStatistics exact_head<double>(const HeadProblem&, const RowList&, const HeadOutputs&, const base::Context&);

}  // namespace polyattn::engines
