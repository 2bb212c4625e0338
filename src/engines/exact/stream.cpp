#include "engines/exact/stream.hpp"

#include "base/checked.hpp"
#include "engines/exact/exact.hpp"
#include "engines/exact/kernels.hpp"
#include "engines/exact/key_packer.hpp"
#include "engines/exact/row_blocks.hpp"
#include "engines/exact/row_results.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

/// Queries of all rows, and the superblocks that hold keys they may see.
template <class T>
struct Stream {
  Stream(const HeadProblem& head, const RowList& list, const base::Context& context)
      : problem(head),
        rows(list),
        count(list.count(head.n_q())),
        seen(seen_keys(head)),
        bias(checked_bias(head, context)),
        biases(bias.data(), head.n_kv(), seen, statistics, context.memory),
        scoring(tile_scoring<T>(head.score, head.dim(), head.soft_cap)),
        stride(base::round_up_to(head.dim(), simd::kPadding)),
        staged(base::checked_mul(count, stride, "queries"), 0.0, context.memory) {
    statistics.keys = head.n_kv();
    statistics.keys_exact = sizeof(T) == sizeof(double) || base::fits_float32(head.keys);
    statistics.values_exact = sizeof(T) == sizeof(double) || base::fits_float32(head.values);
    KeyPacker<T, ProblemSource<T>>::prepare(statistics, head.dim(), head.value_dim());
    stage_queries(head, list, 0, count, stride, staged.data());
    for (std::int64_t first = 0; first < count; first += kTile) {
      tiles.emplace_back(head.dim(), head.value_dim(), scoring, context.memory);
      tiles.back().reset(std::min(kTile, count - first));
      load_tile(head, list, first, staged.data() + first * stride, stride, tiles.back());
    }
    first_superblock = seen.first / (kKeyBlock * kSuperblock);
    superblocks = base::blocks_of(seen.last, kKeyBlock * kSuperblock) - first_superblock;
  }
  [[nodiscard]] std::int64_t first_block(std::int64_t item) const noexcept {
    return std::max((first_superblock + item) * kSuperblock, seen.first / kKeyBlock);
  }
  [[nodiscard]] std::int64_t last_block(std::int64_t item) const noexcept {
    return std::min((first_superblock + item + 1) * kSuperblock, base::blocks_of(seen.last, kKeyBlock));
  }

  const HeadProblem& problem;
  const RowList& rows;
  std::int64_t count;
  KeyRange seen;
  KeyStatistics statistics;
  base::Buffer<double> bias;
  PackedBias<T> biases;
  TileScoring<T> scoring;
  std::int64_t stride;
  base::Buffer<double> staged;  // [count][stride]
  std::vector<Tile<T>> tiles;
  std::int64_t first_superblock = 0;
  std::int64_t superblocks = 0;
};

/// States of superblocks: with one thread a single one, flushed at once; with more one each, flushed in order at the
/// end.
template <class T>
class States {
 public:
  States(std::int64_t superblocks, std::int64_t size, const base::Context& context)
      : size_(size),
        together_(context.threads > 1),
        states_(base::checked_mul(together_ ? superblocks : 1, size, "values"), context.memory) {}
  [[nodiscard]] T* at(std::int64_t item) noexcept { return states_.data() + (together_ ? item : 0) * size_; }
  template <class Flush>
  void done(std::int64_t item, const Flush& flush) {
    if (!together_) {
      flush(at(item));
    }
  }
  template <class Flush>
  void finish(std::int64_t superblocks, const Flush& flush) {
    for (std::int64_t item = 0; item < superblocks && together_; ++item) {
      flush(at(item));
    }
  }

 private:
  std::int64_t size_;
  bool together_;
  base::Buffer<T> states_;
};

void report_work(const base::Context& context, double work) {
  if (context.progress != nullptr) {
    context.progress->add(work);
    base::check_cancelled(context);
  }
}

/// All rows as tiles, key blocks packed on the way. Returns where NaN or infinity was met first.
template <class T>
Position absorb_tiles(Stream<T>& stream, double work, const base::Context& context) {
  using Packer = KeyPacker<T, ProblemSource<T>>;
  const HeadProblem& problem = stream.problem;
  const std::int64_t dim = problem.dim();
  const std::int64_t value_dim = problem.value_dim();
  struct Worker {
    Packer packer;
    base::Buffer<T> keys, values;
    TileWork<T> work;
  };
  std::vector<Worker> workers;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    workers.push_back({Packer(ProblemSource<T>(problem), problem.n_kv(), dim, value_dim, stream.seen),
                       base::Buffer<T>(kKeyBlock * dim, context.memory),
                       base::Buffer<T>(kKeyBlock * value_dim, context.memory),
                       TileWork<T>(needs_masks(problem), context.memory)});
  }
  const std::int64_t size = Tile<T>::state_size(value_dim);
  const auto tiles = static_cast<std::int64_t>(stream.tiles.size());
  States<T> states(stream.superblocks, tiles * size, context);
  const auto flush = [&](T* state) {
    for (std::int64_t t = 0; t < tiles; ++t) {
      stream.tiles[usize(t)].flush(state + t * size);
    }
  };
  base::parallel_for(context, stream.superblocks, [&](std::int64_t item, int thread) {
    Worker& worker = workers[usize(thread)];
    T* state = states.at(item);
    for (std::int64_t t = 0; t < tiles; ++t) {
      Tile<T>::clear(state + t * size, value_dim);
    }
    for (std::int64_t b = stream.first_block(item); b < stream.last_block(item); ++b) {
      if (!stream.biases.any_visible(b)) {
        continue;
      }
      const BlockFinite finite = worker.packer.pack(b, stream.biases, worker.keys.data(), worker.values.data());
      const std::int64_t count = std::min(kKeyBlock, problem.n_kv() - b * kKeyBlock);
      const simd::ExactBlock<T> block{worker.keys.data(),
                                      worker.values.data(),
                                      stream.biases.block(b),
                                      stream.biases.offset(b),
                                      0,
                                      base::blocks_of(count, simd::kRowGroup)};
      for (std::int64_t t = 0; t < tiles; ++t) {
        stream.tiles[usize(t)].absorb_block(block, {b * kKeyBlock, count, finite.values, finite.all}, state + t * size,
                                            worker.work);
      }
    }
    states.done(item, flush);
    report_work(context, work / static_cast<double>(stream.superblocks));
  });
  states.finish(stream.superblocks, flush);
  Position bad = kNowhere;
  for (const Worker& worker : workers) {
    worker.packer.merge_into(stream.statistics);
    bad = std::min(bad, worker.packer.bad());
  }
  if (problem.has_bias()) {
    stream.statistics.value_sum.clear();
  }
  return bad;
}

/// One row after the other against every key block. False if numbers were met that only the other ways can handle: what
/// was computed is void then.
template <class T>
bool absorb_singly(Stream<T>& stream, double work, const base::Context& context) {
  const HeadProblem& problem = stream.problem;
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  Tile<T>& tile = stream.tiles.front();
  const std::int64_t dim = problem.dim();
  const std::int64_t padded = base::round_up_to(problem.value_dim(), simd::kPadding);
  const bool masks = needs_masks(problem);
  base::Buffer<T> queries(base::checked_mul(stream.count, dim, "queries"), context.memory);
  for (std::int64_t r = 0; r < stream.count; ++r) {
    for (std::int64_t l = 0; l < dim; ++l) {
      queries[usize(r * dim + l)] = tile.queries()[l * kTile + r];
    }
  }
  struct Worker {
    RowBlocks<T> blocks;
    base::Buffer<T> scratch;
    std::array<T, kKeyBlock> mask;
  };
  std::vector<Worker> workers;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    workers.push_back({RowBlocks<T>(problem, stream.biases, stream.seen),
                       base::Buffer<T>((1 + simd::kPadding) * kKeyBlock, T(0), context.memory),
                       {}});
  }
  constexpr std::int64_t kFront = 4;  // max, excess, sum, mask size; then the accumulator
  const std::int64_t size = kFront + padded;
  States<T> states(stream.superblocks, stream.count * size, context);
  const auto state_of = [](T* at) { return simd::ExactState<T>{at, at + 1, at + 2, at + kFront}; };
  const auto flush = [&](T* state) {
    for (std::int64_t r = 0; r < stream.count; ++r) {
      const simd::ExactTotals totals = tile.totals();
      kernels.flush_row(problem.value_dim(), state_of(state + r * size),
                        {totals.max + r, totals.top + r, totals.sum + r, totals.accumulator + r});
      tile.note_mask_size(r, static_cast<double>(state[r * size + 3]));
    }
  };
  base::parallel_for(context, stream.superblocks, [&](std::int64_t item, int thread) {
    Worker& worker = workers[usize(thread)];
    T* state = states.at(item);
    std::fill_n(state, stream.count * size, T(0));
    for (std::int64_t r = 0; r < stream.count; ++r) {
      state[r * size] = std::numeric_limits<T>::lowest();
      state[r * size + 1] = -std::numeric_limits<T>::infinity();
    }
    for (std::int64_t b = stream.first_block(item); b < stream.last_block(item); ++b) {
      if (!stream.biases.any_visible(b) || !worker.blocks.open(b)) {
        continue;
      }
      const BlockFacts facts{b * kKeyBlock, std::min(kKeyBlock, problem.n_kv() - b * kKeyBlock), true, true};
      for (std::int64_t r = 0; r < stream.count; ++r) {
        T* own = state + r * size;
        const T* mask = nullptr;
        if (masks && !tile.sees_all(r, facts)) {
          // The first row looks at every block, for the statistics' sake.
          if (!fill_row_mask(tile.masks(), r, facts, worker.mask.data(), own[3], stream.biases.block(b)) && r > 0) {
            continue;
          }
          mask = worker.blocks.compact(worker.mask.data());
        }
        kernels.absorb_row(worker.blocks.rows(),
                           {dim, problem.value_dim(), stream.scoring.kind, queries.data() + r * dim,
                            stream.scoring.factors.data(), stream.scoring.cap, mask, worker.scratch.data()},
                           state_of(own), r == 0 ? worker.blocks.statistics() : nullptr);
      }
      worker.blocks.close();
    }
    states.done(item, flush);
    report_work(context, work / static_cast<double>(stream.superblocks));
  });
  states.finish(stream.superblocks, flush);

  KeyStatistics& statistics = stream.statistics;
  statistics.value_sum.assign(usize(problem.value_dim()), 0.0);
  bool sound = true;
  for (const Worker& worker : workers) {
    sound = worker.blocks.merge_into(statistics) && sound;
  }
  for (double& norm : statistics.key_max) {  // no closer look was taken at single coordinates
    norm = statistics.max_norm;
  }
  for (double& norm : statistics.key_min) {
    norm = -statistics.max_norm;
  }
  // An infinite or NaN value leaves its mark on the first row, which met every block.
  for (std::int64_t c = 0; c < problem.value_dim(); ++c) {
    sound = sound && std::isfinite(tile.accumulator()[c * kTile]);
  }
  if (problem.has_bias()) {
    statistics.value_sum.clear();
  }
  return sound && std::isfinite(tile.total_sum()[0]) && statistics.largest_value() <= kLargestValue<T>;
}

}  // namespace

template <class T>
KeyStatistics stream_rows(const HeadProblem& problem, const RowList& rows, const HeadOutputs& out,
                          const base::Context& context) {
  Stream<T> stream(problem, rows, context);
  const double work = exact_work(visible_pairs(problem, rows), problem.dim(), problem.value_dim());
  base::Context quiet = context;
  if (stream.count <= kSingleRows && stream.count > 0) {
    if (!absorb_singly(stream, work, context)) {
      quiet.progress = nullptr;  // the work is counted already
      return packed_rows<T>(problem, rows, out, quiet);
    }
  } else {
    const Position bad = absorb_tiles(stream, work, context);
    if (problem.non_finite == NonFinite::error && bad != kNowhere) {
      fail_at(problem, bad);
    }
    if (stream.statistics.finite && stream.statistics.largest_value() > kLargestValue<T>) {
      quiet.progress = nullptr;
      return packed_rows<T>(problem, rows, out, quiet);
    }
  }
  const RowContext<T> shared(problem, rows, out, stream.scoring, stream.statistics, stream.biases.shift(), 1.0);
  QueryFacts facts;
  std::vector<double> row(usize(problem.value_dim()));
  for (std::size_t t = 0; t < stream.tiles.size(); ++t) {
    const std::int64_t first = static_cast<std::int64_t>(t) * kTile;
    note_queries(shared, first, stream.tiles[t].lanes(), stream.staged.data() + first * stream.stride, facts);
    write_rows(shared, stream.tiles[t], facts, first, row);
  }
  return std::move(stream.statistics);
}

std::int64_t stream_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, int threads,
                          std::int64_t element) {
  const std::int64_t tiles = base::blocks_of(rows, kTile);
  const std::int64_t superblocks = threads > 1 ? base::blocks_of(n_kv, kKeyBlock * kSuperblock) : 1;
  const std::int64_t states = base::checked_mul(superblocks * tiles, kTile * (value_dim + 4) * element, "values");
  const std::int64_t worker = kKeyBlock * (dim + value_dim) * element + tile_work_bytes(true, element);
  return states + tiles * tile_bytes(dim, value_dim, element) + std::max(1, threads) * worker +
         8 * rows * base::round_up_to(dim, simd::kPadding) + n_kv * (8 + element);
}

template KeyStatistics stream_rows<float>(const HeadProblem&, const RowList&, const HeadOutputs&, const base::Context&);
template KeyStatistics stream_rows<double>(const HeadProblem&, const RowList&, const HeadOutputs&,
                                           const base::Context&);

}  // namespace polyattn::engines
