#include "lab/threshold/fit.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace polyattn::lab {

namespace {

/// 97.5 % points of Student's distribution for 1 to 30 degrees of freedom; 2.04 is above all later ones.
constexpr std::array kStudent{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                              2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                              2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};

double student(std::size_t freedom) { return kStudent[std::min(freedom, kStudent.size()) - 1]; }

}  // namespace

Fit fit_power(std::span<const Threshold> thresholds) {
  Fit fit;
  fit.points = static_cast<int>(thresholds.size());
  const auto count = static_cast<double>(thresholds.size());
  double mean_x = 0.0;
  double mean_y = 0.0;
  for (const Threshold& t : thresholds) {
    mean_x += std::log(t.log_n) / count;
    mean_y += std::log(t.entries) / count;
  }
  double xx = 0.0;
  double xy = 0.0;
  for (const Threshold& t : thresholds) {
    const double x = std::log(t.log_n) - mean_x;
    xx += x * x;
    xy += x * (std::log(t.entries) - mean_y);
  }
  constexpr double same = 1e-20;  // squares of rounding errors: one n only
  if (thresholds.size() < 2 || !(xx > same)) return fit;
  fit.exponent = xy / xx;
  fit.constant = std::exp(mean_y - fit.exponent * mean_x);
  double squares = 0.0;
  for (const Threshold& t : thresholds) {
    const double off = std::log(t.entries) - std::log(fit.constant) - fit.exponent * std::log(t.log_n);
    squares += off * off;
  }
  fit.residual = std::sqrt(squares / count);
  if (thresholds.size() < 3) return fit;
  const std::size_t freedom = thresholds.size() - 2;
  const double half = student(freedom) * std::sqrt(squares / static_cast<double>(freedom) / xx);
  fit.low = fit.exponent - half;
  fit.high = fit.exponent + half;
  return fit;
}

double theory_constant(std::span<const Threshold> thresholds, int order) {
  if (thresholds.empty()) return kAbsent;
  double sum = 0.0;
  for (const Threshold& t : thresholds) sum += std::log(t.entries) - std::log(t.log_n) / order;
  return std::exp(sum / static_cast<double>(thresholds.size()));
}

Verdict judge(const Fit& fit, int order) {
  const double theory = 1.0 / order;
  if (std::isnan(fit.low)) return Verdict::nothing;
  if (fit.high < theory) return Verdict::slower;
  if (fit.low > theory) return Verdict::faster;
  return fit.low <= 0.0 && fit.high >= 2.0 * theory ? Verdict::nothing : Verdict::agrees;
}

std::string words(const Fit& fit, int order) {
  if (std::isnan(fit.exponent)) return fmt::format("{} crossings: no fit", fit.points);
  std::string text = fmt::format("B* = {:.4g} (log n)^{:.3g} from {} crossings, residual {:.2g} in ln B*", fit.constant,
                                 fit.exponent, fit.points, fit.residual);
  if (std::isnan(fit.low)) return text + "; too few for an interval, so it says nothing about growth";
  text += fmt::format("; 95 % interval of the exponent {:.3g} to {:.3g}, the theory's 1/{} = {:.3g} ", fit.low,
                      fit.high, order, 1.0 / order);
  switch (judge(fit, order)) {
    case Verdict::agrees:
      return text + "lies in it";
    case Verdict::slower:
      return text + "lies above it";
    case Verdict::faster:
      return text + "lies below it";
    case Verdict::nothing:
      break;
  }
  return text + "lies in it, but it is so wide that it says nothing";
}

}  // namespace polyattn::lab
