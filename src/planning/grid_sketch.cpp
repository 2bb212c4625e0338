#include "planning/grid_sketch.hpp"

#include "engines/capabilities.hpp"
#include "engines/grid/cell_points.hpp"
#include "numerics/axis_table.hpp"
#include "planning/grid_axis.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::planning {
namespace {

using base::usize;
using engines::grid::AxisChoice;
using engines::grid::ScaledAxis;

constexpr std::int64_t kMostDim = engines::kMostGridDim;
/// Extent of an axis whose keys weigh exp(t^2) (dot score, |s| up to half of its square): beyond, no grid certifies.
constexpr double kMostWeighted = 16.0;
/// Differences of biases that bands are made wide enough for.
constexpr double kMostHeavy = 1500.0;
/// Neglected beyond the band, as part of the error allowed.
constexpr double kTailShare = 0.1;
/// Ratios of the queries' extent to the keys' that are tried for the dot score, and sides of cells with them.
constexpr double kWiden[] = {1.2, 1.4};
constexpr double kLeastWeightedSide = 0.7;
constexpr double kMostWeightedSide = 1.4;

// Seconds on the core that the other engines' costs are of (cost_model.cpp): measured on a Zen 4 and divided by 2.2,
// which is what exact takes there over its prediction.
constexpr double kPoint = 5.0e-9;        ///< of a point: sorting, certificate, writing
constexpr double kPointAxis = 2.0e-9;    ///< and for each axis
constexpr double kPointColumn = 3.3e-9;  ///< and column
constexpr double kNode = 1.8e-11;        ///< of a multiply-add with nodes
constexpr double kPass = 3.0e-11;        ///< of a multiply-add in passes, turning tensors included
constexpr double kPartPasses = 8.0;      ///< of parts of cells: charges with every number of nodes tried, estimates
constexpr double kCellPass = 1.5e-8;     ///< of a cell in a pass
constexpr double kCall = 1.5e-5;
constexpr double kLook = 7e-10;  ///< of a number, looked at before
constexpr double kSketch = 2e-5;
constexpr double kSketchRadius = 5e-7;      ///< and for a unit of the scores' radius and a digit
constexpr double kWeightedRadius = 5.5e-6;  ///< the same with weights
constexpr double kMostRadius = 30.0;        ///< beyond, no more tables are looked at

/// Narrowest band whose neglected part is small.
void set_bands(AxisSketch& axis, double error, double keys, KnownSums& known) {
  const std::int64_t most = axis.cells() - 1;
  const int table = numerics::axis_band(axis.choice.lattice);
  // A key beyond may be the heaviest, of a row that sees the lightest.
  const double far = std::sqrt(std::log(100.0 * std::max(keys, 2.0) / std::min(error, 0.1)) + axis.heaviest);
  axis.choice.far_band = static_cast<int>(
      std::min<std::int64_t>(axis.weighted ? most : static_cast<std::int64_t>(std::ceil(far / axis.side())), most));
  for (int band = std::min<int>(table, static_cast<int>(std::floor(1.5 / axis.side())) + 1);; ++band) {
    axis.choice.band = band;
    if (band >= table || band >= most || known.of(axis).tail <= kTailShare * error) {
      axis.choice.far_band = std::max(axis.choice.far_band, band);
      return;
    }
  }
}

/// Sketches of the axes for one side of cells: axes narrower than a cell take the smallest that holds them.
std::vector<AxisSketch> axes_of(const engines::HeadProblem& problem, const engines::grid::Extents& extents,
                                const std::vector<ScaledAxis>& scaled, int lattice, int sub_bins) {
  const auto sides = numerics::axis_lattice();
  std::vector<AxisSketch> axes;
  for (std::size_t l = 0; l < scaled.size(); ++l) {
    AxisSketch axis;
    axis.scaled = scaled[l];
    axis.weighted = problem.score.kind == engines::ScoreKind::dot;
    axis.query_half = 0.5 * (extents.query_high[l] - extents.query_low[l]) * scaled[l].query_factor;
    axis.key_half = 0.5 * (extents.key_high[l] - extents.key_low[l]) * scaled[l].key_factor;
    axis.heaviest = std::min(extents.highest_bias - extents.lowest_bias, kMostHeavy);
    axis.sub_bins = sub_bins;
    axis.choice.lattice = lattice;
    axis.choice.nodes = scaled[l].extent() > 0.0 ? numerics::kFewestNodes : 1;
    for (int smaller = 0; smaller < lattice; ++smaller) {
      if (scaled[l].extent() < sides[usize(smaller)] * 0.999) {
        axis.choice.lattice = smaller;
        break;
      }
    }
    axes.push_back(axis);
  }
  return axes;
}

/// Fewest nodes, more where they help most, until the errors of the axes add up to at most `error`.
bool set_nodes(std::vector<AxisSketch>& axes, double error, double keys, KnownSums& known, double& reached) {
  const double share = error / static_cast<double>(axes.size());
  std::vector<double> errors(axes.size(), 0.0);
  for (std::size_t l = 0; l < axes.size(); ++l) {
    if (axes[l].choice.nodes > 1) {
      set_bands(axes[l], share, keys, known);
      errors[l] = known.of(axes[l]).error;
    }
  }
  for (;;) {
    double sum = 0.0;
    for (const double e : errors) {
      sum += e;
    }
    reached = sum;
    if (sum <= error) {
      return true;
    }
    const auto worst = static_cast<std::size_t>(std::max_element(errors.begin(), errors.end()) - errors.begin());
    if (axes[worst].choice.nodes >= numerics::kMostNodes) {
      return false;
    }
    ++axes[worst].choice.nodes;
    errors[worst] = known.of(axes[worst]).error;
  }
}

}  // namespace

double least_grid_seconds(const engines::HeadProblem& problem) noexcept {
  const auto points = static_cast<double>(problem.n_q() + problem.n_kv());
  const auto dim = static_cast<double>(problem.dim());
  const auto channels = static_cast<double>(problem.value_dim() + 1);
  return kCall + points * (kPoint + kPointAxis * dim + channels * (kPointColumn + kNode * std::pow(4.0, dim)));
}

double grid_search_seconds(const engines::HeadProblem& problem, double radius, double digits) noexcept {
  const auto points = static_cast<double>(problem.n_q() + problem.n_kv());
  const auto dim = static_cast<double>(problem.dim());
  const double more = problem.score.kind == engines::ScoreKind::dot ? kWeightedRadius : kSketchRadius;
  const double sketches = kSketch + digits * more * std::min(radius, kMostRadius);
  return sketches + kLook * (points * dim + static_cast<double>(problem.n_kv() * problem.value_dim()));
}

double grid_seconds(const engines::HeadProblem& problem, const GridSketch& sketch) {
  double cells = 1.0;
  std::vector<double> along;
  for (std::size_t l = 0; l < sketch.axes.size(); ++l) {
    const AxisChoice& axis = sketch.axes[l];
    along.push_back(axis.nodes == 1 ? 1.0
                                    : static_cast<double>(engines::grid::cells_of(
                                          sketch.scaled[l].extent(), numerics::axis_lattice()[usize(axis.lattice)])));
    cells *= along.back();
  }
  cells = std::min(cells, 3.0 * static_cast<double>(std::max(problem.n_q(), problem.n_kv())));
  std::vector<PassWork> passes;
  for (std::size_t l = 0; l < sketch.axes.size(); ++l) {
    passes.push_back({cells, cells * std::min(along[l], 2.0 * sketch.axes[l].band + 1.0),
                      cells * std::min(along[l], 2.0 * sketch.axes[l].far_band + 1.0)});
  }
  return grid_seconds(problem, sketch, passes);
}

double grid_seconds(const engines::HeadProblem& problem, const GridSketch& sketch,
                    const std::vector<PassWork>& passes) {
  const auto points = static_cast<double>(problem.n_q() + problem.n_kv());
  const auto channels = static_cast<double>(problem.value_dim() + 1);
  double nodes = 1.0;
  double parts = 1.0;
  for (const AxisChoice& axis : sketch.axes) {
    nodes *= axis.nodes;
    parts *= axis.nodes == 1 ? 1.0 : sketch.sub_bins;
  }
  const double leading = sketch.axes.size() == 1 ? 1.0 : sketch.axes.front().nodes;
  const double padded = leading * 8.0 * std::ceil(nodes / (8.0 * leading));  // rows of a tensor
  const double dim = static_cast<double>(sketch.axes.size());
  double seconds =
      kCall + points * (kPoint + kPointAxis * dim + channels * (kPointColumn + kNode * 0.5 * (nodes + padded)));
  for (std::size_t l = 0; l < passes.size(); ++l) {
    const AxisChoice& axis = sketch.axes[l];
    if (axis.nodes > 1) {
      seconds += kPass * padded * channels * axis.nodes * passes[l].near;
      seconds += kPass * kPartPasses * std::max(parts, 8.0 * sketch.sub_bins) * (3.0 * channels - 2.0) *
                 sketch.sub_bins * passes[l].far;
    }
    seconds += kCellPass * 3.0 * channels * passes[l].targets;
  }
  return seconds;
}

std::optional<GridSketch> sketch_grid(const engines::HeadProblem& problem, const engines::grid::Extents& extents,
                                      double error) {
  const bool gaussian = problem.score.kind == engines::ScoreKind::gaussian;
  if (problem.dim() < 1 || problem.dim() > kMostDim || problem.n_q() >= engines::grid::kMostPoints ||
      problem.n_kv() >= engines::grid::kMostPoints || extents.visible == 0 || !(error > 0.0) ||
      (!gaussian && !(problem.score.scale > 0.0))) {
    return std::nullopt;
  }
  std::optional<GridSketch> best;
  const auto keys = static_cast<double>(extents.visible);
  for (const double widen : kWiden) {
    if (gaussian && widen != kWiden[0]) {  // nothing to choose
      break;
    }
    const std::vector<ScaledAxis> scaled = engines::grid::scale_axes(problem, extents, widen);
    double widest = 0.0;
    for (const ScaledAxis& axis : scaled) {
      widest = std::max(widest, axis.extent());
    }
    if (!std::isfinite(widest) || (!gaussian && widest > kMostWeighted)) {
      continue;
    }
    KnownSums known;
    const auto sides = static_cast<int>(numerics::axis_lattice().size());
    for (int lattice = 2; lattice < sides; ++lattice) {
      const double side = numerics::axis_lattice()[usize(lattice)];
      if (!gaussian && (side < kLeastWeightedSide || side > kMostWeightedSide)) {
        continue;
      }
      GridSketch sketch;
      sketch.sub_bins = problem.dim() <= 2 ? 4 : 2;
      std::vector<AxisSketch> axes = axes_of(problem, extents, scaled, lattice, sketch.sub_bins);
      if (!set_nodes(axes, error, keys, known, sketch.error)) {
        continue;
      }
      for (const AxisSketch& axis : axes) {
        sketch.axes.push_back(axis.choice);
      }
      sketch.scaled = scaled;
      sketch.seconds = grid_seconds(problem, sketch);
      if (!best || sketch.seconds < best->seconds) {
        best = sketch;
      }
    }
  }
  return best;
}

}  // namespace polyattn::planning
