// The polynomial engine for tuples against its definition: orders, degrees, arithmetics, lengths, biases.

#include "engines/tuples/polynomial.hpp"
#include "simd/dispatch.hpp"
#include "support/forced_isa.hpp"
#include "support/polynomial_run.hpp"
#include "support/random.hpp"
#include "support/tuple_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Keys of a set, fewer the more sets there are.
std::int64_t keys_of(std::size_t sets) { return sets == 1 ? 17 : sets == 2 ? 9 : sets == 3 ? 6 : 4; }

TupleAsk asked(int degree, bool single = false, bool spread = false) {
  TupleAsk ask;
  ask.choice = {degree, single, spread};
  return ask;
}

double worst_bound(const TupleRun& run) {
  double worst = 0.0;
  for (std::size_t i = 0; i < run.answered.size(); ++i) {
    worst = run.answered[i] != 0 ? std::max(worst, run.approximation[i] + run.rounding[i]) : worst;
  }
  return worst;
}

TEST(TuplePolynomial, EveryOrderAndDegreeKeepsItsBounds) {
  for (std::size_t sets = 1; sets <= 4; ++sets) {
    TupleCase head = uniform_case(10 + sets, sets, 12, keys_of(sets), 3, 2, 0.7);
    const TupleTruth truth = brute_force(head);
    double before = kInfinity;
    for (int degree = 0; degree <= 12; ++degree) {
      for (const bool spread : {false, true}) {
        const TupleRun run = run_tuples(head, asked(degree, false, spread));
        EXPECT_LE(worst_ratio(head, run, truth), 1.0) << "order " << sets + 1 << " degree " << degree;
        EXPECT_EQ(run.summary.answered, head.n_q) << "order " << sets + 1 << " degree " << degree;
        if (!spread) {
          EXPECT_LT(worst_bound(run), std::max(before, 1e-11));
          before = worst_bound(run);
        }
      }
    }
    EXPECT_LT(before, 1e-9) << "order " << sets + 1;
  }
}

TEST(TuplePolynomial, Float32KeepsItsBoundsAndIsWorthIt) {
  for (std::size_t sets = 1; sets <= 4; ++sets) {
    for (const bool single : {false, true}) {
      TupleCase head = uniform_case(20 + sets, sets, 12, keys_of(sets), 3, 2, 0.7);
      head.single = single;
      static_cast<void>(head.problem());  // rounds its numbers
      const TupleTruth truth = brute_force(head);
      for (int degree = 0; degree <= 12; ++degree) {
        const TupleRun run = run_tuples(head, asked(degree, true, degree % 2 == 0));
        EXPECT_LE(worst_ratio(head, run, truth), 1.0) << "order " << sets + 1 << " degree " << degree;
        if (degree == 7) {
          EXPECT_LT(worst_bound(run), 1e-4);
        }
      }
    }
  }
}

TEST(TuplePolynomial, SetsMayDifferInLength) {
  TupleCase head = uniform_case(30, 3, 7, 5, 4, 3, 0.5);
  const TupleCase other = uniform_case(31, 3, 7, 11, 4, 3, 0.5);
  head.sets[1] = other.sets[1];
  head.sets[2] = uniform_case(32, 1, 1, 1, 4, 3, 0.5).sets[0];
  const TupleTruth truth = brute_force(head);
  const TupleRun run = run_tuples(head, asked(6));
  EXPECT_EQ(run.summary.answered, head.n_q);
  EXPECT_LE(worst_ratio(head, run, truth), 1.0);
  EXPECT_LT(worst_bound(run), 1e-4);
}

TEST(TuplePolynomial, BiasesFarApartAndHiddenKeysOfNaN) {
  Random random(40);
  for (int round = 0; round < 20; ++round) {
    const auto sets = static_cast<std::size_t>(random.integer(1, 3));
    TupleCase head = uniform_case(static_cast<std::uint64_t>(400 + round), sets, 9, keys_of(sets), 3, 2, 0.8);
    for (TupleCase::Set& set : head.sets) {
      for (std::int64_t j = 0; j < set.size; ++j) {
        const bool hide = j > 0 && random.chance(0.3);
        set.bias.push_back(hide ? -kInfinity : random.uniform(-300.0, 300.0));
        if (hide) {
          std::fill_n(set.keys.begin() + j * head.dim, head.dim, std::nan(""));
          std::fill_n(set.values.begin() + j * head.value_dim, head.value_dim, std::nan(""));
        }
      }
    }
    for (const bool causal : {false, true}) {
      for (TupleCase::Set& set : head.sets) {
        set.mask.causal = causal;
      }
      const TupleTruth truth = brute_force(head);
      const TupleRun run = run_tuples(head, asked(8));
      EXPECT_LE(worst_ratio(head, run, truth), 1.0) << "round " << round;
      if (!causal) {
        EXPECT_EQ(run.summary.answered, head.n_q);
        EXPECT_LT(worst_bound(run), 1e-2);
      }
    }
  }
}

TEST(TuplePolynomial, NothingIsSaidWhereNoKeyIsSeen) {
  TupleCase head = uniform_case(50, 2, 5, 4, 3, 2, 0.8);
  head.sets[1].bias.assign(4, -kInfinity);
  const TupleRun run = run_tuples(head, asked(4));
  EXPECT_EQ(run.summary.answered, 0);
  EXPECT_EQ(run.output.front(), -7.0);
}

TEST(TuplePolynomial, DegenerateSizesAndNumbers) {
  const auto expect_answered = [](TupleCase head, const char* what) {
    for (const bool causal : {false, true}) {
      for (TupleCase::Set& set : head.sets) {
        set.mask.causal = causal;
      }
      for (const int degree : {0, 1, 5}) {
        TupleAsk ask = asked(degree);
        ask.predict = true;
        const TupleRun run = run_tuples(head, ask);
        EXPECT_EQ(run.summary.answered, head.n_q) << what;
        EXPECT_LE(worst_ratio(head, run, brute_force(head)), 1.0) << what;
      }
    }
  };
  TupleCase head = uniform_case(51, 2, 5, 6, 3, 2, 0.8);
  TupleCase other = head;
  other.scale = 0.0;
  expect_answered(other, "scale 0");
  other = head;
  other.queries.assign(15, 0.0);
  expect_answered(other, "queries of 0");
  other = head;
  other.sets[1].keys.assign(18, 0.0);
  expect_answered(other, "keys of 0");
  other = head;
  other.sets[0].values.assign(12, 0.0);
  expect_answered(other, "values of 0");
  expect_answered(uniform_case(52, 2, 5, 6, 3, 0, 0.8), "no values");
  expect_answered(uniform_case(53, 3, 1, 1, 1, 1, 0.8), "one of everything");
  other = head;
  other.n_q = 0;
  other.queries.clear();
  expect_answered(other, "no queries");
}

TEST(TuplePolynomial, NumbersThatAreNotFiniteServeNoRowWhereTheyArePropagated) {
  for (const int where : {0, 1, 2}) {
    TupleCase head = uniform_case(54, 2, 5, 6, 3, 2, 0.8);
    (where == 0 ? head.queries : where == 1 ? head.sets[0].keys : head.sets[1].values)[4] = std::nan("");
    engines::TupleProblem problem = head.problem();
    problem.non_finite = NonFinite::propagate;
    const engines::TupleFrame frame = engines::make_tuple_frame(problem, {});
    std::vector<double> output(10, -7.0);
    std::vector<std::uint8_t> answered(5, 0);
    engines::HeadOutputs out;
    out.output = {output.data(), DType::float64, 2, 1};
    const engines::TupleSummary summary =
        engines::polynomial_tuples(problem, frame, {4, false, false}, {}, out, answered, {});
    EXPECT_EQ(summary.answered, 0) << where;
    EXPECT_EQ(output, std::vector<double>(10, -7.0));
  }
}

// Products over the first sets underflow, the last one brings them back: bounds must not be lost on the way.
TEST(TuplePolynomial, SizesThatMakeUpForEachOtherAreRefusedOrRight) {
  const double sizes[][4] = {{1e170, 1e-170, 1e-170, 1e170},
                             {1e170, 1e-170, 1e170, 1e-170},
                             {1e-170, 1e-170, 1e170, 1e170},
                             {1e150, 1e-300, 1.0, 1e150}};
  for (const auto& size : sizes) {
    TupleCase head = uniform_case(77, 3, 12, keys_of(3), 3, 2, 0.7);
    for (double& q : head.queries) q *= size[0];
    for (std::size_t s = 0; s < 3; ++s) {
      for (double& k : head.sets[s].keys) k *= size[s + 1];
    }
    const TupleTruth truth = brute_force(head);
    for (const int degree : {0, 1, 4, 9}) {
      EXPECT_LE(worst_ratio(head, run_tuples(head, asked(degree)), truth), 1.0) << size[1] << " degree " << degree;
    }
  }
  TupleCase head = uniform_case(78, 2, 12, keys_of(2), 3, 2, 0x1p-500);
  for (double& q : head.queries) q *= 0x1p500;
  for (double& k : head.sets[0].keys) k *= 0x1p-600;
  for (double& k : head.sets[1].keys) k *= 0x1p600;
  const TupleTruth truth = brute_force(head);
  for (const int degree : {0, 1, 4, 9}) {
    EXPECT_LE(worst_ratio(head, run_tuples(head, asked(degree)), truth), 1.0) << "scale, degree " << degree;
  }
}

TEST(TuplePolynomial, DegreesBeyondTheKernelsAreNotTaken) {
  TupleCase head = uniform_case(55, 2, 5, 6, 1, 1, 0.8);
  TupleAsk ask = asked(65);
  ask.predict = true;
  const TupleRun run = run_tuples(head, ask);
  EXPECT_EQ(run.summary.answered, 0);
  EXPECT_EQ(run.prediction.bound, kInfinity);
  EXPECT_EQ(run_tuples(head, asked(64)).summary.answered, 5);
}

TEST(TuplePolynomial, ARowThatMissesWhatIsAskedIsLeftAlone) {
  TupleCase head = uniform_case(60, 2, 40, 9, 3, 2, 1.5);
  const TupleRun all = run_tuples(head, asked(3));
  TupleAsk ask = asked(3);
  std::vector<double> bounds;
  for (std::size_t i = 0; i < all.answered.size(); ++i) {
    bounds.push_back(all.approximation[i] + all.rounding[i]);
  }
  std::sort(bounds.begin(), bounds.end());
  ask.acceptance.tolerance = bounds[bounds.size() / 2];
  const TupleRun some = run_tuples(head, ask);
  EXPECT_EQ(some.summary.answered, head.n_q / 2 + 1);
  for (std::size_t i = 0; i < some.answered.size(); ++i) {
    const bool meets = all.approximation[i] + all.rounding[i] <= ask.acceptance.tolerance;
    EXPECT_EQ(some.answered[i], meets ? 1 : 0);
    EXPECT_EQ(some.output[2 * i], meets ? all.output[2 * i] : -7.0);
  }
}

TEST(TuplePolynomial, LargeScoresAreRefusedOrRight) {
  // Scores of size sqrt(d), where polynomials of degree 4 have denominators next to 0 and of either sign.
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    TupleCase head = uniform_case(700 + seed, 2, 60, 40, 16, 2, 0.25);
    for (double& x : head.queries) {
      x *= 6.0;
    }
    const TupleTruth truth = brute_force(head);
    for (const bool single : {false, true}) {
      const TupleRun run = run_tuples(head, asked(4, single));
      EXPECT_LE(worst_ratio(head, run, truth), 1.0) << "seed " << seed;
      TupleAsk ask = asked(4, single);
      ask.acceptance.tolerance = 0.02;
      EXPECT_LT(run_tuples(head, ask).summary.answered, head.n_q);
    }
  }
}

TEST(TuplePolynomial, ValuesOfLargeMeanKeepTheirBounds) {
  TupleCase head = uniform_case(80, 2, 20, 9, 3, 2, 0.7);
  for (TupleCase::Set& set : head.sets) {
    for (double& v : set.values) {
      v += 1000.0;
    }
  }
  const TupleTruth truth = brute_force(head);
  for (const bool single : {false, true}) {
    const TupleRun run = run_tuples(head, asked(8, single));
    EXPECT_EQ(run.summary.answered, head.n_q);
    EXPECT_LE(worst_ratio(head, run, truth), 1.0);
    EXPECT_LT(worst_bound(run), single ? 200.0 : 0.1);
  }
}

TEST(TuplePolynomial, OrderTwoAgreesWithTheEngineOfOrderTwo) {
  for (const bool causal : {false, true}) {
    TupleCase head = uniform_case(91, 1, 150, 150, 3, 2, 0.9);
    head.sets[0].mask.causal = causal;
    HeadData same;
    same.n_q = same.n_kv = 150;
    same.dim = 3;
    same.value_dim = 2;
    same.q = head.queries;
    same.k = head.sets[0].keys;
    same.v = head.sets[0].values;
    same.score.scale = 0.9;
    same.mask.causal = causal;
    for (const int degree : {2, 5, 9}) {
      const TupleRun a = run_tuples(head, asked(degree));
      const PolynomialRun b = run_head<double>(same, degree);
      int compared = 0;
      for (std::size_t k = 0; k < a.output.size(); ++k) {
        const std::size_t i = k / 2;
        if (a.answered[i] != 0 && b.answered[i] != 0) {
          EXPECT_LE(std::fabs(a.output[k] - b.output[k]),
                    a.approximation[i] + a.rounding[i] + b.bound(static_cast<std::int64_t>(i)));
          EXPECT_LE(std::fabs(a.lse[i] - b.lse[i]), a.lse_bound[i] + b.lse_bound[i]);
          ++compared;
        }
      }
      EXPECT_EQ(compared, 300) << "degree " << degree;
    }
  }
}

TEST(TuplePolynomial, WithoutTheOtherKeysItIsAttentionOfOrderTwo) {
  TupleCase two = uniform_case(90, 1, 20, 15, 4, 3, 0.6);
  TupleCase three = two;
  TupleCase::Set ones;
  ones.size = 6;
  ones.keys.assign(6 * 4, 1.0);
  ones.values.assign(6 * 3, 1.0);
  three.sets.push_back(ones);
  const TupleRun a = run_tuples(two, asked(7));
  const TupleRun b = run_tuples(three, asked(7));
  for (std::size_t k = 0; k < a.output.size(); ++k) {
    const std::size_t i = k / 3;
    EXPECT_LE(std::fabs(a.output[k] - b.output[k]),
              a.approximation[i] + a.rounding[i] + b.approximation[i] + b.rounding[i]);
  }
  for (std::size_t i = 0; i < a.lse.size(); ++i) {
    EXPECT_LE(std::fabs(a.lse[i] + std::log(6.0) - b.lse[i]), a.lse_bound[i] + b.lse_bound[i] + 1e-15);
  }
}

TEST(TuplePolynomial, ExchangingSetsChangesNoMoreThanBounds) {
  TupleCase head = uniform_case(95, 3, 10, 6, 3, 2, 0.7);
  TupleCase other = head;
  std::swap(other.sets[0], other.sets[2]);
  const TupleRun a = run_tuples(head, asked(9));
  const TupleRun b = run_tuples(other, asked(9));
  for (std::size_t k = 0; k < a.output.size(); ++k) {
    EXPECT_NEAR(a.output[k], b.output[k], 1e-12);
  }
}

void expect_same(const TupleRun& a, const TupleRun& b, const std::string& what) {
  EXPECT_EQ(a.output, b.output) << what;
  EXPECT_EQ(a.approximation, b.approximation) << what;
  EXPECT_EQ(a.rounding, b.rounding) << what;
  EXPECT_EQ(a.answered, b.answered) << what;
}

TEST(TuplePolynomial, TheSameBitsWhateverTheThreadsAndTheInstructionSet) {
  for (const std::size_t sets : {std::size_t{2}, std::size_t{3}}) {
    for (const int mask : {0, 1, 2}) {
      for (const bool single : {false, true}) {
        if (single && mask != 0) {
          continue;
        }
        TupleCase head = uniform_case(100 + sets, sets, 300, 5000, 3, 3, 0.7);
        for (TupleCase::Set& set : head.sets) {
          set.mask.causal = mask > 0;
          set.mask.window = mask == 2 ? 40 : 0;
        }
        TupleAsk ask = asked(4, single, mask == 2);
        ask.with_lse = false;
        const TupleRun one = run_tuples(head, ask);
        EXPECT_GT(one.summary.answered, 200);
        for (const int threads : {2, 3, 5}) {
          ask.threads = threads;
          expect_same(one, run_tuples(head, ask), std::to_string(threads) + " threads");
        }
        ask.threads = 1;
        for (const simd::KernelTable* table : simd::available()) {
          const ForcedIsa forced(table->name);
          expect_same(one, run_tuples(head, ask), table->name);
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
