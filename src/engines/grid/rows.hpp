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

/// Bound on the weights of keys beyond the far bands, times the kernel there: mass 2^exponent, where keys have log
/// weights, else mass. Any of them may weigh as much as the heaviest key.
struct Outside {
  double mass = 0.0;
  std::int64_t exponent = kNothing;
  /// In units of 2^unit.
  [[nodiscard]] double in(double unit) const noexcept;
};

/// Everything a row is made of. Cells of fields are those of the last pass; `target[cell]` is the place there of a cell
/// of the queries, -1 if no key reaches it.
struct RowSources {
  const Geometry& geometry;
  const CellPoints& queries;
  const CellPoints& keys;  ///< the same points as the queries where rows ignore their own key
  /// query_records, in whose place their results are put, if they are at least result_width; else none: the queries are
  /// the keys.
  base::Buffer<double>& records;
  std::int64_t record_width;
  std::vector<std::int32_t> target;
  const Field& tensors;
  const Field& charges;  ///< charge_rows, [channel][part]
  const Field& reach;    ///< reach_rows, [channel]
  const ColumnKnots& knots;
  double rounding;  ///< of numerator and denominator, over `reach`
  Outside outside;
  double range;  ///< largest of a column
  double largest_value;

  [[nodiscard]] bool in_place() const noexcept { return records.size() > 0; }
};

/// Places of the cells of `queries` in `reached`, -1 where a cell is not among them.
std::vector<std::int32_t> find_targets(const std::vector<std::int64_t>& queries,
                                       const std::vector<std::int64_t>& reached);

/// Numbers of a row's result.
std::int64_t result_width(std::int64_t columns, bool wants_lse) noexcept;

/// Answers every row whose bounds meet `acceptance`: answered[row] = 1. Outputs of other rows are left alone.
EvaluationSummary answer_rows(const HeadProblem& problem, const RowSources& from, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context);

}  // namespace polyattn::engines::grid
