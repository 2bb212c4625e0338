#pragma once

/// Predicted seconds and bytes. The constants are the defaults of one AVX-512 core; a calibration replaces the speeds.
/// What matters is the ratio between engines.

#include "engines/problem.hpp"
#include "engines/tuple_problem.hpp"
#include "engines/tuples/polynomial.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <optional>

namespace polyattn::planning {

/// What the polynomial engine's cost depends on beside the problem.
struct PolynomialSize {
  std::int64_t rank = 1;
  int degree = 0;
  bool spread = false;        ///< with value-weighted second moments
  bool narrow_pairs = false;  ///< causal: pairs in float32 whatever the arithmetic
  std::int64_t outlying = 0;  ///< keys summed exactly for every row
  bool layered = false;       ///< monomials of layers, `rank` of them in all
};

class CostModel {
 public:
  CostModel(const std::optional<Calibration>& calibration, int threads) noexcept;

  /// Exact: `pairs` score pairs of one head, keys packed first.
  [[nodiscard]] double exact_seconds(const engines::HeadProblem& problem, double pairs,
                                     Arithmetic arithmetic) const noexcept;
  /// Exact at order k: `tuples` of one head, in rows of the order-2 kernel, one for every query and every key of all
  /// sets but the innermost.
  [[nodiscard]] double tuple_seconds(const engines::TupleProblem& problem, double tuples, double rows,
                                     Arithmetic arithmetic) const noexcept;
  /// Polynomials at order k: `work` multiply-adds.
  [[nodiscard]] double tuple_polynomial_seconds(const engines::TupleProblem& problem,
                                                const engines::TupleChoice& choice, double work) const noexcept;
  /// Polynomial: both sides; causal adds the exact part inside key blocks.
  [[nodiscard]] double polynomial_seconds(const engines::HeadProblem& problem, double queries,
                                          const PolynomialSize& size, Arithmetic arithmetic) const noexcept;
  /// Looking for polynomials: a few passes over Q, K and V, and one try of a reach (reach.hpp).
  [[nodiscard]] double search_seconds(const engines::HeadProblem& problem) const noexcept;
  /// Sampled rows against sampled keys, and degrees for them.
  [[nodiscard]] double try_seconds(const engines::HeadProblem& problem) const noexcept;

  /// How much longer work in float64 takes on the calibrated machine than these constants say.
  [[nodiscard]] double slowness() const noexcept { return slowness64_; }

 private:
  /// Per second.
  struct Speeds {
    double fma;         ///< multiply-adds of exact
    double exp;         ///< its exponentials
    double polynomial;  ///< multiply-adds of polynomials
  };
  static Speeds speeds_of(const Speeds& usual, double fma, double exp, double polynomial, double scale) noexcept;
  [[nodiscard]] const Speeds& speeds(Arithmetic arithmetic) const noexcept {
    return arithmetic == Arithmetic::float64 ? float64_ : float32_;
  }
  Speeds float32_;
  Speeds float64_;
  double bytes_;
  double slowness32_;  ///< usual speed over that of float32 exact: for work that is neither
  double slowness64_;
  double feature32_;  ///< the same of polynomials
  double feature64_;
};

/// Score pairs a head has: prefix lengths summed.
double score_pairs(const engines::HeadProblem& problem) noexcept;

std::int64_t polynomial_bytes(const engines::HeadProblem& problem, const PolynomialSize& size, Arithmetic arithmetic,
                              int threads) noexcept;

}  // namespace polyattn::planning
