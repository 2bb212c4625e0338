#include "planning/grid_expectation.hpp"

#include "engines/grid/row_math.hpp"
#include "engines/grid/rows.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::planning {
namespace {

using base::usize;

/// Sums differ within a part of a cell: rows are expected to be certified up to this share of the tolerance.
constexpr double kPartMargin = 0.8;

}  // namespace

ExpectedRows expect_rows(const engines::grid::GridHead& head, const engines::grid::Field& charges,
                         const engines::grid::Field& sums, double tolerance) {
  namespace grid = engines::grid;
  const auto columns = static_cast<std::int64_t>(head.knots.centre.size());
  const std::vector<std::int32_t> target = grid::find_targets(head.queries().ids, head.passes.back().targets);
  const std::int64_t parts = sums.width();                   // channels lead
  const std::vector<double> reach(usize(1 + columns), 0.0);  // rounding is looked at when rows are certified
  const grid::RowRules rules{head.knots, 0.0, head.range, head.largest_value, head.geometry.weight_error, false};
  std::vector<double> result(usize((columns + 2) * parts));
  ExpectedRows out;
  double missing = 0.0;
  for (std::size_t cell = 0; cell < target.size(); ++cell) {
    const auto rows = static_cast<double>(head.queries().starts[cell + 1] - head.queries().starts[cell]);
    if (target[cell] < 0) {
      missing += rows;
      continue;
    }
    const double unit = sums.exponents.empty() ? 0.0 : static_cast<double>(sums.exponents[usize(target[cell])]);
    const grid::RowBatch batch{sums.tensor(target[cell]),
                               charges.tensor(target[cell]),
                               nullptr,
                               reach.data(),
                               unit,
                               head.outside.in(unit),
                               parts,
                               parts};
    grid::certify_batch(rules, batch, result.data(), columns + 2);
    double real = 0.0;  // padding has no mass
    double failing = 0.0;
    for (std::int64_t part = 0; part < parts; ++part) {
      const double bound = result[usize(part * (columns + 2) + columns)];
      const bool padding = sums.tensor(target[cell])[part] == 0.0;
      real += padding ? 0.0 : 1.0;
      if (!padding && !(bound <= kPartMargin * tolerance)) {
        failing += 1.0;
      } else if (!padding) {
        out.bound = std::max(out.bound, bound);
      }
    }
    missing += real > 0.0 ? rows * failing / real : rows;
  }
  out.share = missing / static_cast<double>(std::max<std::int64_t>(head.queries().points(), 1));
  return out;
}

}  // namespace polyattn::planning
