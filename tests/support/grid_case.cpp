#include "support/grid_case.hpp"

#include "numerics/axis_table.hpp"
#include "numerics/chebyshev_lagrange.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace polyattn::test {
namespace {

using base::usize;
namespace grid_engine = engines::grid;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr const char* kNames[kGridFamilies] = {"broad", "thin", "weights",  "scores",    "borders",
                                               "few",   "self", "rounding", "positions", "underflow"};

base::Rows rows_of(const std::vector<double>& data, std::int64_t rows, std::int64_t columns) {
  return {{{data.data(), DType::float64, 0, rows, columns, 1}}, rows, columns};
}

std::vector<grid_engine::ScaledAxis> scaled_axes(const GridCase& grid, const engines::HeadProblem& problem,
                                                 grid_engine::Extents& extents) {
  extents = grid_engine::measure_extents(problem, base::Context{});
  return grid_engine::scale_axes(problem, extents, grid.widen);
}

/// kappa~ of one axis at two places counted in cells, in long double; 0 beyond the band.
long double interpolated(const grid_engine::Axis& axis, double query, double key) {
  const auto cell = [&](double g) { return std::clamp(std::floor(g), 0.0, static_cast<double>(axis.cells - 1)); };
  const double a = cell(query);
  const double b = cell(key);
  if (axis.nodes == 1) {
    return 1.0L;
  }
  if (std::fabs(a - b) > axis.band) {
    return 0.0L;
  }
  const std::vector<long double> nodes = numerics::chebyshev_nodes(axis.nodes);
  const auto lagrange = [&](double x, std::size_t i) {
    long double product = 1.0L;
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      product *= j == i ? 1.0L : (static_cast<long double>(x) - nodes[j]) / (nodes[i] - nodes[j]);
    }
    return product;
  };
  long double sum = 0.0L;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const long double left = lagrange(2.0 * (query - a) - 1.0, i);
    for (std::size_t j = 0; j < nodes.size(); ++j) {
      const long double apart =
          static_cast<long double>(axis.side) * (static_cast<long double>(a - b) + 0.5L * (nodes[i] - nodes[j]));
      sum += left * lagrange(2.0 * (key - b) - 1.0, j) * std::exp(-apart * apart);
    }
  }
  return sum;
}

}  // namespace

const char* name_of(GridFamily family) noexcept { return kNames[static_cast<std::size_t>(family)]; }

engines::HeadProblem GridCase::problem() const {
  engines::HeadProblem out;
  out.queries = rows_of(leave_out ? k : q, n_q, dim);
  out.keys = rows_of(k, n_kv, dim);
  out.values = rows_of(v, n_kv, value_dim);
  if (!bias.empty()) {
    out.bias.rows = rows_of(bias, n_kv, 1);
  }
  out.score.kind = bandwidth.empty() ? engines::ScoreKind::dot : engines::ScoreKind::gaussian;
  out.score.scale = scale;
  out.score.bandwidth = bandwidth;
  out.mask.exclude_self = leave_out;
  return out;
}

std::optional<grid_engine::Geometry> geometry_of(const GridCase& grid) {
  const engines::HeadProblem problem = grid.problem();
  grid_engine::Extents extents;
  const std::vector<grid_engine::ScaledAxis> scaled = scaled_axes(grid, problem, extents);
  std::vector<grid_engine::AxisChoice> axes = grid.axes;
  if (extents.visible == 0) {
    return std::nullopt;
  }
  for (std::size_t l = 0; l < axes.size(); ++l) {
    axes[l].nodes = scaled[l].extent() > 0.0 ? std::max(axes[l].nodes, numerics::kFewestNodes) : 1;
    if (!std::isfinite(scaled[l].extent())) {
      return std::nullopt;
    }
  }
  grid_engine::Geometry out;
  if (!grid_engine::make_geometry(problem, extents, scaled, axes, grid.sub_bins, out)) {
    return std::nullopt;
  }
  return out;
}

std::optional<GridRun> run_grid(const GridCase& grid, const base::Context& context) {
  std::optional<grid_engine::Geometry> geometry = geometry_of(grid);
  if (!geometry) {
    return std::nullopt;
  }
  const engines::HeadProblem problem = grid.problem();
  const engines::ValueRange values = planning::value_range(problem, nullptr, 0.0, context);
  const grid_engine::GridHead head =
      grid_engine::make_head(problem, *geometry, {values.low, values.centre, values.high}, context);
  const grid_engine::Field charges = grid_engine::charge_head(head, context);
  const auto rows = usize(grid.n_q);
  GridRun run;
  run.output.assign(rows * usize(grid.value_dim), std::numeric_limits<double>::quiet_NaN());
  for (std::vector<double>* column : {&run.approximation, &run.rounding, &run.lse, &run.lse_bound}) {
    column->assign(rows, std::numeric_limits<double>::quiet_NaN());
  }
  run.answered.assign(rows, 0);
  engines::HeadOutputs out;
  out.output = {run.output.data(), DType::float64, grid.value_dim, 1};
  out.approximation = run.approximation.data();
  out.rounding = run.rounding.data();
  out.lse = run.lse.data();
  out.lse_bound = run.lse_bound.data();
  grid_engine::answer_head(problem, head, charges, {}, out, run.answered, context);
  return run;
}

template <class Real>
GridTruth<Real> grid_truth(const GridCase& grid) {
  GridTruth<Real> truth;
  const std::vector<double>& queries = grid.leave_out ? grid.k : grid.q;
  const auto size = [](Real x) { return static_cast<double>(x < Real(0) ? -x : x); };
  for (std::int64_t i = 0; i < grid.n_q; ++i) {
    std::vector<Real> scores;
    std::vector<std::int64_t> keys;
    double largest_term = 1.0;
    for (std::int64_t j = 0; j < grid.n_kv; ++j) {
      const double b = grid.bias.empty() ? 0.0 : grid.bias[usize(j)];
      if (b == -kInfinity || (grid.leave_out && i == j)) {
        continue;
      }
      Real sum = Real(0);
      double terms = std::fabs(b);
      for (std::int64_t l = 0; l < grid.dim; ++l) {
        const Real x = Real(queries[usize(i * grid.dim + l)]);
        const Real y = Real(grid.k[usize(j * grid.dim + l)]);
        Real term = Real(grid.scale) * x * y;
        if (!grid.bandwidth.empty()) {
          const Real z = (x - y) / Real(grid.bandwidth[usize(l)]);
          term = -z * z / Real(2);
        }
        sum += term;
        terms += size(term);
      }
      largest_term = std::max(largest_term, terms);
      scores.push_back(sum + Real(b));
      keys.push_back(j);
    }
    const Real none = Real(-kInfinity);
    const Real largest = scores.empty() ? none : *std::max_element(scores.begin(), scores.end());
    Real denominator = Real(0);
    for (Real& s : scores) {
      s = exp_of(s - largest);
      denominator += s;
    }
    double magnitude = 0.0;
    for (std::int64_t c = 0; c < grid.value_dim; ++c) {
      Real sum = Real(0);
      for (std::size_t j = 0; j < keys.size(); ++j) {
        const double value = grid.v[usize(keys[j] * grid.value_dim + c)];
        magnitude = std::max(magnitude, std::fabs(value));
        sum += scores[j] * Real(value);
      }
      truth.output.push_back(scores.empty() ? Real(0) : sum / denominator);
    }
    const double relative =
        (8.0 * static_cast<double>(grid.dim + 6) * largest_term + 2.0 * static_cast<double>(keys.size() + 4)) *
        kUnitRoundoff<Real>;
    truth.doubt.push_back(4.0 * relative * magnitude);
    truth.lse.push_back(scores.empty() ? none : log_of(denominator) + largest);
    truth.lse_doubt.push_back(relative);
  }
  return truth;
}

template GridTruth<long double> grid_truth<long double>(const GridCase&);
#if defined(POLYATTN_TEST_FLOAT128)
template GridTruth<Quad> grid_truth<Quad>(const GridCase&);
#endif

void align_values(GridCase& grid, std::int64_t row, std::int64_t column) {
  const std::optional<grid_engine::Geometry> geometry = geometry_of(grid);
  if (!geometry) {
    return;
  }
  const std::vector<double>& queries = grid.leave_out ? grid.k : grid.q;
  for (std::int64_t j = 0; j < grid.n_kv; ++j) {
    if (!grid.bias.empty() && grid.bias[usize(j)] == -kInfinity) {
      continue;
    }
    long double approximate = 1.0L;
    long double exact = 1.0L;
    for (std::int64_t l = 0; l < grid.dim; ++l) {
      const grid_engine::Axis& axis = geometry->axes[usize(geometry->first_axis() + l)];
      const double g = (queries[usize(row * grid.dim + l)] - axis.query_origin) * axis.query_scale;
      const double f = (grid.k[usize(j * grid.dim + l)] - axis.key_origin) * axis.key_scale;
      approximate *= interpolated(axis, g, f);
      const auto apart =
          static_cast<long double>(axis.side) * (static_cast<long double>(g) - static_cast<long double>(f));
      exact *= axis.nodes == 1 ? 1.0L : std::exp(-apart * apart);
    }
    grid.v[usize(j * grid.value_dim + column)] = approximate < exact ? -1.0 : 1.0;
  }
}

std::ostream& operator<<(std::ostream& out, const GridGenome& genome) {
  out << name_of(genome.family) << ' ' << genome.seed;
  for (const std::uint64_t change : genome.changes) {
    out << ' ' << change;
  }
  return out;
}

std::optional<GridGenome> parse_grid_genome(const std::string& line) {
  std::istringstream in(line.substr(0, line.find('#')));
  std::string family;
  if (!(in >> family)) {
    return std::nullopt;
  }
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), family);
  GridGenome genome;
  if (found == std::end(kNames) || !(in >> genome.seed)) {
    throw std::runtime_error("not a genome: " + line);
  }
  genome.family = static_cast<GridFamily>(found - std::begin(kNames));
  std::uint64_t change = 0;
  while (in >> change) {
    genome.changes.push_back(change);
  }
  if (!in.eof()) {
    throw std::runtime_error("not a genome: " + line);
  }
  return genome;
}

GridCase grown(const GridGenome& genome) {
  GridCase grid = draw_grid_case(genome.family, genome.seed);
  for (const std::uint64_t change : genome.changes) {
    change_grid_case(grid, change);
  }
  return grid;
}

}  // namespace polyattn::test
