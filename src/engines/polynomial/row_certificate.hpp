#pragma once

/// The certificate of one row, as far as it does not depend on the column of the values: which polynomial serves the
/// row best, the lower bound of its true denominator, and the rounding terms. docs/theory.md has statement and proof.

#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/table.hpp"

#include <cstddef>

namespace polyattn::engines {

struct RowCertificate {
  const TableEntry* polynomial = nullptr;
  double denominator = 0.0;      ///< D^, computed
  double denominator_low = 0.0;  ///< proved lower bound of D; <= 0: the row is refused
  double error = 0.0;            ///< >= sum_j w_j |P(s) - exp(s)|
  double uniform = 0.0;          ///< the same from the uniform bound alone
  double moment_scale = 0.0;     ///< sums of degree 2q are off by this times sum w |v|
  double moment_loss = 0.0;      ///< that of the weights alone, underflow and the chord's own roundings included
  double rounding_scale = 0.0;   ///< gamma P_abs(a)
  double rounding_denominator = 0.0;
  double tiny = 0.0;          ///< underflow, absolute
  double perturbation = 0.0;  ///< zeta: bound on |perturbation of s + log w|
  double lost = 0.0;          ///< mass that underflowing weights may have changed, in the units of D
  double far = 0.0;           ///< mass of keys that were left out, likewise
};

/// `far` bounds the mass of keys left out (FarCharge), in the units of the weights. `sums[t * stride]` is
/// sum_{|alpha|=t} of the denominator's column: the t-th moment of the row's scores, computed.
RowCertificate certify_row(const Frame& frame, const KeySideBounds& keys, const RoundingModel& rounding,
                           const PolynomialTable& table, std::int64_t rank, double key_count, const RowRadius& radius,
                           double far, const double* sums, std::ptrdiff_t stride) noexcept;

}  // namespace polyattn::engines
