// Tensors of cells, and the matrices between nodes, against their definition in long double.

#include "engines/grid/tensors.hpp"

#include "numerics/chebyshev_lagrange.hpp"
#include "numerics/rounding.hpp"
#include "support/grid_case.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace polyattn::engines::grid {
namespace {

using base::usize;
using polyattn::test::draw_grid_case;
using polyattn::test::geometry_of;
using polyattn::test::GridCase;
using polyattn::test::GridFamily;

long double node(int nodes, int i) {
  return nodes == 1 ? 0.0L
                    : -std::cos(static_cast<long double>(2 * i + 1) * std::numbers::pi_v<long double> /
                                static_cast<long double>(2 * nodes));
}

/// T_k by its recurrence.
long double chebyshev(int k, long double x) {
  long double before = 1.0L;
  long double now = x;
  for (int i = 1; i < k; ++i) {
    const long double next = 2.0L * x * now - before;
    before = now;
    now = next;
  }
  return k == 0 ? 1.0L : now;
}

/// What forming may be off by, over the sum of the magnitudes of the weights: docs/proofs/grid.md, section 4, without
/// passes and without evaluating. `points`: of a cell, at most. What the sums in long double below are off by is added.
long double forming_bound(const Geometry& geometry, std::int64_t points) {
  const auto most = static_cast<double>(points);
  const auto chunk = static_cast<double>(kCellChunk);
  const double chain = 64.0 + std::ceil(std::min(most, chunk) / 32.0 + most / chunk) + 8.0;
  long double computed = 1.0L + static_cast<long double>(numerics::gamma(chain, numerics::kU64));
  double judging = most + 2.0;
  for (const Axis& axis : geometry.axes) {
    const double error = numerics::chebyshev_rounding(axis.nodes) * numerics::kU64;
    computed *= (1.0L + static_cast<long double>(error)) * (1.0L + 2.0L * static_cast<long double>(numerics::kU64));
    judging += 2.0 + 1.5 * axis.nodes * axis.nodes;
  }
  return computed - 1.0L + static_cast<long double>(judging * polyattn::test::kUnitRoundoff<long double>);
}

void expect_tensors(GridFamily family, std::uint64_t seed, int threads) {
  const GridCase grid = draw_grid_case(family, seed);
  const auto geometry = geometry_of(grid);
  if (!geometry) {
    return;
  }
  const HeadProblem problem = grid.problem();
  const base::Context context{threads, nullptr, nullptr};
  const std::vector<double> centre(usize(grid.value_dim), 0.25);
  const CellPoints keys = sort_keys(problem, *geometry, centre, context);
  const std::int64_t channels = 1 + grid.value_dim;
  const Field field = form_tensors(keys, *geometry, channels, context);
  const auto axes = geometry->axes.size();
  std::int64_t most = 0;
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    most = std::max(most, keys.starts[usize(cell) + 1] - keys.starts[usize(cell)]);
  }
  const long double bound = forming_bound(*geometry, most);
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    std::vector<int> at(axes, 0);
    for (;;) {
      std::int64_t rest = 0;
      for (std::size_t l = 1; l < axes; ++l) {
        rest = rest * geometry->axes[l].nodes + at[l];
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        long double sum = 0.0L;
        long double size = 0.0L;
        for (std::int64_t i = keys.starts[usize(cell)]; i < keys.starts[usize(cell) + 1]; ++i) {
          const double* places = keys.record(i) + keys.first_axis;
          auto term = static_cast<long double>(keys.channel(i, c));
          size += std::fabs(term);
          for (std::size_t l = 0; l < axes; ++l) {
            term *= chebyshev(at[l], static_cast<long double>(places[l]));
          }
          sum += term;
        }
        const double computed =
            field.tensor(cell)[(c * geometry->axes.front().nodes + at.front()) * field.width() + rest];
        EXPECT_LE(std::fabs(static_cast<long double>(computed) - sum), bound * size + 0x1p-1000L)
            << "cell " << cell << " channel " << c;
      }
      std::size_t l = axes;
      while (l > 0 && ++at[l - 1] == geometry->axes[l - 1].nodes) {
        at[--l] = 0;
      }
      if (l == 0) {
        break;
      }
    }
  }
}

TEST(GridTensors, AreSumsOfProductsOfChebyshevPolynomials) {
  for (const GridFamily family :
       {GridFamily::broad, GridFamily::borders, GridFamily::few, GridFamily::self, GridFamily::weights}) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      SCOPED_TRACE(std::string(polyattn::test::name_of(family)) + " seed " + std::to_string(seed));
      expect_tensors(family, seed, 1 + static_cast<int>(seed % 3));
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST(GridTensors, MatricesInterpolateTheKernelInItsNodes) {
  for (int nodes = 2; nodes <= 12; ++nodes) {
    Axis axis;
    axis.nodes = nodes;
    axis.side = 0.7 + 0.1 * nodes;
    axis.band = 3;
    const AxisMatrices matrices = node_matrices(axis);
    ASSERT_EQ(matrices.blocks.size(), usize(7 * nodes * nodes));
    for (int o = -3; o <= 3; ++o) {
      for (int i = 0; i < nodes; ++i) {
        for (int j = 0; j < nodes; ++j) {
          const long double apart = static_cast<long double>(axis.side) *
                                    (static_cast<long double>(o) + (node(nodes, i) - node(nodes, j)) / 2.0L);
          const long double kernel = std::exp(-apart * apart);
          long double computed = 0.0L;
          long double size = 0.0L;
          for (int k = 0; k < nodes; ++k) {
            for (int m = 0; m < nodes; ++m) {
              const auto element = static_cast<long double>(matrices.blocks[usize(((o + 3) * nodes + k) * nodes + m)]);
              computed += element * chebyshev(k, node(nodes, i)) * chebyshev(m, node(nodes, j));
              size += std::fabs(element);
            }
          }
          // Elements are rounded once; the nodes and the kernel between them are in long double.
          EXPECT_LE(std::fabs(computed - kernel), size * 0x1.01p-53L + 0x1p-58L);
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::grid
