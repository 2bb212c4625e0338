#pragma once

/// Points in the order of their cells, each with its place within the cell.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/grid/geometry.hpp"
#include "engines/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Record of a point: for keys the weight, where keys have weights (else it is 1), and weight (v_c - centre_c) of every
/// column; then the point's place on every axis, in [-1, 1] from one side of the cell to the other. Points of a cell
/// keep their order.
struct CellPoints {
  std::vector<std::int64_t> ids;        ///< of occupied cells, ascending
  std::vector<std::int64_t> starts;     ///< first record of each; one more at the end
  std::vector<std::int64_t> exponents;  ///< of two, of a cell's weights; empty: 0
  base::Buffer<std::uint32_t> place;    ///< of row i: its record; kNowhere where a key is hidden
  base::Buffer<double> records;         ///< [points][width]; none: query_records
  std::int64_t width = 0;
  std::int64_t first_axis = 0;  ///< where in a record the places begin
  bool weighted = false;

  [[nodiscard]] std::int64_t cells() const noexcept { return static_cast<std::int64_t>(ids.size()); }
  [[nodiscard]] std::int64_t points() const noexcept { return starts.empty() ? 0 : starts.back(); }
  [[nodiscard]] const double* record(std::int64_t i) const noexcept { return records.data() + i * width; }
  /// Weight of a key (channel 0), or weighted value.
  [[nodiscard]] double channel(std::int64_t i, std::int64_t c) const noexcept {
    return weighted ? record(i)[c] : c == 0 ? 1.0 : record(i)[c - 1];
  }
};

inline constexpr std::uint32_t kNowhere = 0xffffffffU;
/// Points of one set that the engine takes.
inline constexpr std::int64_t kMostPoints = 0x7fffffff;

/// Keys with weights and centred values. Log weights are geometry's; with `weighted`, a cell's weights are in units of
/// 2^exponent, at most 1. Cost: two passes over K, one over V.
CellPoints sort_keys(const HeadProblem& problem, const Geometry& geometry, const std::vector<double>& value_centre,
                     const base::Context& context);

/// Queries in their cells, without records. Cost: a pass over Q.
CellPoints sort_queries(const HeadProblem& problem, const Geometry& geometry, const base::Context& context);

/// Records of queries: [points][width], width at least the number of axes; what is beyond the places is 0. Cost: a pass
/// over Q.
base::Buffer<double> query_records(const HeadProblem& problem, const Geometry& geometry, const CellPoints& queries,
                                   std::int64_t width, const base::Context& context);

}  // namespace polyattn::engines::grid
