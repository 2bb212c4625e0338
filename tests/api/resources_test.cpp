// Progress, cancelling, memory limits, threads.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/problem.hpp"

#include <mutex>
#include <stdexcept>
#include <vector>

namespace polyattn::test {
namespace {

Problem big() {
  return random_problem({.heads = 3, .n_q = 700, .n_kv = 700, .dim = 4, .value_dim = 4}, 1.0, DType::float32, 121);
}

class Resources : public testing::TestWithParam<Choice> {};

TEST_P(Resources, ProgressIsReported) {
  std::mutex guard;
  std::vector<double> seen;
  Options options = forced(GetParam(), 3);
  options.progress = [&](double done) {
    const std::lock_guard lock(guard);
    seen.push_back(done);
    return true;
  };
  const std::vector<std::byte> bits = bits_of(attend(big(), options).output);
  ASSERT_FALSE(seen.empty());
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_GE(seen[i], i == 0 ? 0.0 : seen[i - 1]);
    EXPECT_LE(seen[i], 1.0);
  }
  options.progress = {};
  EXPECT_EQ(bits_of(attend(big(), options).output), bits) << "watching changed the answer";
}

TEST_P(Resources, ProgressMayCancel) {
  const Problem problem = big();
  for (const int after : {0, 1}) {
    int calls = 0;
    std::mutex guard;
    Options options = forced(GetParam(), 3);
    options.progress = [&](double) {
      const std::lock_guard lock(guard);
      return calls++ < after;
    };
    EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { attend(problem, options); }));
    EXPECT_GT(calls, after);
  }
}

TEST_P(Resources, ProgressThatThrows) {
  // The exception is the caller's and comes back as it is.
  Options options = forced(GetParam(), 3);
  options.progress = [](double) -> bool { throw std::length_error("of the caller"); };
  EXPECT_THROW(attend(big(), options), std::length_error);
}

TEST_P(Resources, MemoryLimitRefusesAhead) {
  Options options = forced(GetParam(), 6);
  options.max_memory = 64;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory", "64"}, [&] { attend(big(), options); }));
}

TEST_P(Resources, PeakStaysBelowALimitThatSuffices) {
  const Problem problem = big();
  Options options = forced(GetParam(), 6);
  const Result free = attend(problem, options);
  options.max_memory = 2 * free.report.peak_bytes + 4096;
  const Result limited = attend(problem, options);
  EXPECT_LE(limited.report.peak_bytes, options.max_memory);
  EXPECT_EQ(bits_of(limited.output), bits_of(free.output));
}

TEST_P(Resources, ReportedThreads) {
  for (const int threads : {1, 2, 5}) {
    Options options = forced(GetParam(), 2);
    options.threads = threads;
    EXPECT_EQ(attend(big(), options).report.threads, threads);
  }
  Options options = forced(GetParam(), 2);
  options.threads = 0;
  EXPECT_GE(attend(big(), options).report.threads, 1);
}

INSTANTIATE_TEST_SUITE_P(Engines, Resources, testing::ValuesIn(plain_choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(ResourcesOfPlans, ProgressGivenToExecuteReplacesThePlans) {
  const Problem problem = big();
  int planned = 0;
  int given = 0;
  Options options = forced({Engine::exact, Arithmetic::float32});
  options.threads = 1;
  options.progress = [&](double) { return ++planned > 0; };
  const Plan made = plan(problem, options);
  planned = 0;
  Tensor output(DType::float32, {1, 3, 700, 4});
  Destinations out;
  out.output = output.view();
  made.execute(out, [&](double) { return ++given > 0; });
  EXPECT_EQ(planned, 0);
  EXPECT_GT(given, 0);
  made.execute(out);
  EXPECT_GT(planned, 0);
}

}  // namespace
}  // namespace polyattn::test
