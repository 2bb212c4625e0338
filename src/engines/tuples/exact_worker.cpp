#include "engines/tuples/exact_worker.hpp"

#include "base/checked.hpp"
#include "engines/exact/exact.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kSuperblock;
using simd::kTile;

/// Work between two looks at the progress meter: a few milliseconds.
constexpr double kWorkPerLook = 0x1p28;

}  // namespace

template <class T>
TupleWorker<T>::TupleWorker(const TupleShared<T>& shared, std::int64_t tiles, base::MemoryMeter* memory)
    : shared_(shared), work_(shared.masks, memory), rows_(shared.problem, shared.outer, shared.scoring.query_factor) {
  const std::int64_t d_v = shared.problem.value_dim();
  for (std::int64_t t = 0; t < tiles; ++t) {
    tiles_.emplace_back(shared.problem.dim(), d_v, shared.scoring, memory);
  }
  pieces_.reserve(usize(tiles * kTile));
  if (shared.outer.size() > 1) {
    prefix_values_ = base::Buffer<double>(base::checked_mul(tiles * kTile, d_v, "values"), memory);
  }
}

template <class T>
void TupleWorker<T>::answer(std::span<const Segment> segments, std::span<JoinState> states,
                            const base::Context& context) {
  std::int64_t left = 0;  // rows not yet in a tile
  for (const Segment& segment : segments) {
    left += segment.last - segment.first;
  }
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const Segment& segment = segments[s];
    rows_.open(segment.query, {segment.outer, shared_.outer.size()}, segment.first);
    for (std::int64_t row = segment.first; row < segment.last;) {
      if (lane_ == 0) {
        tiles_[usize(tile_)].reset(std::min<std::int64_t>(left, kTile));
      }
      const std::int64_t most = std::min<std::int64_t>(segment.last - row, kTile - lane_);
      place(segment, static_cast<std::int64_t>(s), most, states[s]);
      const std::int64_t placed = pieces_.back().run.lanes;
      row += placed;
      left -= placed;
      lane_ += placed;
      if (lane_ == kTile || left == 0) {
        ++tile_;
        lane_ = 0;
      }
      if (tile_ == static_cast<std::int64_t>(tiles_.size()) || left == 0) {
        meet(segments, states, context);
      }
    }
  }
}

/// The next run of a segment into the tile that is being filled.
template <class T>
void TupleWorker<T>::place(const Segment& segment, std::int64_t index, std::int64_t most, JoinState& state) {
  Tile<T>& tile = tiles_[usize(tile_)];
  Piece piece{tile_, lane_, index, rows_.next(most), 0};
  double squares[kTile];
  pack_run(piece.run, shared_.problem.dim(), tile.queries() + lane_, squares);
  for (std::int64_t t = 0; t < piece.run.lanes; ++t) {
    tile.set_range(lane_ + t, segment.inner);
    state.square = std::isnan(state.square) || squares[t] <= state.square ? state.square : squares[t];
  }
  if (piece.run.values != nullptr) {
    const std::int64_t d_v = shared_.problem.value_dim();
    piece.values = (tile_ * kTile + lane_) * d_v;
    std::copy_n(piece.run.values, d_v, prefix_values_.data() + piece.values);
  }
  pieces_.push_back(piece);
}

/// All that was placed meets the inner keys.
template <class T>
void TupleWorker<T>::meet(std::span<const Segment> segments, std::span<JoinState> states,
                          const base::Context& context) {
  KeyRange seen{shared_.inner.count, 0};
  double tuples = 0.0;
  for (const Piece& piece : pieces_) {
    const KeyRange& range = segments[usize(piece.segment)].inner;
    seen = {std::min(seen.first, range.first), std::max(seen.last, range.last)};
    tuples += static_cast<double>(piece.run.lanes) * static_cast<double>(range.size());
  }
  const std::int64_t start = std::min(seen.first, seen.last) / kKeyBlock;
  const std::int64_t blocks = base::blocks_of(seen.last, kKeyBlock);
  const double work = exact_work(tuples, shared_.problem.dim(), shared_.problem.value_dim());
  const double looks = std::max(std::ceil(work / kWorkPerLook), 1.0);
  const auto step = base::round_up_to(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(blocks - start) / looks)), kSuperblock);
  // Whole superblocks between two looks, so that looking does not change when sums are flushed.
  for (std::int64_t block = start; block < blocks;) {
    const std::int64_t end = std::min((block / kSuperblock) * kSuperblock + step, blocks);
    absorb<T>(shared_.inner, std::span(tiles_.data(), usize(tile_)), work_, block, end);
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(end - block) / static_cast<double>(blocks - start));
      base::check_cancelled(context);
    }
    block = end;
  }
  for (const Piece& piece : pieces_) {
    join(piece, states[usize(piece.segment)]);
  }
  pieces_.clear();
  tile_ = 0;
}

template <class T>
void TupleWorker<T>::join(const Piece& piece, JoinState& state) {
  const Tile<T>& tile = tiles_[usize(piece.tile)];
  const std::int64_t d_v = shared_.problem.value_dim();
  const OuterRun& run = piece.run;
  JoinLanes lanes;
  lanes.lanes = run.lanes;
  lanes.max = tile.total_max() + piece.lane;
  lanes.sum = tile.total_sum() + piece.lane;
  lanes.accumulator = tile.accumulator() + piece.lane;
  lanes.prefix_power = run.power;
  lanes.prefix_factor = run.factor;
  const OuterSet* last = shared_.outer.empty() ? nullptr : &shared_.outer.back();
  if (last != nullptr) {
    lanes.power = last->power.data() + run.at;
    lanes.factor = last->factor.data() + run.at;
    lanes.values = last->values.data() + run.at * d_v;
  }
  if (run.values != nullptr) {
    lanes.prefix_values = prefix_values_.data() + piece.values;
  }
  join_lanes(lanes, d_v, state);
  for (std::int64_t t = 0; t < run.lanes; ++t) {
    const double largest = tile.row_max(piece.lane + t);
    state.low = std::min(state.low, largest);
    state.high = std::max(state.high, largest);
    state.top = std::max(state.top, largest + (run.bias + (last != nullptr ? last->bias[usize(run.at + t)] : 0.0)));
  }
}

template <class T>
std::int64_t TupleWorker<T>::bytes(std::int64_t dim, std::int64_t value_dim, std::int64_t tiles, bool masks,
                                   std::int64_t element) {
  return tiles * (tile_bytes(dim, value_dim, element) + 8 * kTile * value_dim) + tile_work_bytes(masks, element);
}

template struct TupleShared<float>;
template struct TupleShared<double>;
template class TupleWorker<float>;
template class TupleWorker<double>;

}  // namespace polyattn::engines
