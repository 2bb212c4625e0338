#pragma once

/// Points in the order of their cells, each with its place within the cell.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/grid/geometry.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Record of a point: its place on every axis, in [-1, 1] from one side of the cell to the other; then for keys the
/// weight and weight (v_c - centre_c) of every column. Points of a cell keep their order.
struct CellPoints {
  std::vector<std::int64_t> ids;        ///< of occupied cells, ascending
  std::vector<std::int64_t> starts;     ///< first record of each; one more at the end
  std::vector<std::int64_t> exponents;  ///< of two, of a cell's weights; empty: 0
  base::Buffer<double> records;         ///< [points][width]
  std::int64_t width = 0;
  std::vector<std::uint32_t> cell;   ///< of row i: its place in `ids`
  std::vector<std::uint32_t> place;  ///< of row i: its record; kNowhere where a key is hidden

  [[nodiscard]] std::int64_t cells() const noexcept { return static_cast<std::int64_t>(ids.size()); }
  [[nodiscard]] std::int64_t points() const noexcept { return starts.empty() ? 0 : starts.back(); }
  [[nodiscard]] const double* record(std::int64_t i) const noexcept { return records.data() + i * width; }
};

inline constexpr std::uint32_t kNowhere = 0xffffffffU;
/// Points of one set that the engine takes.
inline constexpr std::int64_t kMostPoints = 0x7fffffff;

/// Keys with weights and centred values. Log weights are geometry's; with `weighted`, a cell's weights are in units of
/// 2^exponent, at most 1. Cost: two passes over K, one over V.
CellPoints sort_keys(const HeadProblem& problem, const Geometry& geometry, const std::vector<double>& value_centre,
                     const base::Context& context);

/// Queries. Cost: two passes over Q.
CellPoints sort_queries(const HeadProblem& problem, const Geometry& geometry, const base::Context& context);

}  // namespace polyattn::engines::grid
