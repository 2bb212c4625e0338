// Prints src/numerics/axis_table.inl, the bounds of numerics::axis_error for the sides of cells that have a table:
//
//     cmake --build build --target axis_table && build/tests/axis_table > src/numerics/axis_table.inl
//
// Some seconds; tests/slow/axis_table_test.cpp compares every number.

#include "numerics/axis_table.hpp"
#include "numerics/axis_error.hpp"
#include "numerics/axis_table_layout.hpp"
#include "numerics/rounding.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

namespace numerics = polyattn::numerics;

// 2^(-f/64), rounded up: the long double is off by less than its distance to the double above.
double fraction(int f) {
  if (f == 0) return 1.0;
  return numerics::round_up(static_cast<double>(std::exp2(static_cast<long double>(-f) / numerics::kAxisSteps)));
}

double decoded(int k) {
  const int whole = static_cast<int>(std::floor(static_cast<double>(k) / numerics::kAxisSteps));
  return std::ldexp(fraction(k - whole * numerics::kAxisSteps), -whole);
}

// The largest k with 2^(-k/64) >= eta.
int encoded(double eta) {
  int k = static_cast<int>(std::floor(-std::log2(eta) * numerics::kAxisSteps)) + 1;
  while (!(decoded(k) >= eta)) --k;
  if (k < -32768 || k > 32767) std::abort();
  return k;
}

std::array<int, numerics::kAxisEntries> entries(int p, double rho, int offset) {
  std::array<int, numerics::kAxisEntries> result{};
  for (const int s : {1, 2, 4}) {
    for (int i = 0; i < s; ++i) {
      for (int j = 0; i + j < s; ++j) {
        result.at(static_cast<std::size_t>(numerics::axis_entry(s, i, j))) =
            encoded(numerics::axis_error(p, rho, offset, s, i, j));
      }
    }
  }
  return result;
}

}  // namespace

int main() {
  std::printf(
      "// Printed by tests/tools/axis_table.cpp from numerics::axis_error; laid out as axis_table_layout.hpp "
      "says.\n\n");
  std::printf("// clang-format off\n\n// 2^(-f/64), rounded up.\nconstexpr double kFractions[] = {\n");
  for (int f = 0; f < numerics::kAxisSteps; ++f) std::printf("%a,%s", fraction(f), f % 4 == 3 ? "\n" : " ");
  std::printf("};\n\nconstexpr std::int16_t kLogarithms[] = {\n");
  for (const double rho : numerics::kAxisLattice) {
    const int band = numerics::band_of_side(rho);
    const int rows = (numerics::kMostNodes - numerics::kFewestNodes + 1) * (band + 1);
    std::vector<std::array<int, numerics::kAxisEntries>> lines(static_cast<std::size_t>(rows));
#pragma omp parallel for schedule(dynamic)
    for (int row = 0; row < rows; ++row) {
      lines[static_cast<std::size_t>(row)] = entries(numerics::kFewestNodes + row / (band + 1), rho, row % (band + 1));
    }
    std::printf("// rho = %g\n", rho);
    for (const auto& line : lines) {
      for (const int k : line) std::printf("%d,", k);
      std::printf("\n");
    }
  }
  std::printf("};\n");
}
