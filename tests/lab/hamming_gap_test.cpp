// Gaps, the constants of both shapes at the extremes their proofs speak of, and what is refused.

#include "lab/hamming_gap.hpp"

#include "lab/hamming_gap_attention.hpp"
#include "lab/nearest_instances.hpp"
#include "polyattn/error.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace polyattn::lab {
namespace {

using polyattn::test::fails_with;

TEST(HammingGap, FarIsTheFirstDistanceBeyondTheRatio) {
  for (const double ratio : {1.0, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 1.9, 2.0, 3.3, 1.0 + 0x1p-52, 2.0 - 0x1p-52}) {
    for (std::int64_t near = 0; near <= 2000; ++near) {
      const HammingGap gap = gap_at(near, ratio);
      // 53 and 11 bits: the product is exact in the 64 bits of long double.
      const long double edge = static_cast<long double>(ratio) * static_cast<long double>(near);
      ASSERT_GT(static_cast<long double>(gap.far), edge) << ratio << ' ' << near;
      ASSERT_LE(static_cast<long double>(gap.far - 1), edge) << ratio << ' ' << near;
    }
  }
}

TEST(HammingGap, RefusesByName) {
  for (const double ratio : {0.99, -1.0, 1e9, std::nan("")}) {
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"ratio"}, [&] { gap_at(3, ratio); }));
  }
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"near", "-1"}, [] { gap_at(-1, 1.5); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"gap"}, [] { reduce_gap(GapShape::pad, 8, {3, 9}, 5); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"gap"}, [] { reduce_gap(GapShape::pad, 8, {3, 3}, 5); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"keys"}, [] { reduce_gap(GapShape::paper, 8, {3, 4}, 0); }));
}

/// The average of a row whose keys lie at these distances, in long double, from the constants as they are.
long double average(const GapReduction& r, std::int64_t dimension, const std::vector<std::int64_t>& distances) {
  const long double unit = static_cast<long double>(r.entry * r.entry) * static_cast<long double>(r.scale);
  const auto pads = r.shape == GapShape::pad ? 1.0L : static_cast<long double>(distances.size());
  long double mass = 0.0L;  // over the weight of a pad
  for (const std::int64_t distance : distances) {
    mass += std::exp(unit * static_cast<long double>(dimension - distance - r.ones));
  }
  return mass / (mass + pads);
}

struct Case {
  std::int64_t dimension, near, far, keys;
};

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const std::int64_t d : {1, 2, 7, 64, 300}) {
    for (const std::int64_t t : {std::int64_t{0}, d / 5, d / 2, d - 1}) {
      for (const std::int64_t far : {t + 1, (t + d + 1) / 2, d}) {
        for (const std::int64_t n : {1, 2, 100, 5000}) {
          if (far > t) out.push_back({d, t, far, n});
        }
      }
    }
  }
  return out;
}

// Least average with a near key: that key at distance t, all others as far as can be. Largest without: all at `far`.
TEST(GapReduction, ConstantsSeparateTheExtremes) {
  int fitting = 0;
  for (const Case& c : cases()) {
    const auto n = static_cast<std::size_t>(c.keys);
    std::vector<std::int64_t> near(n, c.dimension);
    near.front() = c.near;
    const std::vector<std::int64_t> far(n, c.far);
    const GapReduction pad = reduce_gap(GapShape::pad, c.dimension, {c.near, c.far}, c.keys);
    ASSERT_GE(average(pad, c.dimension, near), 0.5L);
    ASSERT_LE(average(pad, c.dimension, far), 0.25L);
    ASSERT_GE(average(pad, c.dimension, far), 0.25L - 1e-3L) << "beta is larger than it need be";

    if (paper_exponent(c.dimension, {c.near, c.far}, c.keys) > 690.0) {
      ASSERT_TRUE(fails_with(ErrorCode::not_reachable,
                             {"exp(-", "690", "d = " + std::to_string(c.dimension), "shape pad"}, [&] {
                               reduce_gap(GapShape::paper, c.dimension, {c.near, c.far}, c.keys);
                             }));
      continue;
    }
    ++fitting;
    const GapReduction paper = reduce_gap(GapShape::paper, c.dimension, {c.near, c.far}, c.keys);
    const long double x = static_cast<long double>(paper.threshold) / 2.0L;
    ASSERT_GE(average(paper, c.dimension, near), 3.0L * x * (1 - 1e-9L));
    ASSERT_LT(average(paper, c.dimension, far), x * (1 + 1e-9L));
    ASSERT_GT(static_cast<double>(average(paper, c.dimension, far) / x), 0.4);
    ASSERT_LE(std::fabs(static_cast<double>(std::log(x)) + paper_exponent(c.dimension, {c.near, c.far}, c.keys)), 1e-3);
  }
  EXPECT_GT(fitting, 50);
}

// Theory, section 13: with the pad in the middle of the gap averages come as near to 1 and 0 as one likes, so that any
// error below 1/2 is borne.
TEST(GapReduction, APadInTheMiddleLeavesAlmostAHalf) {
  for (const Case& c : cases()) {
    for (const long double eta : {0.4L, 0.1L, 1e-6L}) {
      const auto n = static_cast<long double>(c.keys);
      const auto width = static_cast<long double>(c.far - c.near);
      const long double unit = 2 / width * std::log(n / eta);  // beta / D
      const long double pad = static_cast<long double>(c.dimension - c.near) - width / 2;
      const auto average_of = [&](std::int64_t first, std::int64_t others) {
        const auto weight = [&](std::int64_t distance) {
          return std::exp(unit * (static_cast<long double>(c.dimension - distance) - pad));
        };
        const long double mass = weight(first) + (n - 1) * weight(others);
        return mass / (1 + mass);
      };
      ASSERT_GE(average_of(c.near, c.dimension), 1 - eta);
      ASSERT_LE(average_of(c.far, c.far), eta);
    }
  }
}

// What is handed to the oracle has the scores the proof speaks of: beta (d - distance)/D, beta ones/D for pads.
TEST(GapReduction, InstancesHaveTheScoresOfTheProof) {
  const NearestInstance data = random_nearest(6, 9, 20, 3);
  const std::vector<GapCell> cells{{{0, 3, 5}, 0, 4}, {{1}, 4, 9}, {{2, 4}, 4, 8}};
  for (const GapShape shape : {GapShape::pad, GapShape::paper}) {
    const GapReduction reduction = reduce_gap(shape, 20, {6, 10}, 5);
    const Order2Instance instance = gap_instance(reduction, data.a, data.b, cells);
    ASSERT_EQ(instance.rows(), 6);
    ASSERT_TRUE(instance.segments.has_value());
    std::size_t row = 0;
    for (std::size_t s = 0; s < cells.size(); ++s) {
      const std::int64_t pads = shape == GapShape::pad ? 1 : 5;
      const std::int64_t first = instance.segments->key_offsets[s];
      ASSERT_EQ(instance.segments->key_offsets[s + 1] - first, cells[s].keys() + pads);
      for (const std::int64_t i : cells[s].rows) {
        for (std::int64_t k = 0; k < cells[s].keys() + pads; ++k) {
          long double score = 0.0L;
          for (std::int64_t l = 0; l < instance.dim; ++l) {
            score += static_cast<long double>(
                         instance.queries[row * static_cast<std::size_t>(instance.dim) + static_cast<std::size_t>(l)]) *
                     static_cast<long double>(instance.keys[static_cast<std::size_t>((first + k) * instance.dim + l)]);
          }
          const bool pad = k >= cells[s].keys();
          const std::int64_t expected =
              pad ? reduction.ones : 20 - hamming_distance(data.a[i], data.b[cells[s].first_key + k]);
          ASSERT_EQ(score,
                    static_cast<long double>(reduction.entry * reduction.entry) * static_cast<long double>(expected));
          ASSERT_EQ(instance.values[static_cast<std::size_t>(first + k)], pad ? 0.0F : 1.0F);
        }
        ++row;
      }
    }
    const float largest =
        std::max(*std::ranges::max_element(instance.queries), *std::ranges::max_element(instance.keys));
    EXPECT_EQ(static_cast<double>(largest), reduction.entry);
  }
}

}  // namespace
}  // namespace polyattn::lab
