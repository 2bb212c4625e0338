#pragma once

/// All points of a study: a sweep over B for each n, then the bracket of the crossing halved until it is narrow.

#include "lab/threshold/look.hpp"
#include "lab/threshold/settings.hpp"

#include <cstdint>
#include <functional>
#include <vector>

namespace polyattn::lab {

struct Range {
  double low = 0.5;
  double high = 4.0;
  int steps = 19;  ///< values of B, both ends included, in equal ratios
};

struct StudyPlan {
  Settings settings;
  std::vector<std::int64_t> lengths;  ///< ascending
  Range range;
  double bracket = 1.01;  ///< the crossing is known to this ratio of B
  bool measure = false;
};

/// What is usual for an order: C and c, a range of B that reaches from answers no better than mean(V) to where no
/// polynomial serves, and powers of two that take minutes.
struct Usual {
  double dims_per_log;
  double accuracy;
  Range range;
  int first_power, last_power;
};
Usual usual_study(int order);

/// The B of a sweep, rounded to five digits.
std::vector<double> sweep_of(const Range& range);

/// Called with what is there so far, after each new or newly measured point.
using Save = std::function<void(const std::vector<Point>&)>;
/// Prediction (and measurement) of one point; `predict_point` and `measure_point` unless a test says otherwise.
struct Looker {
  std::function<Point(const Settings&, const Instance&, double, const Look&)> predict = predict_point;
  std::function<void(const Settings&, const Instance&, const Look&, Point&)> measure = measure_point;
};

/// Adds to `points` what is missing. A sweep ends after three B in a row at which polynomials are not cheaper, having
/// been cheaper before: beyond them looking is dear and nothing changes. What is there is kept and used, measured only
/// if it was not; so a study continued after an interrupt ends with the points of one that ran through.
/// `look.progress` is told the share of the work done, weighted by n, and may cancel: Error (cancelled), `points`
/// holding everything saved.
void run_study(const StudyPlan& plan, const Look& look, std::vector<Point>& points, const Save& save,
               const Looker& looker = {});

}  // namespace polyattn::lab
