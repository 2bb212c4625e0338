// The order of points that sums over near keys go by, and what blocks left out may weigh.

#include "engines/exact/near_search.hpp"
#include "engines/near_cases.hpp"

#include <numeric>
#include <set>

namespace polyattn::engines::test {
namespace {

using base::usize;

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
    const Drawn drawn = draw_near(1000 + seed);
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
        for (std::int64_t at = b * simd::kKeyBlock; at < std::min(keys.order.count(), (b + 1) * simd::kKeyBlock);
             ++at) {
          const std::int64_t j = keys.order.rows[usize(at)];
          long double s = drawn.head.bias.empty() ? 0.0L : static_cast<long double>(drawn.head.bias[usize(j)]);
          for (std::int64_t l = 0; l < drawn.head.d; ++l) {
            const long double z =
                (static_cast<long double>(q[l]) - static_cast<long double>(k[usize(j * drawn.head.d + l)])) /
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
