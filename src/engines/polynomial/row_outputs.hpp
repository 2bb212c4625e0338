#pragma once

/// The last bounds of a row (perturbed scores, storage, log-sum-exp), the decision whether it is answered, and its
/// output.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/row_certificate.hpp"

#include <cstdint>

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

/// Parts of a row's rounding bound beside numerator and denominator, over the range of the values where that is said:
/// scores and weights moved by at most zeta (tanh(zeta / 2), over the range), the quotient and the move back to the
/// values' units, storing a float32 output, and (apart) storing a 16-bit one.
double score_movement(double zeta) noexcept;
double answer_rounding(const AnswerScale& scale, double largest) noexcept;
double stored_rounding(DType output, double largest) noexcept;
double storage_rounding(DType output, double largest) noexcept;

/// Whether log-sum-exp of rows is needed, for the caller or to accept them.
bool wants_lse(const Acceptance& acceptance, const HeadOutputs& out) noexcept;

/// True if the row meets `acceptance`, with everything but its answer written; false, and nothing written, if not. The
/// answer T~ is clipped into the hull of the values; storing it is left to the caller.
bool accept_row(const HeadProblem& problem, const Frame& frame, const AnswerScale& scale, const Acceptance& acceptance,
                const RowAnswer& row, const HeadOutputs& out) noexcept;

}  // namespace polyattn::engines
