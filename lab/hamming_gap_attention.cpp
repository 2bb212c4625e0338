#include "lab/hamming_gap_attention.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

namespace polyattn::lab {

namespace {

constexpr double most_exponent = 690.0;

void check(std::int64_t dimension, const HammingGap& gap, std::int64_t keys) {
  if (gap.near < 0 || gap.near >= gap.far || gap.far > dimension) {
    throw Error(ErrorCode::invalid_argument, "gap: expected 0 <= near < far <= " + std::to_string(dimension) +
                                                 ", got near " + std::to_string(gap.near) + " and far " +
                                                 std::to_string(gap.far));
  }
  if (keys < 1) throw Error(ErrorCode::invalid_argument, "keys: expected at least 1, got " + std::to_string(keys));
}

/// The smallest float c with c^2 fl(1/D) D >= beta: at least sqrt(beta) with room for three roundings.
float entry_for(double beta) {
  const double least = std::sqrt(beta) * (1 + 0x1p-50);
  const auto entry = static_cast<float>(least);
  return static_cast<double>(entry) >= least ? entry : std::nextafter(entry, std::numeric_limits<float>::infinity());
}

[[noreturn]] void refuse_range(std::int64_t dimension, const HammingGap& gap, std::int64_t keys, double exponent) {
  std::ostringstream text;
  text << "shape paper: its threshold is exp(-" << exponent << "), below exp(-" << most_exponent
       << ") which float64 holds: (d + t) ln(6n) / (far - t) + ln(6n) with d = " << dimension << ", t = " << gap.near
       << ", far = " << gap.far << ", n = " << keys << " keys; shape pad has no such limit";
  throw Error(ErrorCode::not_reachable, text.str());
}

/// Rows [x, not x, pad ... pad] of a matrix, one after the other.
class RowWriter {
 public:
  RowWriter(std::vector<float>& out, std::int64_t rows, std::int64_t bits, std::int64_t ones)
      : bits_(static_cast<std::size_t>(bits)), ones_(static_cast<std::size_t>(ones)) {
    out.assign(static_cast<std::size_t>(rows) * (2 * bits_ + ones_), 0.0F);
    next_ = out.data();
  }

  void add(std::span<const std::uint64_t> words, float entry, float pad) {
    for (std::size_t l = 0; l < bits_; ++l) {
      const bool bit = (words[l / 64] >> (l % 64) & 1U) != 0;
      next_[l] = bit ? entry : 0.0F;
      next_[bits_ + l] = bit ? 0.0F : entry;
    }
    add_pad(pad);
  }
  void add_pad(float pad) {
    std::fill_n(next_ + 2 * bits_, ones_, pad);
    next_ += 2 * bits_ + ones_;
  }

 private:
  std::size_t bits_, ones_;
  float* next_ = nullptr;
};

}  // namespace

double paper_exponent(std::int64_t dimension, const HammingGap& gap, std::int64_t keys) {
  check(dimension, gap, keys);
  const double log_keys = std::log(6.0 * static_cast<double>(keys));
  return static_cast<double>(dimension + gap.near) * log_keys / static_cast<double>(gap.width()) + log_keys;
}

GapReduction reduce_gap(GapShape shape, std::int64_t dimension, const HammingGap& gap, std::int64_t keys) {
  check(dimension, gap, keys);
  const auto d = static_cast<double>(dimension);
  const auto t = static_cast<double>(gap.near);
  const auto n = static_cast<double>(keys);
  GapReduction out;
  out.shape = shape;
  const bool pad = shape == GapShape::pad;
  out.ones = pad ? dimension - gap.near : 2 * dimension;
  out.dimension = 2 * dimension + out.ones;
  const double wanted = pad ? static_cast<double>(out.dimension) * std::log(3.0 * n) / static_cast<double>(gap.width())
                            : 4.0 * d * std::log(6.0 * n) / static_cast<double>(gap.width());
  out.entry = static_cast<double>(entry_for(wanted * (1 + 0x1p-40)));
  out.scale = 1.0 / static_cast<double>(out.dimension);
  out.beta = out.entry * out.entry * out.scale * static_cast<double>(out.dimension);
  if (pad) {
    out.threshold = 0.375;
    out.needed.absolute = 0.125 * (1 - 0x1p-20);  // below 1/8, rounding of nothing else to come
    return out;
  }
  if (const double exponent = paper_exponent(dimension, gap, keys); !(exponent <= most_exponent)) {
    refuse_range(dimension, gap, keys, exponent);
  }
  const double x = std::exp(-0.25 * out.beta * (1.0 + t / d)) / (6.0 * n);
  out.threshold = 2.0 * x;
  out.needed = {x * (1 - 0x1p-20), 0.25};
  return out;
}

Order2Instance gap_instance(const GapReduction& reduction, const BitVectors& a, const BitVectors& b,
                            std::span<const GapCell> cells) {
  const auto entry = static_cast<float>(reduction.entry);
  std::int64_t most = 0;
  for (const GapCell& cell : cells) most = std::max(most, cell.keys());
  const std::int64_t pads = reduction.shape == GapShape::pad ? 1 : most;
  std::int64_t rows = 0;
  std::int64_t keys = 0;
  for (const GapCell& cell : cells) {
    rows += static_cast<std::int64_t>(cell.rows.size());
    keys += cell.keys() + pads;
  }
  Order2Instance out;
  out.dim = reduction.dimension;
  out.scale = reduction.scale;
  out.needed = reduction.needed;
  out.values.reserve(static_cast<std::size_t>(keys));
  RowWriter queries(out.queries, rows, a.dimension(), reduction.ones);
  RowWriter all_keys(out.keys, keys, b.dimension(), reduction.ones);
  Segments segments{{0}, {0}};
  for (const GapCell& cell : cells) {
    for (const std::int64_t row : cell.rows) queries.add(a[row], entry, entry);
    for (std::int64_t j = cell.first_key; j < cell.last_key; ++j) all_keys.add(b[j], entry, 0.0F);
    for (std::int64_t pad = 0; pad < pads; ++pad) all_keys.add_pad(entry);
    out.values.insert(out.values.end(), static_cast<std::size_t>(cell.keys()), 1.0F);
    out.values.insert(out.values.end(), static_cast<std::size_t>(pads), 0.0F);
    segments.query_offsets.push_back(segments.query_offsets.back() + static_cast<std::int64_t>(cell.rows.size()));
    segments.key_offsets.push_back(out.key_count());
  }
  if (cells.size() > 1) out.segments = std::move(segments);
  return out;
}

std::vector<std::uint8_t> decide_gap(GapShape shape, const BitVectors& a, const BitVectors& b,
                                     std::span<const GapCell> cells, const HammingGap& gap,
                                     const Order2Oracle& oracle) {
  if (a.dimension() != b.dimension()) {
    throw Error(ErrorCode::invalid_argument, "dimension: the rows have " + std::to_string(a.dimension()) +
                                                 " bits, the keys " + std::to_string(b.dimension()));
  }
  std::int64_t keys = 0;
  for (const GapCell& cell : cells) {
    if (cell.first_key < 0 || cell.keys() < 1 || cell.last_key > b.count()) {
      throw Error(ErrorCode::invalid_argument, "cell: expected keys from 0 to " + std::to_string(b.count()) +
                                                   ", at least one, got [" + std::to_string(cell.first_key) + ", " +
                                                   std::to_string(cell.last_key) + ")");
    }
    keys = std::max(keys, cell.keys());
  }
  if (cells.empty()) return {};
  const GapReduction reduction = reduce_gap(shape, a.dimension(), gap, keys);
  const std::vector<double> averages = ask(oracle, gap_instance(reduction, a, b, cells));
  std::vector<std::uint8_t> answers;
  answers.reserve(averages.size());
  for (const double u : averages) answers.push_back(u >= reduction.threshold ? 1 : 0);
  return answers;
}

}  // namespace polyattn::lab
