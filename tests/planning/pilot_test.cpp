// What a pilot says of a degree's error, against the error.

#include "planning/pilot.hpp"

#include "engines/exact/exact.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial_head.hpp"
#include "planning/planner.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

using planning::Pilot;
using planning::PilotError;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Largest distance between rows of the polynomial engine and exact, both in float64; rows without an answer aside.
double true_error(const HeadData& head, const planning::HeadFacts& facts, const engines::PolynomialTable& table) {
  const engines::HeadProblem problem = head.problem();
  const base::Context context = serial_context();
  const engines::FeatureList features = engines::make_features(head.dim, table.degree, head.value_dim);
  engines::MomentTotals totals = engines::make_totals(features, context.memory);
  engines::sum_moments<double>(problem, facts.frame, facts.values, features, 0, context, totals);
  const auto moments =
      engines::prepare_moments<double>(facts.frame, facts.values, features, table, totals, context.memory);
  const auto size = static_cast<std::size_t>(head.n_q * head.value_dim);
  std::vector<double> answers(size);
  std::vector<double> exact(size);
  std::vector<std::uint8_t> answered(static_cast<std::size_t>(head.n_q), 0);
  engines::HeadOutputs out;
  out.output = {answers.data(), DType::float64, head.value_dim, 1};
  engines::evaluate_rows<double>(problem, facts.frame, facts.values, moments, {}, out, answered, context);
  out.output.data = exact.data();
  engines::exact_head<double>(problem, {}, out, context);
  double largest = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    if (answered[i / static_cast<std::size_t>(head.value_dim)] != 0) {
      largest = std::max(largest, std::fabs(answers[i] - exact[i]));
    }
  }
  return largest;
}

TEST(Pilot, FindsTheErrorWhereItLooksAtEveryKey) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const HeadData head = random_head(seed, 20, 300, 3, 2, 0.5);
    const engines::HeadProblem problem = head.problem();
    const planning::HeadFacts facts = planning::look(problem, serial_context(), nullptr);
    const Pilot pilot = planning::fly_pilot(problem, facts.frame, facts.values, 8, 512, serial_context());
    for (const int degree : {0, 1, 2, 4, 8}) {
      const engines::PolynomialTable table = engines::make_table(facts.frame.radius, degree);
      const PilotError error = planning::pilot_error(pilot, problem, facts.frame, facts.values, table,
                                                     feature_rank(3, degree), Arithmetic::float64, DType::float64);
      const double truth = true_error(head, facts, table);
      EXPECT_LE(error.largest, truth * (1.0 + 1e-6) + 1e-12) << degree;
      EXPECT_GE(error.largest, 0.3 * truth) << degree;  // not every row is looked at, the farthest is
      EXPECT_EQ(error.refused, 0.0);
    }
  }
}

TEST(Pilot, OfSomeKeysFallsWithTheDegree) {
  const HeadData head = random_head(4, 3000, 6000, 2, 2, 0.5);
  const engines::HeadProblem problem = head.problem();
  const planning::HeadFacts facts = planning::look(problem, serial_context(), nullptr);
  const Pilot pilot = planning::fly_pilot(problem, facts.frame, facts.values, 12, 512, serial_context());
  double before = kInfinity;
  for (const int degree : {1, 4, 8, 12}) {
    const engines::PolynomialTable table = engines::make_table(facts.frame.radius, degree);
    const PilotError error = planning::pilot_error(pilot, problem, facts.frame, facts.values, table,
                                                   feature_rank(2, degree), Arithmetic::float64, DType::float64);
    EXPECT_GT(error.largest, 0.0);
    EXPECT_LT(error.largest, before) << degree;
    before = error.largest;
  }
}

TEST(Pilot, SeesThatFloat32Rounds) {
  const HeadData head = random_head(5, 100, 300, 2, 2, 0.3);
  const engines::HeadProblem problem = head.problem();
  const planning::HeadFacts facts = planning::look(problem, serial_context(), nullptr);
  const Pilot pilot = planning::fly_pilot(problem, facts.frame, facts.values, 16, 512, serial_context());
  const engines::PolynomialTable table = engines::make_table(facts.frame.radius, 16);
  const auto error = [&](Arithmetic arithmetic) {
    return planning::pilot_error(pilot, problem, facts.frame, facts.values, table, feature_rank(2, 16), arithmetic,
                                 DType::float64)
        .largest;
  };
  EXPECT_GT(error(Arithmetic::float32), 1e-7);
  EXPECT_LT(error(Arithmetic::float64), 1e-10);
}

TEST(Pilot, OfNothingPromisesNothing) {
  HeadData head = random_head(6, 10, 20, 2, 2, 0.3);
  head.mask.causal = true;
  head.mask.offset = -20;  // no row sees a key
  const engines::HeadProblem problem = head.problem();
  const planning::HeadFacts facts = planning::look(problem, serial_context(), nullptr);
  const Pilot pilot = planning::fly_pilot(problem, facts.frame, facts.values, 2, 512, serial_context());
  EXPECT_TRUE(pilot.rows.empty());
  const PilotError error =
      planning::pilot_error(pilot, problem, facts.frame, facts.values, engines::make_table(facts.frame.radius, 2), 6,
                            Arithmetic::float32, DType::float32);
  EXPECT_FALSE(error.largest < 1e300);
  EXPECT_EQ(error.refused, 1.0);
}

TEST(NextAttempt, IsTheCheapestThatTheMeasuredErrorAllows) {
  planning::SampledChoice choice;
  choice.exact_seconds = 1.0;
  for (const auto& [error, seconds] : {std::pair{1e-2, 0.1}, {2e-2, 0.2}, {1e-3, 0.3}, {1e-4, 0.4}, {1e-5, 2.0}}) {
    choice.attempts.push_back({.error = error, .seconds = seconds});
  }
  EXPECT_EQ(planning::next_attempt(choice, 0, 1.0, 1e-2), 2U);
  EXPECT_EQ(planning::next_attempt(choice, 0, 10.0, 1e-2), 3U);
  EXPECT_EQ(planning::next_attempt(choice, 0, 100.0, 1e-2), 5U);  // the last costs more than exact
  EXPECT_EQ(planning::next_attempt(choice, 0, std::nan(""), 1e-2), 5U);
  EXPECT_EQ(planning::next_attempt(choice, 4, 1.0, 1.0), 5U);
}

}  // namespace
}  // namespace polyattn::test
