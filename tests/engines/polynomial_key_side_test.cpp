// The key side of the polynomial engine's certificates (key_side.cpp): sums over keys as computed, and the bounds made
// of them, against the same sums in long double.

#include "engines/polynomial/key_side.hpp"

#include "engines/polynomial_support.hpp"
#include "numerics/rounding.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;
using engines::KeySideBounds;
using engines::RoundingModel;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

long double wide(double x) { return static_cast<long double>(x); }

struct KeySide {
  HeadData head;
  PolynomialSetup setup;
  engines::MomentTotals totals;
  RoundingModel rounding;
  KeySideBounds bounds;
};

/// `centre`, if given, replaces the values' centre: any number near them is correct.
template <class T>
KeySide key_side(const HeadData& head, int degree, const double* centre = nullptr) {
  KeySide out{head, make_setup(head.problem(), degree), {}, {}, {}};
  if (centre != nullptr) {
    out.setup.values.centre.assign(usize(head.value_dim), *centre);
  }
  out.totals = engines::make_totals(out.setup.features, nullptr);
  engines::sum_moments<T>(head.problem(), out.setup.frame, out.setup.values, out.setup.features, 0, serial_context(),
                          out.totals);
  out.rounding = engines::rounding_model<T>(degree, out.setup.features.rank(), head.n_kv);
  out.bounds = engines::bound_key_side(out.setup.frame, out.setup.values, out.totals, out.rounding);
  return out;
}

/// The weights of the neighbouring problem: rounded to T, taken as exact.
template <class T>
std::vector<long double> weights_of(const KeySide& side) {
  std::vector<long double> weights;
  for (std::int64_t j = 0; j < side.head.n_kv; ++j) {
    const double log_weight = side.setup.frame.log_weight[usize(j)] - side.setup.frame.log_scale;
    weights.push_back(static_cast<long double>(static_cast<T>(std::exp(log_weight))));
  }
  return weights;
}

template <class T>
void check_key_side(const HeadData& head, const double* centre_given = nullptr) {
  const KeySide side = key_side<T>(head, 2, centre_given);
  const std::vector<long double> weights = weights_of<T>(side);
  long double weight = 0.0L;
  for (const long double w : weights) {
    weight += w;
  }
  const KeySideBounds& bounds = side.bounds;
  EXPECT_LE(wide(bounds.weight_low), weight);
  EXPECT_GE(wide(bounds.weight_high), weight);
  EXPECT_LE(bounds.weight_high - bounds.weight_low, 1e-2 * bounds.weight_high) << "and not needlessly far";
  for (std::int64_t c = 0; c < head.value_dim; ++c) {
    const double centre = side.setup.values.centre[usize(c)];
    std::vector<long double> centred;
    long double absolute = 0.0L;
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      centred.push_back(wide(head.v[usize(j * head.value_dim + c)]) - wide(centre));
      if (weights[usize(j)] > 0.0L) {
        ASSERT_LE(wide(bounds.low[usize(c)]), centred.back());
        ASSERT_GE(wide(bounds.high[usize(c)]), centred.back());
      }
      absolute += weights[usize(j)] * std::fabs(centred.back());
    }
    EXPECT_GE(wide(bounds.absolute[usize(c)]), absolute);
    EXPECT_GE(bounds.largest_absolute, bounds.absolute[usize(c)]);
    EXPECT_GE(bounds.largest_deviation, bounds.deviation[usize(c)]);
    EXPECT_EQ(std::isinf(bounds.largest_deviation), head.value_dim < engines::kChordColumns) << "chords decide alone";
    // sum w |v - T*| <= W (deviation + (T* - mean)^2 / (2 deviation)) for any T*.
    for (const double share : {-0.5, 0.0, 0.1, 0.5, 0.9, 1.0, 1.5}) {
      const double answer = bounds.low[usize(c)] + share * (bounds.high[usize(c)] - bounds.low[usize(c)]);
      long double sum = 0.0L;
      for (std::size_t j = 0; j < centred.size(); ++j) {
        sum += weights[j] * std::fabs(centred[j] - wide(answer));
      }
      const double away = answer - bounds.mean[usize(c)];
      const double allowed = bounds.deviation[usize(c)] + away * away * bounds.half_inverse[usize(c)];
      EXPECT_GE(wide(allowed * bounds.weight_high * (1.0 + 1e-13)), sum) << "T* at " << share << " of the range";
    }
    EXPECT_GE(wide(bounds.range) * (1.0L + 0x1p-52L),
              wide(bounds.high[usize(c)]) - wide(bounds.low[usize(c)]) -
                  8.0L * wide(numerics::kU64) * wide(side.setup.values.max_abs + std::fabs(centre)));
  }
}

/// Values of every size a type can hold, weights far apart, one key, no spread.
std::vector<HeadData> key_side_heads(bool single) {
  std::vector<HeadData> all;
  for (const double size : {1.0, 1e-12, 1e12, 1e-30, 1e30}) {
    HeadData head = random_head(1, 4, 300, 2, 2);
    for (double& v : head.v) {
      v *= size;
    }
    all.push_back(head);
  }
  if (!single) {
    for (const double size : {1e-200, 1e-310, 1e120, 1e153}) {
      HeadData head = random_head(2, 4, 40, 2, 2);
      for (double& v : head.v) {
        v *= size;
      }
      all.push_back(head);
    }
  }
  HeadData offset = random_head(3, 4, 100, 2, 2);
  for (double& v : offset.v) {
    v = 1e6 + 1e-3 * v;
  }
  all.push_back(offset);
  HeadData constant = random_head(4, 4, 100, 2, 2);
  std::fill(constant.v.begin(), constant.v.end(), -3.3);
  all.push_back(constant);
  HeadData biased = random_head(5, 4, 100, 2, 2);
  Random random(6);
  for (std::int64_t j = 0; j < 100; ++j) {
    biased.bias.push_back(random.uniform(-200.0, 200.0));
  }
  all.push_back(biased);
  HeadData rare = random_head(7, 4, 200, 2, 2);  // one value decides the range and hardly weighs
  rare.v[usize(2 * 77)] = 1e5;
  rare.bias.assign(200, 0.0);
  rare.bias[77] = -9.0;
  all.push_back(rare);
  HeadData one = random_head(8, 4, 1, 2, 2);
  all.push_back(one);
  HeadData binary =
      random_head(14, 4, 200, 2, 2);  // |v - T*| is constant for T* in the middle: Cauchy-Schwarz is attained
  for (std::size_t i = 0; i < binary.v.size(); ++i) {
    binary.v[i] = i / 2 % 20 < 3 ? 1.0 : 0.0;
  }
  binary.bias.assign(200, 0.0);
  std::fill(binary.k.begin(), binary.k.end(), 0.5);
  all.push_back(binary);
  HeadData least = random_head(15, 4, 50, 2, 2);  // every product of weight and value underflows
  std::fill(least.v.begin(), least.v.end(), single ? 0x1p-149 : 0x1p-1074);
  std::fill(least.k.begin(), least.k.end(), 0.5);
  least.v[0] = least.v[1] = 0.0;
  least.bias.assign(50, -0.9);
  least.bias[0] = 0.0;
  all.push_back(least);
  return all;
}

template <class T>
class KeySideOf : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(KeySideOf, Arithmetics);

TYPED_TEST(KeySideOf, BoundsEncloseTheTruth) {
  const std::vector<HeadData> all = key_side_heads(std::is_same_v<TypeParam, float>);
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE("head " + std::to_string(i));
    check_key_side<TypeParam>(all[i]);
    for (const std::size_t j : {std::size_t{0}, all[i].v.size() / 2}) {
      check_key_side<TypeParam>(all[i], &all[i].v[j]);
    }
  }
}

// Totals as far off as rounding may make them, for a few keys whose true sums are known.
TYPED_TEST(KeySideOf, BoundsEncloseTheTruthForTheWorstTotals) {
  Random random(16);
  for (int trial = 0; trial < 2000; ++trial) {
    const std::int64_t keys = random.integer(1, 6);
    const bool binary = random.chance(0.5);
    const double size = random.log_uniform(1e-6, 1e6);
    std::vector<long double> weight;
    std::vector<long double> value;
    long double sums[4] = {};  // weight, value, |value|, value^2
    engines::ValueRange values;
    values.low = {kInfinity};
    values.high = {-kInfinity};
    values.centre = {0.0};
    for (std::int64_t j = 0; j < keys; ++j) {
      const double v = size * (binary ? static_cast<double>(random.integer(0, 1)) : random.normal());
      const long double w = random.chance(0.5) ? 1.0L : wide(random.unit()) + 0x1p-20L;
      weight.push_back(w);
      value.push_back(wide(v));
      sums[0] += w;
      sums[1] += w * wide(v);
      sums[2] += w * std::fabs(wide(v));
      sums[3] += w * wide(v) * wide(v);
      values.low[0] = std::min(values.low[0], v);
      values.high[0] = std::max(values.high[0], v);
    }
    const RoundingModel rounding = engines::rounding_model<TypeParam>(2, 6, keys);
    const auto off = [&](long double sum, long double absolute) {
      return static_cast<double>(sum + 0.999L * wide(random.sign()) * wide(rounding.gamma) * absolute);
    };
    engines::MomentTotals totals;
    totals.keys = keys;
    totals.totals = base::Buffer<double>(2);
    totals.totals[0] = off(sums[1], sums[2]);
    totals.totals[1] = off(sums[0], sums[0]);
    totals.absolute = {off(sums[2], sums[2])};
    totals.square = {off(sums[3], sums[3])};
    const KeySideBounds bounds = engines::bound_key_side(engines::Frame{}, values, totals, rounding);
    ASSERT_LE(wide(bounds.weight_low), sums[0]);
    ASSERT_GE(wide(bounds.weight_high), sums[0]);
    ASSERT_GE(wide(bounds.absolute[0]), sums[2]);
    for (int share = -2; share <= 12; ++share) {
      const double answer = values.low[0] + 0.1 * share * (values.high[0] - values.low[0]);
      long double sum = 0.0L;
      for (std::size_t j = 0; j < weight.size(); ++j) {
        sum += weight[j] * std::fabs(value[j] - wide(answer));
      }
      const double away = answer - bounds.mean[0];
      const double allowed = bounds.deviation[0] + away * away * bounds.half_inverse[0];
      ASSERT_GE(wide(allowed) * wide(bounds.weight_high) * (1.0L + 1e-13L), sum)
          << "trial " << trial << ", share " << share;
    }
  }
}

// A sum that overflows leaves no finite bound, or a right one.
TYPED_TEST(KeySideOf, OverflowIsNotABound) {
  HeadData head = random_head(9, 4, 200, 2, 1);
  const double most = std::is_same_v<TypeParam, float> ? 3e38 : 1e308;
  for (double& v : head.v) {
    v = v > 0.0 ? most : -most;
  }
  const KeySide side = key_side<TypeParam>(head, 2);
  EXPECT_FALSE(side.bounds.absolute[0] < 0.5 * most);
}

template <class T>
long double power_of(T base_value, int exponent) {
  long double out = 1.0L;
  for (int i = 0; i < exponent; ++i) {
    out *= static_cast<long double>(base_value);
  }
  return out;
}

// S[alpha][c] = sum w x^alpha (v - mu), within gamma of the sum of absolute values; one dimension, where alpha is a
// number.
TYPED_TEST(KeySideOf, TotalsAreTheMoments) {
  using T = TypeParam;
  HeadData head = random_head(10, 4, 1300, 1, 2, 0.4);
  Random random(11);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    head.bias.push_back(j % 11 == 5 ? -kInfinity : random.uniform(-2.0, 2.0));
  }
  const KeySide side = key_side<T>(head, 5);
  EXPECT_EQ(side.totals.keys, head.n_kv);
  const std::vector<long double> weights = weights_of<T>(side);
  std::vector<T> x(usize(head.n_kv));
  std::vector<double> scratch;
  engines::load_key_coordinates(head.problem(), side.setup.frame, 0, head.n_kv, x.data(), head.n_kv, scratch);
  for (int t = 0; t <= 5; ++t) {
    for (std::int64_t c = 0; c <= 2; ++c) {
      long double sum = 0.0L;
      long double absolute = 0.0L;
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        const long double value =
            c == 2 ? 1.0L : wide(head.v[usize(2 * j + c)]) - wide(side.setup.values.centre[usize(c)]);
        const long double term = weights[usize(j)] * power_of(x[usize(j)], t) * value;
        sum += term;
        absolute += std::fabs(term);
      }
      const long double computed = wide(side.totals.totals[usize(t * 3 + c)]);
      EXPECT_LE(std::fabs(computed - sum), wide(side.rounding.gamma) * absolute) << "degree " << t << ", column " << c;
    }
  }
}

// Chunks are joined in order of the keys: not a bit depends on threads.
TYPED_TEST(KeySideOf, TotalsDoNotDependOnThreads) {
  const HeadData head = random_head(12, 4, 3 * engines::kMomentChunk + 700, 3, 2);
  const PolynomialSetup setup = make_setup(head.problem(), 3);
  std::vector<double> expected;
  for (const int threads : {1, 2, 5}) {
    base::MemoryMeter memory;
    engines::MomentTotals totals = engines::make_totals(setup.features, &memory);
    engines::sum_moments<TypeParam>(head.problem(), setup.frame, setup.values, setup.features, 0,
                                    {threads, &memory, nullptr}, totals);
    std::vector<double> all(totals.totals.begin(), totals.totals.end());
    all.insert(all.end(), totals.absolute.begin(), totals.absolute.end());
    all.insert(all.end(), totals.square.begin(), totals.square.end());
    if (threads == 1) {
      expected = all;
    }
    EXPECT_EQ(all, expected) << threads << " threads";
  }
}

// What append does: the sums of the first keys, then the others added.
TYPED_TEST(KeySideOf, LaterKeysAddToTheTotals) {
  const HeadData head = random_head(13, 4, 2 * engines::kMomentChunk, 2, 1);
  const PolynomialSetup setup = make_setup(head.problem(), 2);
  const auto total = [&](const std::vector<std::int64_t>& firsts) {
    engines::MomentTotals totals = engines::make_totals(setup.features, nullptr);
    for (const std::int64_t first : firsts) {
      engines::sum_moments<TypeParam>(head.problem(), setup.frame, setup.values, setup.features, first,
                                      serial_context(), totals);
    }
    return totals;
  };
  const engines::MomentTotals whole = total({0});
  const engines::MomentTotals tail = total({engines::kMomentChunk});
  const engines::MomentTotals both = total({0, engines::kMomentChunk});
  EXPECT_EQ(tail.keys, engines::kMomentChunk);
  for (std::size_t i = 0; i < whole.totals.size(); ++i) {
    EXPECT_EQ(both.totals[i], whole.totals[i] + tail.totals[i]);
  }
}

TEST(RoundingModel, CountsMoreForLongerSums) {
  const RoundingModel small = engines::rounding_model<float>(3, 20, 100);
  const RoundingModel high = engines::rounding_model<float>(9, 20, 100);
  const RoundingModel many = engines::rounding_model<float>(3, 20, 100000000);
  const RoundingModel wide_type = engines::rounding_model<double>(3, 20, 100);
  EXPECT_EQ(small.unit, 0x1p-24);
  EXPECT_EQ(wide_type.unit, 0x1p-53);
  EXPECT_LT(small.gamma, high.gamma);
  EXPECT_LT(small.gamma, many.gamma);
  EXPECT_LT(wide_type.gamma, 1e-13);
  // N = 2 g + 512 / 16 + 61 roundings of float32 at least, of docs/theory.md.
  EXPECT_GE(small.gamma, (2 * 3 + 32 + 61) * 0x1p-24);
  EXPECT_GE(wide_type.gamma, (2 * 3 + 64 + 61) * 0x1p-53);
  EXPECT_LT(small.gamma, (2 * 3 + 32 + 61) * 0x1p-24 * 1.001);
}

}  // namespace
}  // namespace polyattn::test
