#pragma once

/// The heads of a call for factors, as their engine sees them.

#include "api/validate.hpp"
#include "base/parallel.hpp"
#include "engines/factors/entries.hpp"
#include "engines/factors/frame.hpp"
#include "numerics/relative_polynomial.hpp"
#include "polyattn/factors.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::api {

/// Query heads whose scores are looked at together: those that share a key head, or one at order 3 and above.
struct FactorGroup {
  std::int64_t batch = 0;
  std::int64_t head = 0;              ///< the first
  std::int64_t heads = 0;             ///< how many
  std::vector<std::int64_t> sharing;  ///< query heads that share a key head, for each key set
  engines::FactorFrame frame;
  numerics::RelativePolynomial polynomial{};
  engines::FactorBound bound{};
  int degree = 0;  ///< that it needs
};

/// Batch-major. Errors as those of `factors`.
std::vector<FactorGroup> factor_groups(const ConstView& q, std::span<const ConstView> keys,
                                       const FactorOptions& options, const CallShape& shape,
                                       const base::Context& context);

}  // namespace polyattn::api
