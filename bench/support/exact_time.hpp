#pragma once

/// What exact would take for a problem whose rows are too many to wait for.

#include "support/case.hpp"

#include <cstdint>
#include <functional>

namespace polyattn::bench {

/// The same problem with the first rows of Q only.
Problem first_rows(const Problem& problem, std::int64_t rows);

/// The fastest exact arithmetic that certifies the tolerance of a problem: pinned to float32, to float64, or left to
/// the engine. Two numbers of rows are timed against all keys, and extrapolated along the line through both, so that
/// what a call costs once is counted once. Threads are those of the options.
class ExactTime {
 public:
  /// Answers the first rows of a problem.
  using Call = std::function<Report(std::int64_t rows, const Options&)>;
  struct Rows {
    std::int64_t few = 0;
    std::int64_t many = 0;
    std::int64_t all = 0;
  };
  struct Seconds {
    double per_row = 0.0;
    double all = 0.0;
  };

  /// Calls exact some times. Where `options` pin an arithmetic, it is that one.
  ExactTime(Call call, const Options& options, const Rows& rows);
  /// As many rows as take about a quarter of a second, and a quarter of them. `output` has room for all rows.
  ExactTime(const Problem& problem, const View& output);

  /// From one call of each number of rows.
  [[nodiscard]] Seconds measure() const;
  [[nodiscard]] double seconds() const { return measure().all; }
  [[nodiscard]] std::int64_t most_rows() const noexcept { return rows_.many; }
  /// Of the larger number of rows.
  [[nodiscard]] const HeadReport& head() const noexcept { return head_; }

 private:
  [[nodiscard]] double seconds_of_rows(std::int64_t rows) const;

  Call call_;
  Options options_;
  Rows rows_;
  HeadReport head_;
};

}  // namespace polyattn::bench
