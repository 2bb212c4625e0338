#include "planning/cost_model.hpp"

#include "engines/polynomial_head.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace polyattn::test {
namespace {

using planning::CostModel;

TEST(ScorePairs, AreThePairsARowMaySee) {
  for (const std::int64_t n_q : {1, 3, 7}) {
    for (const std::int64_t n_kv : {1, 4, 9}) {
      HeadData head = random_head(1, n_q, n_kv, 1, 1);
      EXPECT_EQ(planning::score_pairs(head.problem()), static_cast<double>(n_q * n_kv));
      head.mask.causal = true;
      for (std::int64_t offset = -10; offset <= 10; ++offset) {
        head.mask.offset = offset;
        double pairs = 0.0;
        for (std::int64_t i = 0; i < n_q; ++i) {
          for (std::int64_t j = 0; j < n_kv; ++j) {
            pairs += j <= i + offset ? 1.0 : 0.0;
          }
        }
        EXPECT_EQ(planning::score_pairs(head.problem()), pairs) << n_q << " " << n_kv << " " << offset;
      }
    }
  }
}

TEST(CostModel, ExactGrowsWithPairsAndPolynomialWithTokens) {
  const CostModel cost({}, 1);
  const HeadData small = random_head(2, 1000, 1000, 4, 8);
  const HeadData large = random_head(2, 2000, 2000, 4, 8);
  for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
    const double exact = cost.exact_seconds(small.problem(), 1e12, arithmetic);
    EXPECT_NEAR(cost.exact_seconds(small.problem(), 4e12, arithmetic) / exact, 4.0, 1e-3);
    const std::int64_t rank = feature_rank(4, 12);
    const double polynomial = cost.polynomial_seconds(small.problem(), 1000, {rank, 12, false}, arithmetic);
    const double twice = cost.polynomial_seconds(large.problem(), 2000, {rank, 12, false}, arithmetic);
    EXPECT_LE(twice, 2.0 * polynomial);
    EXPECT_GT(twice, 1.5 * polynomial);
    EXPECT_GT(cost.polynomial_seconds(small.problem(), 1000, {feature_rank(4, 13), 13, false}, arithmetic), polynomial);
  }
  EXPECT_GT(cost.exact_seconds(small.problem(), 1e9, Arithmetic::float64),
            cost.exact_seconds(small.problem(), 1e9, Arithmetic::float32));
  HeadData causal = small;
  causal.mask.causal = true;
  EXPECT_GT(cost.polynomial_seconds(causal.problem(), 1000, {100, 3, false}, Arithmetic::float32),
            cost.polynomial_seconds(small.problem(), 1000, {100, 3, false}, Arithmetic::float32))
      << "the exact part inside blocks";
}

TEST(CostModel, ACalibrationReplacesTheSpeeds) {
  const HeadData head = random_head(3, 1000, 1000, 4, 8);
  const double expected = CostModel({}, 1).exact_seconds(head.problem(), 1e13, Arithmetic::float32);
  Calibration fast;
  fast.float32_fma = 1.2e12;
  const CostModel calibrated(fast, 1);
  EXPECT_NEAR(calibrated.exact_seconds(head.problem(), 1e13, Arithmetic::float32), 0.1 * expected, 0.02 * expected);
  EXPECT_EQ(calibrated.exact_seconds(head.problem(), 1e13, Arithmetic::float64),
            CostModel({}, 1).exact_seconds(head.problem(), 1e13, Arithmetic::float64))
      << "what it leaves at 0 keeps its default";
}

TEST(PolynomialBytes, CountMomentsAndScratch) {
  const HeadData head = random_head(4, 5000, 7000, 4, 8);
  const auto bytes = [&](std::int64_t rank, Arithmetic arithmetic, int threads) {
    return planning::polynomial_bytes(head.problem(), {rank, 5, false}, arithmetic, threads);
  };
  const std::int64_t one = bytes(126, Arithmetic::float32, 1);
  EXPECT_GE(one, 126 * 9 * (8 + 4) + 7000 * 8) << "totals, scaled moments and log weights at least";
  EXPECT_GT(bytes(126, Arithmetic::float64, 1), one);
  EXPECT_GT(bytes(126, Arithmetic::float32, 2), one);
  EXPECT_GT(bytes(1260, Arithmetic::float32, 1), one + 1134 * 9 * 12);
}

}  // namespace
}  // namespace polyattn::test
