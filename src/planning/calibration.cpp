#include "planning/calibration.hpp"

#include "planning/cost_model.hpp"
#include "polyattn/polynomial.hpp"

#include <cmath>
#include <optional>

namespace polyattn::planning {
namespace {

/// So fast that it costs nothing.
constexpr double kFree = 1e300;

engines::HeadProblem problem_of(const CalibrationCall& call) {
  engines::HeadProblem problem;
  problem.queries.rows = problem.keys.rows = problem.values.rows = call.n;
  problem.queries.columns = problem.keys.columns = call.dim;
  problem.values.columns = call.value_dim;
  return problem;
}

double predicted(const CalibrationCall& call, const Calibration& calibration) {
  const CostModel cost(calibration, 1);
  const engines::HeadProblem problem = problem_of(call);
  const auto rows = static_cast<double>(call.n);
  if (call.engine == Engine::exact) {
    return cost.exact_seconds(problem, rows * rows, call.arithmetic);
  }
  const PolynomialSize size{feature_rank(call.dim, call.degree), call.degree, false};
  return cost.polynomial_seconds(problem, rows, size, call.arithmetic);
}

using Speed = double Calibration::*;

struct Speeds {
  Speed fma, exp, polynomial;
};

constexpr Speeds speeds_of(Arithmetic arithmetic) noexcept {
  return arithmetic == Arithmetic::float64
             ? Speeds{&Calibration::float64_fma, &Calibration::float64_exp, &Calibration::float64_polynomial}
             : Speeds{&Calibration::float32_fma, &Calibration::float32_exp, &Calibration::float32_polynomial};
}

/// Predicted seconds are fixed + sum over speeds of work / speed.
struct Terms {
  double fixed;
  double work(const CalibrationCall& call, Calibration all, Speed speed) const {
    all.*speed = 1.0;
    return predicted(call, all) - fixed;
  }
};

bool sane(double speed) noexcept { return std::isfinite(speed) && speed > 0.0; }

void calibrate_exact(Arithmetic arithmetic, const CallSeconds& seconds, Calibration& out) {
  const CalibrationCall dense{Engine::exact, arithmetic, 512, 128, 128};
  const CalibrationCall light{Engine::exact, arithmetic, 1024, 4, 4};
  const Speeds speeds = speeds_of(arithmetic);
  Calibration all = out;
  all.*speeds.fma = all.*speeds.exp = kFree;
  const Terms of_dense{predicted(dense, all)};
  const Terms of_light{predicted(light, all)};
  const double a = of_dense.work(dense, all, speeds.fma);
  const double b = of_dense.work(dense, all, speeds.exp);
  const double c = of_light.work(light, all, speeds.fma);
  const double d = of_light.work(light, all, speeds.exp);
  const double s = seconds(dense) - of_dense.fixed;
  const double t = seconds(light) - of_light.fixed;
  const double determinant = a * d - b * c;
  const double fma = determinant / (s * d - b * t);  // 1 / x of a x + b y = s, c x + d y = t
  const double exp = determinant / (a * t - c * s);
  if (sane(fma) && sane(exp)) {
    out.*speeds.fma = fma;
    out.*speeds.exp = exp;
  }
}

void calibrate_polynomial(Arithmetic arithmetic, const CallSeconds& seconds, Calibration& out) {
  const CalibrationCall call{Engine::polynomial, arithmetic, 4096, 5, 16, 6};
  const Speed speed = speeds_of(arithmetic).polynomial;
  Calibration all = out;
  all.*speed = kFree;
  const Terms terms{predicted(call, all)};
  const double found = terms.work(call, all, speed) / (seconds(call) - terms.fixed);
  if (sane(found)) {
    out.*speed = found;
  }
}

}  // namespace

Calibration calibrate(const CallSeconds& seconds, double memory_bytes) {
  Calibration out;
  out.memory_bytes = memory_bytes;
  for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
    calibrate_exact(arithmetic, seconds, out);
  }
  for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
    calibrate_polynomial(arithmetic, seconds, out);
  }
  return out;
}

}  // namespace polyattn::planning
