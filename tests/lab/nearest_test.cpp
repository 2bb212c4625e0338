// Nearest neighbours by attention against brute force: both branches, both shapes, oracles with a flaw, refusals,
// plans.

#include "lab/nearest.hpp"

#include "lab/nearest_instances.hpp"
#include "lab/nearest_support.hpp"
#include "polyattn/attention.hpp"
#include "polyattn/error.hpp"
#include "support/expect_error.hpp"

#include <array>
#include <cmath>
#include <string>

namespace polyattn::lab {
namespace {

using polyattn::test::fails_with;
using test::expect_within_ratio;
using test::Flaw;
using test::flawed_oracle;

NearestOptions options_of(double ratio, GapShape shape, GapBranch branch) {
  NearestOptions options;
  options.ratio = ratio;
  options.shape = shape;
  options.branch = branch;
  options.oracle = engine_oracle();
  return options;
}

TEST(Nearest, RatioIsMetOnRandomAndPlantedInstances) {
  NearestCost total;
  std::uint64_t seed = 1;
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    for (const std::int64_t d : {1, 2, 8, 24, 40}) {
      for (const double ratio : {1.0, 1.25, 1.5, 2.0}) {
        if (shape == GapShape::paper && d > 8 && ratio < 1.5) continue;  // beyond float64, see below
        for (const std::int64_t planted : {std::int64_t{-1}, std::int64_t{0}, d / 8, d / 4}) {
          const NearestInstance data =
              planted < 0 ? random_nearest(15, 60, d, seed++) : planted_nearest(16, 60, d, planted, seed++);
          const Nearest got = nearest_by_attention(data.a, data.b, options_of(ratio, shape, GapBranch::automatic));
          expect_within_ratio(data.a, data.b, ratio, got);
          total.looked_up += got.cost.looked_up;
          total.decisions += got.cost.decisions;
        }
      }
    }
  }
  EXPECT_GT(total.looked_up, 300);  // both branches
  EXPECT_GT(total.decisions, 3000);
}

TEST(Nearest, EitherBranchAloneWillDo) {
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    for (const GapBranch branch : {GapBranch::table, GapBranch::attention}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const NearestInstance data = planted_nearest(20, 30, 12, static_cast<std::int64_t>(seed), 50 + seed);
        const Nearest got = nearest_by_attention(data.a, data.b, options_of(1.5, shape, branch));
        expect_within_ratio(data.a, data.b, 1.5, got);
        EXPECT_EQ(branch == GapBranch::table ? got.cost.calls : got.cost.looked_up, 0);
      }
    }
  }
}

TEST(Nearest, EqualVectorsAndSmallSets) {
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    const NearestOptions options = options_of(1.5, shape, GapBranch::attention);
    BitVectors same(5, 9);
    expect_within_ratio(same, same, 1.5, nearest_by_attention(same, same, options));
    for (std::int64_t i = 0; i < 5; ++i) same.set(i, 4, true);
    expect_within_ratio(BitVectors(3, 9), same, 1.5, nearest_by_attention(BitVectors(3, 9), same, options));
    const NearestInstance one = random_nearest(4, 1, 9, 3);
    expect_within_ratio(one.a, one.b, 1.5, nearest_by_attention(one.a, one.b, options));
    const NearestInstance two = random_nearest(9, 2, 33, 4);
    expect_within_ratio(two.a, two.b, 1.5, nearest_by_attention(two.a, two.b, options));
    EXPECT_EQ(nearest_by_attention(BitVectors(2, 0), BitVectors(3, 0), options).index,
              (std::vector<std::int64_t>{0, 0}));
    EXPECT_TRUE(nearest_by_attention(BitVectors(0, 4), BitVectors(3, 4), options).index.empty());
    EXPECT_TRUE(nearest_by_attention(BitVectors(0, 4), BitVectors(0, 4), options).index.empty());
  }
}

// Constant accuracy: answers wrong by 0.12 in the worst direction, or at random, change no promise.
TEST(Nearest, AnOracleWrongByTwelveHundredthsWillDo) {
  std::int64_t decisions = 0;
  for (const Flaw flaw : {Flaw::against, Flaw::random}) {
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      const auto d = static_cast<std::int64_t>(8 + 4 * seed);
      const NearestInstance data =
          seed % 2 == 0 ? random_nearest(25, 80, d, seed) : planted_nearest(25, 80, d, d / 6, seed);
      for (const double ratio : {1.0, 1.5}) {
        NearestOptions options = options_of(ratio, GapShape::pad, GapBranch::attention);
        options.oracle = flawed_oracle(0.12, flaw, 0.12);
        const Nearest got = nearest_by_attention(data.a, data.b, options);
        expect_within_ratio(data.a, data.b, ratio, got);
        decisions += got.cost.decisions;
      }
    }
  }
  EXPECT_GT(decisions, 5000);
}

/// One key at distance `near` of ten bits, the others at 10; or all keys at `far`.
NearestInstance extreme(bool near_key, const HammingGap& gap) {
  NearestInstance out{BitVectors(1, 10), BitVectors(50, 10)};
  for (std::int64_t j = 0; j < 50; ++j) {
    const std::int64_t distance = near_key ? (j == 17 ? gap.near : 10) : gap.far;
    for (std::int64_t l = 0; l < distance; ++l) out.b.set(j, l, true);
  }
  return out;
}

// At the ends of the gap averages are 1/2 and 1/4: 0.12 is borne there, and 0.13 is not.
TEST(GapAnn, EighthsAreWhatTheDecisionBears) {
  const HammingGap gap = gap_at(2, 1.5);
  for (const bool near_key : {true, false}) {
    const NearestInstance data = extreme(near_key, gap);
    NearestOptions options = options_of(1.5, GapShape::pad, GapBranch::attention);
    const std::vector<std::uint8_t> truth{static_cast<std::uint8_t>(near_key ? 1 : 0)};
    EXPECT_EQ(gap_ann(data.a, data.b, 2, options), truth);
    options.oracle = flawed_oracle(0.12, Flaw::against, 0.12);
    EXPECT_EQ(gap_ann(data.a, data.b, 2, options), truth);
    options.oracle = flawed_oracle(0.13, Flaw::against, 0.12);  // it lies about its error
    EXPECT_NE(gap_ann(data.a, data.b, 2, options), truth);
    options.oracle = flawed_oracle(0.13, Flaw::against, 0.13);  // honest, and refused
    EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "0.125", "0.13"},
                           [&] { gap_ann(data.a, data.b, 2, options); }));
  }
}

TEST(GapAnn, DecidesWhatItMust) {
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    for (const GapBranch branch : {GapBranch::automatic, GapBranch::attention}) {
      const NearestInstance data = planted_nearest(40, 70, 20, 3, 77);
      const std::vector<std::int64_t> least = test::nearest_distances(data.a, data.b);
      for (std::int64_t near = 0; near <= 20; ++near) {
        const HammingGap gap = gap_at(near, 1.5);
        NearestCost cost;
        const auto got = gap_ann(data.a, data.b, near, options_of(1.5, shape, branch), &cost);
        EXPECT_EQ(cost.decisions + cost.looked_up, gap.far > 20 ? 0 : 40);
        for (std::size_t i = 0; i < least.size(); ++i) {
          if (least[i] <= near) {
            ASSERT_EQ(got[i], 1) << near;
          }
          if (least[i] >= gap.far) {
            ASSERT_EQ(got[i], 0) << near;
          }
        }
      }
    }
  }
}

// Averages around exp(-100): an absolute error of 1e-13 says nothing, the relative form decides.
TEST(GapAnn, PaperShapeReadsTheRelativeForm) {
  const NearestInstance data = extreme(true, {2, 4});
  NearestOptions options = options_of(1.5, GapShape::paper, GapBranch::attention);
  const GapReduction constants = reduce_gap(GapShape::paper, 10, gap_at(2, 1.5), 50);
  EXPECT_LT(constants.threshold, 1e-15);
  EXPECT_EQ(gap_ann(data.a, data.b, 2, options), std::vector<std::uint8_t>{1});
  options.oracle = [](const Order2Instance& instance) {
    OracleAnswer answer = engine_oracle()(instance);
    answer.relative = 0.3;
    return answer;
  };
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "0.25 of the answer", "0.3"},
                         [&] { gap_ann(data.a, data.b, 2, options); }));
  Options single;
  single.engine = Engine::exact;
  single.arithmetic = Arithmetic::float32;
  const NearestInstance wide = random_nearest(3, 50, 60, 9);
  options.oracle = engine_oracle(single);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"oracle", "inf of the answer"},
                         [&] { gap_ann(wide.a, wide.b, 10, options); }));
}

TEST(GapAnn, AnyEngineMayBeTheOracle) {
  const NearestInstance data = planted_nearest(12, 30, 10, 2, 8);
  for (const Engine engine : {Engine::reference, Engine::exact, Engine::polynomial}) {
    for (const Arithmetic arithmetic : {Arithmetic::automatic, Arithmetic::float64}) {
      Options options;
      options.engine = engine;
      options.arithmetic = arithmetic;
      NearestOptions nearest = options_of(1.5, GapShape::pad, GapBranch::attention);
      nearest.oracle = engine_oracle(options);
      expect_within_ratio(data.a, data.b, 1.5, nearest_by_attention(data.a, data.b, nearest));
    }
  }
}

// Entries of size sqrt(log n) are where the papers' polynomials end: no plan takes them.
TEST(GapAnn, PlansChooseExact) {
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    for (const std::int64_t d : {16, 32, 64}) {
      for (const std::int64_t n : {64, 512, 2048}) {
        for (const std::int64_t near : {d / 8, d / 4, 3 * d / 8}) {
          const NearestInstance data = random_nearest(n, n, d, 5);
          const GapReduction constants = reduce_gap(shape, d, gap_at(near, 1.5), n);
          std::vector<std::int64_t> rows(static_cast<std::size_t>(n));
          for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i);
          const std::array<GapCell, 1> cells{GapCell{rows, 0, n}};
          const Order2Instance instance = gap_instance(constants, data.a, data.b, cells);
          const std::array<ConstView, 1> keys{matrix(instance.keys.data(), instance.key_count(), instance.dim)};
          const std::array<ConstView, 1> values{matrix(instance.values.data(), instance.key_count(), 1)};
          Options options;
          options.score = Dot{instance.scale};
          options.tolerance.value = shape == GapShape::pad ? instance.needed.absolute : 1e-9;
          const PlanReport report =
              plan(matrix(instance.queries.data(), instance.rows(), instance.dim), keys, values, options).report();
          ASSERT_EQ(report.heads.size(), 1U);
          EXPECT_EQ(report.heads[0].engine, Engine::exact)
              << name_of(shape) << " d " << d << " n " << n << " near " << near << ": " << report.heads[0].why;
        }
      }
    }
  }
}

TEST(Nearest, RefusesByName) {
  const NearestInstance data = random_nearest(4, 6, 40, 2);
  NearestOptions options = options_of(1.5, GapShape::pad, GapBranch::attention);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"dimension", "40", "39"},
                         [&] { nearest_by_attention(data.a, BitVectors(3, 39), options); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"b:"},
                         [&] { nearest_by_attention(data.a, BitVectors(0, 40), options); }));
  options.oracle = nullptr;
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"oracle"}, [&] { nearest_by_attention(data.a, data.b, options); }));
  options.oracle = [](const Order2Instance& instance) {
    return OracleAnswer{std::vector<double>(static_cast<std::size_t>(instance.rows()), std::nan("")), 0.0, 0.0};
  };
  EXPECT_TRUE(
      fails_with(ErrorCode::non_finite, {"oracle", "row 0"}, [&] { nearest_by_attention(data.a, data.b, options); }));
  options.oracle = [](const Order2Instance&) { return OracleAnswer{{0.5}, 0.0, 0.0}; };
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"oracle", "4 rows", "1"},
                         [&] { nearest_by_attention(data.a, data.b, options); }));
  options = options_of(0.5, GapShape::pad, GapBranch::attention);
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"ratio"}, [&] { nearest_by_attention(data.a, data.b, options); }));
  options = options_of(1.0, GapShape::paper, GapBranch::attention);
  const NearestInstance wide = random_nearest(4, 60, 200, 2);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"shape paper", "690", "d = 200", "n = 60"},
                         [&] { nearest_by_attention(wide.a, wide.b, options); }));
  options.branch = GapBranch::table;
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"branch table", "200 bits"},
                         [&] { nearest_by_attention(wide.a, wide.b, options); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"distance", "41"}, [] { planted_nearest(4, 4, 40, 41, 1); }));
}

TEST(Nearest, CanBeCancelled) {
  const NearestInstance data = random_nearest(40, 60, 40, 2);
  for (const GapBranch branch : {GapBranch::attention, GapBranch::automatic}) {
    NearestOptions options = options_of(1.5, GapShape::pad, branch);
    double last = -1.0;
    int asked = 0;
    options.progress = [&](double done) {
      EXPECT_GE(done, 0.0);
      EXPECT_LE(done, 1.0);
      last = done;
      return ++asked < 9;
    };
    EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { nearest_by_attention(data.a, data.b, options); }));
    EXPECT_EQ(asked, 9);
  }
}

}  // namespace
}  // namespace polyattn::lab
