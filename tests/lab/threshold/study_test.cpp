// Studies: points, files, what an interrupt leaves and where it goes on. Predictions of small heads, or made up.

#include "lab/threshold/study.hpp"
#include "lab/threshold/crossing.hpp"
#include "lab/threshold/csv.hpp"
#include "lab/threshold/report.hpp"
#include "lab/threshold/summary.hpp"
#include "lab/threshold/theory.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace polyattn::lab {
namespace {

/// Polynomials cost (B / limit)^4 of exact, limit = (ln n)^(1/k), and serve up to twice the limit.
Point made_up(const Settings& settings, const Instance& instance, double entries, const Look& look) {
  if (look.progress && !look.progress(0.0)) throw Error(ErrorCode::cancelled, "interrupted");
  Point point;
  point.n = instance.n();
  point.dim = instance.dim();
  point.tolerance = tolerance_of(settings.accuracy, point.n);
  point.entries = entries;
  point.score_bound = score_bound(entries, settings.order);
  point.theory_degree = 3;
  point.papers_rank = binomial_text(40, 20);
  const double limit = std::pow(std::log(static_cast<double>(point.n)), 1.0 / settings.order);
  point.exact_seconds = 1.0 / 3.0;
  point.radius = point.score_bound;
  if (entries < 2.0 * limit) {
    point.degree = 2;
    point.rank = 15;
    point.arithmetic = "float32";
    point.left_to_exact = 0.0;
    point.polynomial_seconds = point.exact_seconds * std::pow(entries / limit, 4.0);
  }
  return point;
}

StudyPlan small_plan() {
  StudyPlan plan;
  plan.lengths = {8, 64, 1024};
  plan.range = {0.5, 8.0, 12};
  return plan;
}

const Looker kMadeUp{made_up, {}};

std::vector<Point> whole(const StudyPlan& plan) {
  std::vector<Point> points;
  run_study(
      plan, {}, points, [](const std::vector<Point>&) {}, kMadeUp);
  return points;
}

TEST(Study, FindsTheCrossingToTheBracket) {
  const StudyPlan plan = small_plan();
  const std::vector<Point> points = whole(plan);
  for (const std::int64_t n : plan.lengths) {
    const Crossing crossing = predicted_crossing(n, points);
    ASSERT_EQ(crossing.outcome, Outcome::crossed);
    const double limit = std::sqrt(std::log(static_cast<double>(n)));
    EXPECT_LT(crossing.low, limit);
    EXPECT_GE(crossing.high, limit);
    EXPECT_LE(crossing.high, crossing.low * 1.01);
    EXPECT_TRUE(crossing.by_cost);
  }
  const Summary summary = summarise(plan.settings, points);
  EXPECT_NEAR(summary.predicted.exponent, 0.5, 0.01);  // brackets of 1 % over a spread of 1.2 in ln ln n
  EXPECT_NEAR(summary.constant, 1.0, 0.01);
}

TEST(Study, DoesNotLookFarBeyondTheCrossing) {
  const std::vector<Point> points = whole(small_plan());
  for (const std::int64_t n : small_plan().lengths) {
    const std::vector<double> sweep = sweep_of(small_plan().range);
    const double limit = std::sqrt(std::log(static_cast<double>(n)));
    const auto beyond = std::ranges::count_if(points, [&](const Point& p) {
      return p.n == n && p.entries >= limit && std::ranges::find(sweep, p.entries) != sweep.end();
    });
    EXPECT_EQ(beyond, 3);
  }
}

TEST(Study, GoesOnWhereItWasInterrupted) {
  const StudyPlan plan = small_plan();
  const std::string all = points_csv(plan.settings, whole(plan));
  const auto count = static_cast<int>(whole(plan).size());
  for (const int stop_after : {1, 5, count / 2, count - 1}) {
    std::vector<Point> points;
    std::string saved;
    Look look;
    look.progress = [&](double) { return static_cast<int>(points.size()) < stop_after; };
    const auto save = [&](const std::vector<Point>& so_far) { saved = points_csv(plan.settings, so_far); };
    try {
      run_study(plan, look, points, save, kMadeUp);
      FAIL() << "was not interrupted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
    }
    std::vector<Point> again = read_points("study.csv", saved, plan.settings);
    EXPECT_EQ(static_cast<int>(again.size()), stop_after);
    run_study(
        plan, {}, again, [](const std::vector<Point>&) {}, kMadeUp);
    EXPECT_EQ(points_csv(plan.settings, again), all) << stop_after;
  }
}

TEST(Study, MeasuresWhatWasNotMeasured) {
  StudyPlan plan = small_plan();
  std::vector<Point> points = whole(plan);
  plan.measure = true;
  int measured = 0;
  Looker looker = kMadeUp;
  looker.measure = [&](const Settings&, const Instance&, const Look&, Point& point) {
    ++measured;
    point.exact_measured = 2.0 * point.exact_seconds;
    point.exact_rows = point.n;
    if (point.served()) point.polynomial_measured = point.polynomial_seconds;
  };
  run_study(
      plan, {}, points, [](const std::vector<Point>&) {}, looker);
  EXPECT_GT(measured, 0);
  const int first = measured;
  for (const Point& point : points) EXPECT_FALSE(std::isnan(point.exact_measured)) << point.entries;
  const std::string text = points_csv(plan.settings, points);
  run_study(
      plan, {}, points, [](const std::vector<Point>&) {}, looker);
  EXPECT_EQ(measured, first);
  EXPECT_EQ(points_csv(plan.settings, points), text);
  EXPECT_EQ(points_csv(plan.settings, read_points("x", text, plan.settings)), text);
  const Crossing crossing = measured_crossing(1024, points);
  ASSERT_EQ(crossing.outcome, Outcome::crossed);
  EXPECT_LT(crossing.low, std::pow(2.0, 0.25) * std::sqrt(std::log(1024.0)));
  EXPECT_GE(crossing.high, std::pow(2.0, 0.25) * std::sqrt(std::log(1024.0)));
}

TEST(StudyFile, ReadsBackTheSame) {
  const Settings settings{3, 0.75, 1.0 / 3.0, 18446744073709551615U, 2, "calibrated-0123"};
  std::vector<Point> points(2);
  points[0].n = 1 << 20;
  points[0].entries = 0.1;
  points[0].papers_rank = "100891344545564193334812497256";
  points[0].degree = 0;
  points[0].rank = 1;
  points[0].arithmetic = "float64";
  points[0].bound = 1e-300;
  points[0].polynomial_seconds = 1.0 / 3.0;
  points[0].exact_seconds = 2.0 / 3.0;
  points[1].n = 8;
  points[1].entries = 5e-324;
  const std::string text = points_csv(settings, points);
  const std::vector<Point> read = read_points("x.csv", text, settings);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read[0].n, 8);  // sorted
  EXPECT_FALSE(read[0].served());
  EXPECT_TRUE(std::isnan(read[0].polynomial_seconds));
  EXPECT_EQ(read[1].entries, 0.1);
  EXPECT_EQ(read[1].degree, 0);
  EXPECT_EQ(read[1].bound, 1e-300);
  EXPECT_EQ(read[1].papers_rank, points[0].papers_rank);
  EXPECT_EQ(points_csv(settings, read), text);
}

void expect_refused(const std::string& text, const Settings& settings, const std::string& message) {
  try {
    static_cast<void>(read_points("x.csv", text, settings));
    ADD_FAILURE() << "accepted: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(StudyFile, RefusesOtherSettingsByName) {
  const Settings settings;
  std::vector<Point> points(1);
  points[0].n = 8;
  points[0].entries = 1.0;
  const std::string text = points_csv(settings, points);
  const auto refused = [&](const auto& change, const std::string& message) {
    Settings other = settings;
    change(other);
    expect_refused(text, other, message);
  };
  refused([](Settings& s) { s.order = 3; }, "x.csv:2: made with order = 2, not 3");
  refused([](Settings& s) { s.dims_per_log = 0.25; }, "dims_per_log2_n = 0.5, not 0.25");
  refused([](Settings& s) { s.accuracy = 1.0; }, "accuracy = 0.5, not 1");
  refused([](Settings& s) { s.seed = 2; }, "seed = 1, not 2");
  refused([](Settings& s) { s.threads = 2; }, "threads = 1, not 2");
  refused([](Settings& s) { s.speeds = "calibrated-1"; }, "speeds = own, not calibrated-1");
}

TEST(StudyFile, RefusesWhatIsNone) {
  const Settings settings;
  std::vector<Point> points(1);
  points[0].n = 8;
  points[0].entries = 1.0;
  const std::string text = points_csv(settings, points);
  expect_refused("", settings, "x.csv:1:");
  expect_refused("a,b\n1,2\n", settings, "x.csv:1:");
  expect_refused(text + "2,0.5\n", settings, "x.csv:3: expected 27 fields");
  std::string damaged = text;
  damaged.replace(damaged.rfind(",8,"), 3, ",eight,");
  expect_refused(damaged, settings, "x.csv:2: n: expected a number, got 'eight'");
  damaged = text;
  damaged.replace(damaged.rfind(",8,"), 3, ",1,");
  expect_refused(damaged, settings, "x.csv:2: expected n of at least 2");
}

TEST(Instance, IsTheSameInPieces) {
  const Instance small(3, 8, 3, 5);
  const Instance large(3, 64, 3, 5);
  const Instance other(3, 8, 3, 6);
  const auto data = [](const ConstView& view) { return static_cast<const float*>(view.data); };
  ASSERT_EQ(small.keys().size(), 2U);
  bool differs = false;
  double sum = 0.0;
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(data(small.queries(8))[i], data(large.queries(64))[i]);
    EXPECT_EQ(data(small.keys()[1])[i], data(large.keys()[1])[i]);
    differs = differs || data(small.queries(8))[i] != data(other.queries(8))[i];
    EXPECT_NE(data(small.keys()[0])[i], data(small.keys()[1])[i]);
  }
  EXPECT_TRUE(differs);
  for (std::size_t i = 0; i < 64 * 3; ++i) {
    const double entry = static_cast<double>(data(large.queries(64))[i]);
    EXPECT_LT(std::abs(entry), 1.0);
    sum += entry;
  }
  EXPECT_LT(std::abs(sum), 5.0 * std::sqrt(64.0));  // five deviations of 192 uniform numbers
}

TEST(Study, PredictsRealHeads) {
  Settings settings;
  const std::int64_t n = 1024;
  const Instance instance(2, n, dimensions(settings.dims_per_log, n), settings.seed);
  const Point low = predict_point(settings, instance, 1.0, {});
  EXPECT_TRUE(low.served());
  EXPECT_LE(low.bound, low.tolerance);
  EXPECT_LE(low.radius, low.score_bound);
  EXPECT_LE(low.degree, low.theory_degree);
  EXPECT_EQ(low.papers_rank, binomial_text(2 * (low.theory_degree + 5), 2 * low.theory_degree));
  EXPECT_GT(low.mean_answer, 0.0);
  const Point high = predict_point(settings, instance, 8.0, {});  // scores up to 64
  EXPECT_FALSE(high.served());
  EXPECT_GT(high.exact_seconds, 0.0);
  settings.order = 3;
  settings.accuracy = 1.0;
  const Instance three(3, 64, 6, settings.seed);
  const Point cubic = predict_point(settings, three, 1.0, {});
  EXPECT_EQ(cubic.score_bound, 1.0);
  EXPECT_GT(cubic.exact_seconds, 0.0);
}

// What is measured and with how many rows follows from predictions; what came out of the clock is not looked at.
TEST(Study, MeasuresRealHeadsAsFarAsTheLimitGoes) {
  Settings settings;
  const Instance instance(2, 256, 4, settings.seed);
  Point point = predict_point(settings, instance, 0.5, {});
  ASSERT_LT(std::max(point.polynomial_seconds, point.exact_seconds), Look{}.limit);
  measure_point(settings, instance, {}, point);
  EXPECT_FALSE(std::isnan(point.polynomial_measured));
  EXPECT_FALSE(std::isnan(point.exact_measured));
  EXPECT_EQ(point.exact_rows, 256);
  Point limited = predict_point(settings, instance, 0.5, {});
  Look look;
  look.limit = 1e-9;
  measure_point(settings, instance, look, limited);
  EXPECT_TRUE(std::isnan(limited.polynomial_measured));
  EXPECT_EQ(limited.exact_rows, 48);
  EXPECT_FALSE(std::isnan(limited.exact_measured));
}

}  // namespace
}  // namespace polyattn::lab
