#include "engines/grid/row_bounds.hpp"

#include "numerics/axis_error.hpp"
#include "numerics/axis_table.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace polyattn::engines::grid {

namespace {

using base::usize;

/// Upper bound of |kappa'| = 2x exp(-x^2) at distances of at least `gap`; it falls from x = sqrt(1/2) on.
double steepest(double gap) noexcept {
  constexpr double turn = 0.70711;
  return (gap <= turn ? 0.85777 : 2.0 * gap * std::exp(-gap * gap)) * (1.0 + 1e-13);
}

/// Gap between two parts of cells, `parts` apart (0: the same one), in units of h; positions may be off.
double gap_of(const Axis& axis, int bins, std::int64_t parts) noexcept {
  const double apart = static_cast<double>(parts) - 1.0;
  return std::max(0.0, apart * axis.side / bins * (1.0 - 1e-15) - axis.position_error);
}

template <class Value>
AxisMatrices fill(std::int64_t band, int bins, const Value& value) {
  AxisMatrices out;
  out.band = band;
  out.blocks.reserve(usize((2 * band + 1) * bins * bins));
  for (std::int64_t o = -band; o <= band; ++o) {
    for (int i = 0; i < bins; ++i) {
      for (int j = 0; j < bins; ++j) {
        out.blocks.push_back(value(o, i, j));
      }
    }
  }
  return out;
}

/// Upper bound of kappa at that gap: never 0, since an exponent of two may make much of what underflows.
double peak_at(double gap) noexcept {
  return std::clamp(std::exp(-gap * gap) * (1.0 + 1e-13), std::numeric_limits<double>::min(), 1.0);
}

/// What two parts of cells do to each other, by how many parts they are apart.
struct AtDistance {
  double peak;      ///< upper bound of kappa
  double steepest;  ///< of |kappa'|
  double middle;    ///< kappa between the middles
};
std::vector<AtDistance> distances(const Axis& axis, int bins) {
  std::vector<AtDistance> out;
  out.reserve(usize((axis.far_band + 1) * bins));
  for (std::int64_t parts = 0; parts < (axis.far_band + 1) * bins; ++parts) {
    const double gap = gap_of(axis, bins, parts);
    const double middle = static_cast<double>(parts) * axis.side / bins;
    out.push_back({peak_at(gap), parts < (axis.band + 1) * bins ? steepest(gap) : 0.0, std::exp(-middle * middle)});
  }
  return out;
}

const Axis& axis_of(const Geometry& geometry, std::size_t pass) noexcept { return geometry.axes[pass]; }

/// All passes with one matrix each.
template <class Matrices>
Field run_passes(const Field& from, const std::vector<PassCells>& passes, const Geometry& geometry,
                 const Matrices& matrices, const base::Context& context) {
  Field field;
  for (std::size_t l = 0; l < passes.size(); ++l) {
    const Field& before = l == 0 ? from : field;
    const AxisMatrices matrix = matrices(axis_of(geometry, l));
    const PassInput input{&before, &matrix};
    Field after = run_pass({&input, 1}, passes[l], axis_of(geometry, l),
                           pass_exponents(passes[l], axis_of(geometry, l), before.exponents), context);
    field = std::move(after);
  }
  return field;
}

void inflate(Field& field) {
  // Each pass: fewer than 2^14 additions of products, whose matrices were rounded up.
  std::transform(field.data.begin(), field.data.end(), field.data.begin(),
                 [](double x) { return x * (1.0 + 0x1p-36); });
}

}  // namespace

PartMatrices part_matrices(const Axis& axis, int sub_bins) {
  PartMatrices out;
  const int bins = axis.nodes == 1 ? 1 : sub_bins;
  if (axis.nodes == 1) {  // all points coincide
    out.peak.blocks = out.sum.blocks = out.middle.blocks = {1.0};
    out.error.blocks = {0.0};
    return out;
  }
  const numerics::AxisBounds table = numerics::axis_bounds(axis.nodes, axis.lattice, bins, static_cast<int>(axis.band));
  const std::vector<AtDistance> at = distances(axis, bins);
  const auto apart = [&](std::int64_t o, int i, int j) -> const AtDistance& {
    return at[usize(std::abs(o * bins + i - j))];
  };
  out.peak = fill(axis.far_band, bins, [&](std::int64_t o, int i, int j) { return apart(o, i, j).peak; });
  out.error = fill(axis.far_band, bins, [&](std::int64_t o, int i, int j) {
    if (std::abs(o) > axis.band) {  // taken for 0
      return apart(o, i, j).peak;
    }
    const std::int64_t place = ((o + axis.band) * bins + i) * bins + j;
    return (table.eta[usize(place)] + axis.position_error * apart(o, i, j).steepest) * (1.0 + 1e-13);
  });
  out.sum = out.peak;
  std::transform(out.error.blocks.begin(), out.error.blocks.end(), out.peak.blocks.begin(), out.sum.blocks.begin(),
                 [](double e, double p) { return (e + p) * (1.0 + 1e-13); });
  out.middle = fill(axis.far_band, bins, [&](std::int64_t o, int i, int j) { return apart(o, i, j).middle; });
  return out;
}

Field charge_rows(const Field& charged, const std::vector<PassCells>& passes, const Geometry& geometry,
                  const base::Context& context) {
  Field mass;    // X, from the first pass on
  Field charge;  // Y
  for (std::size_t l = 0; l < passes.size(); ++l) {
    const Axis& axis = axis_of(geometry, l);
    const PartMatrices matrices = part_matrices(axis, geometry.sub_bins);
    const Field& before = l == 0 ? charged : mass;
    const std::vector<std::int64_t> exponents = pass_exponents(passes[l], axis, before.exponents);
    std::vector<PassInput> inputs{{&before, &matrices.error}};
    if (l > 0) {
      inputs.push_back({&charge, &matrices.sum});
    }
    Field next = run_pass(inputs, passes[l], axis, exponents, context);
    if (l + 1 < passes.size()) {
      const PassInput input{&before, &matrices.peak};
      Field moved = run_pass({&input, 1}, passes[l], axis, exponents, context);
      mass = std::move(moved);
    }
    charge = std::move(next);
  }
  inflate(charge);
  return charge;
}

Field reach_rows(const Field& cells, const std::vector<PassCells>& passes, const Geometry& geometry,
                 const base::Context& context) {
  Field out = run_passes(
      cells, passes, geometry,
      [](const Axis& axis) {
        return axis.nodes == 1 ? part_matrices(axis, 1).peak
                               : fill(axis.far_band, 1, [&](std::int64_t o, int i, int j) {
                                   return peak_at(gap_of(axis, 1, std::abs(o + i - j)));
                                 });
      },
      context);
  inflate(out);
  return out;
}

Field estimate_rows(const Field& masses, const std::vector<PassCells>& passes, const Geometry& geometry,
                    const base::Context& context) {
  return run_passes(
      masses, passes, geometry, [&](const Axis& axis) { return part_matrices(axis, geometry.sub_bins).middle; },
      context);
}

}  // namespace polyattn::engines::grid
