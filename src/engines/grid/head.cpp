#include "engines/grid/head.hpp"

#include "engines/grid/row_bounds.hpp"
#include "engines/grid/tensors.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "numerics/chebyshev_lagrange.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace polyattn::engines::grid {

namespace {

using numerics::gamma;
using numerics::kU64;

std::int64_t most_points(const CellPoints& keys) noexcept {
  std::int64_t most = 0;
  for (std::size_t cell = 0; cell < keys.ids.size(); ++cell) {
    most = std::max(most, keys.starts[cell + 1] - keys.starts[cell]);
  }
  return most;
}

/// Keys beyond the far band of some axis: the kernel there is at most this.
double outside_peak(const Geometry& geometry) noexcept {
  double peak = 0.0;
  for (const Axis& axis : geometry.axes) {
    if (axis.far_band + 1 < axis.cells) {
      const double gap = std::max(0.0, axis.far_band * axis.side - axis.position_error);
      peak = std::max({peak, std::exp(-gap * gap) * (1.0 + 1e-12), std::numeric_limits<double>::min()});
    }
  }
  return peak;
}

}  // namespace

GridHead place_head(const HeadProblem& problem, Geometry geometry, ColumnKnots knots, const base::Context& context) {
  GridHead head;
  head.geometry = std::move(geometry);
  head.knots = std::move(knots);
  for (std::size_t c = 0; c < head.knots.low.size(); ++c) {
    // A mean, rounded or of other weights, may lie outside.
    head.knots.centre[c] = std::clamp(head.knots.centre[c], head.knots.low[c], head.knots.high[c]);
    head.range = std::max(head.range, head.knots.high[c] - head.knots.low[c]);
    head.largest_value = std::max({head.largest_value, std::fabs(head.knots.low[c]), std::fabs(head.knots.high[c])});
  }
  head.keys = sort_keys(problem, head.geometry, head.knots.centre, context);
  const bool same = problem.queries == problem.keys && !problem.has_bias() && !head.geometry.weighted;
  if (!same) {
    head.keys.place = {};
    head.asked = sort_queries(problem, head.geometry, context);
  }
  head.passes = find_passes(head.geometry, head.keys.ids, head.queries().ids);
  return head;
}

void weigh_head(const HeadProblem& problem, const base::Context& context, GridHead& head) {
  head.masses = make_masses(head.keys, head.geometry, problem.value_dim(), context);
  head.charged = charged_masses(head.masses, head.keys, head.knots, context.memory);
  head.reach = reach_rows(cell_masses(head.masses, head.keys, problem.value_dim(), context.memory), head.passes,
                          head.geometry, context);
  head.outside.mass = outside_peak(head.geometry) * static_cast<double>(head.keys.points()) * (1.0 + 1e-12);
  for (const std::int64_t exponent : head.keys.exponents) {
    head.outside.exponent = std::max(head.outside.exponent, exponent);
  }
}

GridHead make_head(const HeadProblem& problem, Geometry geometry, ColumnKnots knots, const base::Context& context) {
  GridHead head = place_head(problem, std::move(geometry), std::move(knots), context);
  weigh_head(problem, context, head);
  return head;
}

Field charge_head(const GridHead& head, const base::Context& context) {
  return charge_rows(head.charged, head.passes, head.geometry, context);
}

double head_work(const HeadProblem& problem, const GridHead& head) noexcept {
  return tensor_work(head.geometry, problem.value_dim() + 1) * static_cast<double>(problem.n_q() + problem.n_kv());
}

namespace {

/// Sums of magnitudes over all pairs of polynomials, over the kernel's largest value between the cells: the largest of
/// all distances of cells.
struct MatrixSums {
  double size = 0.0;   ///< of the exact elements
  double error = 0.0;  ///< of what was computed less these
};
MatrixSums sums_of(const Axis& axis, const AxisMatrices& matrices) noexcept {
  constexpr double unit = sizeof(long double) > sizeof(double) ? 0x1p-63 : 0x1p-52;
  const auto nodes = static_cast<double>(axis.nodes);
  const auto elements = static_cast<std::ptrdiff_t>(axis.nodes) * axis.nodes;
  MatrixSums out;
  for (std::int64_t o = -axis.band; o <= axis.band; ++o) {
    const double* block = matrices.blocks.data() + (o + axis.band) * elements;
    const double computed =
        std::accumulate(block, block + elements, 0.0, [](double sum, double a) { return sum + std::fabs(a); });
    const double gap = static_cast<double>(std::max<std::int64_t>(std::abs(o) - 1, 0)) * axis.side;
    const double far = (static_cast<double>(std::abs(o)) + 1.0) * axis.side;
    const double peak = std::exp(-gap * gap) * (1.0 - 1e-12);
    const double making = 4.0 * nodes * nodes * (16.0 * far * far + 2.0 * nodes + 64.0) * unit;
    const double error = 1.01 * kU64 * computed / peak + making;
    out.error = std::max(out.error, error);
    out.size = std::max(out.size, computed / peak * (1.0 + 1e-12) + error);
  }
  return out;
}

}  // namespace

double rounding_factor(const Geometry& geometry, const std::vector<AxisMatrices>& matrices, std::int64_t most) {
  double exact = 1.0;     // magnitudes
  double computed = 1.0;  // with every relative error at its largest
  double evaluate = 4.0;
  for (std::size_t l = 0; l < geometry.axes.size(); ++l) {
    const Axis& axis = geometry.axes[l];
    const MatrixSums sums = sums_of(axis, matrices[l]);
    const double nodes = axis.nodes;
    exact *= sums.size;
    const double listed = (1.0 + numerics::chebyshev_rounding(axis.nodes) * kU64) * (1.0 + 2.0 * kU64);
    const double chain = gamma(static_cast<double>(2 * axis.band + 1) * nodes + 2.0, kU64);
    computed *= listed * listed * (sums.size + sums.error) * (1.0 + chain);
    evaluate += nodes;
  }
  const double chunks = static_cast<double>(most) / static_cast<double>(kCellChunk);
  const double form = 64.0 + std::min(static_cast<double>(most), static_cast<double>(kCellChunk)) / 32.0 + chunks + 8.0;
  computed *= (1.0 + gamma(std::ceil(form), kU64)) * (1.0 + gamma(evaluate, kU64));
  return (computed - exact) * (1.0 + 1e-12) + 64.0 * kU64 * exact;
}

EvaluationSummary answer_head(const HeadProblem& problem, const GridHead& head, const Field& charges,
                              const Acceptance& acceptance, const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context) {
  const std::vector<AxisMatrices> matrices = node_matrices(head.geometry);
  Field field = form_tensors(head.keys, head.geometry, 1 + problem.value_dim(), context);
  base::Buffer<double> spare;
  for (std::size_t l = 0; l < head.passes.size(); ++l) {
    const Axis& axis = head.geometry.axes[l];
    const PassInput input{&field, &matrices[l]};
    Field next = run_pass({&input, 1}, head.passes[l], axis, pass_exponents(head.passes[l], axis, field.exponents),
                          context, std::move(spare));
    spare = std::move(field.data);
    field = std::move(next);
  }
  base::Buffer<double> records;
  std::int64_t width = 0;
  if (head.asked) {
    width = std::max(static_cast<std::int64_t>(head.geometry.axes.size()),
                     result_width(problem.value_dim(), wants_lse(acceptance, out)));
    records = query_records(problem, head.geometry, *head.asked, width, context);
  }
  const RowSources from{head.geometry,
                        head.queries(),
                        head.keys,
                        records,
                        width,
                        find_targets(head.queries().ids, head.passes.back().targets),
                        field,
                        charges,
                        head.reach,
                        head.knots,
                        rounding_factor(head.geometry, matrices, most_points(head.keys)),
                        head.outside,
                        head.range,
                        head.largest_value};
  return answer_rows(problem, from, acceptance, out, answered, context);
}

}  // namespace polyattn::engines::grid
