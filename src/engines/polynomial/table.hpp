#pragma once

/// The polynomials a head uses: for each of a few radii (a geometric ladder below the head's own) the truncated
/// Chebyshev series and the moment-matched polynomials of one degree. A row takes the smallest radius above its own.

#include "numerics/exp_polynomial.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

struct TableEntry {
  double uniform = 0.0;       ///< |P(x) - e^x| <= uniform on [-radius, radius]
  double moment_error = 0.0;  ///< |P(x) - e^x| <= moment_error x^(2q) + slack; q = 0: the uniform bound
  double slack = 0.0;
  int q = 0;
  std::vector<double> coefficients;
};

struct PolynomialTable {
  int degree = 0;
  int steps = 1;                                 ///< ladder steps per factor of two
  std::vector<double> radii;                     ///< descending
  std::vector<std::vector<TableEntry>> entries;  ///< [radius][q]
  std::vector<std::uint8_t> lookup;              ///< by leading bits of a radius, see row_class
  std::uint64_t lookup_first = 0;

  /// Makes `lookup`. To be called when radii are final; fewer than 256 of them, neighbours a factor of more than 17/16
  /// apart.
  void index_radii();
  /// Index of the smallest radius >= r; r <= radii[0].
  [[nodiscard]] std::size_t row_class(double r) const noexcept;
};

/// Ladder steps per factor of two; three factors of two in all: rows below radius / 8 share the last entry.
inline constexpr int kLadderSteps = 8;
inline constexpr int kLadderOctaves = 3;

/// Table for radii in [0, radius].
PolynomialTable make_table(double radius, int degree, int steps = kLadderSteps);

/// Tables of many degrees for one radius: series are computed once, when first needed.
class TableSeries {
 public:
  TableSeries(double radius, int highest_degree, int steps);
  [[nodiscard]] PolynomialTable table(int degree);

 private:
  int highest_degree_;
  int steps_;
  std::vector<double> radii_;
  std::vector<std::vector<numerics::ExpSeries>> series_;  ///< [radius][q], the first few q
};

}  // namespace polyattn::engines
