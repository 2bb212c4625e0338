#pragma once

/// The last bounds of a row (perturbed scores, storage, log-sum-exp), the decision whether it is answered, and its
/// output.

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/row_certificate.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
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
/// scores and weights moved by at most zeta (tanh(zeta / 2) <= min(zeta / 2, 1), over the range), the quotient and the
/// move back to the values' units, storing a float32 output, and (apart) storing a 16-bit one.
inline double score_movement(double zeta) noexcept {
  return std::min(0.5 * zeta, 1.0);  // tanh is next to nothing less where zeta is small
}

inline constexpr double kAnswerRounding = 4.0 * numerics::kU64;  // the quotient (two), its move back, and one to spare

inline double answer_rounding(const AnswerScale& scale, double largest) noexcept {
  return kAnswerRounding * (largest + scale.largest);
}

/// What storing an answer may do: unit * largest + least up to `most`, larger ones overflow.
struct Storing {
  double unit = 0.0;
  double least = 0.0;
  double most = std::numeric_limits<double>::infinity();
  [[nodiscard]] double at(double largest) const noexcept {
    return largest <= most ? unit * largest + least : std::numeric_limits<double>::infinity();
  }
};

struct StorageRounding {
  Storing rounding;  ///< of float32, part of the rounding bound
  Storing storage;   ///< of 16-bit types, stated apart
};

inline StorageRounding storage_of(DType output) noexcept {
  StorageRounding out;
  switch (output) {
    case DType::float64:
      break;
    case DType::float32:
      out.rounding = {base::unit_roundoff(output), 0x1p-149, largest_stored(output)};
      break;
    case DType::float16:
    case DType::bfloat16:
      out.storage = {base::unit_roundoff(output), output == DType::float16 ? 0x1p-25 : 0x1p-134,
                     largest_stored(output)};
      break;
  }
  return out;
}

/// Whether log-sum-exp of rows is needed, for the caller or to accept them.
bool wants_lse(const Acceptance& acceptance, const HeadOutputs& out) noexcept;

/// True if the row meets `acceptance`, with everything but its answer written; false, and nothing written, if not. The
/// answer T~ is clipped into the hull of the values; storing it is left to the caller.
bool accept_row(const HeadProblem& problem, const Frame& frame, const AnswerScale& scale, const Acceptance& acceptance,
                const RowAnswer& row, const HeadOutputs& out) noexcept;

}  // namespace polyattn::engines
