#pragma once

/// A study as a file: one line a point, settings included, so that it can be read, plotted and continued. Numbers are
/// written in the fewest digits that read back as the same float64; what there is not is left empty.

#include "lab/threshold/settings.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::lab {

/// Sorted by n, then by B, whatever the order of `points`.
std::string points_csv(const Settings& settings, std::span<const Point> points);

/// The points of such a file. Throws Error (invalid_argument) naming `name` and the line if it is not one, or the
/// setting if a point has other settings than `settings`: a study has one.
std::vector<Point> read_points(const std::string& name, std::string_view text, const Settings& settings);

/// The fewest digits that read back the same; empty for NaN.
std::string number_text(double value);

}  // namespace polyattn::lab
