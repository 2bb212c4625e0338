// Nearest neighbours by attention on 200 random and planted instances of up to 2,000 vectors of 64 bits: both shapes,
// both branches, against brute force.

#include "lab/nearest_support.hpp"

#include "lab/nearest_instances.hpp"

#include <array>
#include <cstdio>

namespace polyattn::lab {
namespace {

TEST(SlowNearest, TwoHundredInstancesMeetTheirRatio) {
  constexpr std::array sizes{20, 50, 100, 200, 400, 600, 1000, 1400, 2000, 2000};
  constexpr std::array dimensions{16, 24, 32, 48, 64};
  NearestCost pad;
  NearestCost paper;
  for (std::uint64_t k = 0; k < 200; ++k) {
    const std::int64_t d = dimensions[k % dimensions.size()];
    const bool in_paper = k % 4 == 1;
    std::int64_t n = sizes[k / 5 % sizes.size()];
    if (in_paper && k > 160) n = std::min<std::int64_t>(n, 600);  // rows of reference cost sixteen times as much
    const std::int64_t planted = static_cast<std::int64_t>(k / 3 % 5) * d / 20;
    const NearestInstance data = k % 3 == 0 ? random_nearest(n, n, d, k) : planted_nearest(n, n, d, planted, k);
    NearestOptions options;
    options.ratio = in_paper ? 1.5 : std::array{1.0, 1.1, 1.25, 1.5, 2.0}[k / 2 % 5];
    options.shape = in_paper ? GapShape::paper : GapShape::pad;
    options.branch = !in_paper && k % 8 == 0 ? GapBranch::attention : GapBranch::automatic;
    options.oracle = engine_oracle();
    const Nearest got = nearest_by_attention(data.a, data.b, options);
    test::expect_within_ratio(data.a, data.b, options.ratio, got);
    NearestCost& total = in_paper ? paper : pad;
    total.decisions += got.cost.decisions;
    total.looked_up += got.cost.looked_up;
    total.smallest_threshold = std::min(total.smallest_threshold, got.cost.smallest_threshold);
  }
  for (const NearestCost* total : {&pad, &paper}) {
    std::printf("[ nearest  ] %s: %lld decisions by attention, %lld looked up, thresholds from %g\n",
                total == &pad ? "pad" : "paper", static_cast<long long>(total->decisions),
                static_cast<long long>(total->looked_up), total->smallest_threshold);
    EXPECT_GT(total->decisions, 100000);
    EXPECT_GT(total->looked_up, 1000);
  }
  EXPECT_LT(paper.smallest_threshold, 1e-100);
}

// The largest instances again, with an oracle that is wrong by 0.12.
TEST(SlowNearest, LargeInstancesBearAnOracleWrongByTwelveHundredths) {
  for (const test::Flaw flaw : {test::Flaw::against, test::Flaw::random}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const NearestInstance data = planted_nearest(2000, 2000, 64, static_cast<std::int64_t>(3 * seed), seed);
      NearestOptions options;
      options.ratio = 1.5;
      options.oracle = test::flawed_oracle(0.12, flaw, 0.12);
      test::expect_within_ratio(data.a, data.b, 1.5, nearest_by_attention(data.a, data.b, options));
    }
  }
}

}  // namespace
}  // namespace polyattn::lab
