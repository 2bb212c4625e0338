// Sums over the keys near a row: every row within its bound of the sum over all keys in long double.

#include "engines/exact/near_rows.hpp"

#include "base/checked.hpp"
#include "engines/near_cases.hpp"

namespace polyattn::engines::test {
namespace {

using base::usize;

struct Judged {
  std::int64_t rows = 0;
  std::int64_t left_out = 0;   ///< rows that left out a block
  std::int64_t unbounded = 0;  ///< rows of which nothing is claimed
  double output = 0.0;         ///< largest measured / certified
  double lse = 0.0;
};

template <class T>
void judge_near(const Drawn& drawn, Judged& judged, int threads = 1, std::int64_t stride = 1) {
  const Head& head = drawn.head;
  const Prepared prepared(head);
  HeadProblem problem = prepared.problem;
  if (head.mask.exclude_self) {
    problem.queries = problem.keys;
  }
  double low = kInfinity;
  double high = -kInfinity;
  double range = 0.0;
  const std::vector<double> values = prepared.v.numbers();
  for (std::int64_t c = 0; c < head.d_v; ++c) {
    low = kInfinity;
    high = -kInfinity;
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      low = std::min(low, values[usize(j * head.d_v + c)]);
      high = std::max(high, values[usize(j * head.d_v + c)]);
    }
    range = std::max(range, high - low);
  }
  const base::Context context{threads, nullptr, nullptr};
  ASSERT_TRUE(supports_near(problem));
  const NearKeys keys = near_keys(problem, range, context);
  const NearTiles tiles = near_tiles(problem, keys, context);
  const PackedKeys<T> packed = pack_near<T>(problem, keys, context);
  const Answer answer = collect(head.n_q, head.d_v, DType::float64, [&](const HeadOutputs& out) {
    near_rows(problem, keys, packed, tiles, drawn.goal, 0, 1, out, context);
  });
  for (std::int64_t i = 0; i < head.n_q; i += stride) {
    const auto row = usize(i);
    const Truth t = truth(head, prepared, i);
    ++judged.rows;
    if (t.empty) {
      ASSERT_EQ(answer.lse[row], -kInfinity);
      continue;
    }
    judged.left_out += answer.approximation[row] > 0.0 ? 1 : 0;
    const double bound = answer.approximation[row] + answer.rounding[row];
    ASSERT_FALSE(std::isnan(bound));
    judged.unbounded += bound < kInfinity && answer.lse_bound[row] < kInfinity ? 0 : 1;
    for (std::int64_t c = 0; c < head.d_v; ++c) {
      const auto computed = static_cast<long double>(answer.output[usize(i * head.d_v + c)]);
      const double r = ratio(std::fabs(computed - t.output[usize(c)]), bound);
      ASSERT_LE(r, 1.0) << "row " << i << " column " << c << ", approximation " << answer.approximation[row]
                        << ", rounding " << answer.rounding[row];
      judged.output = std::max(judged.output, r);
    }
    const double l = ratio(std::fabs(static_cast<long double>(answer.lse[row]) - t.lse), answer.lse_bound[row]);
    ASSERT_LE(l, 1.0) << "row " << i << ": log-sum-exp " << answer.lse[row] << " for " << static_cast<double>(t.lse);
    judged.lse = std::max(judged.lse, l);
    // What was asked for: R <= ratio D for D as computed, and the charge is R over the least that D may be. Both
    // logarithms are rounded, by less than 10^-13 of themselves.
    if (answer.approximation[row] > 0.0 && drawn.goal.ratio < 1.0) {
      const double logarithms = 1.0 + std::fabs(answer.lse[row]) + std::fabs(std::log(drawn.goal.ratio));
      EXPECT_LE(answer.approximation[row],
                range * drawn.goal.ratio * std::exp(2.0 * answer.lse_bound[row] + 1e-13 * logarithms) * (1.0 + 1e-9));
    }
  }
}

TEST(Near, RowsAreWithinTheirBoundsOfAllKeys) {
  Judged single;
  Judged wide;
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Drawn drawn = draw_near(seed);
    judge_near<float>(drawn, single, 1 + static_cast<int>(seed % 3), 7);
    judge_near<double>(drawn, wide, 1 + static_cast<int>(seed % 3), 7);
    if (HasFatalFailure()) {
      return;
    }
  }
  for (const Judged& judged : {single, wide}) {
    std::printf("[ clearance] near: output %.3f, log-sum-exp %.3f; %lld of %lld rows left keys out, %lld unbounded\n",
                judged.output, judged.lse, static_cast<long long>(judged.left_out), static_cast<long long>(judged.rows),
                static_cast<long long>(judged.unbounded));
    EXPECT_GT(judged.left_out, judged.rows / 5);
    EXPECT_LT(judged.unbounded, judged.rows / 4);
  }
  EXPECT_EQ(wide.unbounded, 0);
}

TEST(Near, BitsDoNotDependOnThreads) {
  const Drawn drawn = draw_near(7);
  const Prepared prepared(drawn.head);
  const auto run = [&](int threads) {
    const base::Context context{threads, nullptr, nullptr};
    const NearKeys keys = near_keys(prepared.problem, 1.0, context);
    const NearTiles tiles = near_tiles(prepared.problem, keys, context);
    const auto packed = pack_near<float>(prepared.problem, keys, context);
    return collect(drawn.head.n_q, drawn.head.d_v, DType::float64, [&](const HeadOutputs& out) {
      near_rows(prepared.problem, keys, packed, tiles, drawn.goal, 0, 1, out, context);
    });
  };
  const Answer one = run(1);
  for (const int threads : {2, 5}) {
    const Answer more = run(threads);
    EXPECT_EQ(one.output, more.output);
    EXPECT_EQ(one.lse, more.lse);
    EXPECT_EQ(one.lse_bound, more.lse_bound);
    EXPECT_EQ(one.approximation, more.approximation);
    EXPECT_EQ(one.rounding, more.rounding);
  }
}

TEST(Near, TwoClustersFarApartSeeNothingOfEachOther) {
  Head head;
  head.d = 2;
  head.d_v = 1;
  head.n_kv = 2560;
  head.n_q = 96;
  Random random(3);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const double side = j % 2 == 0 ? 0.0 : 1e6;
    head.k.insert(head.k.end(), {side + random.unit(), random.unit()});
    head.v.push_back(j % 2 == 0 ? 1.0 : -1.0);
  }
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    head.q.insert(head.q.end(), {(i % 2 == 0 ? 0.0 : 1e6) + random.unit(), random.unit()});
  }
  head.score.kind = ScoreKind::gaussian;
  head.score.bandwidth = {1.0, 1.0};
  const Prepared prepared(head);
  const base::Context context;
  const NearKeys keys = near_keys(prepared.problem, 2.0, context);
  const NearTiles tiles = near_tiles(prepared.problem, keys, context);
  const auto packed = pack_near<float>(prepared.problem, keys, context);
  NearGoal goal;
  goal.ratio = 1e-9;
  std::int64_t looked = 0;
  const Answer answer = collect(head.n_q, 1, DType::float64, [&](const HeadOutputs& out) {
    looked = near_rows(prepared.problem, keys, packed, tiles, goal, 0, 1, out, context);
  });
  EXPECT_EQ(looked, tiles.boxes.count * 10);  // half of the blocks each
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    EXPECT_EQ(answer.output[usize(i)], i % 2 == 0 ? 1.0 : -1.0);
    EXPECT_LE(answer.approximation[usize(i)], 2e-9);
    EXPECT_LE(answer.rounding[usize(i)], 1e-3);
  }
}

TEST(Near, AMassAloneLeavesIsolatedRowsToOneBlock) {
  // Densities: a row far out needs no more than one block to know that little is there.
  Drawn drawn;
  Head& head = drawn.head;
  head.d = 2;
  head.d_v = 0;
  head.n_kv = 4096;
  head.n_q = 48;
  Random random(5);
  head.k.resize(usize(head.n_kv * 2));
  for (double& x : head.k) {
    x = random.unit();
  }
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    head.q.insert(head.q.end(), {40.0 + random.unit(), random.unit()});
  }
  head.score.kind = ScoreKind::gaussian;
  head.score.bandwidth = {0.5, 0.5};
  drawn.goal.ratio = kAnyRatio;
  drawn.goal.mass = 1e-6;
  Judged judged;
  judge_near<double>(drawn, judged);
  const Prepared prepared(head);
  const base::Context context;
  const NearKeys keys = near_keys(prepared.problem, 0.0, context);
  const auto packed = pack_near<double>(prepared.problem, keys, context);
  const Answer answer = collect(head.n_q, 0, DType::float64, [&](const HeadOutputs& out) {
    EXPECT_EQ(near_rows(prepared.problem, keys, packed, near_tiles(prepared.problem, keys, context), drawn.goal, 0, 1,
                        out, context),
              1);
  });
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    EXPECT_LE(std::exp(answer.lse[usize(i)]) * std::expm1(answer.lse_bound[usize(i)]), 1e-6);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
