#include "engines/grid/layout.hpp"

#include "engines/columns.hpp"
#include "engines/finite.hpp"
#include "numerics/axis_table.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines::grid {

namespace {

using base::usize;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRows = 1024;

struct Range {
  std::vector<double> low;
  std::vector<double> high;
  double largest_bias = 0.0;
  std::int64_t visible = 0;
  bool finite = true;

  explicit Range(std::int64_t dim) : low(usize(dim), kInfinity), high(usize(dim), -kInfinity) {}
  void join(const Range& other) noexcept {
    for (std::size_t l = 0; l < low.size(); ++l) {
      low[l] = std::min(low[l], other.low[l]);
      high[l] = std::max(high[l], other.high[l]);
    }
    largest_bias = std::max(largest_bias, other.largest_bias);
    visible += other.visible;
    finite = finite && other.finite;
  }
};

/// Hidden keys take the place of a visible one.
void hide(const std::vector<double>& bias, std::int64_t count, std::int64_t dim, double* columns) {
  std::int64_t seen = 0;
  while (bias[usize(seen)] == -kInfinity) {
    ++seen;
  }
  for (std::int64_t l = 0; l < dim; ++l) {
    double* column = columns + l * kRows;
    for (std::int64_t i = 0; i < count; ++i) {
      column[i] = bias[usize(i)] == -kInfinity ? column[seen] : column[i];
    }
  }
}

Range measure(const HeadProblem& problem, bool keys, const base::Context& context) {
  const base::Rows& rows = keys ? problem.keys : problem.queries;
  const std::int64_t parts = base::blocks_of(rows.rows, 32 * kRows);
  std::vector<Range> ranges(usize(parts), Range(rows.columns));
  base::parallel_for(context, parts, [&](std::int64_t part, int) {
    Range& range = ranges[usize(part)];
    std::vector<double> columns(usize(rows.columns * kRows));
    std::vector<double> bias(usize(kRows), 0.0);
    const std::int64_t last = std::min(rows.rows, (part + 1) * 32 * kRows);
    for (std::int64_t first = part * 32 * kRows; first < last; first += kRows) {
      const std::int64_t count = std::min(kRows, last - first);
      load_columns(rows, first, count, columns.data(), kRows);
      std::int64_t visible = count;
      if (keys && problem.has_bias()) {
        load_bias(problem, first, count, bias.data());
        visible -= std::count(bias.begin(), bias.begin() + count, -kInfinity);
        for (std::int64_t i = 0; i < count; ++i) {
          const double b = bias[usize(i)];
          range.largest_bias = b == -kInfinity ? range.largest_bias : std::max(range.largest_bias, std::fabs(b));
          range.finite = range.finite && (b == -kInfinity || std::isfinite(b));
        }
        if (visible == 0) {
          continue;
        }
        if (visible < count) {
          hide(bias, count, rows.columns, columns.data());
        }
      }
      range.visible += visible;
      for (std::int64_t l = 0; l < rows.columns; ++l) {
        double* column = columns.data() + l * kRows;
        const std::int64_t padded = base::round_up_to(count, 8);
        std::fill(column + count, column + padded, column[0]);
        const simd::ColumnRange found = simd::kernels().grid.range(column, padded);
        range.low[usize(l)] = std::min(range.low[usize(l)], found.low);
        range.high[usize(l)] = std::max(range.high[usize(l)], found.high);
        range.finite = range.finite && found.poison == 0.0;
      }
    }
  });
  Range out(rows.columns);
  for (const Range& range : ranges) {
    out.join(range);
  }
  return out;
}

/// Largest magnitude on an axis.
double magnitude(double low, double high) noexcept { return std::max(std::fabs(low), std::fabs(high)); }

}  // namespace

Extents measure_extents(const HeadProblem& problem, const base::Context& context) {
  const Range queries = measure(problem, false, context);
  const bool same = problem.queries == problem.keys && !problem.has_bias();
  const Range keys = same ? queries : measure(problem, true, context);
  if (!queries.finite || !keys.finite) {
    require_finite_inputs(problem);
  }
  return {queries.low, queries.high, keys.low, keys.high, keys.largest_bias, keys.visible};
}

std::vector<ScaledAxis> scale_axes(const HeadProblem& problem, const Extents& extents, double widen) {
  std::vector<ScaledAxis> axes;
  const bool gaussian = problem.score.kind == ScoreKind::gaussian;
  for (std::size_t l = 0; l < extents.key_low.size(); ++l) {
    ScaledAxis axis;
    if (gaussian) {
      const double h = std::sqrt(2.0) * problem.score.bandwidth[l];
      const double low = std::min(extents.query_low[l], extents.key_low[l]);
      axis.query_factor = axis.key_factor = 1.0 / h;
      axis.query_centre = axis.key_centre = low;
      axis.high = (std::max(extents.query_high[l], extents.key_high[l]) - low) / h;
    } else {
      const double queries = extents.query_high[l] - extents.query_low[l];
      const double keys = extents.key_high[l] - extents.key_low[l];
      const double factor = std::sqrt(0.5 * problem.score.scale);
      const double alpha = queries > 0.0 && keys > 0.0 ? std::sqrt(widen * keys / queries) : 1.0;
      axis.query_factor = factor * alpha;
      axis.key_factor = factor / alpha;
      axis.query_centre = 0.5 * extents.query_low[l] + 0.5 * extents.query_high[l];
      axis.key_centre = 0.5 * extents.key_low[l] + 0.5 * extents.key_high[l];
      const double half = 0.5 * std::max(queries * axis.query_factor, keys * axis.key_factor) * (1.0 + 1e-14);
      axis.low = -half;
      axis.high = half;
    }
    axes.push_back(axis);
  }
  return axes;
}

std::int64_t cells_of(double extent, double side) noexcept {
  const double cells = std::floor(extent / side) + 1.0;
  return cells < kMostCells ? static_cast<std::int64_t>(cells) : static_cast<std::int64_t>(kMostCells);
}

bool make_geometry(const HeadProblem& problem, const Extents& extents, const std::vector<ScaledAxis>& scaled,
                   const std::vector<AxisChoice>& choices, int sub_bins, Geometry& out) {
  out = Geometry{};
  out.dim = problem.dim();
  out.sub_bins = sub_bins;
  const bool gaussian = problem.score.kind == ScoreKind::gaussian;
  out.weighted = problem.has_bias() || !gaussian;
  if (out.dim == 1) {
    out.axes.emplace_back();
  }
  double terms = extents.largest_bias;
  for (std::size_t l = 0; l < scaled.size(); ++l) {
    const ScaledAxis& from = scaled[l];
    const AxisChoice& choice = choices[l];
    Axis axis;
    axis.nodes = choice.nodes;
    axis.lattice = choice.lattice;
    axis.side = choice.nodes == 1 ? 1.0 : numerics::axis_lattice()[usize(choice.lattice)];
    axis.cells = choice.nodes == 1 ? 1 : cells_of(from.extent(), axis.side);
    axis.band = static_cast<int>(std::min<std::int64_t>(choice.band, axis.cells - 1));
    axis.far_band = static_cast<int>(std::min<std::int64_t>(std::max(choice.far_band, axis.band), axis.cells - 1));
    axis.query_origin = from.query_centre + from.low / from.query_factor;
    axis.key_origin = from.key_centre + from.low / from.key_factor;
    axis.query_scale = from.query_factor / axis.side;
    axis.key_scale = from.key_factor / axis.side;
    // Difference, product and the two factors' own roundings: 4 U of the place in cells, twice (query and key). The
    // origins round too (dot score), relative to the centres; the place within the cell and its part: 3 U.
    const double offset = gaussian ? 0.0
                                   : 4.0 * (std::fabs(axis.query_origin) * from.query_factor +
                                            std::fabs(axis.key_origin) * from.key_factor + from.extent());
    axis.position_error =
        choice.nodes == 1 ? 0.0
                          : (axis.side * (9.0 * static_cast<double>(axis.cells) + 8.0) + offset) * kU64 * (1.0 + 1e-12);
    out.axes.push_back(axis);
    if (!gaussian) {
      const double u0 = from.query_factor * from.query_centre;
      const double t0 = from.key_factor * from.key_centre;
      out.linear.push_back(2.0 * u0 * from.key_factor);
      out.square.push_back(from.key_factor * from.key_factor);
      out.centre.push_back(from.key_centre);
      out.query_linear.push_back(2.0 * t0 * from.query_factor);
      out.query_square.push_back(from.query_factor * from.query_factor);
      out.query_centre.push_back(from.query_centre);
      out.query_constant -= 2.0 * u0 * t0;
      const double u = magnitude(extents.query_low[l], extents.query_high[l]) * from.query_factor;
      const double t = magnitude(extents.key_low[l], extents.key_high[l]) * from.key_factor;
      terms += 2.0 * u * t + 2.0 * std::fabs(u0) * t + from.high * from.high * 2.0;
    }
  }
  if (out.weighted) {
    out.weight_error = (4.0 * static_cast<double>(out.dim) + 24.0) * kU64 * terms + 8.0 * kU64;
  }
  return set_strides(out);
}

}  // namespace polyattn::engines::grid
