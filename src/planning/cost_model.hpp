#pragma once

/// Predicted seconds and bytes. The constants are the defaults of one AVX-512 core; a calibration replaces the speeds.
/// What matters is the ratio between engines.

#include "engines/problem.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <optional>

namespace polyattn::planning {

/// What the polynomial engine's cost depends on beside the problem.
struct PolynomialSize {
  std::int64_t rank = 1;
  int degree = 0;
  bool spread = false;  ///< with value-weighted second moments
};

class CostModel {
 public:
  CostModel(const std::optional<Calibration>& calibration, int threads) noexcept;

  /// Exact: `pairs` score pairs of one head, keys packed first.
  [[nodiscard]] double exact_seconds(const engines::HeadProblem& problem, double pairs,
                                     Arithmetic arithmetic) const noexcept;
  /// Polynomial: both sides; causal adds the exact part inside key blocks.
  [[nodiscard]] double polynomial_seconds(const engines::HeadProblem& problem, double queries,
                                          const PolynomialSize& size, Arithmetic arithmetic) const noexcept;
  /// Reading K, V and Q a few times.
  [[nodiscard]] double statistics_seconds(const engines::HeadProblem& problem) const noexcept;

 private:
  [[nodiscard]] double rate(Arithmetic arithmetic) const noexcept {
    return arithmetic == Arithmetic::float64 ? float64_ : float32_;
  }
  double float32_;
  double float64_;
  double bytes_;
};

/// Score pairs a head has: prefix lengths summed.
double score_pairs(const engines::HeadProblem& problem) noexcept;

std::int64_t polynomial_bytes(const engines::HeadProblem& problem, const PolynomialSize& size, Arithmetic arithmetic,
                              int threads) noexcept;

}  // namespace polyattn::planning
