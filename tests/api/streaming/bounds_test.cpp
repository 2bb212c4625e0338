// Answers of streams against the truth, prefix by prefix: nothing is ever farther off than its certificate says.

#include "support/choices.hpp"
#include "support/random.hpp"
#include "support/stream_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace polyattn::test {
namespace {

double largest(const std::vector<double>& numbers) {
  return numbers.empty() ? 0.0 : *std::max_element(numbers.begin(), numbers.end());
}

TEST(StreamingBounds, HoldAlongTheStream) {
  double worst = 0.0;
  double worst_lse = 0.0;
  std::int64_t answers = 0;
  std::int64_t sharp = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const StreamCase stream = draw_stream(StreamFamily::broad, seed);
    StreamingState state(stream.options);
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(state, stream, i);
      if (i > 4 && i % 7 != 0 && i + 1 != stream.tokens) {
        continue;
      }
      const StreamingAnswer answer = state.query(queries_of(stream));
      const Verdict verdict = judge(stream, i + 1, answer);
      EXPECT_TRUE(within_bounds(verdict)) << "seed " << seed << ", " << i + 1 << " tokens";
      worst = std::max(worst, verdict.worst);
      worst_lse = std::max(worst_lse, verdict.worst_lse);
      answers += static_cast<std::int64_t>(verdict.rows.size());
      const double range = value_range(prefix_problem(stream, i + 1));
      for (const RowVerdict& row : verdict.rows) {
        sharp += row.certified <= 0.1 * range ? 1 : 0;
      }
    }
    EXPECT_EQ(state.report().tokens, stream.tokens);
  }
  std::printf("streams: %lld answers, worst-clearance (measured / certified) %.3f, of log-sum-exp %.3f; sharp %lld\n",
              static_cast<long long>(answers), worst, worst_lse, static_cast<long long>(sharp));
  EXPECT_GT(3 * sharp, answers) << "bounds that say nothing prove nothing";
}

TEST(StreamingBounds, AreKnownBeforeTheFirstToken) {
  double closest = 0.0;
  int promises = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    StreamCase stream = draw_stream(seed % 2 == 0 ? StreamFamily::tight : StreamFamily::broad, seed);
    stream.options.expected_bias = 1e5;
    stream.options.expected_tokens = 100;
    StreamingState state(stream.options);
    const StreamingReport report = state.report();
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(state, stream, i);
    }
    double scale = 1.0;
    double slack = 0.0;
    if (stream.options.value_low.empty()) {
      const Problem problem = prefix_problem(stream, stream.tokens);
      scale = value_range(problem);
      for (const double v : problem.v.values) {
        slack = std::max(slack, 0x1p-49 * std::fabs(v));
      }
    }
    const double certified = largest(values_of(state.query(queries_of(stream)).row_bounds));
    EXPECT_FALSE(std::isnan(certified));
    if (std::isfinite(report.a_priori_bound)) {
      EXPECT_LE(certified, report.a_priori_bound * scale + slack) << "seed " << seed;
      closest = std::max(closest, clearance(certified, report.a_priori_bound * scale + slack));
      ++promises;
    }
  }
  std::printf("streams: certified / promised at most %.3f\n", closest);
  EXPECT_GE(promises, 200);
  EXPECT_GT(closest, 0.05) << "a promise so wide that it is worthless";
}

TEST(StreamingBounds, DegreeIsChosenForTheTolerance) {
  for (const double radius : {0.1, 1.0, 4.0}) {
    for (const double tolerance : {1e-1, 1e-3, 1e-9}) {
      StreamCase stream = draw_stream(StreamFamily::broad, 11);
      StreamingOptions& options = stream.options;
      options.score = Dot{1.0 / static_cast<double>(options.dim)};
      options.queries = {{}, {std::sqrt(radius)}};
      options.keys = options.queries;
      options.value_low = {-2.0};
      options.value_high = {2.0};
      options.degree.reset();
      options.tolerance = {tolerance, ToleranceKind::absolute};
      Random random(5);
      for (std::vector<double>* coordinates : {&stream.key, &stream.query}) {
        for (double& x : *coordinates) {
          x = random.sign() * std::sqrt(radius);
        }
      }
      for (double& v : stream.value) {
        v = 2.0 * random.sign();
      }
      stream.bias.clear();
      StreamingState state(options);
      EXPECT_LE(state.report().a_priori_bound, tolerance);
      EXPECT_EQ(state.options().degree, state.report().degree);
      if (state.report().degree > 0) {
        StreamingOptions lower = options;
        lower.degree = state.report().degree - 1;
        lower.tolerance = {};
        EXPECT_GT(StreamingState(lower).report().a_priori_bound, tolerance) << "not the lowest degree";
      }
      for (std::int64_t i = 0; i < stream.tokens; ++i) {
        append(state, stream, i);
        const StreamingAnswer answer = state.query(queries_of(stream));  // or not_reachable would be thrown
        EXPECT_LE(answer.certificate.bound(), tolerance);
        EXPECT_EQ(largest(values_of(answer.row_bounds)), answer.certificate.bound());
      }
    }
  }
}

/// Two axes, two columns, any number of tokens.
StreamCase long_stream(std::int64_t tokens, double slope) {
  StreamCase stream;
  stream.options.dim = 2;
  stream.options.value_dim = 2;
  stream.options.score = Dot{0.5};
  stream.options.queries = {{}, {0.5}};
  stream.options.keys = {{}, {0.5}};
  stream.options.degree = 9;
  stream.tokens = tokens;
  Random random(17);
  for (std::int64_t i = 0; i < tokens; ++i) {
    for (int l = 0; l < 2; ++l) {
      stream.key.push_back(random.uniform(-0.5, 0.5));
      stream.value.push_back(random.uniform(0.0, 1.0));
    }
    if (slope != 0.0) {
      stream.bias.push_back(slope * static_cast<double>(i));
    }
  }
  stream.query = {0.3, -0.45};
  return stream;
}

TEST(StreamingBounds, DoNotGrowWithTheStream) {
  const StreamCase stream = long_stream(100000, 0.0);
  StreamingState state(stream.options);
  const std::uint64_t bytes = state.report().bytes;
  const std::size_t saved = state.save().size();
  double early = 0.0;
  for (std::int64_t i = 0; i < stream.tokens; ++i) {
    append(state, stream, i);
    if (i + 1 == 100) {
      early = state.query(queries_of(stream)).certificate.rounding;
    }
  }
  const StreamingAnswer answer = state.query(queries_of(stream));
  EXPECT_TRUE(within_bounds(judge(stream, stream.tokens, answer)));
  EXPECT_LE(answer.certificate.approximation, 1e-12);
  EXPECT_LE(answer.certificate.rounding, 1e-13);
  EXPECT_LE(answer.certificate.rounding, 1.2 * early);
  EXPECT_EQ(state.report().bytes, bytes) << "memory grew";
  EXPECT_EQ(state.save().size(), saved);
}

TEST(StreamingBounds, HoldUnderSteepBiases) {
  // Weights from exp(-50 n) to exp(50 n): with one global scale nothing but the last or the first tokens would be left.
  for (const double slope : {-900.0, -50.0, -0.7, 0.7, 50.0, 900.0}) {
    const StreamCase stream = long_stream(700, slope);
    StreamingState state(stream.options);
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(state, stream, i);
      if (i % 50 == 0 || i < 5) {
        const StreamingAnswer answer = state.query(queries_of(stream));
        const Verdict verdict = judge(stream, i + 1, answer);
        EXPECT_TRUE(within_bounds(verdict)) << slope << " at " << i;
        EXPECT_LE(answer.certificate.bound(), 1e-7) << slope << " at " << i;
      }
    }
  }
}

TEST(StreamingBounds, HoldForLargeBiases) {
  // Of 1e11 a double keeps five digits behind the point: the log weights themselves are rounded that much.
  for (const double base : {1e4, 1e8, 1e11}) {
    StreamCase stream = long_stream(60, 0.0);
    stream.options.queries.centre = {0.3, -0.45};
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      stream.bias.push_back(base);
    }
    StreamingState state(stream.options);
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(state, stream, i);
    }
    const Verdict verdict = judge(stream, stream.tokens, state.query(queries_of(stream)));
    EXPECT_TRUE(within_bounds(verdict)) << base;
    EXPECT_GE(verdict.worst_measured, 1e-20 * base) << "the roundings that this test is about do not show";
  }
}

}  // namespace
}  // namespace polyattn::test
