// Bounds and bits hold whatever floating-point settings the caller runs with, and the caller keeps them.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/float_settings.hpp"
#include "support/judge.hpp"

#include <cfenv>

namespace polyattn::test {
namespace {

using base::FloatControl;

class FloatSettings : public testing::TestWithParam<Choice> {
 protected:
  ~FloatSettings() override {
    std::fesetround(FE_TONEAREST);
#if defined(POLYATTN_TEST_FLUSHING)
    FloatControl::write(FloatControl::read() & ~kFlush);
#endif
  }
  /// Values so small that half of them are subnormal float32 numbers.
  static Problem tiny() {
    Problem problem = random_problem({.n_q = 40, .n_kv = 60, .dim = 3, .value_dim = 2}, 2.0, DType::float32, 141);
    std::vector<double> values = problem.v.values;
    for (double& v : values) {
      v *= 0x1p-127;
    }
    problem.v = store(DType::float32, problem.v.shape, values);
    problem.bias = random_bias(problem, -100.0, 0.0, 142);  // weights down to 1e-44
    return problem;
  }
  static Options options(int threads) {
    Options base = with_certificates(forced(GetParam()));
    base.threads = threads;
    return base;
  }
  static std::vector<std::byte> bits(const Result& result) {
    std::vector<std::byte> all = bits_of(result.output);
    for (const auto* part : {&result.lse, &result.lse_bound, &result.row_bounds}) {
      const std::vector<std::byte> more = bits_of(part->value());
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
};

TEST_P(FloatSettings, RoundingModes) {
  const Problem problem = tiny();
  EXPECT_TRUE(within_bounds(problem, options(2)));
  for (const int threads : {1, 2}) {
    const std::vector<std::byte> expected = bits(attend(problem, options(threads)));
    for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
      ASSERT_EQ(std::fesetround(mode), 0);
      const Result result = attend(problem, options(threads));
      const int after = std::fegetround();
      std::fesetround(FE_TONEAREST);
      EXPECT_EQ(after, mode) << "the caller's rounding mode was lost";
      EXPECT_EQ(bits(result), expected) << "rounding mode " << mode;
    }
  }
}

#if defined(POLYATTN_TEST_FLUSHING)
TEST_P(FloatSettings, FlushToZero) {
  const Problem problem = tiny();
  for (const int threads : {1, 2}) {
    const std::vector<std::byte> expected = bits(attend(problem, options(threads)));
    FloatControl::write(FloatControl::read() | kFlush);
    const Result result = attend(problem, options(threads));
    const bool kept = (FloatControl::read() & kFlush) == kFlush;
    FloatControl::write(FloatControl::read() & ~kFlush);
    EXPECT_TRUE(kept) << "the caller's settings were lost";
    EXPECT_EQ(bits(result), expected);
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Engines, FloatSettings, testing::ValuesIn(plain_choices()),
                         [](const auto& choice) { return choice.param.name(); });

}  // namespace
}  // namespace polyattn::test
