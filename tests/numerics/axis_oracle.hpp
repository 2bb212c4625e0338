#pragma once

// The mathematics of one axis again, in the widest arithmetic at hand and by other formulas than the library's:
// Lagrange polynomials as products, cosines by their series.

#include "support/quad.hpp"

#include <cstddef>
#include <vector>

namespace polyattn::test::axis {

inline Quad magnitude(Quad x) { return x < 0 ? -x : x; }

/// cos(numerator pi / denominator), |angle| <= 2 pi.
inline Quad cosine(int numerator, int denominator) {
  // pi in two pieces, for a type as wide as 113 bits.
  const Quad pi = static_cast<Quad>(0x1.921fb54442d18p+1) + static_cast<Quad>(0x1.1a62633145c07p-53) +
                  static_cast<Quad>(-0x1.f1976b7ed8fbcp-109);
  const Quad angle = pi * static_cast<Quad>(numerator) / static_cast<Quad>(denominator);
  Quad sum = 1, term = 1;
  for (int k = 1; k < 60; ++k) {
    term *= -angle * angle / static_cast<Quad>((2 * k - 1) * (2 * k));
    sum += term;
  }
  return sum;
}

inline std::vector<Quad> nodes(int p) {
  std::vector<Quad> x;
  for (int i = 0; i < p; ++i) x.push_back(-cosine(2 * i + 1, 2 * p));
  return x;
}

inline std::vector<Quad> lagrange(const std::vector<Quad>& x, Quad z) {
  std::vector<Quad> values;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Quad value = 1;
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (k != i) value *= (z - x[k]) / (x[i] - x[k]);
    }
    values.push_back(value);
  }
  return values;
}

/// E between cells of side rho at an offset, at points z, y in [-1, 1] of the query's and the key's cell.
class Error {
 public:
  Error(int p, double rho, int offset) : x_(nodes(p)), rho_(static_cast<Quad>(rho)), offset_(offset) {
    for (const Quad z : x_) {
      for (const Quad y : x_) between_.push_back(kernel(z, y));
    }
  }
  [[nodiscard]] Quad kernel(Quad z, Quad y) const {
    const Quad v = rho_ * (static_cast<Quad>(offset_) + (z - y) / 2);
    return exp_of(-v * v);
  }
  [[nodiscard]] Quad operator()(Quad z, Quad y) const {
    const std::vector<Quad> query = lagrange(x_, z), key = lagrange(x_, y);
    Quad sum = 0;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      for (std::size_t j = 0; j < x_.size(); ++j) sum += query[i] * key[j] * between_[i * x_.size() + j];
    }
    return sum - kernel(z, y);
  }

 private:
  std::vector<Quad> x_, between_;
  Quad rho_;
  int offset_;
};

}  // namespace polyattn::test::axis
