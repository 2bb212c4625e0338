// Rows on their way to columns, where they lie, and what their bounds become: against plain loops, on every instruction
// set.

#include "simd/loading_kernels.hpp"

#include "simd/dispatch.hpp"
#include "simd/polynomial_kernel_checks.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

template <class T>
std::vector<T> numbers(Random& random, std::ptrdiff_t count) {
  std::vector<T> out(at(count));
  for (T& x : out) {
    x = static_cast<T>(random.sign() * random.log_uniform(1e-6, 1e6));
  }
  return out;
}

/// Rows around whole groups, columns around what goes through registers at a time; strides beyond the columns.
constexpr std::array<std::array<std::ptrdiff_t, 3>, 13> kShapes{{{1, 1, 1},
                                                                 {7, 3, 5},
                                                                 {8, 2, 2},
                                                                 {16, 4, 4},
                                                                 {17, 5, 9},
                                                                 {48, 9, 9},
                                                                 {33, 64, 70},
                                                                 {5, 0, 1},
                                                                 {35, 1, 1},
                                                                 {19, 3, 3},
                                                                 {26, 5, 5},
                                                                 {41, 6, 6},
                                                                 {16, 8, 8}}};

template <class S>
auto columns_kernel(const simd::KernelTable& table) {
  if constexpr (sizeof(S) == sizeof(float)) {
    return table.loading.columns32;
  } else {
    return table.loading.columns64;
  }
}

template <class S, class T>
auto place_kernel(const simd::KernelTable& table) {
  if constexpr (sizeof(S) == sizeof(float)) {
    if constexpr (sizeof(T) == sizeof(float)) {
      return table.loading.place32in32;
    } else {
      return table.loading.place32in64;
    }
  } else {
    if constexpr (sizeof(T) == sizeof(float)) {
      return table.loading.place64in32;
    } else {
      return table.loading.place64in64;
    }
  }
}

template <class S>
void check_columns() {
  Random random(11);
  for (const auto& [count, columns, stride] : kShapes) {
    const auto rows = numbers<S>(random, count * stride);
    const std::ptrdiff_t ld = count + 3;
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<double> out(at(ld * columns), kNan);
      columns_kernel<S> (*table)({rows.data(), stride, count, columns, out.data(), ld});
      for (std::ptrdiff_t c = 0; c < columns; ++c) {
        for (std::ptrdiff_t r = 0; r < ld; ++r) {
          if (r < count) {
            ASSERT_EQ(out[at(c * ld + r)], static_cast<double>(rows[at(r * stride + c)])) << table->name;
          } else {
            ASSERT_TRUE(std::isnan(out[at(c * ld + r)])) << table->name << ": wrote beyond its rows";
          }
        }
      }
    }
  }
}

template <class S, class T>
void check_place() {
  Random random(12);
  for (const auto& [count, columns, stride] : kShapes) {
    const auto rows = numbers<S>(random, count * stride);
    const auto centre = numbers<double>(random, columns);
    const auto factor = numbers<double>(random, columns);
    const std::ptrdiff_t ld = count + 1;
    for (const bool scaled : {false, true}) {
      for (const simd::KernelTable* table : simd::available()) {
        std::vector<T> out(at(ld * columns), static_cast<T>(kNan));
        place_kernel<S, T> (*table)(
            {rows.data(), stride, count, columns, centre.data(), scaled ? factor.data() : nullptr, out.data(), ld});
        for (std::ptrdiff_t c = 0; c < columns; ++c) {
          for (std::ptrdiff_t r = 0; r < count; ++r) {
            const double away = static_cast<double>(rows[at(r * stride + c)]) - centre[at(c)];
            ASSERT_EQ(out[at(c * ld + r)], static_cast<T>(away * (scaled ? factor[at(c)] : 1.0))) << table->name;
          }
          ASSERT_TRUE(std::isnan(out[at(c * ld + count)])) << table->name << ": wrote beyond its rows";
        }
      }
    }
  }
}

TEST(LoadingKernels, ColumnsAreThoseOfTheRows) {
  check_columns<float>();
  check_columns<double>();
}

TEST(LoadingKernels, PlacedNumbersAreRoundedOnce) {
  check_place<float, float>();
  check_place<float, double>();
  check_place<double, float>();
  check_place<double, double>();
}

struct Located {
  std::vector<double> x;
  std::vector<double> norm;
  std::vector<double> box;
  std::vector<double> radius;
  std::vector<double> inside;
  std::vector<float> y;
  double poison = 0.0;
};

struct Places {
  std::ptrdiff_t tokens;
  std::vector<double> centre;
  std::vector<double> metric;
  std::vector<double> half;
  std::vector<double> reach;
  std::vector<double> factor;
  std::vector<double> x;
};

Located locate(const simd::KernelTable& table, const Places& given, double limit) {
  const std::size_t count = at(given.tokens);
  Located out{given.x,
              std::vector<double>(count),
              std::vector<double>(count),
              std::vector<double>(count),
              std::vector<double>(count),
              std::vector<float>(given.x.size()),
              0.0};
  simd::LocateBlock<float> block{};
  block.tokens = given.tokens;
  block.dim = static_cast<std::ptrdiff_t>(given.centre.size());
  block.centre = given.centre.data();
  block.metric = given.metric.data();
  block.half = given.half.data();
  block.reach = given.reach.data();
  block.factor = given.factor.data();
  block.least = 1e-300;
  block.key_norm = 0.8;
  block.limit = limit;
  block.x = out.x.data();
  block.norm = out.norm.data();
  block.box = out.box.data();
  block.radius = out.radius.data();
  block.inside = out.inside.data();
  block.y = out.y.data();
  out.poison = table.polynomial32.locate(block);
  return out;
}

Places places(std::ptrdiff_t tokens, std::ptrdiff_t dim) {
  Random random(13);
  Places out{tokens, {}, {}, {}, {}, {}, {}};
  for (std::ptrdiff_t l = 0; l < dim; ++l) {
    out.centre.push_back(random.uniform(-1.0, 1.0));
    out.metric.push_back(random.uniform(-2.0, 2.0));
    out.half.push_back(random.uniform(0.5, 2.0));
    out.reach.push_back(random.uniform(0.5, 2.0));
    out.factor.push_back(0.25);
  }
  for (std::ptrdiff_t i = 0; i < tokens * dim; ++i) {
    out.x.push_back(random.uniform(-2.0, 2.0));
  }
  return out;
}

TEST(LoadingKernels, RowsLieWhereTheySay) {
  const Places given = places(24, 3);
  const double limit = 2.5;
  std::ptrdiff_t inside = 0;
  for (const simd::KernelTable* table : simd::available()) {
    const Located out = locate(*table, given, limit);
    EXPECT_EQ(out.poison, 0.0);
    for (std::size_t i = 0; i < 24; ++i) {
      double norm = 1e-300;
      double box = 1e-300;
      bool within = true;
      for (std::size_t l = 0; l < 3; ++l) {
        const double away = std::fabs(given.x[l * 24 + i] - given.centre[l]);
        ASSERT_EQ(out.x[l * 24 + i], given.x[l * 24 + i] - given.centre[l]);
        norm += std::fabs(given.metric[l]) * away * away;
        box += std::fabs(given.metric[l]) * away * given.reach[l];
        within = within && away <= given.half[l];
      }
      norm = std::sqrt(norm) * (1.0 + 1e-6);
      const double radius = std::min(norm * 0.8, box * (1.0 + 1e-6));
      ASSERT_EQ(out.norm[i], norm) << table->name;
      ASSERT_EQ(out.radius[i], radius) << table->name;
      ASSERT_EQ(out.box[i], radius) << table->name;
      ASSERT_EQ(out.inside[i], within && radius <= limit ? 1.0 : 0.0) << table->name;
      for (std::size_t l = 0; l < 3; ++l) {
        ASSERT_EQ(out.y[l * 24 + i], out.inside[i] != 0.0 ? static_cast<float>(out.x[l * 24 + i] * 0.25) : 0.0F);
      }
      inside += out.inside[i] != 0.0 ? 1 : 0;
    }
  }
  EXPECT_GT(inside, 0);
  EXPECT_LT(inside, 24 * static_cast<std::ptrdiff_t>(simd::available().size()));
}

// What is not finite is told, and its row refused; nothing is inside a limit below 0.
TEST(LoadingKernels, RowsThatAreNotFiniteAreRefused) {
  for (const simd::KernelTable* table : simd::available()) {
    for (const double bad : {kNan, HUGE_VAL, -HUGE_VAL}) {
      Places given = places(16, 2);
      given.half.assign(2, HUGE_VAL);
      given.x[21] = bad;
      const Located out = locate(*table, given, 1e300);
      EXPECT_TRUE(std::isnan(out.poison)) << table->name << ", " << bad;
      EXPECT_EQ(out.inside[5], 0.0) << table->name << ", " << bad;
      EXPECT_EQ(out.y[5], 0.0F);
      EXPECT_EQ(out.inside[6], 1.0) << table->name;
    }
    const Located none = locate(*table, places(16, 2), -1.0);
    for (const double inside : none.inside) {
      EXPECT_EQ(inside, 0.0) << table->name;
    }
  }
}

TEST(LoadingKernels, BoundsBecomeThoseOfTheStoredAnswer) {
  constexpr std::ptrdiff_t kTokens = 16;
  Random random(14);
  const auto draw = [&](double low, double high) {
    std::vector<double> out(at(kTokens));
    for (double& x : out) {
      x = random.log_uniform(low, high);
    }
    return out;
  };
  const auto box = draw(1e-3, 1e3);
  const auto lost = draw(1e-20, 1e-3);
  const auto low = draw(1e-3, 1e3);
  auto largest = draw(1e-3, 1e3);
  largest[3] = 7e4;  // too large for float16
  const auto approximation = draw(1e-9, 1.0);
  const auto rounding = draw(1e-9, 1.0);
  for (const simd::KernelTable* table : simd::available()) {
    auto bound = approximation;
    auto rounded = rounding;
    std::vector<double> storage(at(kTokens));
    simd::CompleteBlock block{};
    block.tokens = kTokens;
    block.box = box.data();
    block.lost = lost.data();
    block.denominator_low = low.data();
    block.largest = largest.data();
    block.score = 0.01;
    block.moved = 0.003;
    block.range = 2.0;
    block.answer_unit = 1e-15;
    block.answer_largest = 5.0;
    block.stored = {1e-7, 1e-40, 5e4};
    block.stored_apart = {1e-3, 1e-8, 65504.0};
    block.approximation = bound.data();
    block.rounding = rounded.data();
    block.storage = storage.data();
    table->polynomial64.complete(block);
    for (std::size_t i = 0; i < at(kTokens); ++i) {
      const bool fits = i != 3;
      const double movement = std::min(0.5 * (0.01 * box[i] + 0.003), 1.0);
      const double least = rounding[i] + 2.0 * (movement + lost[i] / low[i]) + 1e-15 * (largest[i] + 5.0) +
                           (fits ? 1e-7 * largest[i] + 1e-40 : HUGE_VAL);
      EXPECT_GE(bound[i], approximation[i]) << table->name;
      EXPECT_LE(bound[i], approximation[i] * (1.0 + 1e-11)) << table->name;
      EXPECT_EQ(std::isinf(rounded[i]), !fits) << table->name;
      EXPECT_EQ(std::isinf(storage[i]), !fits) << table->name;
      if (fits) {
        EXPECT_GE(rounded[i], least) << table->name;
        EXPECT_LE(rounded[i], least * (1.0 + 1e-11)) << table->name;
        EXPECT_EQ(storage[i], 1e-3 * largest[i] + 1e-8) << table->name;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
