// The grid's kernels against plain loops over the same operations: equal bits on every instruction set.

#include "simd/grid_kernels.hpp"

#include "numerics/chebyshev_lagrange.hpp"
#include "simd/dispatch.hpp"
#include "simd/polynomial_kernel_checks.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::test {
namespace {

std::vector<double> numbers(Random& random, std::ptrdiff_t count) {
  std::vector<double> out(at(count));
  for (double& x : out) {
    x = random.normal();
  }
  return out;
}

TEST(GridKernels, RangesAndNumbersThatAreNone) {
  Random random(1);
  for (const simd::KernelTable* table : simd::available()) {
    for (const std::ptrdiff_t count : {8, 16, 64, 512}) {
      std::vector<double> x = numbers(random, count);
      const simd::ColumnRange range = table->grid.range(x.data(), count);
      EXPECT_EQ(range.low, *std::min_element(x.begin(), x.end())) << table->name;
      EXPECT_EQ(range.high, *std::max_element(x.begin(), x.end())) << table->name;
      EXPECT_EQ(range.poison, 0.0) << table->name;
      for (const double none : {kNan, HUGE_VAL, -HUGE_VAL}) {
        const auto where = at(random.integer(0, count - 1));
        const double kept = std::exchange(x[where], none);
        EXPECT_TRUE(std::isnan(table->grid.range(x.data(), count).poison)) << table->name;
        x[where] = kept;
      }
    }
  }
}

TEST(GridKernels, PlacesAreWithinTheirCells) {
  Random random(2);
  constexpr std::ptrdiff_t kCount = 512;
  for (const double cells : {1.0, 2.0, 7.0, 1e6}) {
    std::vector<double> x(at(kCount));
    for (double& value : x) {
      const double cell = std::floor(random.uniform(-1.0, cells + 1.0));
      value = random.chance(0.5) ? cell : cell + random.unit();
      value = random.chance(0.2) ? std::nextafter(value, -1e9) : value;
    }
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> local(at(kCount), kNan);
      std::vector<double> id(at(kCount), 5.0);
      const double origin = 0.25;
      const double scale = 1.25;
      table->grid.locate({x.data(), kCount, origin, scale, cells, 3.0, local.data(), id.data()});
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double g = (x[i] - origin) * scale;
        const double cell = std::clamp(std::floor(g), 0.0, cells - 1.0);
        ASSERT_EQ(local[i], std::clamp(2.0 * (g - cell) - 1.0, -1.0, 1.0)) << table->name;
        ASSERT_EQ(id[i], 5.0 + 3.0 * cell) << table->name;
      }
    }
  }
}

TEST(GridKernels, LagrangePolynomials) {
  Random random(3);
  constexpr std::ptrdiff_t kPoints = 24;
  for (std::ptrdiff_t nodes = 1; nodes <= simd::kMaxNodes; ++nodes) {
    const std::vector<double> coefficients = numerics::lagrange_coefficients(static_cast<int>(nodes));
    const std::ptrdiff_t ld = (nodes + 7) / 8 * 8;
    std::vector<double> matrix(at(nodes * ld), 0.0);
    for (std::ptrdiff_t k = 0; k < nodes; ++k) {
      std::copy_n(coefficients.begin() + k * nodes, nodes, matrix.begin() + k * ld);
    }
    std::vector<double> x(at(kPoints));
    for (double& value : x) {
      value = random.chance(0.1) ? random.sign() : random.uniform(-1.0, 1.0);
    }
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> points(at(nodes * 32), kNan);
      std::vector<double> lists(at(kPoints * 16), kNan);
      table->grid.lagrange_points({x.data(), kPoints, matrix.data(), ld, nodes, points.data(), 32});
      table->grid.lagrange_nodes({x.data(), kPoints, matrix.data(), ld, nodes, lists.data(), 16});
      std::vector<double> expected(at(nodes));
      for (std::ptrdiff_t j = 0; j < kPoints; ++j) {
        numerics::lagrange_values(coefficients, x[at(j)], expected);
        for (std::ptrdiff_t node = 0; node < nodes; ++node) {
          ASSERT_EQ(points[at(node * 32 + j)], expected[at(node)]) << table->name << ' ' << nodes;
          ASSERT_EQ(lists[at(j * 16 + node)], expected[at(node)]) << table->name << ' ' << nodes;
        }
        for (std::ptrdiff_t node = nodes; node < ld; ++node) {
          ASSERT_EQ(lists[at(j * 16 + node)], 0.0) << table->name;
        }
      }
    }
  }
}

TEST(GridKernels, ProductsOfListsEndInZeros) {
  Random random(4);
  for (const std::ptrdiff_t nodes : {1, 3, 7, 8, 9, 16}) {
    for (const std::ptrdiff_t length : {1, 5, 24}) {
      constexpr std::ptrdiff_t kPoints = 8;
      const std::ptrdiff_t ld = length * nodes + 16;
      const std::vector<double> list = numbers(random, kPoints * length);
      std::vector<double> axis = numbers(random, kPoints * 16);
      for (std::ptrdiff_t j = 0; j < kPoints; ++j) {
        std::fill(axis.begin() + j * 16 + nodes, axis.begin() + j * 16 + 16, 0.0);
      }
      for (const simd::KernelTable* table : simd::available()) {
        std::vector<double> out(at(kPoints * ld + 16), kNan);
        table->grid.expand({list.data(), length, length, axis.data(), 16, nodes, kPoints, out.data(), ld});
        for (std::ptrdiff_t j = 0; j < kPoints; ++j) {
          for (std::ptrdiff_t m = 0; m < length * nodes; ++m) {
            ASSERT_EQ(out[at(j * ld + m)], list[at(j * length + m / nodes)] * axis[at(j * 16 + m % nodes)])
                << table->name;
          }
          for (std::ptrdiff_t m = length * nodes; m < (length * nodes + 7) / 8 * 8; ++m) {
            ASSERT_EQ(out[at(j * ld + m)], 0.0) << table->name;
          }
        }
      }
    }
  }
}

TEST(GridKernels, TensorsAreSumsInOneChain) {
  Random random(5);
  for (const std::ptrdiff_t rows : {1, 3, 8, 13, 30}) {
    for (const std::ptrdiff_t width : {8, 16, 40, 216}) {
      for (const std::ptrdiff_t points : {1, 7, 64}) {
        const std::vector<double> left = numbers(random, rows * 64);
        const std::vector<double> right = numbers(random, points * (width + 8));
        const std::vector<double> before = numbers(random, rows * width);
        for (const simd::KernelTable* table : simd::available()) {
          std::vector<double> tensor = before;
          table->grid.form({left.data(), rows, 64, right.data(), width + 8, width, points, tensor.data()});
          for (std::ptrdiff_t r = 0; r < rows; ++r) {
            for (std::ptrdiff_t m = 0; m < width; ++m) {
              double sum = 0.0;
              for (std::ptrdiff_t j = 0; j < points; ++j) {
                sum = std::fma(left[at(r * 64 + j)], right[at(j * (width + 8) + m)], sum);
              }
              ASSERT_EQ(tensor[at(r * width + m)], before[at(r * width + m)] + sum) << table->name;
            }
          }
        }
      }
    }
  }
}

TEST(GridKernels, PassesAreSumsInOneChain) {
  Random random(6);
  for (const std::ptrdiff_t nodes : {1, 2, 5, 9, 16}) {
    for (const std::ptrdiff_t width : {8, 24, 56}) {
      for (const std::ptrdiff_t count : {0, 1, 4}) {
        constexpr std::ptrdiff_t kChannels = 2;
        std::vector<std::vector<double>> sources;
        std::vector<std::vector<double>> matrices;
        std::vector<const double*> source_list;
        std::vector<const double*> matrix_list;
        for (std::ptrdiff_t s = 0; s < count; ++s) {
          sources.push_back(numbers(random, kChannels * nodes * width));
          matrices.push_back(numbers(random, nodes * nodes));
        }
        for (std::ptrdiff_t s = 0; s < count; ++s) {
          source_list.push_back(sources[at(s)].data());
          matrix_list.push_back(matrices[at(s)].data());
        }
        for (const simd::KernelTable* table : simd::available()) {
          std::vector<double> out(at(kChannels * nodes * width), kNan);
          table->grid.pass({source_list.data(), matrix_list.data(), count, nodes, kChannels, width, out.data()});
          for (std::ptrdiff_t e = 0; e < kChannels * nodes * width; ++e) {
            const std::ptrdiff_t channel = e / (nodes * width);
            const std::ptrdiff_t row = e / width % nodes;
            double sum = 0.0;
            for (std::ptrdiff_t s = 0; s < count; ++s) {
              for (std::ptrdiff_t node = 0; node < nodes; ++node) {
                sum = std::fma(matrices[at(s)][at(row * nodes + node)],
                               sources[at(s)][at((channel * nodes + node) * width + e % width)], sum);
              }
            }
            ASSERT_EQ(out[at(e)], sum) << table->name << " nodes " << nodes << " width " << width;
          }
        }
      }
    }
  }
}

TEST(GridKernels, RowsAreSumsInEightChains) {
  Random random(7);
  for (const std::ptrdiff_t nodes : {1, 4, 10, 16}) {
    for (const std::ptrdiff_t width : {8, 16, 40, 104}) {
      constexpr std::ptrdiff_t kPoints = 16;
      constexpr std::ptrdiff_t kChannels = 3;
      const std::vector<double> rows = numbers(random, nodes * 64);
      const std::vector<double> columns = numbers(random, kPoints * width);
      const std::vector<double> tensor = numbers(random, kChannels * nodes * width);
      std::vector<double> first;
      for (const simd::KernelTable* table : simd::available()) {
        std::vector<double> out(at(kChannels * 64), kNan);
        table->grid.evaluate(
            {rows.data(), nodes, 64, columns.data(), width, width, kPoints, tensor.data(), kChannels, out.data(), 64});
        for (std::ptrdiff_t c = 0; c < kChannels; ++c) {
          for (std::ptrdiff_t i = 0; i < kPoints; ++i) {
            double chain[8] = {};
            long double size = 0.0L;
            for (std::ptrdiff_t m = 0; m < width; ++m) {
              double inner = 0.0;
              for (std::ptrdiff_t node = 0; node < nodes; ++node) {
                inner = std::fma(rows[at(node * 64 + i)], tensor[at((c * nodes + node) * width + m)], inner);
              }
              chain[m % 8] = std::fma(inner, columns[at(i * width + m)], chain[m % 8]);
            }
            long double sum = 0.0L;
            for (const double part : chain) {
              sum += static_cast<long double>(part);
              size += std::fabs(static_cast<long double>(part));
            }
            // Three additions join the chains.
            ASSERT_LE(std::fabs(static_cast<long double>(out[at(c * 64 + i)]) - sum), 3.01L * 0x1p-53L * size)
                << table->name;
          }
        }
        first = first.empty() ? out : first;
        ASSERT_TRUE(same_bits(out, first)) << table->name;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
