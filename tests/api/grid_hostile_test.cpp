// Heads that go for one weak spot of the grid engine each: weights far apart, numbers at the ends of the range of
// doubles, bandwidths that cannot be inverted. Whatever the engine makes of them (rows may go to exact), no bound may
// be broken and no row may be NaN.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

namespace polyattn::test {
namespace {

struct Points {
  std::int64_t n_q = 0;
  std::int64_t n_kv = 0;
  std::int64_t dim = 1;
  std::vector<double> q, k, v, bias;

  void query(std::vector<double> at) {
    q.insert(q.end(), at.begin(), at.end());
    ++n_q;
  }
  void key(std::vector<double> at, double value, double b = 0.0) {
    k.insert(k.end(), at.begin(), at.end());
    v.push_back(value);
    bias.push_back(b);
    ++n_kv;
  }
  [[nodiscard]] Problem stored(Score score, bool biased) const {
    Problem problem;
    problem.q = store(DType::float64, {1, 1, n_q, dim}, q);
    problem.k = store(DType::float64, {1, 1, n_kv, dim}, k);
    problem.v = store(DType::float64, {1, 1, n_kv, 1}, v);
    if (biased) {
      problem.bias = store(DType::float64, {1, 1, n_kv, 1}, bias);
    }
    problem.score = std::move(score);
    return problem;
  }
};

/// Answers by the grid where it can, judged; returns the rows it answered. Exact may not reach the tolerance either.
std::int64_t judged_rows(const Problem& problem, double tolerance, ToleranceKind kind = ToleranceKind::absolute) {
  Options options = with_certificates({});
  options.engine = Engine::grid;
  options.tolerance = {tolerance, kind};
  try {
    const Result result = attend(problem, options);
    EXPECT_TRUE(within_bounds(judge(problem, result)));
    for (const double value : values_of(result.output)) {
      EXPECT_TRUE(std::isfinite(value));
    }
    return result.report.heads.front().rows_grid;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::not_reachable) << error.what();
    return 0;
  }
}

/// A cluster near every query, and another out of reach of the kernel that outweighs it.
TEST(GridHostile, KeysBeyondReachMayOutweighAllOthers) {
  std::int64_t answered = 0;
  for (const double heavy : {30.0, 300.0, -300.0, 690.0}) {
    for (const double apart : {4.0, 6.0, 9.0, 14.0, 20.0}) {
      for (const std::int64_t dim : {1, 2}) {
        Points points;
        points.dim = dim;
        for (int i = 0; i < 40; ++i) {
          const double x = 0.02 * i;
          points.query(dim == 1 ? std::vector<double>{x} : std::vector<double>{x, 0.5 * x});
          points.key(dim == 1 ? std::vector<double>{x + 0.01} : std::vector<double>{x + 0.01, 0.3}, 0.1 * std::sin(x));
        }
        points.key(std::vector<double>(static_cast<std::size_t>(dim), apart), 1.0, heavy);
        SCOPED_TRACE("weight " + std::to_string(heavy) + " at " + std::to_string(apart) + ", dim " +
                     std::to_string(dim));
        answered += judged_rows(points.stored(Gaussian{{std::sqrt(0.5)}}, true), 1e-4);
      }
    }
  }
  EXPECT_GT(answered, 500);  // of 1600
}

Points line(int rows, const std::function<double(int)>& value, double bias = 0.0) {
  Points points;
  for (int i = 0; i < rows; ++i) {
    const double x = static_cast<double>(i) / rows;
    points.query({x});
    points.key({x + 0.3 / rows}, value(i), bias);
  }
  return points;
}

TEST(GridHostile, SumsOfHugeValuesAreNoAnswers) {
  for (const double size : {1e300, 1e305, 5e306, 8e307}) {
    for (const double shift : {0.0, 0.9e308}) {
      SCOPED_TRACE("size 1e" + std::to_string(std::log10(size)) + (shift == 0.0 ? "" : ", shifted"));
      const Points points = line(400, [&](int i) { return shift + size * std::sin(0.05 * i); });
      judged_rows(points.stored(Gaussian{{0.05}}, false), 1e-3, ToleranceKind::of_value_range);
    }
  }
}

TEST(GridHostile, TinyValuesLoseToUnderflow) {
  for (const double size : {1e-200, 1e-290, 1e-300, 1e-306, 1e-310, 1e-318, 5e-324}) {
    for (const double bias : {0.0, -40.0}) {
      SCOPED_TRACE("size 1e" + std::to_string(std::log10(size)) + ", bias " + std::to_string(bias));
      Points points = line(300, [&](int i) { return size * std::round(8.0 * std::sin(0.05 * i)); });
      for (std::size_t j = 0; j < points.bias.size(); j += 2) {
        points.bias[j] = bias;
      }
      judged_rows(points.stored(Gaussian{{0.05}}, true), 1e-3, ToleranceKind::of_value_range);
    }
  }
}

// Every bias hides its key, and only log-sum-exp is asked of: there is no point to put into a cell or a block.
TEST(GridHostile, NoVisibleKeyIsNoGrid) {
  Points points{0, 0, 2, {}, {}, {}, {}};
  for (int i = 0; i < 4200; ++i) {
    points.query({0.01 * i, std::sin(i)});
    points.key({0.01 * i, std::cos(i)}, std::sin(0.1 * i), -std::numeric_limits<double>::infinity());
  }
  const Problem problem = points.stored(Gaussian{{0.01}}, true);
  Options options = with_certificates({});
  options.engine = Engine::grid;
  options.tolerance.value = 1e-4;
  options.lse_tolerance = 1e-4;
  const Result result = attend(problem, options);
  for (const double lse : values_of(result.lse.value())) {
    ASSERT_EQ(lse, -std::numeric_limits<double>::infinity());
  }
}

// All cells along eight axes would not fit any machine.
TEST(GridHostile, MoreCellsThanCanBeListedAreRefused) {
  Random random(5);
  std::vector<double> points(1024 * 8);
  for (double& x : points) {
    x = 2.0 * random.unit() - 1.0;
  }
  Problem problem;
  problem.q = problem.k = store(DType::float64, {1, 1, 1024, 8}, points);
  problem.v = store(DType::float64, {1, 1, 1024, 1}, std::vector<double>(points.begin(), points.begin() + 1024));
  problem.score = Dot{12.5};
  Options options;
  options.tolerance = {1e-2, ToleranceKind::of_value_range};
  options.engine = Engine::grid;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"cells"}, [&] { attend(problem, options); }));
  options.engine = Engine::automatic;
  EXPECT_TRUE(within_bounds(problem, options));
}

/// A grid, its pilot and its search are optional: where exact fits in memory the planner's choice does not fail.
TEST(GridHostile, WhatIsTriedDoesNotFailForWantOfMemory) {
  const Problem problem =
      random_problem({.n_q = 4000, .n_kv = 20000, .dim = 3, .value_dim = 64}, 30.0, DType::float64, 91);
  Options options;
  options.threads = 1;
  options.tolerance = {1e-3, ToleranceKind::of_value_range};
  options.engine = Engine::exact;
  const std::uint64_t needed = attend(problem, options).report.peak_bytes;
  for (const double more : {1.5, 2.0, 3.0, 5.0}) {
    options.max_memory = static_cast<std::uint64_t>(more * static_cast<double>(needed));
    options.engine = Engine::exact;
    ASSERT_NO_THROW(attend(problem, options)) << more;
    options.engine = Engine::automatic;
    EXPECT_NO_THROW(attend(problem, options)) << more;
  }
}

TEST(GridHostile, BandwidthsOfAnySize) {
  for (const double bandwidth : {1e-150, 1e-100, 1e100, 1e150}) {
    for (const bool constant : {false, true}) {
      Points points;
      points.dim = 2;
      for (int i = 0; i < 60; ++i) {
        const double x = i / 60.0;
        points.query({x, constant ? 0.25 : x});
        points.key({x, constant ? 0.25 : -x}, std::sin(3.0 * x));
      }
      SCOPED_TRACE("bandwidth 1e" + std::to_string(std::log10(bandwidth)));
      judged_rows(points.stored(Gaussian{{0.1, bandwidth}}, false), 1e-4);
    }
  }
}

TEST(GridHostile, BiasesMayBeOfAnySize) {
  for (const double size : {1e3, 1e8, 1e12, 2e12, 1e15, 1e18, 1e19, 1e300}) {
    for (const double sign : {1.0, -1.0}) {
      SCOPED_TRACE("bias " + std::to_string(sign * size));
      Points points = line(
          100, [](int i) { return std::sin(0.1 * i); }, sign * size);
      points.bias[50] = 0.0;
      for (const double tolerance : {1e-3, 10.0}) {
        judged_rows(points.stored(Gaussian{{0.05}}, true), tolerance);
        judged_rows(points.stored(Dot{3.0}, true), tolerance);
      }
    }
  }
}

/// The centre of values is a mean weighted with exp(min(bias, 0)): here that is 0, outside of the values.
TEST(GridHostile, CentresOfValuesMayLieOutside) {
  const Problem problem = line(
                              300, [](int i) { return 100.0 + std::sin(0.1 * i); }, -800.0)
                              .stored(Gaussian{{0.05}}, true);
  for (const double tolerance : {1e-2, 1e-6, 1e-9}) {
    judged_rows(problem, tolerance);
  }
}

TEST(GridHostile, OffCentreHeadsKeepTheirCertificates) {
  for (const double shift : {1e3, 1e6, 1e9}) {
    Points points;
    points.dim = 2;
    for (int i = 0; i < 80; ++i) {
      const double x = std::sin(1.7 * i);
      const double y = std::cos(2.3 * i);
      points.query({shift + x, y});
      points.key({shift / 3.0 + y, x}, x * y);
    }
    SCOPED_TRACE("shift " + std::to_string(shift));
    judged_rows(points.stored(Dot{1.0 / shift}, false), 1e-4);
    judged_rows(points.stored(Dot{1.0}, false), 1e-4);
  }
}

}  // namespace
}  // namespace polyattn::test
