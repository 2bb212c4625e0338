#pragma once

/// What planning and reports need to know of a head of order k >= 3 whatever engine answers it.

#include "base/parallel.hpp"
#include "engines/tuple_problem.hpp"
#include "polyattn/report.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::planning {

/// Of the visible keys of a set, those whose bias is not -inf.
struct SetFacts {
  std::int64_t visible = 0;
  double max_abs_key = 0.0;
  double max_key_norm = 0.0;
  std::vector<double> square;  ///< mean of the keys' squares, per coordinate
  std::vector<double> low;     ///< of the values, per column; 0 where no key is visible
  std::vector<double> high;    ///< likewise
  std::vector<double> mean;    ///< of the values, weighted by exp(bias); 0 where no key is visible
};

struct TupleFacts {
  std::vector<SetFacts> sets;
  double max_abs_query = 0.0;
  double max_query_norm = 0.0;
  std::vector<double> low;   ///< least product of values, one of each set, per column
  std::vector<double> high;  ///< largest
  std::vector<double> mean;  ///< the constant answer: of all visible tuples, so the product of the sets' means
  double max_abs_value = 0.0;
  double typical_score = 0.0;  ///< root of the mean square, as if coordinates were independent of each other

  /// Largest high - low over columns: the value range of a head of order k.
  [[nodiscard]] double range() const noexcept;
  [[nodiscard]] bool empty() const noexcept;  ///< no tuple is visible
};

/// Cost: one pass over Q, K and V. NaN and infinity are passed over: engines name them. Throws Error (non_finite) for a
/// bias that is NaN or +inf, unless they are to propagate.
TupleFacts measure_tuples(const engines::TupleProblem& problem, const base::Context& context);

/// Statistics of a plan from them. The radius as given is the bound |q|_2 max |k1|_2 max |k2|_inf ...
InputStatistics tuple_statistics(const engines::TupleProblem& problem, const TupleFacts& facts);

}  // namespace polyattn::planning
