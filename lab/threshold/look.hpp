#pragma once

/// One point of a study, from the public interface: what the theorems ask for, what `plan` says, what `attend` takes.

#include "lab/threshold/instance.hpp"
#include "lab/threshold/settings.hpp"
#include "polyattn/options.hpp"

#include <optional>

namespace polyattn::lab {

/// How to look, beside the settings.
struct Look {
  std::optional<Calibration> calibration;  ///< named by Settings::speeds
  Progress progress;                       ///< may cancel: Error (cancelled)
  /// Measuring: the seconds either engine may take, by its prediction. Polynomials beyond are not run; exact answers
  /// as many rows as fit, 48 at least at order 2 and one above, and its time is scaled to all of them.
  double limit = 2.0;
};

/// The point without its measurements. Cost: one `plan`, some passes over the data, and 64 exact rows.
Point predict_point(const Settings& settings, const Instance& instance, double entries, const Look& look);

/// Runs both engines, where they fit the limit, and keeps the best of two runs, or of up to ten where they are short.
void measure_point(const Settings& settings, const Instance& instance, const Look& look, Point& point);

}  // namespace polyattn::lab
