// Every score of a frame: y_i o x^1_{j_1} o ... over all sides but the last is a query, the last side's rows are its
// keys, in blocks with lanes along them.

#include "engines/factors/scan.hpp"

#include "base/checked.hpp"
#include "numerics/rounding.hpp"
#include "numerics/tensor_products.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr std::int64_t kScanKeys = 64;

struct Seen {
  double low = 0.0;
  double high = 0.0;
  double absolute = 0.0;

  void join(const Seen& other) noexcept {
    low = std::min(low, other.low);
    high = std::max(high, other.high);
    absolute = std::max(absolute, other.absolute);
  }
};

/// Rows of the last side, one axis after the other, and room for their scores.
struct KeyBlock {
  std::vector<double> x;  ///< [active, kScanKeys], 0 beyond the rows there are
  std::int64_t count = 0;
  std::vector<double> score = std::vector<double>(usize(kScanKeys));
  std::vector<double> absolute = std::vector<double>(usize(kScanKeys));
};

KeyBlock block_of(const FactorFrame& frame, std::int64_t first) {
  const FactorSide& last = frame.sides.back();
  KeyBlock block{std::vector<double>(usize(frame.active * kScanKeys), 0.0), std::min(kScanKeys, last.count - first)};
  for (std::int64_t j = 0; j < block.count; ++j) {
    for (std::int64_t l = 0; l < frame.active; ++l) {
      block.x[usize(l * kScanKeys + j)] = last.coordinates[usize((first + j) * frame.active + l)];
    }
  }
  return block;
}

void scan_row(const double* query, std::int64_t active, KeyBlock& block, Seen& seen) noexcept {
  std::fill(block.score.begin(), block.score.end(), 0.0);
  std::fill(block.absolute.begin(), block.absolute.end(), 0.0);
  for (std::int64_t l = 0; l < active; ++l) {
    const double* axis = block.x.data() + l * kScanKeys;
    for (std::size_t j = 0; j < usize(kScanKeys); ++j) {
      block.score[j] += query[l] * axis[j];
      block.absolute[j] += std::fabs(query[l] * axis[j]);
    }
  }
  for (std::size_t j = 0; j < usize(kScanKeys); ++j) {
    seen.join({block.score[j], block.score[j], block.absolute[j]});
  }
}

/// All tuples of sides `side` to the last but one beneath `prefix`, depth first; `room` has a row for each of them.
void scan_tuples(const FactorFrame& frame, std::size_t side, const double* prefix, double* room, KeyBlock& block,
                 Seen& seen) {
  if (side + 1 == frame.sides.size()) {
    scan_row(prefix, frame.active, block, seen);
    return;
  }
  const FactorSide& keys = frame.sides[side];
  for (std::int64_t j = 0; j < keys.count; ++j) {
    numerics::hadamard(room, prefix, keys.coordinates.data() + j * frame.active, frame.active);
    scan_tuples(frame, side + 1, room, room + frame.active, block, seen);
  }
}

}  // namespace

void scan_scores(FactorFrame& frame, const base::Context& context) {
  const std::int64_t blocks = base::blocks_of(frame.sides.back().count, kScanKeys);
  const FactorSide& queries = frame.sides.front();
  std::vector<Seen> found(usize(blocks));
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    KeyBlock keys = block_of(frame, block * kScanKeys);
    std::vector<double> room(usize(frame.active) * frame.sides.size());
    Seen seen;
    for (std::int64_t i = 0; i < queries.count; ++i) {
      scan_tuples(frame, 1, queries.coordinates.data() + i * frame.active, room.data(), keys, seen);
      if (context.progress != nullptr && i % 16 == 15) {
        context.progress->add(0.0);  // a chance to cancel
      }
    }
    found[usize(block)] = seen;
  });
  Seen all;
  for (const Seen& one : found) all.join(one);
  // At most 5 roundings in y and x, one a product, `active` additions; and what underflows.
  const std::int64_t operations = frame.active + 6 + static_cast<std::int64_t>(frame.sides.size());
  const double absolute = numerics::inflate(all.absolute, operations) + static_cast<double>(operations) * 0x1p-700;
  const double error = frame.active == 0 ? 0.0 : numerics::gamma(operations, numerics::kU64) * absolute + 0x1p-700;
  frame.absolute = std::min(frame.absolute, absolute);
  frame.low = std::max(frame.low, all.low - error * (1.0 + 0x1p-50) - std::fabs(all.low) * 0x1p-52);
  frame.high = std::min(frame.high, all.high + error * (1.0 + 0x1p-50) + all.high * 0x1p-52);
  frame.scanned = true;
}

}  // namespace polyattn::engines
