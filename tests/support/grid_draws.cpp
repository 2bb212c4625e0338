// The families of grid cases and the changes a search makes to them.

#include "numerics/axis_table.hpp"
#include "support/grid_case.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::test {
namespace {

using base::usize;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double side_of(const GridCase& grid, std::size_t axis) {
  return numerics::axis_lattice()[usize(grid.axes[axis].lattice)];
}

/// Width of the kernel on an axis, in the units of the points.
double width_of(const GridCase& grid, std::size_t axis) {
  return grid.bandwidth.empty() ? 1.0 / std::sqrt(0.5 * grid.scale) : std::sqrt(2.0) * grid.bandwidth[axis];
}

engines::grid::AxisChoice draw_axis(Random& random, int lowest, int fewest, int most) {
  engines::grid::AxisChoice axis;
  axis.lattice = static_cast<int>(random.integer(lowest, static_cast<int>(numerics::axis_lattice().size()) - 1));
  axis.nodes = static_cast<int>(random.integer(fewest, most));
  const int table = numerics::axis_band(axis.lattice);
  axis.band = random.chance(0.6) ? table : static_cast<int>(random.integer(0, table));
  axis.far_band = axis.band + static_cast<int>(random.chance(0.4) ? random.integer(0, 6) : 60);
  return axis;
}

/// Nodes are taken away until tensors and passes are cheap.
void keep_cheap(GridCase& grid, double extent) {
  for (;;) {
    double tensor = 1.0;
    double cells = 1.0;
    for (std::size_t l = 0; l < grid.axes.size(); ++l) {
      tensor *= grid.axes[l].nodes;
      cells *= std::min(extent / side_of(grid, l) + 1.0, 2.0 * grid.axes[l].band + 1.0);
    }
    if (tensor * (4.0 * static_cast<double>(grid.n_q + grid.n_kv) + 30.0 * cells) < 3e5) {
      return;
    }
    auto& axis = *std::max_element(grid.axes.begin(), grid.axes.end(),
                                   [](const auto& a, const auto& b) { return a.nodes < b.nodes; });
    if (axis.nodes == numerics::kFewestNodes) {
      return;
    }
    --axis.nodes;
  }
}

void draw_values(GridCase& grid, Random& random) {
  grid.v.resize(usize(grid.n_kv * grid.value_dim));
  const std::int64_t kind = random.integer(0, 3);
  const double size = random.chance(0.8) ? 1.0 : random.log_uniform(1e-6, 1e6);
  const double shift = random.chance(0.7) ? 0.0 : size * random.uniform(-100.0, 100.0);
  for (std::int64_t j = 0; j < grid.n_kv; ++j) {
    for (std::int64_t c = 0; c < grid.value_dim; ++c) {
      const double x = grid.k[usize(j * grid.dim + c % grid.dim)];
      const double value = kind == 0   ? std::sin(3.0 * x)
                           : kind == 1 ? random.normal()
                           : kind == 2 ? random.sign()
                                       : (random.chance(0.05) ? 20.0 : 0.1 * random.unit());
      grid.v[usize(j * grid.value_dim + c)] = shift + size * value;
    }
  }
}

/// Points within `extent` widths of the kernel, in clouds or evenly.
void draw_points(GridCase& grid, Random& random, double extent) {
  const double cloud = random.chance(0.5) ? 1.0 : random.log_uniform(0.01, 1.0);
  const std::int64_t clouds = random.integer(1, 4);
  std::vector<double> centres(usize(clouds * grid.dim));
  for (double& centre : centres) {
    centre = random.uniform(0.0, 1.0 - 0.999 * cloud);
  }
  const auto fill = [&](std::vector<double>& points, std::int64_t rows) {
    points.resize(usize(rows * grid.dim));
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t which = random.integer(0, clouds - 1);
      for (std::int64_t l = 0; l < grid.dim; ++l) {
        points[usize(i * grid.dim + l)] =
            (centres[usize(which * grid.dim + l)] + cloud * random.unit()) * extent * width_of(grid, usize(l));
      }
    }
  };
  fill(grid.q, grid.n_q);
  fill(grid.k, grid.n_kv);
}

void draw_sizes(GridCase& grid, Random& random, std::int64_t queries, std::int64_t keys) {
  grid.n_q = random.integer(1, queries);
  grid.n_kv = random.chance(0.03) ? 20 * keys : random.integer(1, keys);
  grid.value_dim = random.chance(0.8) ? random.integer(1, 2) : random.integer(3, 6);
}

void draw_bias(GridCase& grid, Random& random, double size, double hidden) {
  grid.bias.resize(usize(grid.n_kv));
  for (double& b : grid.bias) {
    b = random.chance(hidden) ? -kInfinity : random.uniform(-size, size);
  }
  grid.bias[usize(random.integer(0, grid.n_kv - 1))] = random.uniform(-size, size);
  for (std::int64_t j = 0; j < grid.n_kv; ++j) {
    if (grid.bias[usize(j)] == -kInfinity) {
      grid.k[usize(j * grid.dim)] = kNan;
      grid.v[usize(j * grid.value_dim)] = kNan;
    }
  }
}

/// Onto the border of a cell or of a part of one, or the number next to it, where cells begin at the lowest point.
double onto_border(const GridCase& grid, Random& random, std::size_t axis, double x) {
  const double part = side_of(grid, axis) * width_of(grid, axis) / grid.sub_bins;
  const double border = std::round(x / part) * part;
  const std::int64_t nudge = random.integer(-1, 1);
  return nudge == 0 ? border : std::nextafter(border, nudge > 0 ? kInfinity : -kInfinity);
}

void put_on_borders(GridCase& grid, Random& random) {
  for (std::vector<double>* points : {&grid.q, &grid.k}) {
    for (std::size_t i = 0; i < points->size(); ++i) {
      const std::size_t axis = i % usize(grid.dim);
      (*points)[i] = random.chance(0.7) ? onto_border(grid, random, axis, (*points)[i]) : (*points)[i];
    }
  }
  std::fill_n(grid.k.begin(), grid.dim, 0.0);
}

/// Two ends of an axis with all weight at the far one.
void put_at_ends(GridCase& grid, Random& random, double half) {
  for (std::vector<double>* points : {&grid.q, &grid.k}) {
    for (std::size_t i = 0; i < points->size(); i += usize(grid.dim)) {
      const double end = random.chance(0.5) ? half : -half;
      (*points)[i] = width_of(grid, 0) * (end + 0.3 * random.uniform(-1.0, 1.0));
    }
  }
  grid.k[0] = width_of(grid, 0) * half;
  grid.q[0] = -grid.k[0];
  const double heavy = random.uniform(200.0, 1600.0);
  for (std::int64_t j = 0; j < grid.n_kv; ++j) {
    grid.bias[usize(j)] = grid.k[usize(j * grid.dim)] > 0.0 ? heavy : random.uniform(-heavy, 0.0);
  }
}

}  // namespace

GridCase draw_grid_case(GridFamily family, std::uint64_t seed) {
  Random random(seed * kGridFamilies + static_cast<std::uint64_t>(family));
  GridCase grid;
  const bool many = family == GridFamily::thin;
  grid.dim = many ? random.integer(5, 8) : random.integer(1, random.chance(0.8) ? 2 : 4);
  draw_sizes(grid, random, many ? 6 : 12, many ? 15 : 40);
  const int options[] = {1, 2, 4};
  grid.sub_bins = many ? 1 : options[random.integer(0, 2)];
  double extent = many ? random.log_uniform(0.05, 1.0) : random.log_uniform(0.05, 9.0);
  int fewest = 3;
  int most = 10;
  switch (family) {
    case GridFamily::few:
      grid.n_kv = random.integer(1, 2);
      break;
    case GridFamily::rounding:
      fewest = 13;
      most = 16;
      extent = random.log_uniform(0.01, 2.0);
      break;
    case GridFamily::positions:
      extent = random.log_uniform(1e3, 1e13);
      grid.dim = 1;
      fewest = 10;
      most = 16;
      break;
    case GridFamily::underflow:
      grid.dim = random.integer(1, 2);
      extent = 1.0;
      break;
    case GridFamily::broad:
    case GridFamily::thin:
    case GridFamily::weights:
    case GridFamily::scores:
    case GridFamily::borders:
    case GridFamily::self:
      break;
  }
  for (std::int64_t l = 0; l < grid.dim; ++l) {
    grid.axes.push_back(draw_axis(random, many ? 3 : random.chance(0.2) && extent < 1.0 ? 0 : 2, fewest, most));
  }
  keep_cheap(grid, extent);
  const bool dots = family == GridFamily::scores || (family == GridFamily::underflow && random.chance(0.5));
  if (dots) {
    grid.scale = random.log_uniform(0.01, 100.0);
    const double widths[] = {1.0, 1.2, 1.4, 2.0, 0.3};
    grid.widen = widths[random.integer(0, 4)];
  } else {
    for (std::int64_t l = 0; l < grid.dim; ++l) {
      grid.bandwidth.push_back(random.chance(0.5) ? 1.0 : random.log_uniform(1e-3, 1e3));
    }
  }
  draw_points(grid, random, extent);
  draw_values(grid, random);
  if (family == GridFamily::scores) {
    const double away = random.chance(0.5) ? 0.0 : random.log_uniform(0.1, 1e4);
    for (std::size_t i = 0; i < grid.q.size(); ++i) {
      grid.q[i] += away;
    }
  }
  if (family == GridFamily::positions) {  // near each other, far from where the axis begins
    for (std::size_t i = 0; i < grid.q.size(); ++i) {
      const double key = grid.k[usize(random.integer(0, grid.n_kv - 1))];
      grid.q[i] = key + width_of(grid, 0) * random.uniform(-2.0, 2.0);
    }
  }
  if (family == GridFamily::borders) {
    put_on_borders(grid, random);
  }
  if (family == GridFamily::self) {
    grid.leave_out = true;
    grid.n_q = grid.n_kv;
    grid.q.clear();
  }
  if (family == GridFamily::weights || (family == GridFamily::scores && random.chance(0.3))) {
    const double sizes[] = {1.0, 10.0, 100.0, 300.0, 700.0};
    draw_bias(grid, random, sizes[random.integer(0, 4)], random.chance(0.3) ? 0.3 : 0.0);
  }
  if (family == GridFamily::underflow) {
    draw_bias(grid, random, 1.0, 0.0);
    put_at_ends(grid, random, random.uniform(8.0, 18.0));
  }
  if (family == GridFamily::few) {
    if (random.chance(0.5)) {
      for (std::size_t i = 0; i < grid.q.size(); ++i) {
        grid.q[i] = grid.k[i % usize(grid.dim)];
      }
    }
    if (grid.n_kv > 1 && random.chance(0.4)) {
      draw_bias(grid, random, 5.0, 0.5);
    }
  }
  return grid;
}

void change_grid_case(GridCase& grid, std::uint64_t seed) {
  Random random(seed);
  const auto pick = [&](std::vector<double>& of) -> double& {
    return of[usize(random.integer(0, static_cast<std::int64_t>(of.size()) - 1))];
  };
  std::vector<double>& points = grid.leave_out || random.chance(0.5) ? grid.k : grid.q;
  switch (random.integer(0, 9)) {
    case 0:
    case 1: {  // one coordinate
      const std::int64_t at = random.integer(0, static_cast<std::int64_t>(points.size()) - 1);
      const double width = width_of(grid, usize(at % grid.dim));
      points[usize(at)] += width * random.sign() * random.log_uniform(1e-6, 1.0);
      break;
    }
    case 2: {  // onto a border
      const std::int64_t at = random.integer(0, static_cast<std::int64_t>(points.size()) - 1);
      points[usize(at)] = onto_border(grid, random, usize(at % grid.dim), points[usize(at)]);
      break;
    }
    case 3: {  // a point where another is
      const std::int64_t from = random.integer(0, static_cast<std::int64_t>(points.size()) / grid.dim - 1);
      const std::int64_t to = random.integer(0, static_cast<std::int64_t>(points.size()) / grid.dim - 1);
      if (!std::isnan(points[usize(from * grid.dim)])) {
        std::copy_n(points.begin() + from * grid.dim, grid.dim, points.begin() + to * grid.dim);
      }
      break;
    }
    case 4:
    case 5:
      align_values(grid, random.integer(0, grid.n_q - 1), random.integer(0, grid.value_dim - 1));
      break;
    case 6:
      pick(grid.v) = random.sign() * (random.chance(0.5) ? 1.0 : random.log_uniform(1e-3, 10.0));
      break;
    case 7:
      if (!grid.bias.empty()) {
        double& b = pick(grid.bias);
        b += b == -kInfinity ? 0.0 : random.normal() * random.log_uniform(0.1, 30.0);
      } else {
        std::rotate(grid.v.begin(), grid.v.begin() + grid.value_dim, grid.v.end());
      }
      break;
    case 8: {
      engines::grid::AxisChoice& axis = grid.axes[usize(random.integer(0, grid.dim - 1))];
      axis.nodes = std::clamp(axis.nodes + (random.chance(0.5) ? 1 : -1), numerics::kFewestNodes, 12);
      axis.far_band = std::max(axis.band, axis.far_band + static_cast<int>(random.integer(-1, 1)));
      break;
    }
    default: {
      const int options[] = {1, 2, 4};
      grid.sub_bins = options[random.integer(0, 2)];
      break;
    }
  }
}

}  // namespace polyattn::test
