#pragma once

/// Direct sums over the keys near each row as a candidate of the grid: where cells would hold few points each.

#include "engines/exact/near_rows.hpp"
#include "planning/decide.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace polyattn::planning {

/// All that was fixed by planning.
struct NearChoice {
  engines::ValueRange values;
  engines::NearKeys keys;
  engines::NearTiles tiles;
  engines::NearGoal goal;
  std::shared_ptr<const engines::PackedKeys<float>> packed32;  ///< one of them is there
  std::shared_ptr<const engines::PackedKeys<double>> packed64;
  Arithmetic arithmetic = Arithmetic::float32;  ///< tried first
  double share = 1.0;                           ///< of all pairs of rows and keys that are looked at, from a sample
  double seconds = 0.0;                         ///< predicted, one thread
};

/// The cheaper arithmetic that is likely to do.
Arithmetic first_arithmetic(const Request& request, const engines::ValueRange& values, double tolerance) noexcept;

/// Packs the keys of a choice in the arithmetic it tries first.
void pack_choice(const engines::HeadProblem& problem, const base::Context& context, NearChoice& choice);

/// Keys may be left out until they weigh this part of what a tolerance allows.
engines::NearGoal near_goal(const Request& request, double tolerance, double range) noexcept;

/// Direct sums if, going by the sizes, they may take less than `limit` seconds of one thread; nothing otherwise. What
/// they are predicted to take is known once the points are in order and a few tiles of rows were summed. `extents`: of
/// the points, per axis.
std::shared_ptr<const NearChoice> try_near(const engines::HeadProblem& problem, const Request& request,
                                           const base::Context& context, const engines::ValueRange& values,
                                           const std::vector<double>& extents, double tolerance, double limit);

/// Rows fewer than this are left to exact at once.
inline constexpr std::int64_t kFewForNear = 192;

/// Makes it the decision.
void adopt_near(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                std::shared_ptr<const NearChoice> choice, double exact_seconds, HeadDecision& decision);

/// Work units of a head, for progress.
double near_work(const engines::HeadProblem& problem, const NearChoice& choice) noexcept;

/// Seconds of one thread for rows that the grid leaves, by whichever way run_grid takes.
double rest_seconds(const engines::HeadProblem& problem, const Request& request, double rows,
                    const engines::NearGoal& goal, double exact_seconds) noexcept;

/// Whether so many rows of a head, left over by the grid, are better answered by keys near them than by all keys.
bool near_for_rest(const engines::HeadProblem& problem, const Request& request, std::int64_t rows,
                   const engines::NearGoal& goal) noexcept;

}  // namespace polyattn::planning
