#pragma once

/// What the reference engines of every order share: compensated sums, and the constants of their bounds
/// (docs/proofs/exact-engine.md, section 6.2).

#include "base/rows.hpp"
#include "polyattn/dtype.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

namespace polyattn::engines::reference {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kUnit = 0x1p-53;    ///< U: |fl(x) - x| <= U |x|
inline constexpr double kTiny = 0x1p-1074;  ///< absolute error of one operation that underflows (half of it, in fact)
/// Covers the roundings made in computing a bound (at most 2^20 in a row).
inline constexpr double kSlack = 1 + 0x1p-30;
/// Keys below exp(-kFar)/n of the largest weight count as far; exp(-63) < 2^-90.
inline constexpr double kFar = 63.0;
/// Scores whose error is not known to be below this have bounds from the hull of the values alone.
inline constexpr double kMostScoreError = 0.25;

/// gamma_k = kU / (1 - kU), for k up to 2^40.
inline double gamma_of(double k) { return k * kUnit / (1 - k * kUnit); }

inline double tanh_half(double zeta) { return zeta > 40 ? 1.0 : std::tanh(0.5 * zeta) * kSlack; }

/// Neumaier's compensated sum: |result - sum x| <= U |sum x| + gamma_n^2 sum |x|.
class CompensatedSum {
 public:
  void add(double x) {
    const double total = sum_ + x;
    lost_ += std::fabs(sum_) >= std::fabs(x) ? (sum_ - total) + x : (x - total) + sum_;
    sum_ = total;
  }
  [[nodiscard]] double value() const { return std::isfinite(sum_) ? sum_ + lost_ : sum_; }

 private:
  double sum_ = 0.0;
  double lost_ = 0.0;
};

inline double storage_unit(DType type) { return type == DType::float64 ? 0.0 : base::unit_roundoff(type); }
inline double storage_tiny(DType type) {
  return type == DType::float16 ? 0x1p-25 : type == DType::bfloat16 ? 0x1p-134 : type == DType::float32 ? 0x1p-150 : 0;
}

inline void write(double* array, std::int64_t target, double value) {
  if (array != nullptr) {
    array[target] = value;
  }
}

}  // namespace polyattn::engines::reference
