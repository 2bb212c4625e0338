#pragma once

/// What exact would take for a problem whose rows are too many to wait for.

#include "support/case.hpp"

#include <cstdint>

namespace polyattn::bench {

/// The same problem with the first rows of Q only.
Problem first_rows(const Problem& problem, std::int64_t rows);

/// The fastest exact arithmetic that certifies the tolerance of a problem: pinned to float32, to float64, or left to
/// the engine. Two numbers of rows are timed against all keys, and extrapolated along the line through both, so that
/// what a call costs once is counted once. Threads are those of the problem.
class ExactTime {
 public:
  /// Calls exact some times. `output` has room for all rows of the problem.
  ExactTime(const Problem& problem, const View& output);

  /// Of all rows, from one call of each number of rows. Writes to `output`.
  [[nodiscard]] double seconds() const;
  [[nodiscard]] std::int64_t most_rows() const noexcept { return many_.q.shape[2]; }
  /// Of the larger number of rows.
  [[nodiscard]] const HeadReport& head() const noexcept { return head_; }

 private:
  [[nodiscard]] double seconds_of_call(const Problem& problem) const;

  std::int64_t rows_;
  View output_;
  Problem few_;
  Problem many_;
  HeadReport head_;
};

}  // namespace polyattn::bench
