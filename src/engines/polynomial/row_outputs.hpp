#pragma once

/// The last bounds of a row (perturbed scores, storage, log-sum-exp), the decision whether it is answered, and its
/// output.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/row_certificate.hpp"
#include "numerics/rounding.hpp"

#include <cstdint>
#include <limits>

namespace polyattn::engines {

struct RowAnswer {
  std::int64_t row = 0;
  double approximation = 0.0;
  double rounding = 0.0;  ///< of numerator and denominator alone
  double largest = 0.0;   ///< largest magnitude of the answer, in the units of the values
  const RowCertificate* certificate = nullptr;
  const double* centred_query = nullptr;  ///< q - qc; read if log-sum-exp is wanted
  double log_scale = 0.0;                 ///< D of the certificate is in units of exp(log_scale)
};

/// Of the visible values of a head: largest range of a column and largest magnitude.
struct AnswerScale {
  double range = 0.0;
  double largest = 0.0;
};

/// Largest magnitude that is stored as a finite number without doubt.
constexpr double largest_stored(DType type) noexcept {
  switch (type) {
    case DType::float16:
      return 65504.0;
    case DType::bfloat16:
      return 0x1.fep127;
    case DType::float32:
      return 0x1.fffffep127;
    case DType::float64:
      break;
  }
  return std::numeric_limits<double>::max();
}

/// Parts of a row's rounding bound beside numerator and denominator, over the range of the values where that is said:
/// scores and weights moved by at most zeta (tanh(zeta / 2), over the range), the quotient and the move back to the
/// values' units, storing a float32 output, and (apart) storing a 16-bit one.
inline double score_movement(double zeta) noexcept {
  // tanh(zeta / 2) <= zeta / 2, and next to nothing less where zeta is small: not worth a call for every row.
  return zeta < 0x1p-10 ? 0.5 * zeta : numerics::perturbation(zeta);
}

inline double answer_rounding(const AnswerScale& scale, double largest) noexcept {
  return 4.0 * numerics::kU64 * (largest + scale.largest);  // the quotient (two), its move back, and one to spare
}

inline double stored_rounding(DType output, double largest) noexcept {
  if (output != DType::float32) {
    return 0.0;
  }
  return largest <= largest_stored(output) ? base::unit_roundoff(output) * largest + 0x1p-149
                                           : std::numeric_limits<double>::infinity();
}

inline double storage_rounding(DType output, double largest) noexcept {
  if (output == DType::float32 || output == DType::float64) {
    return 0.0;
  }
  const double least = output == DType::float16 ? 0x1p-25 : 0x1p-134;
  return largest <= largest_stored(output) ? base::unit_roundoff(output) * largest + least
                                           : std::numeric_limits<double>::infinity();
}

/// Whether log-sum-exp of rows is needed, for the caller or to accept them.
bool wants_lse(const Acceptance& acceptance, const HeadOutputs& out) noexcept;

/// True if the row meets `acceptance`, with everything but its answer written; false, and nothing written, if not. The
/// answer T~ is clipped into the hull of the values; storing it is left to the caller.
bool accept_row(const HeadProblem& problem, const Frame& frame, const AnswerScale& scale, const Acceptance& acceptance,
                const RowAnswer& row, const HeadOutputs& out) noexcept;

}  // namespace polyattn::engines
