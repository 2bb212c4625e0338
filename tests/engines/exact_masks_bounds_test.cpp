// Bounds of the exact engine under masks and soft-capping, certified and known beforehand, attacked and judged in long
// double.

#include "engines/exact/certificate.hpp"
#include "engines/exact_masks.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace polyattn::engines::test {
namespace {

using base::usize;

template <class T>
class ExactMasksBounds : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactMasksBounds, Arithmetics);

template <class T>
void run(const Head& head, Clearance& clearance, const std::string& what) {
  for (int kind = 0; kind < kKinds; ++kind) {
    const Head each = masked(head, kind, 77);
    judge(each, answer<T>(each), clearance, what + ", mask " + std::to_string(kind));
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

TYPED_TEST(ExactMasksBounds, HugeScoresTiesAndHiddenKeys) {
  Clearance clearance;
  std::uint64_t seed = 20;
  for (const std::int64_t rows : {2, 7}) {
    for (const std::int64_t n : {3, 130, 600}) {
      Head head = random_head(seed++, rows, n, 2, 3);
      Head ties = head;
      for (std::size_t e = 0; e < ties.k.size(); ++e) {
        ties.k[e] = ties.k[e % 4];
      }
      run<TypeParam>(ties, clearance, "ties");
      Head huge = head;
      for (std::int64_t j = 0; j < n; ++j) {  // scores of +-1e4 and next to them
        huge.k[usize(2 * j)] = (j % 2 == 0 ? 1e4 : -1e4) + 0.01 * static_cast<double>(j % 5);
        huge.k[usize(2 * j + 1)] = 0.0;
      }
      for (std::int64_t i = 0; i < rows; ++i) {
        huge.q[usize(2 * i)] = (i % 2 == 0 ? 1.0 : -1.0) * std::sqrt(2.0);
      }
      run<TypeParam>(huge, clearance, "huge scores");
      huge.soft_cap = 50.0;
      run<TypeParam>(huge, clearance, "huge scores, capped");
      head.bias.assign(usize(n), 0.0);
      for (std::int64_t j = 5; j < n; j += 128) {
        head.bias[usize(j)] = -kInfinity;
      }
      run<TypeParam>(head, clearance, "a hidden key in every block");
      head.soft_cap = 0.3;
      run<TypeParam>(head, clearance, "a hidden key in every block, capped");
      run<TypeParam>(gaussian(head, {0.3}), clearance, "gaussian, capped");
      head.soft_cap = 0.0;
      run<TypeParam>(gaussian(head, {0.3, 3.0}), clearance, "gaussian");
    }
  }
  clearance.print("huge scores, ties, hidden keys");
}

// Biases and masks that nearly cancel, so that neither says how large the other is.
TYPED_TEST(ExactMasksBounds, MasksAgainstBiases) {
  Clearance clearance;
  std::uint64_t seed = 40;
  for (const double large : {3.0, 100.0, 3e3, 1e5, 1e9}) {
    Head head = random_head(seed++, 5, 300, 2, 3);
    std::mt19937_64 random(seed);
    head.bias = normal(random, 300, large);
    head.additive.assign(5 * 300, 0.0);
    for (std::size_t e = 0; e < head.additive.size(); ++e) {
      head.additive[e] = -head.bias[e % 300] + (e % 3 == 0 ? -large : 0.0) + static_cast<double>(e % 4);
    }
    for (const std::int64_t rows : {2, 5}) {
      const Head each = first_rows(head, rows);
      judge(each, answer<TypeParam>(each), clearance, "masks of " + std::to_string(large));
      const Head round = gaussian(each, {0.7});
      judge(round, answer<TypeParam>(round), clearance, "masks of " + std::to_string(large) + ", gaussian");
    }
  }
  clearance.print("masks against biases");
}

// Nearly all of the error is that of masks: two keys alike but for what is added to them.
TYPED_TEST(ExactMasksBounds, RoundingOfMasks) {
  Clearance clearance;
  std::mt19937_64 random(50);
  for (const double large : {1e2, 1e3, 1e4}) {
    for (std::uint64_t seed = 50; seed < 90; ++seed) {
      for (const std::int64_t rows : {2, 5}) {
        Head head = random_head(seed, rows, 2, 1, 1, 0.01);
        head.v = {0.5, -0.5};
        head.additive = normal(random, 2 * rows, 0.5, large);
        judge(head, answer<TypeParam>(head), clearance, "large masks");
        for (double& m : head.additive) {
          m = -m;
        }
        judge(head, answer<TypeParam>(head), clearance, "low masks");
      }
    }
  }
  clearance.print("rounding of masks");
  EXPECT_GT(clearance.output, 0.1);
}

// One key: the largest score is its own, soft-capped, and everything before the cap is exact.
TYPED_TEST(ExactMasksBounds, SoftCappingIsAsAccurateAsProved) {
  const double unit = sizeof(TypeParam) == sizeof(float) ? simd::kSoftCapMaxRelF32 : simd::kSoftCapMaxRelF64;
  std::mt19937_64 random(51);
  std::uniform_real_distribution<double> exponent(0.7, 17.0);
  const long double ln2 = std::log(2.0L);
  double worst = 0.0;
  for (int trial = 0; trial < 40; ++trial) {
    Head head = random_head(1, 500, 1, 1, 0);
    head.k = {1.0};
    head.score.scale = whole_scale();
    head.soft_cap = 2.0 * std::exp2(0.7 * exponent(random));
    for (double& q : head.q) {
      q = static_cast<double>(static_cast<float>(std::exp2(exponent(random)) * (random() % 2 == 0 ? 1.0 : -1.0)));
    }
    const Answer got = answer<TypeParam>(head);
    for (std::size_t i = 0; i < 500; ++i) {
      const auto cap = static_cast<long double>(head.soft_cap);
      const long double score = cap * std::tanh(static_cast<long double>(head.q[i]) * ln2 / cap);
      ASSERT_GT(std::fabs(score), ln2);  // below 1 in log2 units row maxima are rounded once more
      const long double error = std::fabs(static_cast<long double>(got.row_max[i]) / score - 1);
      // Conversion to natural units costs two roundings of float64.
      ASSERT_LE(error, static_cast<long double>(unit + 3 * 0x1p-53)) << head.q[i] << ", cap " << head.soft_cap;
      worst = std::max(worst, static_cast<double>(error) / unit);
    }
  }
  std::printf("[ clearance] %-28s %.3f of the proved error\n", "soft-capping", worst);
  EXPECT_GT(worst, 0.1);
}

// The relative form is claimed as long as no weight can be subnormal, and holds until then.
TYPED_TEST(ExactMasksBounds, RelativeDownToSubnormalWeights) {
  Clearance clearance;
  std::int64_t claimed = 0;
  std::int64_t refused = 0;
  const double most = sizeof(TypeParam) == sizeof(float) ? 40.0 : 90.0;
  for (int step = 0; step <= 40; ++step) {
    for (const double size : {1.0, 1e-20, 1e-30, 1e30}) {
      Head head = random_head(usize(60 + step), 4, 60, 2, 2, 0.3);
      head.additive.assign(4 * 60, 0.0);
      for (std::size_t e = 0; e < head.additive.size(); ++e) {
        head.additive[e] = -most * static_cast<double>(step) / 40.0 * static_cast<double>(e % 2);
      }
      for (std::int64_t j = 0; j < 60; ++j) {  // only the lightest keys have a value in column 1
        head.v[usize(2 * j)] *= size;
        head.v[usize(2 * j + 1)] = j % 2 == 0 ? 0.0 : size * (1.0 + 1e-3 * static_cast<double>(j));
      }
      head.storage = DType::float32;
      head.soft_cap = step % 3 == 0 ? 0.2 : 0.0;
      const Answer got = answer<TypeParam>(head);
      judge(head, got, clearance, "step " + std::to_string(step));
      (got.relative[0] < kInfinity ? claimed : refused) += 1;
    }
  }
  clearance.print("relative form");
  EXPECT_GT(claimed, 20);
  EXPECT_GT(refused, 20);
}

/// `exact_bound` from the numbers themselves.
template <class T>
ExactBound beforehand(const Head& head, const ScoreFacts& facts) {
  const Prepared prepared(head);
  KeyStatistics keys;
  QueryStatistics queries;
  const auto box = [](const std::vector<double>& rows, std::int64_t columns, std::vector<double>& low,
                      std::vector<double>& high) {
    double norm = 0.0;
    low.assign(usize(columns), kInfinity);
    high.assign(usize(columns), -kInfinity);
    for (std::size_t i = 0; i < rows.size(); i += usize(columns)) {
      double square = 0.0;
      for (std::size_t l = 0; l < usize(columns); ++l) {
        low[l] = std::min(low[l], rows[i + l]);
        high[l] = std::max(high[l], rows[i + l]);
        square += rows[i + l] * rows[i + l];
      }
      norm = std::max(norm, std::sqrt(square) * (1 + 1e-14));
    }
    return norm;
  };
  keys.keys = keys.visible = head.n_kv;
  keys.max_norm = box(prepared.k.numbers(), head.d, keys.key_min, keys.key_max);
  box(prepared.v.numbers(), head.d_v, keys.value_min, keys.value_max);
  keys.smallest_value = 0x1p-1000;
  keys.bias_min = head.bias.empty() ? 0.0 : *std::min_element(head.bias.begin(), head.bias.end());
  keys.bias_max = head.bias.empty() ? 0.0 : *std::max_element(head.bias.begin(), head.bias.end());
  keys.bias_spread = keys.bias_max - keys.bias_min;
  const bool single = sizeof(T) == sizeof(float);
  keys.keys_exact = keys.values_exact = queries.queries_exact = !single || head.storage == DType::float32;
  queries.max_norm = box(prepared.q.numbers(), head.d, queries.query_min, queries.query_max);
  return exact_bound<T>(head.score, keys, queries, head.output, facts);
}

TYPED_TEST(ExactMasksBounds, KnownBeforehand) {
  std::uint64_t seed = 300;
  for (const std::int64_t n : {7, 300, 2500}) {
    for (const double cap : {0.0, 0.5, 20.0}) {
      for (const double spread : {0.3, 1.0, 3.0}) {
        for (int kind = 0; kind < kKinds; ++kind) {
          Head head = random_head(seed++, 200, n, 4, 3, spread);
          head.storage = seed % 2 == 0 ? DType::float32 : DType::float64;
          head.soft_cap = cap;
          if (seed % 3 == 0) {
            std::mt19937_64 random(seed);
            head.bias = normal(random, n, 2.0);
          }
          head = masked(head, kind, seed);
          for (double& m : head.additive) {  // nothing that would lift the largest score or sink a whole row
            m = -std::fabs(std::max(m, -9.0));
          }
          for (std::int64_t i = 0; i < 200 && !head.additive.empty(); ++i) {
            std::fill_n(head.additive.begin() + i * n, std::min<std::int64_t>(n, 1 + n / 2), 0.0);
          }
          if (kind == 6) {
            head.mask.causal = false;
            head.mask.window = 0;
            head.boolean.clear();
          }
          const ScoreFacts facts{cap, !head.mask.from_first(), !head.additive.empty()};
          for (const Head& each : {head, gaussian(head, {2.0, 1.0, 1.0, 1.0})}) {
            const Answer got = answer<TypeParam>(each);
            const ExactBound bound = beforehand<TypeParam>(each, facts);
            for (std::size_t i = 0; i < 200; ++i) {
              ASSERT_LE(got.rounding[i], bound.rounding) << "seed " << seed - 1 << ", mask " << kind << ", row " << i;
              ASSERT_LE(got.lse_bound[i], bound.lse) << "seed " << seed - 1 << ", mask " << kind << ", row " << i;
              ASSERT_LE(got.relative[i], bound.relative) << "seed " << seed - 1 << ", mask " << kind << ", row " << i;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::test
