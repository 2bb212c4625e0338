// The tile interface by itself: packing matrices, limits, absorbing in parts, merging by hand.

#include "base/checked.hpp"
#include "engines/exact/tile.hpp"
#include "engines/heads.hpp"
#include "simd/dispatch.hpp"

#include <array>

namespace polyattn::engines::test {
namespace {

using base::usize;

template <class T>
class ExactTile : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactTile, Arithmetics);

template <class T>
struct Matrices {
  std::vector<T> keys, values;
  std::vector<double> bias;
  KeyMatrix<T> view;

  Matrices(std::int64_t count, std::int64_t dim, std::int64_t value_dim, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (const double x : normal(random, count * (dim + 1))) {
      keys.push_back(static_cast<T>(x));
    }
    for (const double x : normal(random, count * (value_dim + 2))) {
      values.push_back(static_cast<T>(x));
    }
    bias = normal(random, count, 4.0, 1e3);
    view = {keys.data(), dim + 1, values.data(), value_dim + 2, bias.data(), count, dim, value_dim};
  }
};

/// Fills a tile with queries q_l = sin(lane + l), packed for `scoring`.
template <class T>
void fill(Tile<T>& tile, std::int64_t dim, const TileScoring<T>& scoring) {
  for (std::int64_t l = 0; l < dim; ++l) {
    for (std::int64_t lane = 0; lane < tile.lanes(); ++lane) {
      tile.queries()[l * simd::kTile + lane] =
          static_cast<T>(std::sin(static_cast<double>(lane + l)) * scoring.query_factor);
    }
  }
}

TYPED_TEST(ExactTile, SumsMatchLongDouble) {
  using T = TypeParam;
  constexpr std::int64_t n = 400, d = 3, d_v = 5;
  const Matrices<T> m(n, d, d_v, 1);
  const base::Context context;
  const PackedKeys<T> packed = pack_matrix<T>(m.view, context);
  HeadScore score;
  score.scale = 0.7;
  const TileScoring<T> scoring = tile_scoring<T>(score, d);
  Tile<T> tile(d, d_v, scoring, nullptr);
  TileWork<T> work(true, nullptr);
  tile.reset(40);
  fill(tile, d, scoring);
  for (std::int64_t lane = 0; lane < 40; ++lane) {
    tile.set_range(lane, {0, std::max<std::int64_t>(0, 10 * lane - 20)});  // from none to most
  }
  absorb<T>(packed, std::span(&tile, 1), work, 0, packed.blocks);
  for (std::int64_t lane = 0; lane < 40; ++lane) {
    long double sum = 0.0L;
    std::array<long double, d_v> values{};
    long double largest = -std::numeric_limits<long double>::infinity();
    for (std::int64_t j = 0; j < 10 * lane - 20; ++j) {
      long double s = static_cast<long double>(m.bias[usize(j)]);
      for (std::int64_t l = 0; l < d; ++l) {
        s += 0.7L * std::sin(static_cast<long double>(lane + l)) *
             static_cast<long double>(m.keys[usize(j * (d + 1) + l)]);
      }
      largest = std::max(largest, s);
      sum += std::exp(s - 1e3L);
      for (std::int64_t c = 0; c < d_v; ++c) {
        values[usize(c)] += std::exp(s - 1e3L) * static_cast<long double>(m.values[usize(j * (d_v + 2) + c)]);
      }
    }
    if (lane <= 2) {
      EXPECT_EQ(tile.total_sum()[lane], 0.0);
      EXPECT_EQ(tile.row_max(lane), -kInfinity);
      continue;
    }
    const double tolerance = sizeof(T) == sizeof(float) ? 4e-6 : 4e-14;
    const long double unit =
        std::exp2(static_cast<long double>(tile.total_max()[lane] + packed.shift())) * std::exp(-1e3L);
    EXPECT_NEAR(static_cast<double>(static_cast<long double>(tile.total_sum()[lane]) * unit / sum), 1.0,
                10 * tolerance);
    EXPECT_NEAR((tile.row_max(lane) + packed.shift()) * 0.693147180559945309, static_cast<double>(largest),
                1e3 * 20 * tolerance);
    for (std::int64_t c = 0; c < d_v; ++c) {
      EXPECT_NEAR(tile.accumulator()[c * simd::kTile + lane] / tile.total_sum()[lane],
                  static_cast<double>(values[usize(c)] / sum), 10 * tolerance);
    }
  }
}

// Superblocks are where sums are flushed anyway: absorbing in parts that end there changes no bit.
TYPED_TEST(ExactTile, PartsAtSuperblocksChangeNothing) {
  using T = TypeParam;
  const Matrices<T> m(5000, 2, 9, 2);
  const PackedKeys<T> packed = pack_matrix<T>(m.view, {});
  const TileScoring<T> scoring = tile_scoring<T>({}, 2);
  std::vector<Tile<T>> tiles;
  TileWork<T> work(true, nullptr);
  for (int t = 0; t < 2; ++t) {
    tiles.emplace_back(2, 9, scoring, nullptr);
    tiles.back().reset(48);
    fill(tiles.back(), 2, scoring);
  }
  absorb<T>(packed, std::span(&tiles[0], 1), work, 0, packed.blocks);
  absorb<T>(packed, std::span(&tiles[1], 1), work, 0, 16);
  absorb<T>(packed, std::span(&tiles[1], 1), work, 16, 32);
  absorb<T>(packed, std::span(&tiles[1], 1), work, 32, packed.blocks);
  for (std::int64_t lane = 0; lane < 48; ++lane) {
    EXPECT_EQ(tiles[0].total_max()[lane], tiles[1].total_max()[lane]);
    EXPECT_EQ(tiles[0].total_sum()[lane], tiles[1].total_sum()[lane]);
    EXPECT_EQ(tiles[0].accumulator()[8 * simd::kTile + lane], tiles[1].accumulator()[8 * simd::kTile + lane]);
  }
}

TYPED_TEST(ExactTile, EmptyAndHiddenKeys) {
  using T = TypeParam;
  const TileScoring<T> scoring = tile_scoring<T>({}, 2);
  Tile<T> tile(2, 1, scoring, nullptr);
  TileWork<T> work(true, nullptr);
  const PackedKeys<T> none = pack_matrix<T>({}, {});
  EXPECT_EQ(none.blocks, 0);
  absorb<T>(none, std::span(&tile, 1), work, 0, 0);
  EXPECT_EQ(tile.total_sum()[0], 0.0);

  Matrices<T> m(300, 2, 1, 3);
  std::fill(m.bias.begin(), m.bias.end(), -kInfinity);
  const PackedKeys<T> hidden = pack_matrix<T>(m.view, {});
  EXPECT_EQ(hidden.statistics.visible, 0);
  absorb<T>(hidden, std::span(&tile, 1), work, 0, hidden.blocks);
  EXPECT_EQ(tile.total_sum()[47], 0.0);
  EXPECT_EQ(tile.row_max(47), -kInfinity);
}

TYPED_TEST(ExactTile, StatisticsOfVisibleKeys) {
  using T = TypeParam;
  Matrices<T> m(200, 2, 3, 4);
  m.bias[3] = -kInfinity;
  m.bias[0] = -kInfinity;
  m.keys[3 * 3] = T(100);  // hidden
  m.values[0] = T(-100);   // hidden
  m.values[7 * 5 + 1] = T(0);
  m.values[9 * 5 + 2] = T(1e-3);
  const PackedKeys<T> packed = pack_matrix<T>(m.view, {3, nullptr, nullptr});
  const KeyStatistics& s = packed.statistics;
  KeyStatistics expected;
  expected.key_min.assign(2, kInfinity);
  expected.key_max.assign(2, -kInfinity);
  expected.value_min.assign(3, kInfinity);
  double norm = 0.0;
  double smallest = kInfinity;
  for (std::size_t j = 0; j < 200; ++j) {
    if (j == 0 || j == 3) {
      continue;
    }
    for (std::size_t l = 0; l < 2; ++l) {
      expected.key_min[l] = std::min(expected.key_min[l], static_cast<double>(m.keys[3 * j + l]));
      expected.key_max[l] = std::max(expected.key_max[l], static_cast<double>(m.keys[3 * j + l]));
    }
    norm = std::max(norm, std::hypot(static_cast<double>(m.keys[3 * j]), static_cast<double>(m.keys[3 * j + 1])));
    for (std::size_t c = 0; c < 3; ++c) {
      const auto v = static_cast<double>(m.values[5 * j + c]);
      expected.value_min[c] = std::min(expected.value_min[c], v);
      smallest = v == 0.0 ? smallest : std::min(smallest, std::fabs(v));
    }
  }
  EXPECT_EQ(s.keys, 200);
  EXPECT_EQ(s.visible, 198);
  EXPECT_EQ(s.first_visible, 1);
  EXPECT_EQ(s.key_min, expected.key_min);
  EXPECT_EQ(s.key_max, expected.key_max);
  EXPECT_EQ(s.value_min, expected.value_min);
  EXPECT_EQ(s.smallest_value, smallest);
  EXPECT_GE(s.max_norm, norm * (1 - 1e-15));
  EXPECT_LE(s.max_norm, norm * (1 + 1e-8));
  EXPECT_TRUE(s.finite);
  EXPECT_EQ(s.bias_max, *std::max_element(m.bias.begin(), m.bias.end()));
}

}  // namespace
}  // namespace polyattn::engines::test
