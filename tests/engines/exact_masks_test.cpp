// Masks, intervals and soft-capping in the exact engine: answers that must be exact, what rows do not see, and bounds
// attacked, all judged in long double.

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/heads.hpp"

#include <array>
#include <bit>

namespace polyattn::engines::test {
namespace {

using base::usize;

template <class T>
class ExactMasks : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactMasks, Arithmetics);

/// By whichever way suits the number of rows.
template <class T>
Answer answer(const Head& head, int threads = 1) {
  const Prepared prepared(head);
  return collect(head.n_q, head.d_v, head.output, [&](const HeadOutputs& out) {
    exact_head<T>(prepared.problem, RowList{}, out, base::Context{threads, nullptr, nullptr});
  });
}

/// The first rows of a head.
Head first_rows(Head head, std::int64_t rows) {
  head.n_q = rows;
  head.q.resize(usize(rows * head.d));
  head.additive.resize(head.additive.empty() ? 0 : usize(rows * head.n_kv));
  head.boolean.resize(head.boolean.empty() ? 0 : usize(rows * head.n_kv));
  return head;
}

/// Rows alone, in a stream and packed.
constexpr std::array<std::int64_t, 3> kCompanies{2, 30, 200};

// What rows do not see.

/// A mask of small numbers, and the same with `garbage` wherever `hidden` says that the row does not look.
template <class T, class Hidden>
void expect_unseen(const Head& head, const Hidden& hidden, const std::string& what) {
  std::mt19937_64 random(5);
  for (const std::int64_t rows : kCompanies) {
    Head clean = first_rows(head, rows);
    clean.additive = normal(random, rows * head.n_kv);
    const Answer expected = answer<T>(clean);
    for (const double garbage : {kNan, kInfinity, 1e300}) {
      Head dirty = clean;
      for (std::int64_t i = 0; i < rows; ++i) {
        for (std::int64_t j = 0; j < head.n_kv; ++j) {
          if (hidden(i, j)) {
            dirty.additive[usize(i * head.n_kv + j)] = garbage;
          }
        }
      }
      Answer got;
      ASSERT_NO_THROW(got = answer<T>(dirty)) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.output, expected.output) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.lse, expected.lse) << what << ", " << rows << " rows, " << garbage;
      ASSERT_EQ(got.rounding, expected.rounding) << what << ", " << rows << " rows, " << garbage;
    }
  }
}

TYPED_TEST(ExactMasks, WhatIsOutsideOfTheIntervalMayHoldAnything) {
  Head head = random_head(1, 200, 300, 3, 2);
  head.mask.causal = true;
  head.mask.offset = 20;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return j > i + 20; }, "causal");
  head.mask.window = 15;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return j > i + 20 || j <= i + 5; }, "window");
}

TYPED_TEST(ExactMasks, WhatIsExcludedMayHoldAnything) {
  Head head = random_head(2, 200, 300, 3, 2);
  head.mask.exclude_self = true;
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return i == j; }, "exclude_self");
}

TYPED_TEST(ExactMasks, WhatABooleanMaskHidesMayHoldAnything) {
  Head head = random_head(3, 200, 300, 3, 2);
  head.boolean.assign(200 * 300, 1);
  for (std::size_t e = 0; e < head.boolean.size(); e += 7) {
    head.boolean[e] = 0;
  }
  expect_unseen<TypeParam>(
      head, [](auto i, auto j) { return (i * 300 + j) % 7 == 0; }, "boolean");
}

TYPED_TEST(ExactMasks, WhatAKeyBiasHidesMayHoldAnything) {
  Head head = random_head(4, 200, 300, 3, 2);
  head.bias.assign(300, 0.5);
  for (std::size_t j = 0; j < 300; j += 11) {
    head.bias[j] = -kInfinity;
  }
  expect_unseen<TypeParam>(
      head, [](auto, auto j) { return j % 11 == 0; }, "key bias");
}

TYPED_TEST(ExactMasks, WhatIsSeenAndNotFiniteIsNamed) {
  for (const std::int64_t rows : kCompanies) {
    for (const double bad : {kNan, kInfinity}) {
      Head head = random_head(5, rows, 300, 3, 2);
      head.additive.assign(usize(rows * 300), 0.0);
      head.additive[usize((rows - 1) * 300 + 140)] = bad;
      try {
        answer<TypeParam>(head);
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::non_finite);
        EXPECT_NE(std::string(error.what()).find("row " + std::to_string(rows - 1) + ", key 140"), std::string::npos)
            << error.what();
      }
    }
  }
}

// A finite number hides nothing, however low, and one that float32 cannot hold is no error: it has no bound there.
TYPED_TEST(ExactMasks, FiniteNumbersBeyondTheArithmetic) {
  for (const std::int64_t rows : kCompanies) {
    Head head = random_head(6, rows, 200, 3, 2);
    head.additive.assign(usize(rows * 200), -1e300);
    Answer got = answer<TypeParam>(head);
    for (std::size_t i = 0; i < usize(rows); ++i) {
      EXPECT_GT(got.lse[i], -kInfinity);
      EXPECT_LT(got.lse[i], -1e30);
      EXPECT_EQ(got.relative[i], kInfinity);
    }
    // Beside others: weights of 0, and no claim about them relative to their size.
    for (std::size_t e = 0; e < head.additive.size(); e += 2) {
      head.additive[e] = 0.0;
    }
    Clearance clearance;
    got = answer<TypeParam>(head);
    judge(head, got, clearance, "low numbers");
    EXPECT_EQ(got.relative[0], kInfinity);
    EXPECT_LT(got.rounding[0], 1e-4);
    if (sizeof(TypeParam) == sizeof(float)) {
      head.additive[0] = 1e300;
      ASSERT_NO_THROW(got = answer<TypeParam>(head)) << rows;
      EXPECT_EQ(got.rounding[0], kInfinity) << rows;
      EXPECT_LT(got.rounding[1], kInfinity) << rows;
    }
  }
}

// Where every operation is exact the answer is the quotient.

/// fl(scale log2 e) = 1: scores are whole in log2 units.
double whole_scale() {
  double scale = 0x1.62e42fefa39efp-1;
  while (scale * simd::kLog2E < 1.0) {
    scale = std::nextafter(scale, 1.0);
  }
  while (scale * simd::kLog2E > 1.0) {
    scale = std::nextafter(scale, 0.0);
  }
  return scale;
}

TYPED_TEST(ExactMasks, PowersOfTwoAreExact) {
  ASSERT_EQ(whole_scale() * simd::kLog2E, 1.0);
  std::mt19937_64 random(10);
  const auto integer = [&](std::int64_t low, std::int64_t high) {
    return static_cast<double>(low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1)));
  };
  for (const std::int64_t n : {1, 16, 129, 2049, 5000}) {
    for (const int kind : {0, 1, 2, 3, 4}) {
      Head head = random_head(11, 200, n, 2, 3);
      head.score.scale = whole_scale();
      for (std::int64_t i = 0; i < 200; ++i) {
        head.q[usize(2 * i)] = 1.0;
        head.q[usize(2 * i + 1)] = integer(-3, 0);
      }
      for (std::int64_t j = 0; j < n; ++j) {
        head.k[usize(2 * j)] = integer(-2, 0);
        head.k[usize(2 * j + 1)] = integer(0, 2);
      }
      for (double& v : head.v) {
        v = integer(-20, 20);
      }
      head.mask.causal = kind == 1;
      head.mask.window = kind == 2 ? 40 : 0;
      head.mask.offset = kind == 1 || kind == 2 ? n / 2 : 0;
      head.mask.exclude_self = kind == 3;
      if (kind == 4) {
        for (std::int64_t e = 0; e < 200 * n; ++e) {
          head.boolean.push_back(random() % 2 == 0 ? 1 : 0);
          head.additive.push_back(random() % 3 == 0 ? -kInfinity : 0.0);
        }
      }
      const Prepared prepared(head);
      for (const std::int64_t rows : kCompanies) {
        const Answer got = answer<TypeParam>(first_rows(head, rows), 2);
        for (std::int64_t i = 0; i < rows; i += std::max<std::int64_t>(1, rows / 20)) {
          std::array<double, 3> sums{};
          double weights = 0.0;
          const KeyRange range = head.mask.range(i, n);
          for (std::int64_t j = range.first; j < range.last; ++j) {
            const auto pair = usize(i * n + j);
            if ((kind == 3 && i == j) || (kind == 4 && (head.boolean[pair] == 0 || head.additive[pair] < 0.0))) {
              continue;
            }
            const double w = std::exp2(head.k[usize(2 * j)] + head.q[usize(2 * i + 1)] * head.k[usize(2 * j + 1)]);
            weights += w;
            for (std::size_t c = 0; c < 3; ++c) {
              sums[c] += w * head.v[usize(3 * j) + c];
            }
          }
          for (std::size_t c = 0; c < 3; ++c) {
            const double expected = weights == 0.0 ? 0.0 : sums[c] / weights + 0.0;
            ASSERT_EQ(got.output[usize(3 * i) + c], expected) << n << " keys, mask " << kind << ", row " << i;
          }
        }
      }
    }
  }
}

// Bounds.

constexpr int kKinds = 7;
/// One of the masks, or all of them.
Head masked(Head head, int kind, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const bool all = kind == 6;
  head.mask.causal = kind == 1 || all;
  head.mask.offset = head.n_kv / 2;
  head.mask.window = kind == 2 || all ? std::max<std::int64_t>(1, head.n_kv / 3) : 0;
  head.mask.exclude_self = kind == 3 || all;
  if (kind == 4 || all) {
    for (std::int64_t e = 0; e < head.n_q * head.n_kv; ++e) {
      head.boolean.push_back(random() % 4 == 0 ? 0 : 1);
    }
  }
  if (kind == 5 || all) {
    head.additive = normal(random, head.n_q * head.n_kv, 5.0);
    for (std::size_t e = 0; e < head.additive.size(); e += 1 + random() % 7) {
      head.additive[e] = random() % 2 == 0 ? -kInfinity : -1e30;
    }
  }
  return head;
}

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

TYPED_TEST(ExactMasks, HugeScoresTiesAndHiddenKeys) {
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
TYPED_TEST(ExactMasks, MasksAgainstBiases) {
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
TYPED_TEST(ExactMasks, RoundingOfMasks) {
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
TYPED_TEST(ExactMasks, SoftCappingIsAsAccurateAsProved) {
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
TYPED_TEST(ExactMasks, RelativeDownToSubnormalWeights) {
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

TYPED_TEST(ExactMasks, KnownBeforehand) {
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

// A search that climbs measured / certified.

Head drawn(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto integer = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  constexpr std::array spreads{0.01, 0.5, 3.0};
  Head head = random_head(seed, integer(1, 4), integer(1, 12), integer(1, 6), 1, spreads.at(random() % 3));
  for (double& v : head.v) {
    v = random() % 2 == 0 ? 1.0 : -1.0;
  }
  head.storage = random() % 2 == 0 ? DType::float32 : DType::float64;
  head.soft_cap = std::array{0.0, 0.0, 0.1, 2.0, 30.0}.at(random() % 5);
  if (random() % 3 == 0) {
    head.bias = normal(random, head.n_kv, 3.0);
  }
  if (random() % 3 == 0) {
    head = gaussian(head, random() % 2 == 0 ? std::vector<double>{1.0} : std::vector<double>{0.5, 2.0});
  }
  head = masked(head, static_cast<int>(integer(0, kKinds - 1)), seed);
  for (double& m : head.additive) {
    m = m == -1e30 ? 0.7 : m;
  }
  return head;
}

void move(Head& head, std::mt19937_64& random) {
  const auto any = [&](std::vector<double>& list) -> double& { return list[random() % list.size()]; };
  const auto nudge = [&](double& x) {
    std::normal_distribution<double> draw;
    x = random() % 2 == 0 ? x * std::exp(0.2 * draw(random)) : x + 0.1 * draw(random);
  };
  const auto scale = [&](std::vector<double>& list) {
    const double factor = std::array{0.8, 1.25, -1.0}.at(random() % 3);
    for (double& x : list) {
      x *= factor;
    }
  };
  switch (random() % 9) {
    case 0:
      return nudge(any(head.q));
    case 1:
      return nudge(any(head.k));
    case 2:
      return scale(head.q);
    case 3:
      return scale(head.k);
    case 4:
      return head.soft_cap > 0.0 ? nudge(head.soft_cap) : nudge(any(head.k));
    case 5:
      return head.bias.empty() ? nudge(any(head.q)) : nudge(any(head.bias));
    case 6:
      if (!head.boolean.empty()) {
        head.boolean[random() % head.boolean.size()] ^= 1;
      }
      return head.additive.empty() ? nudge(any(head.k)) : nudge(any(head.additive));
    default:
      any(head.v) *= -1.0;
  }
}

/// Largest measured / certified of a head's rows; above 1 refutes a bound.
template <class T>
double closeness(const Head& head, Clearance& clearance) {
  const Prepared prepared(head);
  const Answer got = answer<T>(head);
  double worst = 0.0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const Truth t = truth(head, prepared, i);
    if (t.empty) {
      continue;
    }
    const auto row = usize(i);
    const long double error = std::fabs(static_cast<long double>(got.output[row]) - t.output[0]);
    const double output = ratio(error, got.rounding[row] + got.storage[row]);
    const double relative = ratio(error, got.relative[row] * static_cast<double>(t.weighted_size[0]));
    const double lse = ratio(std::fabs(static_cast<long double>(got.lse[row]) - t.lse), got.lse_bound[row]);
    ++clearance.rows;
    clearance.known += got.rounding[row] < kInfinity ? 1 : 0;
    clearance.output = std::max(clearance.output, output);
    clearance.relative = std::max(clearance.relative, relative);
    clearance.lse = std::max(clearance.lse, lse);
    worst = std::max({worst, output, relative, lse});
  }
  return worst;
}

TYPED_TEST(ExactMasks, CertificatesUnderASearchThatClimbs) {
  Clearance clearance;
  for (std::uint64_t seed = 1; seed <= 800; ++seed) {
    Head best = drawn(seed);
    std::mt19937_64 random(seed);
    double closest = closeness<TypeParam>(best, clearance);
    for (int step = 0; step < 150 && closest <= 1.0; ++step) {
      Head next = best;
      move(next, random);
      if (next.soft_cap < 0.0) {
        continue;
      }
      const double found = closeness<TypeParam>(next, clearance);
      if (found >= closest) {
        closest = found;
        best = std::move(next);
      }
    }
    ASSERT_LE(closest, 1.0) << "seed " << seed;
  }
  clearance.print("masks, climbed");
}

}  // namespace
}  // namespace polyattn::engines::test
