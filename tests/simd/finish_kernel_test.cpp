// The kernel that turns sums into answers and certificates: the same bits on every instruction set, the numbers its
// comment promises, and nothing certified that is not a number.

#include "simd/dispatch.hpp"
#include "simd/polynomial_kernel_checks.hpp"
#include "simd/polynomial_kernels.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

/// Inputs of the finish kernel for `tokens` rows.
struct FinishData {
  std::ptrdiff_t tokens = 16;
  std::ptrdiff_t columns;
  int degree;
  std::vector<double> sums, coefficients, rows, low, high, mean, deviation, half_inverse, absolute;
  std::vector<double> centre, least, most;
  std::vector<double> moments;  ///< empty: no chord
  std::vector<double> spreads;  ///< empty: none
  struct Out {
    std::vector<double> answer, approximation, rounding, largest;
  };

  FinishData(std::ptrdiff_t value_columns, int g, std::uint64_t seed) : columns(value_columns), degree(g) {
    Random random(seed);
    const auto fill = [&](std::vector<double>& data, std::ptrdiff_t count, double from, double to) {
      data.resize(at(count));
      for (double& x : data) {
        x = random.uniform(from, to);
      }
    };
    fill(sums, (degree + 1) * (columns + 1) * tokens, -1.0, 1.0);
    fill(coefficients, (degree + 1) * tokens, -1.0, 1.0);
    fill(rows, 12 * tokens, 0.1, 1.0);
    fill(low, columns, -1.0, -0.1);
    fill(high, columns, 0.1, 1.0);
    fill(mean, columns, -0.5, 0.5);
    fill(deviation, columns, 0.1, 1.0);
    fill(half_inverse, columns, 0.1, 1.0);
    fill(absolute, columns, 0.1, 1.0);
    centre.assign(at(columns), 0.0);
    least.assign(at(columns), -1e3);
    most.assign(at(columns), 1e3);
  }
  [[nodiscard]] double row(int which, std::ptrdiff_t i) const { return rows[at(which * tokens + i)]; }
  [[nodiscard]] Out run(const simd::KernelTable& table) const {
    const auto empty = [&] {
      return Out{std::vector<double>(at(columns * tokens), kNan), std::vector<double>(at(tokens), kNan),
                 std::vector<double>(at(tokens), kNan), std::vector<double>(at(tokens), kNan)};
    };
    Out out = empty();
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
                                  centre.data(),
                                  least.data(),
                                  most.data(),
                                  moments.empty() ? nullptr : moments.data(),
                                  /*moment=*/r + 7 * tokens,
                                  /*moment_scale=*/r + 8 * tokens,
                                  /*moment_loss=*/r + 9 * tokens,
                                  /*moment_error=*/r + 10 * tokens,
                                  /*slack=*/r + 11 * tokens,
                                  spreads.empty() ? nullptr : spreads.data(),
                                  /*second=*/r + 7 * tokens,
                                  /*spread_scale=*/r + 8 * tokens,
                                  /*spread_loss=*/r + 9 * tokens,
                                  /*spread_error=*/r + 10 * tokens,
                                  out.answer.data(),
                                  out.largest.data(),
                                  out.approximation.data(),
                                  out.rounding.data()};
    table.polynomial32.finish(block);
    Out again = empty();
    simd::FinishBlock other = block;
    other.answer = again.answer.data();
    other.largest = again.largest.data();
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

/// A kernel with chords next to the same without: `moments` in the proportion `mean` of the column to the row's moment.
FinishData with_chords(std::uint64_t seed, std::ptrdiff_t columns) {
  FinishData data(columns, 4, seed);
  for (double& x : data.sums) {
    x *= 0.1;  // so that answers lie between low and high, mostly
  }
  Random random(seed + 1);
  data.moments.resize(at(columns * data.tokens));
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
      const double mean = random.uniform(data.low[at(c)], data.high[at(c)]);
      data.moments[at(c * data.tokens + i)] = mean * data.row(7, i);
      data.rows[at(8 * data.tokens + i)] = random.uniform(0.0, 1e-3);
      data.rows[at(9 * data.tokens + i)] = random.uniform(0.0, 1e-3);
      data.rows[at(2 * data.tokens + i)] = 1e9;  // the other bounds are not to win
      data.rows[at(3 * data.tokens + i)] = 1e9;
    }
  }
  return data;
}

TEST(FinishKernel, ChordsAreWhatTheCommentSays) {
  const FinishData data = with_chords(21, 1);
  int inside = 0;
  for (const simd::KernelTable* table : simd::available()) {
    const auto out = data.run(*table);
    for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
      const double low = data.low[0];
      const double high = data.high[0];
      const double t = out.answer[at(i)];
      if (t == low || t == high) {  // clipped: no chord
        EXPECT_GE(out.approximation[at(i)], 1e5);
        continue;
      }
      ++inside;
      const double off = data.row(8, i) * data.absolute[0] + data.row(9, i) * (1.0 + std::max(-low, high));
      const double above = high * data.row(7, i) - data.moments[at(i)] + off;
      const double below = data.moments[at(i)] - low * data.row(7, i) + off;
      const double chord = ((t - low) * above + (high - t) * below) / (high - low);
      const double expected =
          (data.row(10, i) * chord + data.row(11, i) * std::max(high - t, t - low)) / data.row(1, i);
      EXPECT_NEAR(out.approximation[at(i)], expected, 1e-12 * expected) << table->name;
    }
    EXPECT_TRUE(same_bits(out.approximation, data.run(*simd::available().back()).approximation)) << table->name;
  }
  EXPECT_GT(inside, 10);
}

// sum w s^2 |v - T| <= sum w s^2 |v| + |T| sum w s^2.
TEST(FinishKernel, SpreadsAreWhatTheCommentSays) {
  FinishData data = with_chords(23, 1);
  std::swap(data.moments, data.spreads);
  for (double& x : data.spreads) {
    x = std::fabs(x);
  }
  for (const simd::KernelTable* table : simd::available()) {
    const auto out = data.run(*table);
    for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
      long double numerator = 0.0L;
      for (std::ptrdiff_t t = 0; t <= data.degree; ++t) {
        numerator += static_cast<long double>(data.coefficients[at(t * data.tokens + i)]) *
                     static_cast<long double>(data.sums[at(t * 2 * data.tokens + i)]);
      }
      const double answer = std::fabs(static_cast<double>(numerator / static_cast<long double>(data.row(0, i))));
      const double spread = data.spreads[at(i)] + data.row(8, i) * data.absolute[0] + data.row(9, i);
      const double expected = data.row(10, i) * (spread + answer * data.row(7, i)) / data.row(1, i);
      EXPECT_NEAR(out.approximation[at(i)], expected, 1e-12 * expected) << table->name;
    }
    EXPECT_TRUE(same_bits(out.approximation, data.run(*simd::available().back()).approximation)) << table->name;
  }
}

TEST(FinishKernel, AnswersAreMovedBackAndClippedOnceMore) {
  FinishData data(2, 3, 24);
  const auto before = data.run(*simd::available().front());
  data.centre = {10.0, -20.0};
  data.least = {9.9, -20.05};
  data.most = {10.2, -19.9};
  for (const simd::KernelTable* table : simd::available()) {
    const auto out = data.run(*table);
    for (std::ptrdiff_t i = 0; i < data.tokens; ++i) {
      double largest = 0.0;
      for (std::ptrdiff_t c = 0; c < 2; ++c) {
        const double moved = before.answer[at(c * data.tokens + i)] + data.centre[at(c)];
        EXPECT_EQ(out.answer[at(c * data.tokens + i)], std::clamp(moved, data.least[at(c)], data.most[at(c)]));
        largest = std::max(largest, std::fabs(out.answer[at(c * data.tokens + i)]));
      }
      EXPECT_EQ(out.largest[at(i)], largest);
      EXPECT_EQ(out.approximation[at(i)], before.approximation[at(i)]);
    }
  }
}

// A chord that is not a number leaves the other bounds; it does not hide that they are none.
TEST(FinishKernel, AColumnWithoutAChordIsNotSkipped) {
  for (const simd::KernelTable* table : simd::available()) {
    FinishData data = with_chords(22, 3);
    const FinishData::Out before = data.run(*table);
    data.moments[at(1 * data.tokens + 5)] = kNan;
    EXPECT_GE(data.run(*table).approximation[5], before.approximation[5]) << table->name;
    EXPECT_TRUE(std::isfinite(data.run(*table).approximation[5])) << table->name;
    data.deviation[1] = kNan;
    data.rows[at(2 * data.tokens + 5)] = kNan;
    EXPECT_FALSE(std::isfinite(data.run(*table).approximation[5])) << table->name;
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
