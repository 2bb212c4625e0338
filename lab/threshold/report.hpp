#pragma once

/// A study as one HTML page, and what it would take to read it: pictures, tables, settings, nothing from elsewhere.

#include "lab/threshold/summary.hpp"

#include <span>
#include <string>

namespace polyattn::lab {

std::string report_html(const Summary& summary, std::span<const Point> points);

}  // namespace polyattn::lab
