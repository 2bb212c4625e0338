#pragma once

/// Parts to merge, and what comes out.

#include "polyattn/merge.hpp"
#include "support/problem.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::test {

/// A part that owns its numbers.
struct Part {
  Stored output;
  Stored lse;
  std::optional<Stored> row_bounds;
  std::optional<Stored> lse_bound;

  [[nodiscard]] Partial view() const {
    Partial partial{output.view(), lse.view(), std::nullopt, std::nullopt};
    if (row_bounds) {
      partial.row_bounds = row_bounds->view();
    }
    if (lse_bound) {
      partial.lse_bound = lse_bound->view();
    }
    return partial;
  }
};

/// One row.
inline Part part_of(double lse, const std::vector<double>& output, double bound = 0.0, double lse_bound = 0.0,
                    DType dtype = DType::float64) {
  const Shape one{1, 1, 1, 1};
  return {store(dtype, {1, 1, 1, static_cast<std::int64_t>(output.size())}, output), store(DType::float64, one, {lse}),
          store(DType::float64, one, {bound}), store(DType::float64, one, {lse_bound})};
}

inline std::vector<Partial> views(const std::vector<Part>& parts) {
  std::vector<Partial> found;
  for (const Part& part : parts) {
    found.push_back(part.view());
  }
  return found;
}

/// The numbers of one merged row.
struct MergedRow {
  std::vector<double> output;
  double lse;
  double bound;
  double lse_bound;
};

inline MergedRow merged_row(const std::vector<Part>& parts, const MergeOptions& options = {}) {
  const Merged merged = merge(views(parts), options);
  return {values_of(merged.output), values_of(merged.lse).front(), values_of(merged.row_bounds).front(),
          values_of(merged.lse_bound).front()};
}

}  // namespace polyattn::test
