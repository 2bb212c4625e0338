#pragma once

/// What a decision about Hamming distances has to tell apart, and where in the call it is asked.

#include <cstdint>
#include <vector>

namespace polyattn::lab {

/// Gap-ANN, one threshold ([AS23], Definition 4.5, with whole numbers): say yes to a row if some key lies within
/// `near`, no if every key lies at `far` or beyond; in between either will do. 0 <= near < far.
struct HammingGap {
  std::int64_t near = 0;
  std::int64_t far = 1;

  [[nodiscard]] std::int64_t width() const noexcept { return far - near; }
};

/// The gap of a ratio: distances above ratio * near are far. Their smallest is floor(ratio * near) + 1, taken of the
/// product of the numbers themselves, not of its rounding, so a yes never breaks the ratio. 1 <= ratio, finite, and
/// near >= 0, or Error (invalid_argument).
HammingGap gap_at(std::int64_t near, double ratio);

/// Rows of one set that are asked about the same keys of the other, [first_key, last_key).
struct GapCell {
  std::vector<std::int64_t> rows;
  std::int64_t first_key = 0;
  std::int64_t last_key = 0;

  [[nodiscard]] std::int64_t keys() const noexcept { return last_key - first_key; }
};

}  // namespace polyattn::lab
