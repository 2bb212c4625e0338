// Gap-MaxIP -> attention in both shapes: the dichotomies, their constants, and oracles that err as much as they may.

#include "lab/gap_maxip.hpp"

#include "lab/support.hpp"
#include "lab/triple_search.hpp"
#include "polyattn/attention.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <cmath>

namespace polyattn::lab {
namespace {

using polyattn::test::fails_with;
using test::queries_of;
using test::textbook;
using test::wrong_by;
using test::wrong_by_share;

using Sets = std::array<BitVectors, 3>;

Sets random_sets(std::array<std::int64_t, 3> counts, std::int64_t dimension, std::uint64_t seed) {
  Sets sets{BitVectors(counts[0], dimension), BitVectors(counts[1], dimension), BitVectors(counts[2], dimension)};
  std::uint64_t state = seed * 2 + 1;
  for (BitVectors& set : sets) {
    for (std::int64_t i = 0; i < set.count(); ++i) {
      for (std::int64_t l = 0; l < dimension; ++l) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        set.set(i, l, (state >> 60U) % 16 < 11);
      }
    }
  }
  return sets;
}

std::int64_t largest(const Sets& sets, std::int64_t row) {
  std::int64_t most = 0;
  for (std::int64_t j = 0; j < sets[1].count(); ++j) {
    for (std::int64_t k = 0; k < sets[2].count(); ++k) {
      most = std::max(most, inner_product(sets[0][row], sets[1][j], sets[2][k]));
    }
  }
  return most;
}

enum class Truth { yes, no, either };

Truth truth(std::int64_t most, const GapMaxIp& instance) {
  if (most >= instance.threshold) return Truth::yes;
  const double low = (1.0 - instance.gap) * static_cast<double>(instance.threshold);
  return static_cast<double>(most) <= low ? Truth::no : Truth::either;
}

/// Over random instances of every gap: what the outputs are, and that `decide` is right. Returns how many rows said yes
/// and no.
template <class Check>
std::pair<int, int> over_instances(Shape shape, const Check& check) {
  std::pair<int, int> count{};
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(seed % 4);
    const Sets sets = random_sets({4, n, 5 - n}, 8, seed);
    for (std::int64_t t = 3; t <= 5; ++t) {
      for (const double gap : {0.25, 0.5, 1.0}) {
        const GapMaxIp instance = gap_maxip(sets, t, gap);
        const TripleAttention problem = maxip_attention(instance, shape);
        std::vector<Truth> rows;
        for (std::int64_t i = 0; i < 4; ++i) {
          rows.push_back(truth(largest(sets, i), instance));
          count.first += rows.back() == Truth::yes ? 1 : 0;
          count.second += rows.back() == Truth::no ? 1 : 0;
        }
        check(problem, rows);
      }
    }
  }
  return count;
}

/// A relative error of 1e-9 for the roundings of entries.
void expect_dichotomy(const TripleAttention& problem, const std::vector<Truth>& rows) {
  const Decision& decision = problem.decision;
  const std::array<KeyInterval, 2> all{{{0, problem.real[0]}, {0, problem.real[1]}}};
  const std::vector<long double> outputs = textbook(queries_of(problem), keys_of(problem, all));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto output = static_cast<double>(outputs[i]);
    EXPECT_TRUE(rows[i] != Truth::yes || output >= decision.high * (1.0 - 1e-9)) << output;
    EXPECT_TRUE(rows[i] != Truth::no || output <= decision.low * (1.0 + 1e-9)) << output;
  }
}

void expect_right(const std::vector<bool>& decided, const std::vector<Truth>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_TRUE(rows[i] == Truth::either || decided[i] == (rows[i] == Truth::yes)) << i;
  }
}

TEST(GapMaxIp, OutputsKeepTheDichotomyOfTheThresholdShape) {
  const auto [yes, no] = over_instances(Shape::pad, expect_dichotomy);
  EXPECT_GT(yes, 100);
  EXPECT_GT(no, 100);
}

TEST(GapMaxIp, OutputsKeepTheDichotomyOfThePapersShape) {
  const auto [yes, no] = over_instances(Shape::paper, expect_dichotomy);
  EXPECT_GT(yes, 100);
  EXPECT_GT(no, 100);
}

TEST(GapMaxIp, AnOracleWrongByTwelveHundredthsDecidesAtTheThreshold) {
  over_instances(Shape::pad, [](const TripleAttention& problem, const std::vector<Truth>& rows) {
    expect_right(decide_rows(problem, wrong_by(0.12)), rows);
  });
  const Sets sets = random_sets({4, 2, 2}, 6, 3);
  const TripleAttention problem = maxip_attention(gap_maxip(sets, 3, 0.5), Shape::pad);
  EXPECT_TRUE(
      fails_with(ErrorCode::not_reachable, {"oracle", "at most 0.12"}, [&] { decide_rows(problem, wrong_by(0.13)); }));
}

TEST(GapMaxIp, TheConstantsOfTheThresholdShapeAreSharp) {
  // One pair of inner product t in the worst place: 1 / (2 + 2 / (5 N)) for N = 1.
  Sets sets{BitVectors(1, 1), BitVectors(1, 1), BitVectors(1, 1)};
  for (BitVectors& set : sets) set.set(0, 0, true);
  const TripleAttention problem = maxip_attention(gap_maxip(sets, 1, 1.0), Shape::pad);
  const std::array<KeyInterval, 2> all{{{0, 1}, {0, 1}}};
  EXPECT_NEAR(static_cast<double>(textbook(queries_of(problem), keys_of(problem, all)).front()), 1.0 / 2.4, 1e-6);
  // And of inner product 0 = (1 - 1) t: (1/5) / (1/5 + 1), less what pairs of a pad and a key weigh.
  sets[0].set(0, 0, false);
  const double no = static_cast<double>(textbook(queries_of(problem), keys_of(problem, all)).front());
  EXPECT_NEAR(no, 0.2 / (0.2 + 1.0 + 0.4), 1e-6);
  EXPECT_DOUBLE_EQ(problem.decision.margin(), 0.125);
}

TEST(GapMaxIp, ARelativeErrorOfThirtyPercentDecidesInThePapersShape) {
  over_instances(Shape::paper, [](const TripleAttention& problem, const std::vector<Truth>& rows) {
    expect_right(decide_rows(problem, wrong_by_share(0.3)), rows);
  });
  const Sets sets = random_sets({4, 2, 2}, 6, 3);
  const TripleAttention problem = maxip_attention(gap_maxip(sets, 3, 0.5), Shape::paper);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "0.32 times the output"},
                         [&] { decide_rows(problem, wrong_by_share(0.34)); }));
}

TEST(GapMaxIp, AttentionIsAnOracleForBothShapes) {
  Options options;
  options.threads = 2;
  options.engine = Engine::exact;
  over_instances(Shape::pad, [&](const TripleAttention& problem, const std::vector<Truth>& rows) {
    expect_right(decide_rows(problem, attention_oracle(options)), rows);
  });
  options.engine = Engine::reference;
  over_instances(Shape::paper, [&](const TripleAttention& problem, const std::vector<Truth>& rows) {
    expect_right(decide_rows(problem, attention_oracle(options)), rows);
  });
}

TEST(GapMaxIp, AnEngineWithoutARelativeFormIsRefusedInThePapersShape) {
  const Sets sets = random_sets({4, 3, 3}, 32, 5);
  const TripleAttention problem = maxip_attention(gap_maxip(sets, 2, 0.5), Shape::paper);
  ASSERT_LT(problem.decision.high, 1e-60);
  Options options;
  options.engine = Engine::exact;  // counts tuples below 2^-90 of the largest as lost
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "inf", "exact"},
                         [&] { decide_rows(problem, attention_oracle(options)); }));
  options.engine = Engine::reference;
  SearchReport report;
  const std::vector<bool> decided = decide_rows(problem, attention_oracle(options), {}, &report);
  options.engine = Engine::automatic;
  EXPECT_EQ(decide_rows(problem, attention_oracle(options), {}, &report), decided);
  EXPECT_EQ(report.engine, Engine::reference) << "automatic takes what proves enough";
}

TEST(GapMaxIp, WhatFloat64CannotHoldIsRefused) {
  const Sets sets = random_sets({2, 4, 4}, 100, 6);
  const GapMaxIp instance = gap_maxip(sets, 1, 0.5);
  EXPECT_LT(paper_range(instance).log_threshold, -690.0);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"exp(-", "constant accuracy"},
                         [&] { maxip_attention(instance, Shape::paper); }));
  EXPECT_EQ(maxip_attention(instance, Shape::pad).dim, 101);
}

TEST(GapMaxIp, ThresholdsAreThoseOfTheFormulas) {
  const Sets sets = random_sets({2, 4, 4}, 20, 6);
  const GapMaxIp instance = gap_maxip(sets, 10, 0.5);
  EXPECT_NEAR(least_beta(instance, Shape::paper), 2 * 20 * std::log(12.0 * 16) / (0.5 * 10), 1e-6);
  EXPECT_NEAR(least_beta(instance, Shape::pad), 30 * std::log(5.0 * 16) / (0.5 * 10), 1e-6);
  const PaperRange range = paper_range(instance);
  EXPECT_GE(range.beta, least_beta(instance, Shape::paper));
  // (d/t - 1) ln(12 N) / eps + ln(12 N)
  EXPECT_NEAR(-range.log_threshold, (2.0 - 1.0) * std::log(192.0) / 0.5 + std::log(192.0), 1e-4);
}

TEST(GapMaxIp, RefusesWhatIsNone) {
  Sets sets = random_sets({2, 2, 2}, 5, 1);
  const auto refuses = [](const std::string& part, auto&& call) {
    return fails_with(ErrorCode::invalid_argument, {"Gap-MaxIP", part}, call);
  };
  EXPECT_TRUE(refuses("threshold of at least 1, got 0", [&] { gap_maxip(sets, 0, 0.5); }));
  EXPECT_TRUE(refuses("(0, 1], got 0.0", [&] { gap_maxip(sets, 1, 0.0); }));
  EXPECT_TRUE(refuses("(0, 1], got 1.5", [&] { gap_maxip(sets, 1, 1.5); }));
  EXPECT_TRUE(refuses("(0, 1], got nan", [&] { gap_maxip(sets, 1, std::nan("")); }));
  sets[1] = BitVectors(2, 4);
  EXPECT_TRUE(refuses("5 dimensions in every set, got 4", [&] { gap_maxip(sets, 1, 0.5); }));
  sets[1] = BitVectors(0, 5);
  EXPECT_TRUE(refuses("empty", [&] { maxip_attention(gap_maxip(sets, 1, 0.5), Shape::pad); }));
}

TEST(GapMaxIp, PlanChoosesExact) {
  const Sets sets = random_sets({64, 32, 32}, 24, 7);
  EXPECT_EQ(test::plan_of(maxip_attention(gap_maxip(sets, 8, 0.5), Shape::pad), 0.12).engine, Engine::exact);
}

}  // namespace
}  // namespace polyattn::lab
