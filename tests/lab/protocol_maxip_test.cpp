// 3-OV -> Gap-MaxIP, and formulas through the whole chain.

#include "lab/protocol_maxip.hpp"

#include "lab/brute_force.hpp"
#include "lab/formulas.hpp"
#include "lab/protocol_sat.hpp"
#include "lab/support.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <set>

namespace polyattn::lab {
namespace {

using polyattn::test::fails_with;

ThreeOv lists_of(const Cnf& formula) { return list(formula, split(formula)); }

std::vector<float> vector_of(const GapMaxIp& instance, std::size_t set, std::int64_t index) {
  std::vector<float> out(static_cast<std::size_t>(instance.dimension), -1.0F);
  instance.vector[set](index, out);
  EXPECT_TRUE(std::ranges::all_of(out, [](float x) { return x == 0.0F || x == 1.0F; }));
  return out;
}

std::int64_t product(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& c) {
  std::int64_t sum = 0;
  for (std::size_t l = 0; l < a.size(); ++l) sum += a[l] * b[l] * c[l] == 1.0F ? 1 : 0;
  return sum;
}

Cnf four_clauses() { return {6, {{1, 3, 5}, {-1, 4}, {2, -3, 6}, {-6}}}; }

TEST(ProtocolMaxIp, HasTheSizesOfTheStatement) {
  const ThreeOv lists = lists_of(four_clauses());
  const ProtocolMaxIp instance(lists, Disjointness(reed_solomon(7, 1, 7, 2), 4, 2));
  EXPECT_EQ(instance.messages(), 49);
  EXPECT_EQ(instance.counts(), (std::array<std::int64_t, 3>{4 * 49, 4, 4}));
  EXPECT_EQ(instance.dimension(), 16807.0);
  EXPECT_EQ(instance.materialised().dimension, 16807);
  EXPECT_EQ(instance.threshold(), 7);
  EXPECT_DOUBLE_EQ(instance.gap(), 4.0 / 7.0);
  EXPECT_LE(instance.support(), 7 * 16);
  EXPECT_EQ(instance.on_support().dimension, instance.support());
}

TEST(ProtocolMaxIp, VectorsInFullAndOnTheirSupportHaveTheSameInnerProducts) {
  const ThreeOv lists = lists_of(four_clauses());
  const ProtocolMaxIp instance(lists, Disjointness(reed_solomon(7, 1, 7, 2), 4, 2));
  const GapMaxIp full = instance.materialised();
  const GapMaxIp support = instance.on_support();
  for (std::int64_t i = 0; i < instance.counts()[0]; i += 5) {
    const std::vector<float> a = vector_of(full, 0, i);
    const std::vector<float> small_a = vector_of(support, 0, i);
    for (std::int64_t j = 0; j < 4; ++j) {
      const std::vector<float> b = vector_of(full, 1, j);
      for (std::int64_t k = 0; k < 4; ++k) {
        const std::int64_t accepted = instance.inner_product({i, j, k});
        EXPECT_EQ(product(a, b, vector_of(full, 2, k)), accepted);
        EXPECT_EQ(product(small_a, vector_of(support, 1, j), vector_of(support, 2, k)), accepted);
      }
    }
  }
}

/// The best word of Merlin's makes all places accept if the triple is orthogonal, and never more than n_C - d' if not.
void expect_gap(const ThreeOv& lists, const ProtocolMaxIp& instance) {
  const std::int64_t low = std::lround(static_cast<double>(instance.threshold()) * (1.0 - instance.gap()));
  for (std::int64_t i = 0; i < lists.sets[0].count(); ++i) {
    for (std::int64_t j = 0; j < lists.sets[1].count(); ++j) {
      for (std::int64_t k = 0; k < lists.sets[2].count(); ++k) {
        std::int64_t most = 0;
        for (std::int64_t c = 0; c < instance.messages(); ++c) {
          most = std::max(most, instance.inner_product({i * instance.messages() + c, j, k}));
        }
        if (inner_product(lists, {i, j, k}) == 0) {
          EXPECT_EQ(most, instance.threshold());
        } else {
          EXPECT_LE(most, low);
        }
      }
    }
  }
}

TEST(ProtocolMaxIp, TheGapIsWhatTheProtocolSays) {
  const ThreeOv lists = lists_of(four_clauses());
  expect_gap(lists, ProtocolMaxIp(lists, Disjointness(reed_solomon(7, 1, 7, 2), 4, 2)));
  expect_gap(lists, ProtocolMaxIp(lists, Disjointness(reed_solomon(5, 1, 1, 1), 4, 4)));
  const Cnf two{3, {{1, 2}, {-2, 3}}};
  const ThreeOv small = lists_of(two);
  expect_gap(small, ProtocolMaxIp(small, Disjointness(reed_solomon(13, 1, 13, 2), 2, 1)));
  const Cnf eight{6, {{1, 3, 5}, {-1, 4}, {2, -3, 6}, {-6}, {1, -5}, {-2, 4}, {5, 6}, {2, 3}}};
  const ThreeOv lists8 = lists_of(eight);
  const ProtocolMaxIp instance(lists8, protocol_for(8, {}));
  EXPECT_EQ(instance.dimension(), 40353607.0);  // 7^9
  expect_gap(lists8, instance);
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"at most 2^22 dimensions"},
                         [&] { static_cast<void>(instance.materialised()); }));
}

/// `clauses` different clauses of 1 to 3 literals; short ones more often where they should contradict each other.
Cnf mixed(int variables, std::size_t clauses, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::set<Clause> chosen;
  while (chosen.size() < clauses) {
    const int length = random() % 2 == 0 ? 1 + static_cast<int>(random() % 2) : 1 + static_cast<int>(random() % 3);
    Cnf one = simplified(random_ksat(variables, 1, std::min(length, variables), random()));
    chosen.insert(one.clauses.front());
  }
  return {variables, {chosen.begin(), chosen.end()}};
}

Oracle oracle(Engine engine = Engine::exact) {
  Options options;
  options.engine = engine;
  options.threads = 2;
  return attention_oracle(options);
}

TEST(ProtocolSat, DecidesFormulasThroughTheWholeChain) {
  int formulas = 0;
  int unsatisfiable = 0;
  int implicit = 0;
  for (std::uint64_t seed = 0; seed < 72; ++seed) {
    const int variables = 3 + static_cast<int>(seed % 4);
    const std::size_t clauses = seed % 3 == 0 ? 8 : 3 + seed % 5;
    const Cnf formula = mixed(variables, clauses, seed);
    const ProtocolAnswer answer = solve_sat_via_protocol(formula, oracle());
    const bool truth = test::brute_force(formula);
    EXPECT_EQ(answer.sat.model.has_value(), truth) << write_dimacs(formula);
    EXPECT_TRUE(!answer.sat.model || satisfies(formula, *answer.sat.model));
    ++formulas;
    unsatisfiable += truth ? 0 : 1;
    implicit += clauses == 8 ? 1 : 0;
    EXPECT_TRUE(clauses != 8 || answer.protocol.dimension == 40353607.0);
  }
  std::printf("%d formulas, %d unsatisfiable, %d with 8 clauses and implicit vectors\n", formulas, unsatisfiable,
              implicit);
  EXPECT_GE(formulas, 50);
  EXPECT_GE(unsatisfiable, 20);
  EXPECT_LE(unsatisfiable, 60);
  EXPECT_GE(implicit, 10);
}

TEST(ProtocolSat, VectorsInFull) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Cnf formula = mixed(3, 4, seed);
    ProtocolOptions options;
    options.in_full = true;
    const ProtocolAnswer answer = solve_sat_via_protocol(formula, oracle(), options);
    EXPECT_EQ(answer.protocol.coordinates, 16807);
    EXPECT_EQ(answer.sat.model.has_value(), test::brute_force(formula));
  }
}

TEST(ProtocolSat, AnOracleWrongByTwelveHundredthsDecides) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const Cnf formula = mixed(3, 4, seed);
    const ProtocolAnswer answer = solve_sat_via_protocol(formula, test::wrong_by(0.12));
    EXPECT_EQ(answer.sat.model.has_value(), test::brute_force(formula)) << write_dimacs(formula);
  }
}

TEST(ProtocolSat, InThePapersShapeWhereFloat64CanHoldIt) {
  ProtocolOptions options;
  options.shape = Shape::paper;
  int decided = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Cnf formula = mixed(3, 3 + seed % 4, seed);
    const ProtocolAnswer answer = solve_sat_via_protocol(formula, oracle(Engine::reference), options);
    EXPECT_EQ(answer.sat.model.has_value(), test::brute_force(formula)) << write_dimacs(formula);
    EXPECT_LT(answer.sat.search.decision.high, 1e-4);
    decided += answer.sat.model ? 0 : 1;
  }
  EXPECT_GT(decided, 2);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"exp(-"}, [&] {
    solve_sat_via_protocol(random_ksat(12, 20, 3, 1), oracle(Engine::reference), options);
  }));
}

TEST(ProtocolSat, HermitianCodesAndOtherBlocks) {
  const auto agrees = [](const Cnf& formula, const ProtocolOptions& options) {
    return solve_sat_via_protocol(formula, oracle(), options).sat.model.has_value() == test::brute_force(formula);
  };
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    EXPECT_TRUE(agrees(mixed(5, 7, seed), {.block = 1}));
  }
  EXPECT_TRUE(agrees(mixed(3, 3, 1), {.block = 3}));
  EXPECT_TRUE(agrees({3, {{1}, {-1, 2}, {-2}}}, {.block = 3}));
  ProtocolOptions options;
  options.family = CodeFamily::hermitian;
  const Cnf formula{3, {{1, 2}, {-2, 3}, {-3}, {2}}};
  const ProtocolAnswer answer = solve_sat_via_protocol(formula, oracle(), options);
  EXPECT_EQ(answer.protocol.field, 9);
  EXPECT_EQ(answer.protocol.length, 27);
  EXPECT_FALSE(answer.sat.model.has_value());
}

TEST(ProtocolSat, SaysWhyNotBeyond) {
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"multiply-adds", "words of Merlin's"},
                         [] { solve_sat_via_protocol(random_ksat(24, 102, 3, 1), oracle()); }));
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"2^40 words", "smaller blocks"},
                         [] { solve_sat_via_protocol(random_ksat(9, 40, 3, 1), oracle(), {.block = 10}); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"blocks of 1 to 100"},
                         [] { solve_sat_via_protocol(random_ksat(9, 40, 3, 1), oracle(), {.block = 0}); }));
}

TEST(ProtocolSat, SmallestFormulas) {
  EXPECT_TRUE(solve_sat_via_protocol({0, {}}, oracle()).sat.model.has_value());
  EXPECT_FALSE(solve_sat_via_protocol({0, {{}}}, oracle()).sat.model.has_value());
  EXPECT_FALSE(solve_sat_via_protocol({1, {{1}, {-1}}}, oracle()).sat.model.has_value());
}

}  // namespace
}  // namespace polyattn::lab
