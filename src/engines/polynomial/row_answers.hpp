#pragma once

/// The rows of a block that meet the acceptance, on their way into the caller's outputs.

#include "engines/polynomial/row_block.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// What is the same for all blocks of rows of a call.
template <class T>
struct Answering {
  const HeadProblem& problem;
  const Frame& frame;
  const Acceptance& acceptance;
  const HeadOutputs& out;
  std::vector<std::uint8_t>& answered;
  AnswerScale scale;
  bool wants_lse;
  const std::int64_t* targets = nullptr;  ///< where rows go, if not to their own places

  /// Writes them, with everything else that is asked of them.
  EvaluationSummary write(const PreparedMoments<T>& moments, RowBlock<T>& rows) const;

 private:
  [[nodiscard]] std::int64_t target(std::int64_t row) const noexcept { return targets == nullptr ? row : targets[row]; }
  void store_at(const RowBlock<T>& rows, std::int64_t first, std::int64_t last, std::int64_t row) const;
  [[nodiscard]] bool accept(const PreparedMoments<T>& moments, const RowBlock<T>& rows, std::int64_t place,
                            std::vector<double>& centred) const;
  [[nodiscard]] bool accept_all(const PreparedMoments<T>& moments, const RowBlock<T>& rows,
                                EvaluationSummary& summary) const;
  void store(const RowBlock<T>& rows, std::int64_t first, std::int64_t last) const;
};

}  // namespace polyattn::engines
