// The grid's kernels against plain loops over the same operations: equal bits on every instruction set.

#include "simd/grid_kernels.hpp"

#include "engines/grid/masses.hpp"
#include "numerics/chebyshev_lagrange.hpp"
#include "simd/dispatch.hpp"
#include "simd/polynomial_kernel_checks.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
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

/// T_0 ... T_{nodes - 1} at x as the kernels compute them.
std::vector<double> chebyshev(double x, std::ptrdiff_t nodes) {
  std::vector<double> t{1.0, x};
  while (static_cast<std::ptrdiff_t>(t.size()) < nodes) {
    t.push_back(std::fma(2.0 * x, t.back(), -t[t.size() - 2]));
  }
  t.resize(at(nodes));
  return t;
}

TEST(GridKernels, ChebyshevPolynomials) {
  Random random(3);
  constexpr std::ptrdiff_t kPoints = 24;
  for (std::ptrdiff_t nodes = 1; nodes <= simd::kMaxNodes; ++nodes) {
    const std::ptrdiff_t padded = (nodes + 7) / 8 * 8;
    std::vector<double> x(at(kPoints));
    for (double& value : x) {
      value = random.chance(0.1) ? random.sign() : random.uniform(-1.0, 1.0);
    }
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> points(at(nodes * 32), kNan);
      std::vector<double> lists(at(kPoints * 16), kNan);
      table->grid.chebyshev_points({x.data(), kPoints, nodes, points.data(), 32});
      table->grid.chebyshev_lists({x.data(), kPoints, nodes, lists.data(), 16});
      for (std::ptrdiff_t j = 0; j < kPoints; ++j) {
        const std::vector<double> expected = chebyshev(x[at(j)], nodes);
        for (std::ptrdiff_t k = 0; k < nodes; ++k) {
          ASSERT_EQ(points[at(k * 32 + j)], expected[at(k)]) << table->name << ' ' << nodes;
          ASSERT_EQ(lists[at(j * 16 + k)], expected[at(k)]) << table->name << ' ' << nodes;
          // Section 2 of docs/proofs/grid-axis.md, against T_k = cos(k arccos x).
          const long double exact =
              std::cos(static_cast<long double>(k) * std::acos(static_cast<long double>(x[at(j)])));
          ASSERT_LE(
              std::fabs(static_cast<long double>(expected[at(k)]) - exact),
              (static_cast<long double>(numerics::chebyshev_rounding(static_cast<int>(nodes))) + 0.01L) * 0x1p-53L)
              << nodes;
        }
        for (std::ptrdiff_t k = nodes; k < padded; ++k) {
          ASSERT_EQ(lists[at(j * 16 + k)], 0.0) << table->name;
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

TEST(GridKernels, PartsOfCells) {
  Random random(8);
  const std::vector<std::vector<std::ptrdiff_t>> shapes{{1, 4}, {4, 4}, {2, 2, 2}, {1, 2, 4}};
  constexpr std::ptrdiff_t kPoints = 24;
  constexpr std::ptrdiff_t kLd = 32;
  for (const std::vector<std::ptrdiff_t>& bins : shapes) {
    const auto axes = static_cast<std::ptrdiff_t>(bins.size());
    std::vector<double> places(at(axes * kLd));
    for (double& x : places) {
      x = random.chance(0.5) ? static_cast<double>(random.integer(-4, 4)) / 4.0 : random.uniform(-1.0, 1.0);
      x = random.chance(0.2) ? std::clamp(std::nextafter(x, -9.0), -1.0, 1.0) : x;
    }
    constexpr std::ptrdiff_t kChannels = 4;
    constexpr std::ptrdiff_t kWidth = 16;
    const std::vector<double> table_of = numbers(random, kChannels * kWidth);
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> out(at(kChannels * kLd), kNan);
      table->grid.look_up(
          {places.data(), kLd, bins.data(), axes, kPoints, table_of.data(), kWidth, kChannels, out.data(), kLd});
      for (std::ptrdiff_t i = 0; i < kPoints; ++i) {
        std::ptrdiff_t part = 0;
        for (std::ptrdiff_t l = 0; l < axes; ++l) {
          part = part * bins[at(l)] + engines::grid::bin_of(places[at(l * kLd + i)], bins[at(l)]);
        }
        for (std::ptrdiff_t c = 0; c < kChannels; ++c) {
          ASSERT_EQ(out[at(c * kLd + i)], table_of[at(c * kWidth + part)]) << table->name;
        }
      }
    }
  }
}

/// The sum over axes from `axis` on, as the kernels add it up; `place` is where its numbers begin.
double nested(const std::vector<std::ptrdiff_t>& nodes, const std::vector<std::vector<double>>& lists, std::size_t axis,
              const double* place, std::ptrdiff_t step) {
  double sum = 0.0;
  for (std::ptrdiff_t k = 0; k < nodes[axis]; ++k) {
    std::ptrdiff_t next = 1;
    for (std::size_t l = axis + 2; l < nodes.size(); ++l) {
      next *= nodes[l];
    }
    const double inner = axis + 1 == nodes.size() ? place[k] : nested(nodes, lists, axis + 1, place + k * step, next);
    sum = k == 0 ? inner : std::fma(lists[axis][at(k)], inner, sum);
  }
  return sum;
}

TEST(GridKernels, RowsAreSumsAxisByAxis) {
  Random random(7);
  const std::vector<std::vector<std::ptrdiff_t>> shapes{{1, 1},    {1, 7},    {5, 16},      {16, 3},        {8, 8, 8},
                                                        {4, 6, 5}, {2, 1, 3}, {3, 2, 4, 5}, {2, 2, 3, 1, 2}};
  constexpr std::ptrdiff_t kPoints = 16;
  constexpr std::ptrdiff_t kChannels = 3;
  constexpr std::ptrdiff_t kLd = 24;
  for (const std::vector<std::ptrdiff_t>& nodes : shapes) {
    const auto axes = static_cast<std::ptrdiff_t>(nodes.size());
    std::ptrdiff_t width = 1;
    for (std::size_t l = 1; l < nodes.size(); ++l) {
      width *= nodes[l];
    }
    width = (width + 7) / 8 * 8;
    const std::vector<double> tensor = numbers(random, kChannels * nodes[0] * width);
    std::vector<double> lists;
    for (const std::ptrdiff_t count : nodes) {
      std::vector<double> list = numbers(random, count * kLd);
      std::fill_n(list.begin(), kLd, 1.0);
      lists.insert(lists.end(), list.begin(), list.end());
    }
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> out(at(kChannels * 32), kNan);
      table->grid.evaluate(
          {lists.data(), kLd, nodes.data(), axes, width, kPoints, tensor.data(), kChannels, out.data(), 32});
      for (std::ptrdiff_t i = 0; i < kPoints; ++i) {
        std::vector<std::vector<double>> own;
        std::ptrdiff_t before = 0;
        for (const std::ptrdiff_t count : nodes) {
          own.emplace_back();
          for (std::ptrdiff_t k = 0; k < count; ++k) {
            own.back().push_back(lists[at((before + k) * kLd + i)]);
          }
          before += count;
        }
        for (std::ptrdiff_t c = 0; c < kChannels; ++c) {
          const double expected = nested(nodes, own, 0, tensor.data() + c * nodes[0] * width, width);
          ASSERT_EQ(out[at(c * 32 + i)], expected) << table->name << " axes " << axes << " nodes " << nodes[0];
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
