#include "numerics/axis_table.hpp"

#include "base/error.hpp"
#include "numerics/axis_error.hpp"
#include "numerics/axis_table_layout.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>

// The numbers were computed by axis_error, which proves them, and rounded up to powers of 2^(1/64). The program
// tests/tools/axis_table.cpp prints axis_table.inl.

namespace polyattn::numerics {

namespace {

#include "numerics/axis_table.inl"

constexpr int kKinds = kMostNodes - kFewestNodes + 1;
static_assert(std::size(kLogarithms) == axis_start(static_cast<int>(kAxisLattice.size()), 0, kKinds, 0));
static_assert(std::size(kFractions) == kAxisSteps);

void check(const char* name, int value, int low, int high) {
  if (value >= low && value <= high) return;
  base::fail(ErrorCode::invalid_argument, name, std::to_string(low) + " to " + std::to_string(high),
             std::to_string(value));
}

}  // namespace

std::span<const double> axis_lattice() noexcept { return kAxisLattice; }

int axis_band(int rho_index) noexcept { return band_of_side(kAxisLattice[static_cast<std::size_t>(rho_index)]); }

AxisBounds axis_bounds(int p, int rho_index, int sub_bins, int band) {
  check("p", p, kFewestNodes, kMostNodes);
  check("rho_index", rho_index, 0, static_cast<int>(kAxisLattice.size()) - 1);
  if (sub_bins != 1 && sub_bins != 2 && sub_bins != 4) {
    base::fail(ErrorCode::invalid_argument, "sub_bins", "1, 2 or 4", std::to_string(sub_bins));
  }
  check("band", band, 0, axis_band(rho_index));

  const double rho = kAxisLattice[static_cast<std::size_t>(rho_index)];
  AxisBounds bounds{sub_bins, band, {}, {}};
  const auto bins = static_cast<std::size_t>(sub_bins);
  const std::size_t size = (2 * static_cast<std::size_t>(band) + 1) * bins * bins;
  bounds.eta.reserve(size);
  bounds.peak.reserve(size);
  for (int offset = -band; offset <= band; ++offset) {
    const std::int16_t* const numbers = kLogarithms + axis_start(rho_index, p - kFewestNodes, kKinds, std::abs(offset));
    for (int i = 0; i < sub_bins; ++i) {
      for (int j = 0; j < sub_bins; ++j) {
        const int k = numbers[offset < 0 ? axis_entry(sub_bins, j, i) : axis_entry(sub_bins, i, j)];
        const int whole = k >> 6;  // rounded down, also below 0
        bounds.eta.push_back(std::ldexp(kFractions[k - whole * kAxisSteps], -whole));
        bounds.peak.push_back(axis_peak(rho, offset, sub_bins, i, j));
      }
    }
  }
  return bounds;
}

}  // namespace polyattn::numerics
