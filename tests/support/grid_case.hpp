#pragma once

/// Heads for the grid engine with a geometry of the test's own: sides, nodes, bands and parts of cells that no planner
/// would choose, since what the engine certifies must hold for all of them.

#include "engines/grid/head.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::test {

enum class GridFamily : std::uint8_t {
  broad,      ///< one to four axes, any side, nodes and bands
  thin,       ///< five to eight axes of small extent
  weights,    ///< key biases far apart, keys out of reach that outweigh all others
  scores,     ///< dot products, off centre
  borders,    ///< points on the borders of cells and of their parts
  few,        ///< one key or two, points that coincide, hidden keys that hold NaN
  self,       ///< leave one out
  rounding,   ///< so many nodes that rounding is all there is
  positions,  ///< many widths across
  underflow,  ///< kernels below the least double between cells that matter
};
inline constexpr int kGridFamilies = 10;
const char* name_of(GridFamily family) noexcept;

struct GridCase {
  std::int64_t n_q = 1;
  std::int64_t n_kv = 1;
  std::int64_t dim = 1;
  std::int64_t value_dim = 1;
  std::vector<double> q;  ///< with `leave_out`: the keys are the queries
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> bias;  ///< empty: none
  bool leave_out = false;
  std::vector<double> bandwidth;  ///< empty: dot score
  double scale = 1.0;
  double widen = 1.0;
  std::vector<engines::grid::AxisChoice> axes;  ///< an axis without extent gets one node whatever it says here
  int sub_bins = 2;

  /// Holds views of this case.
  [[nodiscard]] engines::HeadProblem problem() const;
};

GridCase draw_grid_case(GridFamily family, std::uint64_t seed);
/// A change that keeps shapes.
void change_grid_case(GridCase& grid, std::uint64_t seed);

/// The head in its geometry; nothing if that cannot be.
std::optional<engines::grid::Geometry> geometry_of(const GridCase& grid);

/// What the engine said, row by row; answered[row] = 0: refused.
struct GridRun {
  std::vector<double> output;  ///< [n_q][value_dim]
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<double> lse;
  std::vector<double> lse_bound;
  std::vector<std::uint8_t> answered;
};
std::optional<GridRun> run_grid(const GridCase& grid, const base::Context& context = {});

/// The definition, and bounds on its errors from rounding in Real.
template <class Real>
struct GridTruth {
  std::vector<Real> output;
  std::vector<Real> lse;
  std::vector<double> doubt;  ///< one for a row, of output and log-sum-exp
  std::vector<double> lse_doubt;
};
template <class Real>
GridTruth<Real> grid_truth(const GridCase& grid);

/// Sets column `column` of the values to +-1 by the sign of the error that the grid makes of each key's kernel in a
/// row.
void align_values(GridCase& grid, std::int64_t row, std::int64_t column);

/// A family and a seed, followed by the seeds of changes.
struct GridGenome {
  GridFamily family = GridFamily::broad;
  std::uint64_t seed = 0;
  std::vector<std::uint64_t> changes;
};
std::ostream& operator<<(std::ostream& out, const GridGenome& genome);
/// One line "family seed [change...]"; nothing for an empty line or a comment (#). Throws std::runtime_error.
std::optional<GridGenome> parse_grid_genome(const std::string& line);
GridCase grown(const GridGenome& genome);

}  // namespace polyattn::test
