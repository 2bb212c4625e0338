// The kernels of the polynomial engine: the same bits on every instruction set, and the sums they promise, judged in
// long double by the rounding counts of docs/theory.md.

#include "simd/polynomial_kernels.hpp"

#include "engines/polynomial/moments.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"
#include "simd/monomial_lists.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

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

std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

/// Equal bits; two NaNs count as equal whatever their sign and payload.
template <class T>
testing::AssertionResult same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool same = std::bit_cast<Bits>(a[i]) == std::bit_cast<Bits>(b[i]) || (std::isnan(a[i]) && std::isnan(b[i]));
    if (!same) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
    }
  }
  return testing::AssertionSuccess();
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
  std::ptrdiff_t columns;
  std::ptrdiff_t tokens;
};

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
  return all;
}

template <class T>
struct KernelData {
  KernelShape shape;
  engines::FeatureList features;
  std::vector<T> x;
  std::vector<T> columns;  ///< weighted, [columns][tokens]
  std::vector<T> moments;  ///< [rank][columns]
  KernelData(const KernelShape& s, std::uint64_t seed) : shape(s), features(engines::make_features(s.dim, s.degree)) {
    Random random(seed);
    x = random_values<T>(random, s.dim * s.tokens);
    columns = random_values<T>(random, s.columns * s.tokens);
    moments = random_values<T>(random, features.rank() * s.columns);
  }

  [[nodiscard]] std::vector<double> run_moments(const simd::KernelTable& table) const {
    std::vector<T> groups(at((shape.degree + 1) * simd::kMomentGroup * shape.tokens), static_cast<T>(kNan));
    std::vector<double> totals(at(features.rank() * shape.columns), 0.5);
    kernels_of<T>(table).moments(
        {features.program(), x.data(), columns.data(), shape.tokens, shape.columns, groups.data(), totals.data()});
    return totals;
  }
  [[nodiscard]] std::vector<double> run_evaluate(const simd::KernelTable& table) const {
    const std::ptrdiff_t slab = shape.columns * shape.tokens;
    std::vector<T> groups(at((shape.degree + 1) * simd::kEvaluationGroup * shape.tokens), static_cast<T>(kNan));
    std::vector<T> partial(at((shape.degree + 1) * slab), static_cast<T>(kNan));
    std::vector<double> sums(at((shape.degree + 1) * slab), kNan);
    kernels_of<T>(table).evaluate({features.program(), x.data(), shape.tokens, moments.data(), shape.columns,
                                   groups.data(), partial.data(), sums.data()});
    return sums;
  }
  [[nodiscard]] long double feature(const VariableList& list, std::ptrdiff_t token) const {
    long double product = 1.0L;
    for (const int variable : list) {
      product *= static_cast<long double>(x[at(variable * shape.tokens + token)]);
    }
    return product;
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
        ASSERT_TRUE(same_bits(expected, data.run_moments(*table)))
            << table->name << ": dim " << shape.dim << ", degree " << shape.degree << ", columns " << shape.columns;
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
        ASSERT_TRUE(same_bits(expected, data.run_evaluate(*table)))
            << table->name << ": dim " << shape.dim << ", degree " << shape.degree << ", columns " << shape.columns;
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

// totals += sum over tokens: t - 1 products of the monomial, a chain of tokens / width, then float64.
TYPED_TEST(PolynomialKernels, MomentsAreTheSumsTheyPromise) {
  for (const KernelShape& shape : {KernelShape{3, 4, 5, 512}, KernelShape{2, 7, 4, 128}, KernelShape{12, 2, 3, 16}}) {
    const KernelData<TypeParam> data(shape, 5);
    const auto features = monomials_up_to(shape.dim, shape.degree);
    const auto totals = data.run_moments(*simd::available().front());
    for (std::size_t f = 0; f < features.size(); ++f) {
      const double chain =
          static_cast<double>(features[f].size()) + static_cast<double>(shape.tokens / width<TypeParam>());
      const double gamma = numerics::gamma(chain, unit<TypeParam>()) + numerics::gamma(6, numerics::kU64);
      for (std::ptrdiff_t c = 0; c < shape.columns; ++c) {
        long double sum = 0.5L;
        long double absolute = 0.5L;
        for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
          const long double term =
              data.feature(features[f], i) * static_cast<long double>(data.columns[at(c * shape.tokens + i)]);
          sum += term;
          absolute += std::fabs(term);
        }
        const double total = totals[f * at(shape.columns) + at(c)];
        ASSERT_LE(static_cast<double>(std::fabs(static_cast<long double>(total) - sum)),
                  gamma * static_cast<double>(absolute))
            << "feature " << f << ", column " << c;
      }
    }
  }
}

TYPED_TEST(PolynomialKernels, SumsAreTheSumsTheyPromise) {
  for (const KernelShape& shape : {KernelShape{3, 5, 4, 64}, KernelShape{5, 4, 2, 64}, KernelShape{33, 2, 3, 64}}) {
    const KernelData<TypeParam> data(shape, 6);
    const auto sums = data.run_evaluate(*simd::available().front());
    std::ptrdiff_t first = 0;
    for (int t = 0; t <= shape.degree; ++t) {
      const auto features = monomials_of_degree(shape.dim, t);
      const double gamma = numerics::gamma(t + static_cast<double>(simd::kEvaluationGroup) + simd::kEvaluationGroups,
                                           unit<TypeParam>()) +
                           numerics::gamma(static_cast<double>(features.size()) / 256.0 + 2.0, numerics::kU64);
      for (std::ptrdiff_t c = 0; c < shape.columns; ++c) {
        for (std::ptrdiff_t i = 0; i < shape.tokens; ++i) {
          long double sum = 0.0L;
          long double absolute = 0.0L;
          for (std::size_t f = 0; f < features.size(); ++f) {
            const auto moment = static_cast<long double>(data.moments[(at(first) + f) * at(shape.columns) + at(c)]);
            const long double term = data.feature(features[f], i) * moment;
            sum += term;
            absolute += std::fabs(term);
          }
          const double computed = sums[at((t * shape.columns + c) * shape.tokens + i)];
          ASSERT_LE(static_cast<double>(std::fabs(static_cast<long double>(computed) - sum)),
                    gamma * static_cast<double>(absolute))
              << "degree " << t << ", column " << c << ", token " << i;
        }
      }
      first += static_cast<std::ptrdiff_t>(features.size());
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
    };
    const auto run = [&](const simd::KernelTable& table) {
      Out out{std::vector<T>(at(columns * kTokens)), std::vector<double>(at(columns), 0.25),
              std::vector<double>(at(columns), 0.5)};
      kernels_of<T>(table).weigh({weight.data(), centred.data(), kTokens, columns, out.weighted.data(),
                                  out.absolute.data(), out.square.data()});
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

/// Inputs of the finish kernel for `tokens` rows.
struct FinishData {
  std::ptrdiff_t tokens = 16;
  std::ptrdiff_t columns;
  int degree;
  std::vector<double> sums, coefficients, rows, low, high, mean, deviation, half_inverse, absolute;
  struct Out {
    std::vector<double> answer, approximation, rounding;
  };

  FinishData(std::ptrdiff_t value_columns, int g, std::uint64_t seed) : columns(value_columns), degree(g) {
    Random random(seed);
    const auto fill = [&](std::vector<double>& data, std::ptrdiff_t count, double least, double most) {
      data.resize(at(count));
      for (double& x : data) {
        x = random.uniform(least, most);
      }
    };
    fill(sums, (degree + 1) * (columns + 1) * tokens, -1.0, 1.0);
    fill(coefficients, (degree + 1) * tokens, -1.0, 1.0);
    fill(rows, 7 * tokens, 0.1, 1.0);
    fill(low, columns, -1.0, -0.1);
    fill(high, columns, 0.1, 1.0);
    fill(mean, columns, -0.5, 0.5);
    fill(deviation, columns, 0.1, 1.0);
    fill(half_inverse, columns, 0.1, 1.0);
    fill(absolute, columns, 0.1, 1.0);
  }
  [[nodiscard]] double row(int which, std::ptrdiff_t i) const { return rows[at(which * tokens + i)]; }
  [[nodiscard]] Out run(const simd::KernelTable& table) const {
    Out out{std::vector<double>(at(columns * tokens), kNan), std::vector<double>(at(tokens), kNan),
            std::vector<double>(at(tokens), kNan)};
    const double* r = rows.data();
    const simd::FinishBlock block{tokens,
                                  columns,
                                  degree,
                                  sums.data(),
                                  columns + 1,
                                  coefficients.data(),
                                  /*denominator=*/r,
                                  /*denominator_low=*/r + tokens,
                                  /*error=*/r + 2 * tokens,
                                  /*uniform=*/r + 3 * tokens,
                                  /*rounding_scale=*/r + 4 * tokens,
                                  /*rounding_denominator=*/r + 5 * tokens,
                                  /*rounding_tiny=*/r + 6 * tokens,
                                  low.data(),
                                  high.data(),
                                  mean.data(),
                                  deviation.data(),
                                  half_inverse.data(),
                                  absolute.data(),
                                  out.answer.data(),
                                  out.approximation.data(),
                                  out.rounding.data()};
    table.polynomial32.finish(block);
    Out again{std::vector<double>(at(columns * tokens)), std::vector<double>(at(tokens)),
              std::vector<double>(at(tokens))};
    simd::FinishBlock other = block;
    other.answer = again.answer.data();
    other.approximation = again.approximation.data();
    other.rounding = again.rounding.data();
    table.polynomial64.finish(other);
    EXPECT_TRUE(same_bits(out.answer, again.answer));
    return out;
  }
};

TEST(FinishKernel, IsTheSameBitsEverywhere) {
  for (const std::ptrdiff_t columns : {0, 1, 3, 65}) {
    for (const int degree : {0, 1, 5}) {
      const FinishData data(columns, degree, 8);
      const auto expected = data.run(*simd::available().back());
      for (const simd::KernelTable* table : simd::available()) {
        const auto out = data.run(*table);
        EXPECT_TRUE(same_bits(out.answer, expected.answer)) << table->name;
        EXPECT_TRUE(same_bits(out.approximation, expected.approximation)) << table->name;
        EXPECT_TRUE(same_bits(out.rounding, expected.rounding)) << table->name;
      }
    }
  }
}

TEST(FinishKernel, ComputesWhatItsCommentSays) {
  constexpr double kRelative = 1e-13;  // a few tens of float64 roundings of positive terms
  for (const std::ptrdiff_t columns : {1, 4}) {
    const FinishData data(columns, 4, 9);
    const auto out = data.run(*simd::available().front());
    for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
      long double approximation = 0.0L;
      long double rounding = 0.0L;
      for (std::ptrdiff_t c = 0; c < columns; ++c) {
        long double numerator = 0.0L;
        for (std::ptrdiff_t t = 0; t <= data.degree; ++t) {
          numerator += static_cast<long double>(data.coefficients[at(t * data.tokens + i)]) *
                       static_cast<long double>(data.sums[at((t * (columns + 1) + c) * data.tokens + i)]);
        }
        const long double answer = numerator / static_cast<long double>(data.row(0, i));
        const auto as_wide = [](double x) { return static_cast<long double>(x); };
        const long double spread = std::max(as_wide(data.high[at(c)]) - answer, answer - as_wide(data.low[at(c)]));
        const long double away = answer - as_wide(data.mean[at(c)]);
        const long double variance = as_wide(data.row(3, i)) *
                                     (as_wide(data.deviation[at(c)]) + away * away * as_wide(data.half_inverse[at(c)]));
        approximation = std::max(approximation, std::min(as_wide(data.row(2, i)) * spread, variance));
        rounding = std::max(rounding, as_wide(data.row(4, i)) * as_wide(data.absolute[at(c)]) +
                                          as_wide(data.row(6, i)) + std::fabs(answer) * as_wide(data.row(5, i)));
        const auto clipped =
            static_cast<double>(std::clamp(answer, as_wide(data.low[at(c)]), as_wide(data.high[at(c)])));
        ASSERT_NEAR(out.answer[at(c * data.tokens + i)], clipped, 1e-14);
      }
      const auto expect_close = [&](double computed, long double expected) {
        const auto value = static_cast<double>(expected / static_cast<long double>(data.row(1, i)));
        ASSERT_NEAR(computed, value, kRelative * value);
      };
      expect_close(out.approximation[at(i)], approximation);
      expect_close(out.rounding[at(i)], rounding);
    }
  }
}

// Whatever is not a number, in any column and of any origin, leaves no finite certificate behind.
TEST(FinishKernel, NoFiniteCertificateFromNonFiniteParts) {
  for (const double bad : {kNan, HUGE_VAL, -HUGE_VAL}) {
    for (const std::ptrdiff_t column : {0, 2, 4}) {
      constexpr std::ptrdiff_t kRow = 3;
      FinishData data(5, 2, 10);
      data.sums[at((1 * 6 + column) * data.tokens + kRow)] = bad;
      for (const simd::KernelTable* table : simd::available()) {
        const auto out = data.run(*table);
        EXPECT_FALSE(std::isfinite(out.approximation[at(kRow)] + out.rounding[at(kRow)])) << table->name;
        EXPECT_TRUE(std::isfinite(out.approximation[at(kRow + 1)] + out.rounding[at(kRow + 1)])) << table->name;
      }
    }
  }
}

// A column whose variance is not known (it overflowed) falls back to its range, or has no certificate; it is not
// skipped.
TEST(FinishKernel, AColumnWithoutAVarianceIsNotSkipped) {
  for (const auto& [deviation, half_inverse] :
       {std::pair{kNan, 1e300}, {HUGE_VAL, 0.0}, {HUGE_VAL, kNan}, {kNan, kNan}}) {
    FinishData data(1, 2, 11);
    data.deviation[0] = deviation;
    data.half_inverse[0] = half_inverse;
    for (const simd::KernelTable* table : simd::available()) {
      const auto out = data.run(*table);
      for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
        const double answer = out.answer[at(i)];  // clipped: the true spread is at least this one
        const double spread = std::max(data.high[0] - answer, answer - data.low[0]);
        const double least = data.row(2, i) * spread / data.row(1, i) * (1.0 - 1e-12);
        EXPECT_FALSE(out.approximation[at(i)] < least) << table->name << ", row " << i;
      }
    }
  }
}

// The same for the rounding part.
TEST(FinishKernel, AColumnWithoutARoundingBoundIsNotSkipped) {
  FinishData data(3, 2, 12);
  data.absolute[1] = kNan;
  for (const simd::KernelTable* table : simd::available()) {
    const auto out = data.run(*table);
    EXPECT_FALSE(std::isfinite(out.approximation[0] + out.rounding[0])) << table->name;
  }
}

}  // namespace
}  // namespace polyattn::test
