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
#include <array>
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
  int prefix = 0;  ///< degree of prefixes; 0: a walk
  bool spread = false;
};

std::string text(const KernelShape& s) {
  return "dim " + std::to_string(s.dim) + ", degree " + std::to_string(s.degree) + ", columns " +
         std::to_string(s.columns) + ", prefixes of degree " + std::to_string(s.prefix) + (s.spread ? ", spread" : "");
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
  for (const int prefix : {1, 2, 3}) {
    for (std::ptrdiff_t columns = 1; columns <= 8; ++columns) {
      all.push_back({3, 4, columns, tokens, prefix});
    }
    all.push_back({1, 7, 2, tokens, prefix});
    all.push_back({2, 9, 2, tokens, prefix});
    all.push_back({8, 4, 3, tokens, prefix});
    all.push_back({33, 3, 2, tokens, prefix});
  }
  all.push_back({5, 8, 2, tokens, 4});  // more prefixes than one chain takes
  all.push_back({3, 3, 2, tokens, 3});  // no suffix but 1
  for (std::ptrdiff_t columns = 2; columns <= 5; ++columns) {
    all.push_back({4, 3, columns, tokens, 0, true});
  }
  all.push_back({6, 1, 2, tokens, 0, true});
  all.push_back({5, 2, 9, tokens, 0, true});
  return all;
}

/// The monomials of a list of products as lists of variables.
std::vector<VariableList> variables_of(const std::vector<simd::MonomialProduct>& products) {
  std::vector<VariableList> lists(1);
  for (std::size_t k = 1; k < products.size(); ++k) {
    lists.push_back(lists.at(at(products[k].parent)));
    lists.back().push_back(products[k].variable);
  }
  return lists;
}

template <class T>
struct KernelData {
  KernelShape shape;
  engines::FeatureList features;
  std::vector<T> x;
  std::vector<T> columns;  ///< weighted, [columns][tokens]
  std::vector<T> moments;
  KernelData(const KernelShape& s, std::uint64_t seed)
      : shape(s), features(engines::make_features_with(s.dim, s.degree, s.columns - 1, s.spread, s.prefix)) {
    Random random(seed);
    x = random_values<T>(random, s.dim * s.tokens);
    columns = random_values<T>(random, features.columns() * s.tokens);
    moments = random_values<T>(random, features.moments());
  }

  [[nodiscard]] std::vector<double> run_moments(const simd::KernelTable& table) const {
    std::vector<T> monomials(at(features.monomial_scratch(simd::kMomentGroup, shape.tokens)), static_cast<T>(kNan));
    std::vector<T> rows(at(features.row_count() * shape.tokens), static_cast<T>(kNan));
    std::copy(columns.begin(), columns.end(), rows.begin());
    std::vector<double> totals(at(features.moments()), 0.5);
    kernels_of<T>(table).moments(
        {features.program(), x.data(), rows.data(), shape.tokens, monomials.data(), totals.data()});
    return totals;
  }
  [[nodiscard]] std::vector<double> run_evaluate(const simd::KernelTable& table) const {
    const std::ptrdiff_t slab = features.columns() * shape.tokens;
    std::vector<T> prefixes(at(features.prefix_count() * shape.tokens), static_cast<T>(kNan));
    std::vector<T> monomials(at(features.monomial_scratch(simd::kEvaluationGroup, shape.tokens)), static_cast<T>(kNan));
    std::vector<T> partial(at((shape.degree + 1) * slab), static_cast<T>(kNan));
    std::vector<double> sums(at((shape.degree + 1) * slab), kNan);
    kernels_of<T>(table).evaluate({features.program(), x.data(), shape.tokens, moments.data(), prefixes.data(),
                                   monomials.data(), partial.data(), sums.data()});
    return sums;
  }
  [[nodiscard]] long double product(const VariableList& list, std::ptrdiff_t token) const {
    long double out = 1.0L;
    for (const int variable : list) {
      out *= static_cast<long double>(x[at(variable * shape.tokens + token)]);
    }
    return out;
  }
  /// Calls body(variables, column, index of the moment) for every moment.
  template <class Body>
  void for_moments(const Body& body) const {
    if (features.prefix_degree() == 0) {
      std::size_t index = 0;
      for (const VariableList& list : monomials_up_to(shape.dim, shape.degree)) {
        for (std::ptrdiff_t c = 0; c < features.columns_at[list.size()]; ++c) {
          body(list, c, index++);
        }
      }
      return;
    }
    const auto prefixes = variables_of(features.products.prefixes);
    const auto suffixes = variables_of(features.products.suffixes);
    for (const simd::ProductGroup& group : features.products.key_groups) {
      std::size_t index = at(group.moments);
      for (std::ptrdiff_t b = group.suffix; b < group.suffix + group.suffixes; ++b) {
        for (std::ptrdiff_t a = group.prefix; a < group.prefix + group.prefixes; ++a) {
          VariableList list = prefixes[at(a)];
          list.insert(list.end(), suffixes[at(b)].begin(), suffixes[at(b)].end());
          for (std::ptrdiff_t c = 0; c < features.columns(); ++c) {
            body(list, c, index++);
          }
        }
      }
    }
  }
};

/// Every monomial of total degree <= g once, as a non-decreasing list; and groups by degree name the same moments.
TEST(Products, HoldEveryMonomialOnce) {
  for (const auto& [dim, degree] : {std::pair{1, 5}, {2, 9}, {3, 4}, {5, 8}, {12, 3}, {40, 2}}) {
    for (int prefix = 1; prefix <= degree; ++prefix) {
      const KernelData<double> data({dim, degree, 3, 16, prefix}, 1);
      std::vector<VariableList> found;
      std::vector<std::size_t> degrees(at(data.features.moments()), 1000);
      data.for_moments([&](const VariableList& list, std::ptrdiff_t column, std::size_t index) {
        ASSERT_TRUE(std::is_sorted(list.begin(), list.end()));
        degrees.at(index) = list.size();
        if (column == 0) {
          found.push_back(list);
        }
      });
      std::sort(found.begin(), found.end());
      auto expected = monomials_up_to(dim, degree);
      std::sort(expected.begin(), expected.end());
      ASSERT_EQ(found, expected) << dim << ", " << degree << ", " << prefix;
      std::size_t counted = 0;
      for (const simd::ProductGroup& group : data.features.products.sum_groups) {
        const std::ptrdiff_t count = std::ptrdiff_t{group.suffixes} * group.prefixes * 3;
        for (std::ptrdiff_t i = group.moments; i < group.moments + count; ++i, ++counted) {
          ASSERT_EQ(degrees.at(at(i)), at(group.degree));
        }
      }
      ASSERT_EQ(counted, degrees.size());
    }
  }
}

// (t!/alpha!) z^alpha, by factorials in long double.
TEST(Products, WeightsAreMultinomial) {
  for (const auto& [dim, degree, prefix] : {std::array{1, 9, 4}, {3, 12, 6}, {3, 12, 1}, {6, 5, 2}, {2, 30, 15}}) {
    const KernelData<double> data({dim, degree, 2, 16, prefix}, 1);
    std::vector<double> z;
    for (int l = 0; l < dim; ++l) {
      z.push_back(0.7 - 0.3 * l);
    }
    std::vector<double> weights(at(data.features.moments()), kNan);
    engines::moment_weights(data.features, z.data(), weights.data());
    data.for_moments([&](const VariableList& list, std::ptrdiff_t, std::size_t index) {
      long double expected = 1.0L;
      std::vector<int> seen(z.size(), 0);
      for (std::size_t t = 0; t < list.size(); ++t) {
        expected *= static_cast<long double>(z[at(list[t])]) * static_cast<long double>(t + 1) / ++seen[at(list[t])];
      }
      ASSERT_LE(std::fabs(static_cast<long double>(weights[index]) - expected),
                (5.0L * static_cast<long double>(list.size()) + 2.0L) * static_cast<long double>(numerics::kU64) *
                    std::fabs(expected));
    });
  }
}

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
       {KernelShape{3, 4, 5, 512}, KernelShape{2, 7, 4, 128}, KernelShape{12, 2, 3, 16}, KernelShape{3, 5, 2, 512, 2},
        KernelShape{4, 4, 3, 48, 1}, KernelShape{5, 2, 2, 16, 0, true}}) {
    const KernelData<TypeParam> data(shape, 5);
    const auto totals = data.run_moments(*simd::available().front());
    data.for_moments([&](const VariableList& list, std::ptrdiff_t column, std::size_t index) {
      const double chain =
          static_cast<double>(list.size()) + static_cast<double>(shape.tokens / width<TypeParam>()) + 4.0;
      const double gamma = numerics::gamma(chain, unit<TypeParam>()) + numerics::gamma(6, numerics::kU64);
      long double sum = 0.5L;
      long double absolute = 0.5L;
      for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
        const long double term =
            data.product(list, i) * static_cast<long double>(data.columns[at(column * shape.tokens + i)]);
        sum += term;
        absolute += std::fabs(term);
      }
      ASSERT_LE(static_cast<double>(std::fabs(static_cast<long double>(totals[index]) - sum)),
                gamma * static_cast<double>(absolute))
          << text(shape) << ", moment " << index << ", column " << column;
    });
  }
}

TYPED_TEST(PolynomialKernels, SumsAreTheSumsTheyPromise) {
  for (const KernelShape& shape :
       {KernelShape{3, 5, 4, 64}, KernelShape{5, 4, 2, 64}, KernelShape{33, 2, 3, 64}, KernelShape{3, 9, 2, 64, 4},
        KernelShape{5, 4, 3, 64, 0, true}, KernelShape{6, 3, 8, 64, 1}, KernelShape{4, 9, 5, 64, 5}}) {
    const KernelData<TypeParam> data(shape, 6);
    const auto sums = data.run_evaluate(*simd::available().front());
    const std::ptrdiff_t slots = (shape.degree + 1) * data.features.columns();
    std::vector<long double> sum(at(slots * shape.tokens), 0.0L);
    std::vector<long double> absolute(sum.size(), 0.0L);
    std::vector<double> terms(at(slots), 0.0);
    data.for_moments([&](const VariableList& list, std::ptrdiff_t column, std::size_t index) {
      const std::ptrdiff_t slot = static_cast<std::ptrdiff_t>(list.size()) * data.features.columns() + column;
      terms[at(slot)] += 1.0;
      for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
        const long double term = data.product(list, i) * static_cast<long double>(data.moments[index]);
        sum[at(slot * shape.tokens + i)] += term;
        absolute[at(slot * shape.tokens + i)] += std::fabs(term);
      }
    });
    for (std::ptrdiff_t s = 0; s < slots; ++s) {
      if (terms[at(s)] == 0.0) {
        continue;  // no such sum
      }
      const double gamma =
          numerics::gamma(shape.degree + static_cast<double>(simd::kEvaluationGroup) + simd::kEvaluationGroups,
                          unit<TypeParam>()) +
          numerics::gamma(terms[at(s)] / 16.0 + 3.0, numerics::kU64);
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
