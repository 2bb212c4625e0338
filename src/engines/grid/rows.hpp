#pragma once

/// Rows from the tensors that reached their cells, and their certificates.

#include "base/parallel.hpp"
#include "engines/grid/cell_points.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/geometry.hpp"
#include "engines/grid/masses.hpp"
#include "engines/grid/tensors.hpp"
#include "engines/polynomial/evaluate.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Everything a row is made of. Cells of fields are those of the last pass; `target[cell]` is the place there of a cell
/// of the queries, -1 if no key reaches it.
struct RowSources {
  const Geometry& geometry;
  const std::vector<AxisBasis>& bases;
  const CellPoints& queries;
  const CellPoints& keys;  ///< the same points as the queries where rows ignore their own key
  std::vector<std::int32_t> target;
  const Field& tensors;
  const Field& charges;  ///< charge_rows
  const Field& reach;    ///< reach_rows
  const ColumnKnots& knots;
  double rounding;  ///< of numerator and denominator, over `reach`
  double outside;   ///< mass of keys beyond the far bands, times the kernel there
  double range;     ///< largest of a column
  double largest_value;
};

/// Places of the cells of `queries` in `reached`, -1 where a cell is not among them.
std::vector<std::int32_t> find_targets(const std::vector<std::int64_t>& queries,
                                       const std::vector<std::int64_t>& reached);

/// Answers every row whose bounds meet `acceptance`: answered[row] = 1. Outputs of other rows are left alone.
EvaluationSummary answer_rows(const HeadProblem& problem, const RowSources& from, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context);

}  // namespace polyattn::engines::grid
