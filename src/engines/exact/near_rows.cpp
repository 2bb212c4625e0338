#include "engines/exact/near_rows.hpp"

#include "base/checked.hpp"
#include "engines/exact/exact.hpp"
#include "engines/exact/near_search.hpp"
#include "engines/exact/row_results.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2 = 0x1.62e42fefa39efp-1;
/// Logarithms of masses between two looks at what rows have seen: the first, and how the next follow.
constexpr double kFirstStep = 1.0;
constexpr double kStepGrowth = 2.0;
/// Looks at a tile, at most: steps double, and beyond 2^20 everything is in the last. Each ends a superblock early, for
/// which the bound counts a whole one.
constexpr std::int64_t kMostLooks = 40;
/// Relative, of what the coordinates of a tile are rounded to: once more than in float32 alone.
constexpr double kConversion = 0x1p-24 * (1.0 + 0x1p-20);

/// Whole tiles and whole blocks of keys.
constexpr std::int64_t kStretch = 384;
static_assert(kStretch % kTile == 0 && kStretch % kKeyBlock == 0);

/// What is the same for all tiles.
template <class T>
struct Job {
  const HeadProblem& problem;
  const NearKeys& keys;
  const PackedKeys<T>& packed;
  const NearTiles& tiles;
  const NearGoal& goal;
  const RowContext<T>& rows;
  const HeadOutputs& out;
};

/// What a thread needs.
template <class T>
struct Worker {
  Worker(const Job<T>& job, const TileScoring<T>& scoring, base::MemoryMeter* memory)
      : tile(job.problem.dim(), job.problem.value_dim(), scoring, memory),
        work(true, memory),
        staged(base::checked_mul(kTile, job.rows.stride, "queries"), 0.0, memory),
        columns(usize(job.problem.dim() * kTile), 0.0),
        row(usize(job.problem.value_dim())),
        search(job.keys) {}
  Tile<T> tile;
  TileWork<T> work;
  base::Buffer<double> staged;  // [48][stride]
  std::vector<double> columns;  // [dim][48] the same by axis
  std::vector<double> row;      // [d_v]
  NearSearch search;
  QueryFacts facts;
  double conversion = 0.0;  ///< RowMeasures::conversion of any row of the tile
  KeyRange own;             ///< places of the rows' own keys
};

template <class T>
void load(const Job<T>& job, std::int64_t tile_index, Worker<T>& worker) {
  const std::int64_t first = tile_index * kTile;
  const std::int64_t lanes =
      std::min<std::int64_t>(kTile, static_cast<std::int64_t>(job.tiles.rows.rows.size()) - first);
  Tile<T>& tile = worker.tile;
  tile.reset(lanes);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    std::copy_n(job.tiles.order.at(first + lane), job.problem.dim(), worker.staged.data() + lane * job.rows.stride);
  }
  note_queries(job.rows, first, lanes, worker.staged.data(), worker.facts);
  std::fill(worker.columns.begin(), worker.columns.end(), 0.0);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    for (std::int64_t l = 0; l < job.problem.dim(); ++l) {
      worker.columns[usize(l * kTile + lane)] = worker.staged[usize(lane * job.rows.stride + l)];
    }
  }
  if constexpr (sizeof(T) == sizeof(double)) {  // they stay; in float32 they move with the blocks
    std::copy(worker.columns.begin(), worker.columns.end(), tile.queries());
  }
  worker.conversion = 0.0;
  worker.own = {std::numeric_limits<std::int64_t>::max(), -1};
  const KeyRange all{0, job.packed.count};
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const std::int64_t at = job.keys.place.empty() ? -1 : job.keys.place[usize(job.tiles.rows.row(first + lane))];
    tile.set_range(lane, all, at);
    worker.own = {at < 0 ? worker.own.first : std::min(worker.own.first, at), std::max(worker.own.last, at)};
  }
}

/// Queries from the middle of a block; raises the conversion to what that costs at most.
template <class T>
void move_to(const Job<T>& job, std::int64_t tile_index, std::int64_t block, Worker<T>& worker) noexcept {
  if (sizeof(T) == sizeof(double)) {
    return;
  }
  const NearBoxes& tiles = job.tiles.boxes;
  const NearBoxes& keys = job.keys.boxes;
  double conversion = 0.0;
  for (std::int64_t l = 0; l < job.problem.dim(); ++l) {
    const double middle = block_middle<T>(job.keys, block, l);
    const double* from = worker.columns.data() + l * kTile;
    T* to = worker.tile.queries() + l * kTile;
    const std::int64_t lanes = worker.tile.lanes();
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      to[lane] = static_cast<T>(from[lane] - middle);
    }
    std::fill(to + lanes, to + kTile, T(0));
    const std::size_t at = usize(l * tiles.count + tile_index);
    const std::size_t key = usize(l * keys.count + block);
    const double query_far = std::max(std::fabs(tiles.low[at] - middle), std::fabs(tiles.high[at] - middle));
    const double key_far = std::max(std::fabs(keys.low[key] - middle), std::fabs(keys.high[key] - middle));
    const double lost = kConversion * (query_far + key_far);
    conversion += job.rows.rate[usize(l)] * lost * lost;
  }
  worker.conversion = std::max(worker.conversion, conversion * (1.0 + 0x1p-30));
}

/// Blocks [from, to) of the order, and what they add to the totals.
template <class T>
void absorb_blocks(const Job<T>& job, std::int64_t tile_index, std::int64_t from, std::int64_t to, Worker<T>& worker) {
  for (std::int64_t i = from; i < to; ++i) {
    const std::int64_t b = worker.search.block(i);
    move_to(job, tile_index, b, worker);
    const BlockFacts facts = job.packed.facts(b);
    const bool own = worker.own.last >= facts.first && worker.own.first < facts.first + facts.count;
    worker.tile.set_pairs(nullptr, own);
    worker.tile.absorb_block(job.packed.block(b), facts, worker.tile.own_state(), worker.work);
    if ((i - from) % kSuperblock == kSuperblock - 1 || i == to - 1) {
      worker.tile.flush(worker.tile.own_state());
    }
  }
}

/// Logarithm of the least D of the tile's rows so far; -infinity if one has seen nothing yet.
template <class T>
double least_sum(const Job<T>& job, const Worker<T>& worker) noexcept {
  double least = kInfinity;
  for (std::int64_t lane = 0; lane < worker.tile.lanes(); ++lane) {
    const double sum = worker.tile.total_sum()[lane];
    const double log =
        sum > 0.0 ? (worker.tile.total_max()[lane] + job.packed.shift() + std::log2(sum)) * kLn2 : -kInfinity;
    least = std::min(least, log);
  }
  return least;
}

/// Absorbs blocks until what is left weighs little enough; how many.
template <class T>
std::int64_t absorb_tile(const Job<T>& job, std::int64_t tile_index, Worker<T>& worker) {
  NearSearch& search = worker.search;
  search.look(job.tiles.boxes, tile_index);
  const double top = search.log_mass(0);
  std::int64_t done = 0;
  double step = kFirstStep;
  for (std::int64_t look = 0; done < search.blocks(); ++look) {
    const double least = done == 0 ? -kInfinity : least_sum(job, worker);
    const double allowed = std::min(std::log(job.goal.ratio) + least, std::log(job.goal.mass));
    const auto enough = [&](std::int64_t i) { return least > -kInfinity && search.log_rest(i) <= allowed; };
    if (enough(done)) {
      break;
    }
    // Before anything is known of D: what is enough if only what is left counts.
    const auto light = [&](std::int64_t i) {
      return done == 0 && job.goal.ratio >= kAnyRatio && search.log_rest(i) <= std::log(job.goal.mass);
    };
    // The next step, or what is enough if that comes first.
    const double least_mass = look + 2 >= kMostLooks ? -kInfinity : top - step;
    std::int64_t next = done + 1;
    for (;; ++next) {
      while (next >= search.ready() && !search.all()) {
        search.grow();
      }
      if (next >= search.blocks() || enough(next) || light(next) || search.log_mass(next) < least_mass) {
        break;
      }
    }
    absorb_blocks(job, tile_index, done, next, worker);
    done = next;
    step *= kStepGrowth;
  }
  return done;
}

/// Adds to the certificates of a tile what leaving out blocks costs.
template <class T>
void charge(const Job<T>& job, std::int64_t tile_index, double log_rest, const Worker<T>& worker) noexcept {
  if (job.out.lse == nullptr || !(log_rest > -kInfinity)) {
    return;
  }
  for (std::int64_t lane = 0; lane < worker.tile.lanes(); ++lane) {
    const auto target = usize(job.tiles.rows.target(tile_index * kTile + lane));
    const double least = job.out.lse[target] - job.out.lse_bound[target];
    const double slack = 1e-14 * (std::fabs(log_rest) + std::fabs(least)) + 1e-13;
    const double ratio = std::exp(log_rest - least + slack) * (1.0 + 1e-12);
    const double share = ratio < kInfinity ? ratio / (1.0 + ratio) * (1.0 + 1e-12) : 1.0;
    job.out.approximation[target] = job.keys.range * share * (1.0 + 1e-12);
    job.out.lse_bound[target] = (job.out.lse_bound[target] + std::log1p(ratio)) * (1.0 + 1e-12);
    if (job.out.relative != nullptr) {
      job.out.relative[target] = kInfinity;
    }
  }
}

NearTiles tiles_of(NearOrder order, const base::Context& context) {
  NearTiles tiles;
  tiles.order = std::move(order);
  tiles.boxes = boxes_of(tiles.order, kTile, context);
  tiles.rows.all = false;
  tiles.rows.rows = tiles.order.rows;
  tiles.rows.targets = tiles.order.rows;
  return tiles;
}

template <class T>
std::int64_t answer_tile(const Job<T>& job, std::int64_t tile_index, Worker<T>& worker) {
  load(job, tile_index, worker);
  const std::int64_t done = absorb_tile(job, tile_index, worker);
  if (sizeof(T) != sizeof(double)) {
    worker.facts.conversion.fill(worker.conversion);
  }
  write_rows(job.rows, worker.tile, worker.facts, tile_index * kTile, worker.row);
  charge(job, tile_index, worker.search.log_rest(done), worker);
  return done;
}

}  // namespace

NearTiles near_tiles(const HeadProblem& problem, const NearKeys& keys, std::vector<std::int64_t> rows,
                     const base::Context& context) {
  return tiles_of(order_near(problem.queries, keys.rates, kTile, std::move(rows), context), context);
}

NearTiles near_tiles(const HeadProblem& problem, const NearKeys& keys, const base::Context& context) {
  if (problem.queries == problem.keys && keys.order.count() == problem.n_kv()) {
    return tiles_of(order_again(keys.order, keys.rates, kStretch, kTile, context), context);
  }
  std::vector<std::int64_t> rows(usize(problem.n_q()));
  std::iota(rows.begin(), rows.end(), std::int64_t{0});
  return near_tiles(problem, keys, std::move(rows), context);
}

template <class T>
std::int64_t near_rows(const HeadProblem& problem, const NearKeys& keys, const PackedKeys<T>& packed,
                       const NearTiles& tiles, const NearGoal& goal, std::int64_t first, std::int64_t step,
                       const HeadOutputs& out, const base::Context& context) {
  const auto scoring = tile_scoring<T>(problem.score, problem.dim(), 0.0);
  RowContext<T> shared(problem, tiles.rows, out, scoring, packed.statistics, packed.shift(), packed.value_scale);
  shared.more_keys = kMostLooks * kSuperblock * kKeyBlock;
  const Job<T> job{problem, keys, packed, tiles, goal, shared, out};
  const std::int64_t count = base::blocks_of(tiles.boxes.count - first, step);
  std::vector<std::unique_ptr<Worker<T>>> workers(usize(std::max(1, context.threads)));
  std::vector<std::int64_t> blocks(usize(count));
  base::parallel_for(context, count, [&](std::int64_t item, int thread) {
    if (workers[usize(thread)] == nullptr) {
      workers[usize(thread)] = std::make_unique<Worker<T>>(job, scoring, context.memory);
    }
    blocks[usize(item)] = answer_tile(job, first + item * step, *workers[usize(thread)]);
    if (context.progress != nullptr) {
      context.progress->add(exact_work(static_cast<double>(kTile), static_cast<double>(blocks[usize(item)] * kKeyBlock),
                                       problem.dim(), problem.value_dim()));
    }
  });
  std::int64_t sum = 0;
  for (const std::int64_t some : blocks) {
    sum += some;
  }
  return sum;
}

template std::int64_t near_rows<float>(const HeadProblem&, const NearKeys&, const PackedKeys<float>&, const NearTiles&,
                                       const NearGoal&, std::int64_t, std::int64_t, const HeadOutputs&,
                                       const base::Context&);
template std::int64_t near_rows<double>(const HeadProblem&, const NearKeys&, const PackedKeys<double>&,
                                        const NearTiles&, const NearGoal&, std::int64_t, std::int64_t,
                                        const HeadOutputs&, const base::Context&);

}  // namespace polyattn::engines
