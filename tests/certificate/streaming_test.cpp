// Certificates of streams attacked: random ones, and a search that climbs towards measured = certified.

#include "support/random.hpp"
#include "support/stream_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace polyattn::test {
namespace {

struct Trial {
  double output = 0.0;
  double lse = 0.0;
};

/// The whole stream, then its queries.
Trial examine(const StreamCase& stream, std::uint64_t seed) {
  StreamingState state(stream.options);
  for (std::int64_t i = 0; i < stream.tokens; ++i) {
    append(state, stream, i);
  }
  const Verdict verdict = judge(stream, stream.tokens, state.query(queries_of(stream)));
  EXPECT_TRUE(within_bounds(verdict)) << "seed " << seed;
  return {verdict.worst, verdict.worst_lse};
}

TEST(StreamingCertificate, HoldsOverRandomAndAdversarialStreams) {
  Trial random;
  Trial climbed;
  constexpr std::uint64_t kRandom = 2000;
  constexpr std::uint64_t kClimbs = 300;
  constexpr std::uint64_t kSteps = 25;
  for (std::uint64_t seed = 1; seed <= kRandom; ++seed) {
    const Trial trial = examine(draw_stream(seed % 2 == 0 ? StreamFamily::broad : StreamFamily::tight, seed), seed);
    random.output = std::max(random.output, trial.output);
    random.lse = std::max(random.lse, trial.lse);
  }
  for (std::uint64_t climb = 1; climb <= kClimbs; ++climb) {
    const std::uint64_t seed = 1000000 + climb;
    StreamCase best = draw_stream(StreamFamily::tight, seed);
    const bool of_lse = climb % 3 == 0;
    double height = -1.0;
    for (std::uint64_t step = 0; step < kSteps; ++step) {
      StreamCase next = best;
      if (step != 0) {
        move_stream(next, Random(seed * 1000 + step).bits());
      }
      const Trial trial = examine(next, seed);
      climbed.output = std::max(climbed.output, trial.output);
      climbed.lse = std::max(climbed.lse, trial.lse);
      const double here = of_lse ? trial.lse : trial.output;
      if (here >= height) {
        height = here;
        best = next;
      }
    }
  }
  std::printf(
      "streams random %.0f climbed %.0f worst-clearance (measured / certified): %.3f and %.3f, of log-sum-exp "
      "%.3f and %.3f\n",
      static_cast<double>(kRandom), static_cast<double>(kClimbs * kSteps), random.output, climbed.output, random.lse,
      climbed.lse);
  EXPECT_LE(climbed.output, 1.0);
  EXPECT_LE(climbed.lse, 1.0);
  EXPECT_GT(climbed.output, 0.3) << "an attack that does not come near proves little";
}

}  // namespace
}  // namespace polyattn::test
