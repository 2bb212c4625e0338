#pragma once

/// The monomials of total degree <= g in d variables, in the order the kernels visit them.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::numerics {

/// One monomial of degree >= 1: the latest visited monomial of degree - 1 times x[variable].
struct MonomialStep {
  std::uint16_t degree;
  std::uint16_t variable;
};

/// Depth-first list. Within a degree, features are numbered in the order of visiting, which is lexicographic in the
/// non-decreasing list of variables; features of degree t have the indices offsets[t] ... offsets[t+1]-1.
struct Monomials {
  int dim = 0;
  int degree = 0;
  std::vector<MonomialStep> steps;
  std::vector<std::ptrdiff_t> offsets;  ///< degree + 2 entries; offsets.back() is the rank C(dim + degree, degree)

  [[nodiscard]] std::ptrdiff_t rank() const noexcept { return offsets.back(); }
};

/// Cost: rank. `dim` >= 1, `degree` in [0, 64]; the rank must fit memory (the planner sees to it).
Monomials monomials(int dim, int degree);

/// out[feature] = (t!/alpha!) z^alpha, t = |alpha|: the weight of a monomial in <z o y, x>^t = sum (t!/alpha!) z^alpha
/// y^alpha x^alpha (multinomial theorem). Relative error at most 3t roundings of float64. `out` has rank entries.
void multinomial_weights(const Monomials& list, const double* z, double* out);

}  // namespace polyattn::numerics
