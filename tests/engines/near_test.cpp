// Sums over the keys near a row: the order of points, what may be left out, and every row within its bound of the sum
// over all keys in long double.

#include "engines/exact/near_rows.hpp"
#include "engines/exact/near_search.hpp"

#include "base/checked.hpp"
#include "engines/heads.hpp"
#include "support/random.hpp"

#include <numeric>
#include <set>

namespace polyattn::engines::test {
namespace {

using base::usize;
using polyattn::test::Random;

/// Clouds, clusters, lattices with ties, and points on a line, on axes of very different units.
std::vector<double> draw_points(Random& random, std::int64_t n, std::int64_t d, int kind) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const double along = random.unit();
    const double cluster = static_cast<double>(random.integer(0, 4));
    for (std::int64_t l = 0; l < d; ++l) {
      const double unit = std::pow(100.0, static_cast<double>(l % 3) - 1.0);
      const double x = kind == 0   ? random.unit()
                       : kind == 1 ? cluster * std::sin(cluster + static_cast<double>(l)) + 0.01 * random.unit()
                       : kind == 2 ? static_cast<double>(random.integer(0, 12)) / 12.0
                                   : along * (1.0 + static_cast<double>(l));
      out.push_back(unit * (x + (random.chance(0.01) ? 30.0 * random.unit() : 0.0)));
    }
  }
  return out;
}

struct Drawn {
  Head head;
  NearGoal goal;
};

Drawn draw(std::uint64_t seed) {
  Random random(seed);
  Drawn out;
  Head& head = out.head;
  head.d = random.integer(1, 6);
  head.d_v = random.integer(0, 3);
  head.n_kv = random.integer(1, 1200);
  head.n_q = random.integer(1, 150);
  const int kind = static_cast<int>(random.integer(0, 3));
  head.k = draw_points(random, head.n_kv, head.d, kind);
  if (random.chance(0.4)) {
    head.n_kv = std::max<std::int64_t>(head.n_kv, 2);
    head.k = draw_points(random, head.n_kv, head.d, kind);
    head.n_q = head.n_kv;
    head.q = head.k;
    head.mask.exclude_self = true;
  } else {
    head.q = draw_points(random, head.n_q, head.d, random.chance(0.5) ? kind : 0);
  }
  const double offset = random.chance(0.2) ? 1e3 : 0.0;
  for (std::int64_t i = 0; i < head.n_kv * head.d_v; ++i) {
    head.v.push_back(offset + random.unit());
  }
  head.score.kind = ScoreKind::gaussian;
  const double width = std::pow(10.0, -3.0 * random.unit());
  for (std::int64_t l = 0; l < head.d; ++l) {
    head.score.bandwidth.push_back(width * std::pow(100.0, static_cast<double>(l % 3) - 1.0) * (0.5 + random.unit()));
  }
  if (random.chance(0.3)) {
    const double scale = random.chance(0.3) ? 300.0 : 3.0;
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(random.chance(0.1) && j > 1 ? -kInfinity : scale * (2.0 * random.unit() - 1.0));
    }
  }
  head.storage = random.chance(0.2) ? DType::float32 : DType::float64;
  out.goal.ratio = random.chance(0.8) ? std::pow(10.0, -7.0 * random.unit()) : 1e200;
  if (random.chance(0.3)) {
    out.goal.mass = std::pow(10.0, -6.0 * random.unit());
  }
  return out;
}

struct Judged {
  std::int64_t rows = 0;
  std::int64_t left_out = 0;   ///< rows that left out a block
  std::int64_t unbounded = 0;  ///< rows of which nothing is claimed
  double output = 0.0;         ///< largest measured / certified
  double lse = 0.0;
};

template <class T>
void judge_near(const Drawn& drawn, Judged& judged, int threads = 1) {
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
  for (std::int64_t i = 0; i < head.n_q; ++i) {
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
    // What was asked for: R <= ratio D and R <= mass, so the charge is no more, but for what float32 knows D to.
    if (answer.approximation[row] > 0.0 && drawn.goal.ratio < 1.0) {
      EXPECT_LE(answer.approximation[row], range * drawn.goal.ratio * 1.01);
    }
  }
}

TEST(Near, RowsAreWithinTheirBoundsOfAllKeys) {
  Judged single;
  Judged wide;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Drawn drawn = draw(seed);
    judge_near<float>(drawn, single, 1 + static_cast<int>(seed % 3));
    judge_near<double>(drawn, wide, 1 + static_cast<int>(seed % 3));
    if (HasFatalFailure()) {
      return;
    }
  }
  for (const Judged& judged : {single, wide}) {
    std::printf("[ clearance] near: output %.3f, log-sum-exp %.3f; %lld of %lld rows left keys out, %lld unbounded\n",
                judged.output, judged.lse, static_cast<long long>(judged.left_out),
                static_cast<long long>(judged.rows), static_cast<long long>(judged.unbounded));
    EXPECT_GT(judged.left_out, judged.rows / 5);
    EXPECT_LT(judged.unbounded, judged.rows / 4);
  }
  EXPECT_EQ(wide.unbounded, 0);
}

TEST(Near, BitsDoNotDependOnThreads) {
  const Drawn drawn = draw(7);
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
  head.k = draw_points(random, head.n_kv, 1, 0);
  head.k.resize(usize(head.n_kv * 2));
  for (double& x : head.k) {
    x = random.unit();
  }
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    head.q.insert(head.q.end(), {40.0 + random.unit(), random.unit()});
  }
  head.score.kind = ScoreKind::gaussian;
  head.score.bandwidth = {0.5, 0.5};
  drawn.goal.ratio = 1e200;
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

TEST(NearOrder, LeavesAreSmallBoxesOfAllPoints) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const std::int64_t d = random.integer(1, 8);
    const std::int64_t n = random.integer(1, 3000);
    const std::vector<double> x = draw_points(random, n, d, static_cast<int>(seed % 4));
    const Stored stored(x, n, d, DType::float64, seed % 2 == 0);
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < n; ++i) {
      if (i == 0 || random.chance(0.9)) {
        rows.push_back(i);
      }
    }
    const NearRates rates(usize(d), 1.0);
    const base::Context context{1 + static_cast<int>(seed % 3), nullptr, nullptr};
    const NearOrder order = order_near(stored.view(), rates, 128, rows, context);
    const NearOrder again = order_again(order, rates, 384, 48, context);
    for (const NearOrder* one : {&order, &again}) {
      std::vector<std::int64_t> sorted = one->rows;
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(sorted, rows);
      const std::int64_t leaf = one == &order ? 128 : 48;
      const NearBoxes boxes = boxes_of(*one, leaf, context);
      ASSERT_EQ(boxes.count, (one->count() + leaf - 1) / leaf);
      for (std::int64_t i = 0; i < one->count(); ++i) {
        for (std::int64_t l = 0; l < d; ++l) {
          const double value = x[usize(one->rows[usize(i)] * d + l)];
          ASSERT_EQ(one->at(i)[l], value);
          ASSERT_LE(boxes.low[usize(l * boxes.count + i / leaf)], value);
          ASSERT_GE(boxes.high[usize(l * boxes.count + i / leaf)], value);
        }
      }
    }
  }
  // A square of 64 x 64 points in 32 leaves: none is longer than a third of it.
  std::vector<double> x;
  for (int i = 0; i < 4096; ++i) {
    x.insert(x.end(), {static_cast<double>(i % 64), static_cast<double>(i / 64)});
  }
  std::vector<std::int64_t> all(4096);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const Stored stored(x, 4096, 2, DType::float64);
  const NearBoxes boxes = boxes_of(order_near(stored.view(), {1.0, 1.0}, 128, all, {}), 128, {});
  for (std::int64_t b = 0; b < 2 * boxes.count; ++b) {
    EXPECT_LE(boxes.high[usize(b)] - boxes.low[usize(b)], 16.0);
  }
}

TEST(NearSearch, WhatIsLeftIsAtMostTheRest) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Drawn drawn = draw(1000 + seed);
    const Prepared prepared(drawn.head);
    const base::Context context;
    const NearKeys keys = near_keys(prepared.problem, 1.0, context);
    const NearTiles tiles = near_tiles(prepared.problem, keys, context);
    const std::vector<double> k = prepared.k.numbers();
    NearSearch search(keys);
    for (std::int64_t tile = 0; tile < tiles.boxes.count; ++tile) {
      search.look(tiles.boxes, tile);
      while (!search.all()) {
        search.grow();
      }
      ASSERT_EQ(search.log_rest(search.blocks()), -kInfinity);
      // For the first row of the tile: the weights of all keys from some place on, added up from the end.
      const double* q = tiles.order.at(tile * simd::kTile);
      long double rest = 0.0L;
      std::set<std::int64_t> met;
      for (std::int64_t i = search.blocks() - 1; i >= 0; --i) {
        const std::int64_t b = search.block(i);
        met.insert(b);
        for (std::int64_t at = b * simd::kKeyBlock; at < std::min(keys.order.count(), (b + 1) * simd::kKeyBlock); ++at) {
          const std::int64_t j = keys.order.rows[usize(at)];
          long double s = drawn.head.bias.empty() ? 0.0L : static_cast<long double>(drawn.head.bias[usize(j)]);
          for (std::int64_t l = 0; l < drawn.head.d; ++l) {
            const long double z = (static_cast<long double>(q[l]) - static_cast<long double>(k[usize(j * drawn.head.d + l)])) /
                                  static_cast<long double>(drawn.head.score.bandwidth[usize(l)]);
            s -= z * z / 2;
          }
          rest += std::exp(s);
        }
        ASSERT_LE(std::log(rest), static_cast<long double>(search.log_rest(i)));
        if (i > 0) {
          ASSERT_GE(search.log_mass(i - 1), search.log_mass(i));
        }
      }
      ASSERT_EQ(static_cast<std::int64_t>(met.size()), search.blocks());
    }
  }
}

}  // namespace
}  // namespace polyattn::engines::test
