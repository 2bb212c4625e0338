// Causal masks and windows over tuples: sums that slide along.

#include "support/random.hpp"
#include "support/tuple_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

TupleAsk asked(int degree, bool spread = false) {
  TupleAsk ask;
  ask.choice = {degree, false, spread};
  return ask;
}

TEST(TupleMasks, RandomMasksKeepTheirBounds) {
  Random random(1);
  int rows = 0;
  int refused = 0;
  for (int round = 0; round < 150; ++round) {
    const auto sets = static_cast<std::size_t>(random.integer(1, 4));
    const std::int64_t keys = sets < 3 ? 14 : 6;
    TupleCase head = uniform_case(static_cast<std::uint64_t>(round), sets, 17, keys, 2, 2, random.uniform(-1.0, 1.0));
    for (TupleCase::Set& set : head.sets) {
      set.size = random.integer(1, keys);
      set.mask.causal = random.chance(0.6);
      set.mask.offset = random.integer(-3, 6);
      set.mask.window = random.chance(0.6) ? random.integer(1, 9) : 0;
      if (random.chance(0.4)) {
        for (std::int64_t j = 0; j < set.size; ++j) {
          set.bias.push_back(random.uniform(-5.0, 5.0));
        }
      }
    }
    const TupleTruth truth = brute_force(head);
    const TupleRun run = run_tuples(head, asked(8, random.chance(0.5)));
    EXPECT_LE(worst_ratio(head, run, truth), 1.0) << "round " << round;
    // Only where heavy keys have left a window may a row that sees keys be refused.
    const bool leave = std::any_of(head.sets.begin(), head.sets.end(),
                                   [](const TupleCase::Set& set) { return set.mask.window > 0 && !set.bias.empty(); });
    for (std::size_t i = 0; i < truth.lse.size(); ++i) {
      const bool seen = std::isfinite(truth.lse[i]);
      EXPECT_TRUE(run.answered[i] != 0 ? seen : !seen || leave) << "round " << round << " row " << i;
      refused += seen && run.answered[i] == 0 ? 1 : 0;
      rows += seen ? 1 : 0;
    }
  }
  EXPECT_LT(20 * refused, rows);
}

TEST(TupleMasks, ALongWindowSlidesFarWithoutLosingItsSums) {
  TupleCase head = uniform_case(2, 2, 1500, 1500, 2, 1, 0.8);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
    set.mask.window = 9;
  }
  head.sets[1].mask.window = 23;
  const TupleTruth truth = brute_force(head);
  const TupleRun run = run_tuples(head, asked(10));
  EXPECT_EQ(run.summary.answered, head.n_q);
  EXPECT_LE(worst_ratio(head, run, truth), 1.0);
  EXPECT_LT(*std::max_element(run.rounding.begin(), run.rounding.end()), 1e-6);
}

TEST(TupleMasks, HeavyKeysThatLeaveTheWindowAreNotRemembered) {
  Random random(3);
  TupleCase head = uniform_case(3, 2, 800, 800, 2, 1, 0.8);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
    set.mask.window = 12;
    for (std::int64_t j = 0; j < set.size; ++j) {
      set.bias.push_back(random.chance(0.02) ? random.uniform(20.0, 300.0) : random.uniform(-30.0, 0.0));
    }
  }
  const TupleTruth truth = brute_force(head);
  const TupleRun run = run_tuples(head, asked(9));
  EXPECT_LE(worst_ratio(head, run, truth), 1.0);
  EXPECT_GT(run.summary.answered, head.n_q / 20);
  EXPECT_LT(run.summary.answered, head.n_q);
}

TEST(TupleMasks, WeightsThatGrowAlongKeepEarlyRows) {
  // Under one unit for all weights the early rows would vanish.
  TupleCase head = uniform_case(4, 2, 400, 400, 2, 1, 0.8);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
    for (std::int64_t j = 0; j < set.size; ++j) {
      set.bias.push_back(1.1 * static_cast<double>(j));
    }
  }
  head.n_q = 130;  // the last rows alone would cost as much as all others
  head.queries.resize(260);
  const TupleTruth truth = brute_force(head);
  const TupleRun run = run_tuples(head, asked(9));
  EXPECT_EQ(run.summary.answered, head.n_q);
  EXPECT_LE(worst_ratio(head, run, truth), 1.0);
}

TEST(TupleMasks, LaterKeysDoNotChangeEarlierRows) {
  TupleCase head = uniform_case(5, 3, 200, 200, 2, 2, 0.5);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
  }
  const TupleRun all = run_tuples(head, asked(4));
  TupleCase cut = head;
  cut.n_q = 128;  // whole blocks
  cut.queries.resize(256);
  const TupleRun some = run_tuples(cut, asked(4));
  for (std::size_t k = 0; k < 2 * 128; ++k) {
    const std::size_t i = k / 2;
    EXPECT_LE(std::fabs(all.output[k] - some.output[k]),
              all.approximation[i] + all.rounding[i] + some.approximation[i] + some.rounding[i]);
  }
}

TEST(TupleMasks, RowsOfOneKeyAreThatKeysValues) {
  TupleCase head = uniform_case(6, 2, 30, 30, 2, 2, 0.5);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
    set.mask.window = 1;
  }
  const TupleRun run = run_tuples(head, asked(6));
  EXPECT_EQ(run.summary.answered, head.n_q);
  for (std::size_t k = 0; k < run.output.size(); ++k) {
    const double product = head.sets[0].values[k] * head.sets[1].values[k];
    EXPECT_NEAR(run.output[k], product, run.rounding[k / 2]);
  }
}

TEST(TupleMasks, MoreSetsThanAreSlidAlongAreRefused) {
  TupleCase head = uniform_case(7, 5, 5, 3, 2, 1, 0.5);
  EXPECT_EQ(run_tuples(head, asked(4)).summary.answered, head.n_q);
  for (TupleCase::Set& set : head.sets) {
    set.mask.causal = true;
  }
  TupleAsk ask = asked(4);
  ask.predict = true;
  const TupleRun run = run_tuples(head, ask);
  EXPECT_EQ(run.summary.answered, 0);
  EXPECT_EQ(run.prediction.bound, std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace polyattn::test
