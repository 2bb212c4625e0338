#include "planning/calibration.hpp"

#include "planning/cost_model.hpp"
#include "polyattn/polynomial.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace polyattn::test {
namespace {

using planning::CalibrationCall;

/// What a machine of these speeds would take, if the cost model were right.
double seconds_on(const Calibration& machine, const CalibrationCall& call) {
  engines::HeadProblem problem;
  problem.queries.rows = problem.keys.rows = problem.values.rows = call.n;
  problem.queries.columns = problem.keys.columns = call.dim;
  problem.values.columns = call.value_dim;
  const planning::CostModel cost(machine, 1);
  const auto rows = static_cast<double>(call.n);
  return call.engine == Engine::exact
             ? cost.exact_seconds(problem, rows * rows, call.arithmetic)
             : cost.polynomial_seconds(problem, rows, {feature_rank(call.dim, call.degree), call.degree, false},
                                       call.arithmetic);
}

constexpr Calibration kMachine{8e10, 3e10, 2e10, 6e9, 2e9, 5e10, 1.5e10};

TEST(Calibration, SpeedsAreToldFromTimes) {
  const Calibration found = planning::calibrate([](const CalibrationCall& call) { return seconds_on(kMachine, call); },
                                                kMachine.memory_bytes);
  constexpr double kNear = 1e-6;  // two equations are solved, of condition some hundreds
  EXPECT_NEAR(found.float32_fma / kMachine.float32_fma, 1.0, kNear);
  EXPECT_NEAR(found.float64_fma / kMachine.float64_fma, 1.0, kNear);
  EXPECT_NEAR(found.float32_exp / kMachine.float32_exp, 1.0, kNear);
  EXPECT_NEAR(found.float64_exp / kMachine.float64_exp, 1.0, kNear);
  EXPECT_NEAR(found.float32_polynomial / kMachine.float32_polynomial, 1.0, kNear);
  EXPECT_NEAR(found.float64_polynomial / kMachine.float64_polynomial, 1.0, kNear);
  EXPECT_EQ(found.memory_bytes, kMachine.memory_bytes);
}

// A clock that stands still or has gone mad: defaults.
TEST(Calibration, TimesThatSayNothingLeaveTheDefaults) {
  for (const double seconds : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    const Calibration found = planning::calibrate([&](const CalibrationCall&) { return seconds; }, 0.0);
    for (const double speed : {found.float32_fma, found.float64_fma, found.float32_exp, found.float64_exp,
                               found.float32_polynomial, found.float64_polynomial, found.memory_bytes}) {
      EXPECT_EQ(speed, 0.0);
    }
  }
}

TEST(Calibration, SpeedsThatAreNotGivenKeepTheirProportion) {
  CalibrationCall call{Engine::exact, Arithmetic::float32, 2048, 64, 64};
  const double usual = seconds_on({}, call);
  Calibration slow;
  slow.float32_fma = 1.0e9;
  const double slower = seconds_on(slow, call);
  EXPECT_GT(slower, 10.0 * usual);
  call.arithmetic = Arithmetic::float64;
  EXPECT_EQ(seconds_on(slow, call), seconds_on({}, call));
  slow.float32_exp = 1e30;
  call.arithmetic = Arithmetic::float32;
  EXPECT_LT(seconds_on(slow, call), slower);
}

// A plan follows the calibration, and without one it is the same everywhere.
TEST(Calibration, FasterPolynomialsAreChosenEarlier) {
  CalibrationCall call{Engine::polynomial, Arithmetic::float32, 4096, 8, 16, 4};
  Calibration fast;
  fast.float32_polynomial = 1e15;
  EXPECT_LT(seconds_on(fast, call), seconds_on({}, call));
}

}  // namespace
}  // namespace polyattn::test
