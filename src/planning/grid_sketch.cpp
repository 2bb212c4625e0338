#include "planning/grid_sketch.hpp"

#include "engines/capabilities.hpp"
#include "engines/grid/row_bounds.hpp"
#include "numerics/axis_table.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace polyattn::planning {
namespace {

using base::usize;
using engines::grid::AxisChoice;
using engines::grid::ScaledAxis;

constexpr std::int64_t kMostDim = engines::kMostGridDim;
/// Cells along an axis whose keys weigh differently (dot score): more is not worth a grid.
constexpr std::int64_t kMostWeighted = 64;
/// Differences of biases that bands are made wide enough for.
constexpr double kMostHeavy = 1500.0;
/// Neglected beyond the band, as part of the error allowed.
constexpr double kTailShare = 0.1;
constexpr double kWiden[] = {1.0, 1.2, 1.4, 2.0};

// Seconds on one core with 512 bits.
constexpr double kPoint = 2.4e-8;      ///< of a point: sorting, certificate, writing
constexpr double kPointAxis = 9e-9;    ///< and for each axis
constexpr double kPointColumn = 6e-9;  ///< and column
constexpr double kNode = 5.5e-11;      ///< of a multiply-add with nodes
constexpr double kPass = 1.0e-10;      ///< of a multiply-add in passes, turning tensors included
constexpr double kPartPasses = 5.0;    ///< of parts of cells: charges with every number of nodes tried, estimates
constexpr double kCellPass = 2e-7;     ///< of a cell in a pass
constexpr double kCall = 6e-5;

/// Error of an axis summed over the keys, over the sum of the kernel: at the worst part of a query cell.
struct AxisSums {
  double error = 0.0;
  double tail = 0.0;  ///< the same from beyond the band alone
};

/// One axis with everything but its nodes.
struct AxisSketch {
  ScaledAxis scaled;
  double query_half = 0.0;  ///< dot score: extents of u and t about 0
  double key_half = 0.0;
  bool weighted = false;  ///< dot score: keys weigh exp(t^2)
  double heaviest = 0.0;  ///< by how much biases differ
  int sub_bins = 2;
  AxisChoice choice;

  [[nodiscard]] double side() const noexcept { return numerics::axis_lattice()[usize(choice.lattice)]; }
  [[nodiscard]] std::int64_t cells() const noexcept {
    return choice.nodes == 1 ? 1 : engines::grid::cells_of(scaled.extent(), side());
  }
};

engines::grid::Axis cells_axis(const AxisSketch& axis) {
  engines::grid::Axis out;
  out.cells = axis.cells();
  out.side = axis.side();
  out.lattice = axis.choice.lattice;
  out.nodes = axis.choice.nodes;
  out.band = static_cast<int>(std::min<std::int64_t>(axis.choice.band, out.cells - 1));
  out.far_band = static_cast<int>(std::min<std::int64_t>(std::max(axis.choice.far_band, out.band), out.cells - 1));
  return out;
}

/// With keys spread evenly along the axis, weights exp(t^2) where they have them.
AxisSums add_up(const AxisSketch& axis) {
  const engines::grid::Axis cells = cells_axis(axis);
  const engines::grid::PartMatrices parts = engines::grid::part_matrices(cells, axis.sub_bins);
  const int bins = axis.sub_bins;
  const double step = cells.side / bins;
  const auto middle = [&](std::int64_t cell, int bin) {
    return axis.scaled.low + static_cast<double>(cell * bins + bin) * step + 0.5 * step;
  };
  AxisSums worst;
  // Without weights a cell at the end and one in the middle say it all: few cells see both ends.
  const std::int64_t step_to = axis.weighted ? 1 : std::max<std::int64_t>(cells.cells / 2, 1);
  for (std::int64_t to = 0; to < cells.cells; to += step_to) {
    for (int i = 0; i < bins; ++i) {
      if (axis.weighted && std::fabs(middle(to, i)) > axis.query_half + 0.5 * step) {
        continue;
      }
      double error = 0.0;
      double tail = 0.0;
      double kernel = 0.0;
      for (std::int64_t o = -cells.far_band; o <= cells.far_band; ++o) {
        const std::int64_t from = to - o;
        if (from < 0 || from >= cells.cells) {
          continue;
        }
        for (int j = 0; j < bins; ++j) {
          const double t = middle(from, j);
          if (axis.weighted && std::fabs(t) > axis.key_half + 0.5 * step) {
            continue;
          }
          // Relative to the largest: what is in the same cell.
          const double weight = axis.weighted ? std::exp(t * t - axis.key_half * axis.key_half) : 1.0;
          const std::size_t place = usize(((o + cells.far_band) * bins + i) * bins + j);
          const double e = weight * parts.error.blocks[place];
          error += e;
          tail += std::abs(o) > cells.band ? e : 0.0;
          kernel += weight * parts.middle.blocks[place];
        }
      }
      if (kernel > 0.0) {
        worst.error = std::max(worst.error, error / kernel);
        worst.tail = std::max(worst.tail, tail / kernel);
      }
    }
  }
  return worst;
}

/// Sums of axes that were added up before: most axes are alike.
class KnownSums {
 public:
  AxisSums of(const AxisSketch& axis) {
    if (axis.choice.nodes == 1) {
      return {};
    }
    const auto [found, added] = known_.try_emplace(key(axis));
    if (added) {
      found->second = add_up(axis);
    }
    return found->second;
  }

 private:
  using Key = std::tuple<int, int, int, std::int64_t, std::int64_t, double, double>;
  static Key key(const AxisSketch& axis) {
    const std::int64_t cells = axis.cells();
    const std::int64_t band = std::min<std::int64_t>(axis.choice.band, cells - 1);
    const std::int64_t far = std::min<std::int64_t>(std::max(axis.choice.far_band, axis.choice.band), cells - 1);
    const std::int64_t seen = axis.weighted ? cells : std::min(cells, 2 * far + 2);
    return {8 * axis.choice.lattice + axis.sub_bins,
            axis.choice.nodes,
            static_cast<int>(band),
            far,
            seen + (axis.weighted      ? 0
                    : cells / 2 >= far ? 0
                                       : cells),
            axis.weighted ? axis.query_half : 0.0,
            axis.weighted ? axis.key_half : 0.0};
  }
  std::map<Key, AxisSums> known_;
};

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
  return kCall + points * (kPoint + kPointAxis * dim + channels * (kPointColumn + kNode * std::pow(3.0, dim)));
}

double grid_seconds(const engines::HeadProblem& problem, const GridSketch& sketch) {
  const auto points = static_cast<double>(problem.n_q() + problem.n_kv());
  const auto channels = static_cast<double>(problem.value_dim() + 1);
  double nodes = 1.0;
  double cells = 1.0;
  double passes = 0.0;
  double parts = 1.0;
  double part_passes = 0.0;
  for (std::size_t l = 0; l < sketch.axes.size(); ++l) {
    const AxisChoice& axis = sketch.axes[l];
    const double along = axis.nodes == 1
                             ? 1.0
                             : static_cast<double>(engines::grid::cells_of(
                                   sketch.scaled[l].extent(), numerics::axis_lattice()[usize(axis.lattice)]));
    nodes *= axis.nodes;
    cells *= along;
    passes += axis.nodes == 1 ? 0.0 : std::min(along, 2.0 * axis.band + 1.0) * axis.nodes;
    parts *= axis.nodes == 1 ? 1.0 : sketch.sub_bins;
    part_passes += axis.nodes == 1 ? 0.0 : std::min(along, 2.0 * axis.far_band + 1.0) * sketch.sub_bins;
  }
  const auto most = static_cast<double>(std::max(problem.n_q(), problem.n_kv()));
  cells = std::min(cells, 3.0 * most);
  const double padded = std::max(nodes, 8.0 * sketch.axes.front().nodes);
  const double dim = static_cast<double>(sketch.axes.size());
  return kCall + points * (kPoint + kPointAxis * dim + channels * (kPointColumn + kNode * padded)) +
         cells * (kPass * padded * channels * passes + kCellPass * 3.0 * dim * channels +
                  kPass * kPartPasses * std::max(parts, 8.0 * sketch.sub_bins) * (3.0 * channels - 2.0) * part_passes);
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
    if (gaussian && widen != kWiden[0]) {
      break;
    }
    const std::vector<ScaledAxis> scaled = engines::grid::scale_axes(problem, extents, widen);
    double widest = 0.0;
    for (const ScaledAxis& axis : scaled) {
      widest = std::max(widest, axis.extent());
    }
    if (!std::isfinite(widest) || (!gaussian && widest > static_cast<double>(kMostWeighted) * 0.5)) {
      continue;
    }
    KnownSums known;
    const auto sides = static_cast<int>(numerics::axis_lattice().size());
    for (int lattice = 2; lattice < sides; ++lattice) {
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
  if (best) {
    best->extents = extents;
  }
  return best;
}

}  // namespace polyattn::planning
