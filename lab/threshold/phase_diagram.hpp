#pragma once

/// The phase diagram: B against n, who is cheaper and at which rank, with B*(n) and the theory's curves.

#include "lab/threshold/summary.hpp"

#include <span>
#include <string>

namespace polyattn::lab {

/// A self-contained SVG. Every cell is a point of the study, with its numbers as tooltip.
std::string phase_svg(const Summary& summary, std::span<const Point> points);

/// Least degree against formula, both axes logarithmic.
std::string degree_svg(const Summary& summary);

}  // namespace polyattn::lab
