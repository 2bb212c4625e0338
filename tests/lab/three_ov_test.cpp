// k-SAT -> 3-OV -> attention: orthogonal triples are models, outputs keep the dichotomy, and an oracle that errs as
// much as it may changes no decision.

#include "lab/three_ov.hpp"

#include "lab/formulas.hpp"
#include "lab/instances.hpp"
#include "lab/support.hpp"
#include "lab/three_ov_attention.hpp"
#include "lab/triple_search.hpp"
#include "polyattn/attention.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::lab {
namespace {

using polyattn::test::fails_with;
using test::textbook;
using test::wrong_by;

/// A few vectors of random bits, ones with probability `ones` / 8.
ThreeOv random_instance(std::array<std::int64_t, 3> counts, std::int64_t dimension, unsigned ones, std::uint64_t seed) {
  ThreeOv instance{
      {BitVectors(counts[0], dimension), BitVectors(counts[1], dimension), BitVectors(counts[2], dimension)}};
  std::uint64_t state = seed * 2 + 1;
  for (BitVectors& set : instance.sets) {
    for (std::int64_t i = 0; i < set.count(); ++i) {
      for (std::int64_t l = 0; l < dimension; ++l) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        set.set(i, l, (state >> 60U) % 8 < ones);
      }
    }
  }
  return instance;
}

bool has_orthogonal_pair(const ThreeOv& instance, std::int64_t row) {
  for (std::int64_t j = 0; j < instance.sets[1].count(); ++j) {
    for (std::int64_t k = 0; k < instance.sets[2].count(); ++k) {
      if (inner_product(instance, {row, j, k}) == 0) return true;
    }
  }
  return false;
}

TEST(SplitAndList, InnerProductsCountFalseClauses) {
  const Cnf formula{7, {{1, -2, 3}, {-4, 5, -7}, {1, 5, 7}, {-1}, {}, {2, -2, 4}, {3, 4}}};
  const Parts parts = split(formula);
  EXPECT_EQ(parts[0], (std::vector<int>{1, 2}));
  EXPECT_EQ(parts[1], (std::vector<int>{3, 4}));
  EXPECT_EQ(parts[2], (std::vector<int>{5, 7}));
  const ThreeOv instance = list(formula, parts);
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) {
      for (std::int64_t k = 0; k < 4; ++k) {
        const Assignment model = assignment(formula, parts, {i, j, k});
        std::int64_t left_false = 0;
        for (const Clause& clause : formula.clauses) left_false += satisfies({7, {clause}}, model) ? 0 : 1;
        EXPECT_EQ(inner_product(instance, {i, j, k}), left_false);
        EXPECT_FALSE(model[5]) << "variable 6 is in no clause";
      }
    }
  }
}

TEST(SplitAndList, TakesThirtySixVariablesThatOccur) {
  Cnf formula{40, {{}}};
  for (int v = 1; v <= 36; ++v) formula.clauses.front().push_back(v);
  EXPECT_EQ(split(formula)[2].size(), 12U);
  formula.clauses.push_back({-40});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"at most 36 that occur", "got 37"}, [&] { split(formula); }));
}

TEST(ThreeOv, DrawnInstancesHaveTheirDensityAndSeed) {
  const auto ones = [](const ThreeOv& instance) {
    std::int64_t count = 0;
    for (const BitVectors& set : instance.sets) {
      for (std::int64_t i = 0; i < set.count(); ++i) count += inner_product(set[i], set[i]);
    }
    return count;
  };
  EXPECT_EQ(ones(random_three_ov(5, 7, 0.0, 1)), 0);
  EXPECT_EQ(ones(random_three_ov(5, 7, 1.0, 1)), 3 * 5 * 7);
  const ThreeOv instance = random_three_ov(100, 100, 0.3, 1);
  EXPECT_NEAR(static_cast<double>(ones(instance)), 9000.0, 6.0 * std::sqrt(30000.0 * 0.3 * 0.7));  // six deviations
  const ThreeOv same = random_three_ov(100, 100, 0.3, 1);
  EXPECT_TRUE(std::ranges::equal(instance.sets[2][99], same.sets[2][99]));
  for (const double wrong : {-0.1, 1.1, std::nan("")}) {
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"ones"}, [&] { random_three_ov(1, 1, wrong, 1); }));
  }
}

TEST(DirectAttention, OutputsKeepTheDichotomy) {
  int yes = 0;
  int no = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const std::int64_t n = 1 + static_cast<std::int64_t>(seed % 5);
    const ThreeOv instance = random_instance({3, n, 1 + static_cast<std::int64_t>(seed % 3)}, 6, 6, seed);
    const TripleAttention problem = direct_attention(instance);
    const std::vector<float> queries = test::queries_of(problem);
    // All keys, and the first half of either set alone.
    const std::array<std::int64_t, 2> half{(n + 1) / 2, (problem.real[1] + 1) / 2};
    const TripleKeys all = keys_of(problem, {{{0, problem.real[0]}, {0, problem.real[1]}}});
    const std::vector<long double> outputs = textbook(queries, all);
    for (std::int64_t i = 0; i < 3; ++i) {
      const bool truth = has_orthogonal_pair(instance, i);
      (truth ? yes : no) += 1;
      const auto output = static_cast<double>(outputs[static_cast<std::size_t>(i)]);
      EXPECT_TRUE(truth ? output >= 8.0 / 11.0 - 1e-12 : output <= 1.0 / 5.0 + 1e-12) << output << " " << truth;
    }
    const std::vector<long double> part = textbook(queries, keys_of(problem, {{{0, half[0]}, {0, half[1]}}}));
    for (const long double output : part) EXPECT_TRUE(output >= 8.0L / 11.0L - 1e-12L || output <= 0.2L + 1e-12L);
  }
  EXPECT_GT(yes, 20);
  EXPECT_GT(no, 20);
}

TEST(DirectAttention, BoundsAreSharp) {
  // One pair: the pad has weight 1/4 of an orthogonal pair, tuples of a pad and a key 2/16 together.
  const ThreeOv orthogonal{{BitVectors(1, 1), BitVectors(1, 1), BitVectors(1, 1)}};
  const TripleAttention problem = direct_attention(orthogonal);
  const std::vector<float> query{0.0F, 1.0F, 1.0F};
  EXPECT_NEAR(static_cast<double>(textbook(query, keys_of(problem, {{{0, 1}, {0, 1}}})).front()), 8.0 / 11.0, 1e-15);
  EXPECT_DOUBLE_EQ(problem.scale, -2.0 * std::log(4.0));
  EXPECT_NEAR(problem.decision.margin(), 0.26, 1e-15);
}

TEST(DirectAttention, AnOracleWrongByAQuarterStillDecides) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const ThreeOv instance = random_instance({5, 4, 6}, 9, 6, seed);
    const TripleAttention problem = direct_attention(instance);
    const std::vector<bool> decided = decide_rows(problem, wrong_by(0.249));
    for (std::int64_t i = 0; i < 5; ++i) {
      EXPECT_EQ(decided[static_cast<std::size_t>(i)], has_orthogonal_pair(instance, i));
    }
    const Search found = search(problem, wrong_by(0.249));
    EXPECT_TRUE(!found.found || inner_product(instance, *found.found) == 0);
    EXPECT_EQ(found.found.has_value(), std::ranges::find(decided, true) != decided.end());
  }
  const ThreeOv instance = random_instance({5, 4, 6}, 9, 6, 1);
  const TripleAttention problem = direct_attention(instance);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "an error of at most 0.25", "0.27"},
                         [&] { search(problem, wrong_by(0.27)); }));
}

TEST(DirectAttention, AttentionIsAnOracle) {
  for (const Engine engine : {Engine::exact, Engine::reference, Engine::automatic}) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      const ThreeOv instance = random_instance({7, 8, 5}, 12, 6, seed);
      Options options;
      options.engine = engine;
      options.threads = 2;
      const std::vector<bool> decided = decide_rows(direct_attention(instance), attention_oracle(options));
      for (std::int64_t i = 0; i < 7; ++i) {
        EXPECT_EQ(decided[static_cast<std::size_t>(i)], has_orthogonal_pair(instance, i));
      }
    }
  }
}

TEST(DirectAttention, PlanChoosesExact) {
  const Cnf formula = random_ksat(21, 89, 3, 1);
  const ThreeOv instance = list(formula, split(formula));
  const HeadPlan head = test::plan_of(direct_attention(instance), 0.25);
  EXPECT_EQ(head.engine, Engine::exact);
  EXPECT_EQ(head.arithmetic, Arithmetic::float32);
}

TEST(DirectAttention, PolynomialsAreRefusedByName) {
  const ThreeOv instance = random_instance({4, 4, 4}, 40, 6, 2);
  Options options;
  options.engine = Engine::polynomial;
  options.strict = true;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"polynomial"},
                         [&] { decide_rows(direct_attention(instance), attention_oracle(options)); }));
}

TEST(DirectAttention, EmptySetsOfKeysAreRefused) {
  const ThreeOv instance{{BitVectors(1, 2), BitVectors(0, 2), BitVectors(1, 2)}};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"3-OV", "empty"}, [&] { direct_attention(instance); }));
}

}  // namespace
}  // namespace polyattn::lab
