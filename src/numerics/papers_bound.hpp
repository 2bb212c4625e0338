#pragma once

// The a-priori error of the algorithm of [AS23], as its lemmas state it, for comparison with a posteriori certificates.

#include "polyattn/polynomial.hpp"

#include <optional>

namespace polyattn::numerics {

/// epsilon with |P(x) - exp(x)| <= epsilon exp(x) on [-R, R]: the absolute error times exp(R), rounded up. For
/// `moment` = 0 (the papers know no other); infinity otherwise or on overflow.
double relative_error(const ExpPolynomial& polynomial) noexcept;

/// Bound on max |T~ - T| for scores |s_ij| <= polynomial.radius and |v| <= max_abs_value, in exact arithmetic: with A~
/// = P(QK^T) entrywise within epsilon of A ([AS23] Corollary 2.2), D~ = diag(A~ 1) is within the same epsilon of D
/// (Lemma 3.5) and the quotient within (epsilon_A + epsilon_D) max_abs_value = 2 epsilon max_abs_value (Lemma 3.6).
/// Infinity where the lemmas' hypothesis epsilon < 0.1 fails; epsilon = 0 (radius 0) gives 0. Lemma 3.6's other
/// hypothesis, max_abs_value > 1, only fixes a unit: both sides scale with the values.
double papers_bound(const ExpPolynomial& polynomial, double max_abs_value) noexcept;

/// The expression inside the Theta of [AS23] Lemma 2.1, max{L / log(L / B), B} with L = log(1/epsilon), its constant
/// left at 1: for scores |s_ij| <= R Corollary 2.2 applies it with B = 2R. Not a degree that reaches epsilon. Nothing
/// where the expression means nothing: L <= B, or epsilon outside (0, 0.1), or a B that is not positive and finite.
std::optional<double> lemma_2_1_degree(double bound, double epsilon) noexcept;

}  // namespace polyattn::numerics
