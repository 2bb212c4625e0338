// Tensors of cells, and the matrices between nodes, against their definition in long double.

#include "engines/grid/tensors.hpp"

#include "engines/grid/head.hpp"
#include "numerics/chebyshev_lagrange.hpp"
#include "support/grid_case.hpp"
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

/// The Lagrange polynomial of a node by its product.
long double lagrange(int nodes, int i, long double x) {
  long double product = 1.0L;
  for (int j = 0; j < nodes; ++j) {
    product *= j == i ? 1.0L : (x - node(nodes, j)) / (node(nodes, i) - node(nodes, j));
  }
  return product;
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
  const Field field = form_tensors(keys, *geometry, make_bases(*geometry), channels, context);
  const auto axes = geometry->axes.size();
  std::int64_t most = 0;
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    most = std::max(most, keys.starts[usize(cell) + 1] - keys.starts[usize(cell)]);
  }
  const double bound = rounding_factor(*geometry, most);
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
          const double* record = keys.record(i);
          auto term = static_cast<long double>(record[axes + usize(c)]);
          size += std::fabs(term);
          for (std::size_t l = 0; l < axes; ++l) {
            term *= lagrange(geometry->axes[l].nodes, at[l], static_cast<long double>(record[l]));
          }
          sum += term;
        }
        const double computed =
            field.tensor(cell)[(c * geometry->axes.front().nodes + at.front()) * field.width() + rest];
        // R covers forming, passes and evaluating: forming alone is less.
        EXPECT_LE(std::fabs(static_cast<long double>(computed) - sum),
                  static_cast<long double>(bound) * size + 0x1p-1000L)
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

TEST(GridTensors, AreSumsOfProductsOfLagrangePolynomials) {
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

TEST(GridTensors, MatricesAreTheKernelBetweenNodes) {
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
          const double computed = matrices.blocks[usize(((o + 3) * nodes + i) * nodes + j)];
          const double far = 4.0 * axis.side;
          EXPECT_LE(std::fabs(static_cast<long double>(computed) - kernel),
                    kernel * static_cast<long double>((9.0 * far * far + 4.0) * 0x1p-53));
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::grid
