// The kernels of the polynomial engine: the same bits on every instruction set, and the sums they promise, judged in
// long double by the rounding counts of docs/theory.md.

#include "simd/polynomial_kernels.hpp"

#include "engines/polynomial/moments.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"
#include "simd/monomial_lists.hpp"
#include "simd/polynomial_kernel_checks.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

template <class T>
const simd::PolynomialKernels<T>& kernels_of(const simd::KernelTable& table) {
  if constexpr (std::is_same_v<T, float>) {
    return table.polynomial32;
  } else {
    return table.polynomial64;
  }
}

template <class T>
constexpr double unit() {
  return std::is_same_v<T, float> ? numerics::kU32 : numerics::kU64;
}
template <class T>
constexpr std::ptrdiff_t width() {
  return std::is_same_v<T, float> ? 16 : 8;
}

template <class T>
std::vector<T> random_values(Random& random, std::ptrdiff_t count) {
  std::vector<T> out(at(count));
  for (T& x : out) {
    x = static_cast<T>(random.uniform(-1.0, 1.0));
  }
  return out;
}

struct KernelShape {
  int dim;
  int degree;
  std::ptrdiff_t columns;  ///< value columns and the weight
  std::ptrdiff_t tokens;
  int split = 0;  ///< outer variables
  bool spread = false;
};

std::string text(const KernelShape& s) {
  return "dim " + std::to_string(s.dim) + ", degree " + std::to_string(s.degree) + ", columns " +
         std::to_string(s.columns) + ", split " + std::to_string(s.split) + (s.spread ? ", spread" : "");
}

/// Every number of columns the tiles treat differently, groups that fill exactly, ranks around whole groups.
std::vector<KernelShape> shapes(std::ptrdiff_t tokens) {
  std::vector<KernelShape> all;
  for (std::ptrdiff_t columns = 1; columns <= 13; ++columns) {
    all.push_back({3, 4, columns, tokens});
  }
  for (const auto& [dim, degree] :
       {std::pair{1, 0}, {1, 1}, {1, 7}, {1, 8}, {2, 3}, {2, 9}, {5, 3}, {8, 2}, {9, 1}, {33, 2}, {6, 5}}) {
    all.push_back({dim, degree, 2, tokens});
  }
  all.push_back({2, 2, 65, tokens});
  all.push_back({70, 1, 3, tokens});
  for (const int split : {1, 2}) {
    for (std::ptrdiff_t columns = 1; columns <= 5; ++columns) {
      all.push_back({3, 4, columns, tokens, split, false});
      all.push_back({4, 3, columns, tokens, split, true});
    }
    all.push_back({3, 9, 2, tokens, split, false});
    all.push_back({6, 1, 2, tokens, split, true});
    all.push_back({5, 2, 3, tokens, split, true});
  }
  all.push_back({6, 3, 3, tokens, 4, false});
  all.push_back({5, 2, 9, tokens, 0, true});
  return all;
}

template <class T>
struct KernelData {
  KernelShape shape;
  engines::FeatureList features;
  std::vector<T> x;
  std::vector<T> columns;  ///< weighted, [columns][tokens]
  std::vector<T> moments;
  std::vector<VariableList> outer;
  std::vector<VariableList> inner;
  KernelData(const KernelShape& s, std::uint64_t seed)
      : shape(s),
        features(engines::split_features(s.dim, s.split, s.degree, s.columns - 1, s.spread)),
        outer(s.split > 0 ? monomials_up_to(s.split, s.degree) : std::vector<VariableList>{{}}),
        inner(monomials_up_to(s.dim - s.split, s.degree)) {
    Random random(seed);
    x = random_values<T>(random, s.dim * s.tokens);
    columns = random_values<T>(random, features.columns() * s.tokens);
    moments = random_values<T>(random, features.moments());
  }

  [[nodiscard]] std::vector<double> run_moments(const simd::KernelTable& table) const {
    std::vector<T> groups(at((shape.degree + 1) * simd::group_stride(simd::kMomentGroup, shape.tokens)),
                          static_cast<T>(kNan));
    std::vector<T> rows(at(features.row_count() * shape.tokens), static_cast<T>(kNan));
    for (std::ptrdiff_t c = 0; c < features.columns(); ++c) {
      std::copy_n(columns.begin() + c * shape.tokens, shape.tokens,
                  rows.begin() + features.column_row[at(c)] * shape.tokens);
    }
    std::vector<double> totals(at(features.moments()), 0.5);
    kernels_of<T>(table).moments(
        {features.program(), x.data(), rows.data(), shape.tokens, groups.data(), totals.data()});
    return totals;
  }
  [[nodiscard]] std::vector<double> run_evaluate(const simd::KernelTable& table) const {
    const std::ptrdiff_t slab = features.columns() * shape.tokens;
    std::vector<T> outer_values(at(features.outer_count() * shape.tokens), static_cast<T>(kNan));
    std::vector<T> groups(at((shape.degree + 1) * simd::group_stride(simd::kEvaluationGroup, shape.tokens)),
                          static_cast<T>(kNan));
    std::vector<T> partial(at((shape.degree + 1) * slab), static_cast<T>(kNan));
    std::vector<double> sums(at((shape.degree + 1) * slab), kNan);
    kernels_of<T>(table).evaluate({features.program(), x.data(), shape.tokens, moments.data(), outer_values.data(),
                                   groups.data(), partial.data(), sums.data()});
    return sums;
  }
  [[nodiscard]] long double product(const VariableList& list, int first, std::ptrdiff_t token) const {
    long double out = 1.0L;
    for (const int variable : list) {
      out *= static_cast<long double>(x[at((first + variable) * shape.tokens + token)]);
    }
    return out;
  }
  /// Calls body(u, inner index, row index, index of the moment) for every moment.
  template <class Body>
  void for_moments(const Body& body) const {
    for (int u = 0; u <= shape.degree; ++u) {
      for (std::ptrdiff_t f = features.inner.offsets[at(u)]; f < features.inner.offsets[at(u) + 1]; ++f) {
        for (std::ptrdiff_t k = 0; k < features.active[at(u)]; ++k) {
          body(u, f, features.rows[at(k)], at(features.moment(u, f, k)));
        }
      }
    }
  }
};

template <class T>
class PolynomialKernels : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(PolynomialKernels, Arithmetics);

TYPED_TEST(PolynomialKernels, MomentsAreTheSameBitsEverywhere) {
  for (const std::ptrdiff_t tokens : {16, 48, 512}) {
    for (const KernelShape& shape : shapes(tokens)) {
      const KernelData<TypeParam> data(shape, 1);
      const auto expected = data.run_moments(*simd::available().back());
      for (const simd::KernelTable* table : simd::available()) {
        ASSERT_TRUE(same_bits(expected, data.run_moments(*table))) << table->name << ": " << text(shape);
      }
    }
  }
}

TYPED_TEST(PolynomialKernels, SumsAreTheSameBitsEverywhere) {
  for (const std::ptrdiff_t tokens : {64, 256}) {
    for (const KernelShape& shape : shapes(tokens)) {
      const KernelData<TypeParam> data(shape, 2);
      const auto expected = data.run_evaluate(*simd::available().back());
      for (const simd::KernelTable* table : simd::available()) {
        ASSERT_TRUE(same_bits(expected, data.run_evaluate(*table))) << table->name << ": " << text(shape);
      }
    }
  }
}

// Subnormal products, infinities and NaN too.
TYPED_TEST(PolynomialKernels, ExtremesAreTheSameBitsEverywhere) {
  using T = TypeParam;
  KernelData<T> data({2, 4, 3, 64}, 3);
  const T tiny = std::numeric_limits<T>::min();
  const T special[] = {T(0),
                       T(-0.0),
                       tiny,
                       std::numeric_limits<T>::denorm_min(),
                       std::sqrt(tiny),
                       std::numeric_limits<T>::max(),
                       std::numeric_limits<T>::infinity(),
                       static_cast<T>(kNan)};
  Random random(4);
  for (const std::size_t kinds : {5U, 6U, 8U}) {
    for (std::vector<T>* values : {&data.x, &data.columns, &data.moments}) {
      for (T& x : *values) {
        x = random.chance(0.3) ? special[at(random.integer(0, static_cast<std::int64_t>(kinds) - 1))] : x;
      }
    }
    const auto moments = data.run_moments(*simd::available().back());
    const auto sums = data.run_evaluate(*simd::available().back());
    for (const simd::KernelTable* table : simd::available()) {
      EXPECT_TRUE(same_bits(moments, data.run_moments(*table))) << table->name;
      EXPECT_TRUE(same_bits(sums, data.run_evaluate(*table))) << table->name;
    }
  }
}

// moments += sum over tokens: t products, a chain of tokens / width, then float64.
TYPED_TEST(PolynomialKernels, MomentsAreTheSumsTheyPromise) {
  for (const KernelShape& shape :
       {KernelShape{3, 4, 5, 512}, KernelShape{2, 7, 4, 128}, KernelShape{12, 2, 3, 16}, KernelShape{3, 5, 2, 512, 1},
        KernelShape{4, 4, 3, 48, 2, true}, KernelShape{5, 2, 2, 16, 0, true}}) {
    const KernelData<TypeParam> data(shape, 5);
    const auto totals = data.run_moments(*simd::available().front());
    data.for_moments([&](int u, std::ptrdiff_t f, const simd::OuterRow& row, std::size_t index) {
      const double chain = u + row.degree + static_cast<double>(shape.tokens / width<TypeParam>());
      const double gamma = numerics::gamma(chain, unit<TypeParam>()) + numerics::gamma(6, numerics::kU64);
      long double sum = 0.5L;
      long double absolute = 0.5L;
      for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
        const long double term = data.product(data.outer[at(row.outer)], 0, i) *
                                 data.product(data.inner[at(f)], shape.split, i) *
                                 static_cast<long double>(data.columns[at(row.column * shape.tokens + i)]);
        sum += term;
        absolute += std::fabs(term);
      }
      ASSERT_LE(static_cast<double>(std::fabs(static_cast<long double>(totals[index]) - sum)),
                gamma * static_cast<double>(absolute))
          << text(shape) << ", inner " << f << ", outer " << row.outer << ", column " << row.column;
    });
  }
}

TYPED_TEST(PolynomialKernels, SumsAreTheSumsTheyPromise) {
  for (const KernelShape& shape :
       {KernelShape{3, 5, 4, 64}, KernelShape{5, 4, 2, 64}, KernelShape{33, 2, 3, 64}, KernelShape{3, 9, 2, 64, 1},
        KernelShape{5, 4, 3, 64, 2, true}, KernelShape{6, 3, 2, 64, 3}}) {
    const KernelData<TypeParam> data(shape, 6);
    const auto sums = data.run_evaluate(*simd::available().front());
    const std::ptrdiff_t slots = (shape.degree + 1) * data.features.columns();
    std::vector<long double> sum(at(slots * shape.tokens), 0.0L);
    std::vector<long double> absolute(sum.size(), 0.0L);
    std::vector<double> terms(at(slots), 0.0);
    data.for_moments([&](int u, std::ptrdiff_t f, const simd::OuterRow& row, std::size_t index) {
      const std::ptrdiff_t slot = (u + row.degree) * data.features.columns() + row.column;
      terms[at(slot)] += 1.0;
      for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
        const long double term = data.product(data.outer[at(row.outer)], 0, i) *
                                 data.product(data.inner[at(f)], shape.split, i) *
                                 static_cast<long double>(data.moments[index]);
        sum[at(slot * shape.tokens + i)] += term;
        absolute[at(slot * shape.tokens + i)] += std::fabs(term);
      }
    });
    constexpr int kGroups = simd::kEvaluationGroups + simd::kOuterMonomials;
    for (std::ptrdiff_t s = 0; s < slots; ++s) {
      if (terms[at(s)] == 0.0) {
        continue;  // no such sum
      }
      const double gamma =
          numerics::gamma(shape.degree + static_cast<double>(simd::kEvaluationGroup) + kGroups, unit<TypeParam>()) +
          numerics::gamma(terms[at(s)] / simd::kEvaluationGroups + 2.0, numerics::kU64);
      for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
        const std::size_t index = at(s * shape.tokens + i);
        ASSERT_LE(static_cast<double>(std::fabs(static_cast<long double>(sums[index]) - sum[index])),
                  gamma * static_cast<double>(absolute[index]))
            << text(shape) << ", slot " << s << ", token " << i;
      }
    }
  }
}

TYPED_TEST(PolynomialKernels, WeighMultipliesAndSums) {
  using T = TypeParam;
  constexpr std::ptrdiff_t kTokens = 512;
  Random random(7);
  for (const std::ptrdiff_t columns : {0, 1, 2, 7}) {
    auto weight = random_values<T>(random, kTokens);
    for (T& w : weight) {
      w = std::fabs(w);
    }
    const auto centred = random_values<T>(random, columns * kTokens);
    struct Out {
      std::vector<T> weighted;
      std::vector<double> absolute;
      std::vector<double> square;
      std::vector<T> spread;
    };
    const auto run = [&](const simd::KernelTable& table) {
      Out out{std::vector<T>(at(columns * kTokens)), std::vector<double>(at(columns), 0.25),
              std::vector<double>(at(columns), 0.5), std::vector<T>(at(columns * kTokens))};
      kernels_of<T>(table).weigh({weight.data(), centred.data(), kTokens, columns, out.weighted.data(),
                                  out.absolute.data(), out.square.data(), out.spread.data()});
      return out;
    };
    const Out expected = run(*simd::available().back());
    for (const simd::KernelTable* table : simd::available()) {
      const Out out = run(*table);
      ASSERT_TRUE(same_bits(out.weighted, expected.weighted)) << table->name;
      ASSERT_TRUE(same_bits(out.absolute, expected.absolute)) << table->name;
      ASSERT_TRUE(same_bits(out.square, expected.square)) << table->name;
    }
    const double gamma = numerics::gamma(3.0 + static_cast<double>(kTokens / width<T>()), unit<T>());
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      long double absolute = 0.25L;
      long double square = 0.5L;
      for (std::ptrdiff_t i = 0; i < kTokens; ++i) {
        const T value = centred[at(c * kTokens + i)];
        ASSERT_EQ(expected.weighted[at(c * kTokens + i)], weight[at(i)] * value);
        ASSERT_EQ(expected.spread[at(c * kTokens + i)], std::fabs(weight[at(i)] * value));
        const long double product = static_cast<long double>(weight[at(i)]) * static_cast<long double>(value);
        absolute += std::fabs(product);
        square += product * static_cast<long double>(value);
      }
      EXPECT_LE(std::fabs(static_cast<long double>(expected.absolute[at(c)]) - absolute),
                gamma * static_cast<double>(absolute));
      EXPECT_LE(std::fabs(static_cast<long double>(expected.square[at(c)]) - square),
                gamma * static_cast<double>(square));
    }
  }
}

TYPED_TEST(PolynomialKernels, ScaleRoundsEveryProductOnce) {
  using T = TypeParam;
  Random random(8);
  for (const std::ptrdiff_t count : {0, 1, 7, 8, 33, 1000}) {
    const auto weights = random_values<double>(random, count);
    auto totals = random_values<double>(random, count);
    for (std::ptrdiff_t i = 0; i < count; i += 5) {
      totals[at(i)] *= std::exp2(-140.0 - static_cast<double>(i % 20));  // subnormal as float, or 0
    }
    for (const simd::KernelTable* table : simd::available()) {
      std::vector<T> scaled(at(count), T(7));
      kernels_of<T>(*table).scale({weights.data(), totals.data(), count, scaled.data()});
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        ASSERT_EQ(scaled[at(i)], static_cast<T>(weights[at(i)] * totals[at(i)])) << table->name << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
