#pragma once

/// Problems with every mask of the interface, and their answers by the definition in long double.

#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::test {

/// Booleans of shape [batch|1, heads|1, n_q|1, n_kv], contiguous.
struct StoredBooleans {
  Shape shape{};
  std::vector<std::uint8_t> bytes;
};

/// The axes of a tensor in the order in which they lie in memory, outermost first, the last of them backwards if
/// `reversed`.
struct Layout {
  std::array<std::size_t, 4> order{0, 1, 2, 3};
  bool reversed = false;
};

/// A tensor laid out in memory some other way.
struct LaidOut {
  std::vector<std::byte> bytes;
  ConstView view;
};
LaidOut lay_out(const Stored& stored, const Layout& layout);

struct MaskedProblem {
  Problem problem;
  std::int64_t window = 0;  ///< 0: none
  std::optional<Segments> segments;
  std::optional<StoredBooleans> boolean;
  std::optional<Stored> additive;
  bool exclude_self = false;
  double soft_cap = 0.0;  ///< 0: none
  Layout layout;          ///< of Q, K, V and both masks over pairs

  /// By the words of the interface, nothing shared with the library.
  [[nodiscard]] bool sees(std::int64_t batch, std::int64_t head, std::int64_t row, std::int64_t key) const;
};

/// Attends with everything laid out as the problem says.
Result attend(const MaskedProblem& masked, const Options& base);

/// Row by row against the definition: the output within the row's bound (and the head's for storage), log-sum-exp
/// within its own, the row maximum, if there, within that too; what long double may have rounded away is allowed beside
/// them. A row that sees a key or an additive mask that is not finite must be NaN. Bounds must be finite if
/// `finite_bounds`. Needs row bounds and log-sum-exp.
testing::AssertionResult answers(const MaskedProblem& masked, const Result& result, bool finite_bounds);

}  // namespace polyattn::test
