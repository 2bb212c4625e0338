#pragma once

/// The grid engine on one head: Gaussian kernel sums, and softmax as one, through Chebyshev nodes in cells.
///
/// T_i = sum_j w_j exp(-|u_i - t_j|^2) v_j / the same without v_j; keys are interpolated onto p nodes an axis of their
/// cell, one small matrix for each axis and distance of cells carries the nodes' sums to the cells of the queries,
/// where they are interpolated back. Flops: 2 (n_q + n_kv) p^d (d_v + 1), and those of the passes. Error: certified for
/// every row (docs/proofs/grid.md). Not for: causal and other masks over pairs but exclude_self, soft-capping, order 3.

#include "engines/grid/cell_points.hpp"
#include "engines/grid/cells.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/layout.hpp"
#include "engines/grid/masses.hpp"
#include "engines/grid/rows.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::engines::grid {

/// Points in their cells and what does not depend on the number of nodes.
struct GridHead {
  Geometry geometry;
  ColumnKnots knots;
  double range = 0.0;
  double largest_value = 0.0;
  CellPoints keys;
  std::optional<CellPoints> asked;  ///< the queries; none: they are the keys
  std::vector<PassCells> passes;
  Field masses;   ///< make_masses
  Field charged;  ///< charged_masses
  Field reach;    ///< reach_rows
  Outside outside;

  [[nodiscard]] const CellPoints& queries() const noexcept { return asked ? *asked : keys; }
};

/// Points in their cells, and the cells that passes make: what the cost of a head depends on. weigh_head is to follow.
GridHead place_head(const HeadProblem& problem, Geometry geometry, ColumnKnots knots, const base::Context& context);
/// Masses, reach and what lies outside.
void weigh_head(const HeadProblem& problem, const base::Context& context, GridHead& head);
/// Both.
GridHead make_head(const HeadProblem& problem, Geometry geometry, ColumnKnots knots, const base::Context& context);

/// Charges of the rows (charge_rows) for the geometry's present numbers of nodes, on which nothing else of a head
/// depends.
Field charge_head(const GridHead& head, const base::Context& context);

/// Sums, rows, certificates.
EvaluationSummary answer_head(const HeadProblem& problem, const GridHead& head, const Field& charges,
                              const Acceptance& acceptance, const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context);

/// Multiply-adds with nodes, for progress.
double head_work(const HeadProblem& problem, const GridHead& head) noexcept;

/// R: what numerator and denominator are computed to, over sum_B (kernel's largest value between the cells) (sum over
/// the cell's keys of w |v - centre|, or w). `matrices` are the axes' node_matrices. docs/proofs/grid.md, section 4.
double rounding_factor(const Geometry& geometry, const std::vector<AxisMatrices>& matrices, std::int64_t most_points);

}  // namespace polyattn::engines::grid
