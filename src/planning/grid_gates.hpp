#pragma once

/// Whether a grid is worth looking for: going by sizes, by a glance at a few rows, by the extents of the points, by a
/// sketch. A search in vain is paid for by what is computed then; so each step asks whether what may be won is worth
/// the next one. Decides what is tried, never what is certified.

#include "planning/grid_choice.hpp"

namespace polyattn::planning {

/// Before anything else was looked at a grid is taken only if predicted to take no more than this part of exact: near a
/// tie a search can win little and lose all it costs.
inline constexpr double kClearShare = 0.68;

/// Every row is sure to be certified, or nearly.
bool sure_to_serve(const engines::HeadProblem& problem, const GridTry& known) noexcept;

/// Before anything else: not where polynomials are likely to be cheaper than any grid. Glances, and keeps what it saw.
bool worth_a_look(const engines::HeadProblem& problem, const Request& request, GridTry& known);
/// The same once the extents are known.
bool worth_a_sketch(const engines::HeadProblem& problem, const Request& request, const GridTry& known);
/// Beside what was decided, which takes `other` seconds of one thread.
bool worth_another_look(const engines::HeadProblem& problem, const Request& request, const GridTry& known,
                        double other);
/// Once a sketch predicts `seconds`: whether points are to be put into its cells.
bool worth_settling(const engines::HeadProblem& problem, bool first, const GridTry& known, double seconds) noexcept;

}  // namespace polyattn::planning
