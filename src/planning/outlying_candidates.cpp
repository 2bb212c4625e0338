// Candidates with a few keys summed exactly (engines/polynomial/outlying_keys.hpp): how many, and what serves the rest.

#include "engines/polynomial/outlying_keys.hpp"
#include "planning/outlying.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace polyattn::planning {
namespace {

/// Below it a low degree is enough as things are.
constexpr double kSmallRadius = 1.5;
/// Tries may together cost this part of what is planned, by all that is known before.
constexpr double kTriesShare = 0.1;
/// One try may cost this part of the best found so far, which is the most it could gain.
constexpr double kTryShare = 0.3;
/// Part of the memory allowed that frames may take.
constexpr double kMemoryShare = 0.25;
/// Seconds of the passes over the keys that a try makes, a key and one of its axes, as measured here.
constexpr double kKeySeconds = 1.2e-8;
constexpr double kAxisSeconds = 1.5e-9;
/// Seconds of an outlying key and a sampled row.
constexpr double kPairSeconds = 1.2e-8;
constexpr double kSampledPairs = 63.0;

}  // namespace

void Planner::outlying_candidates(const engines::ValueRange& values, const engines::QueryExtent& extent) {
  const double keys = static_cast<double>(problem.n_kv());
  const double passes = keys * (kKeySeconds + kAxisSeconds * static_cast<double>(problem.dim()));
  const double try_seconds = cost.try_seconds(problem);
  double left = kTriesShare * least_seconds() - passes;
  // A frame being tried, and the best of each arithmetic.
  const double bytes = 3.0 * 8.0 *
                       (keys + static_cast<double>(engines::kMostOutlying) *
                                   static_cast<double>(problem.dim() + problem.value_dim() + 1));
  if (domain != nullptr || problem.mask.causal || left < passes + try_seconds ||
      bytes > kMemoryShare * static_cast<double>(context.memory->limit())) {
    return;
  }
  // Of all keys, as they were before any was left out.
  const engines::FrameShape before = static_cast<const engines::FrameShape&>(known->frame);
  known->restore();
  const engines::Frame& whole = known->frame;
  std::vector<std::vector<std::int64_t>> sets;
  if (std::isfinite(whole.radius) && whole.radius > kSmallRadius) {
    sets = outlying_sets(problem, whole, context);
  }
  engines::KeyShells kept = std::exchange(shells, {});  // they are those of all keys
  for (std::vector<std::int64_t>& set : sets) {
    const auto count = static_cast<double>(set.size());
    const double sampling = try_seconds + kSampledPairs * count * kPairSeconds;
    left -= passes + sampling;
    if (left < 0.0 || passes + sampling > kTryShare * least_seconds() ||
        cost.exact_seconds(problem, queries * count, arithmetics(request).front()) >= least_seconds()) {
      break;
    }
    apart = std::make_shared<engines::Frame>(engines::set_apart(problem, whole, extent, std::move(set), context));
    try_reach(*apart, values, extent, {0, 1.0});
    for (const Reach& reach : reaches(problem, *apart, extent, shells, 0.0, false)) {
      left -= sampling;
      if (left < 0.0 || sampling > kTryShare * least_seconds()) {
        break;
      }
      try_reach(*apart, values, extent, reach);
    }
  }
  apart = nullptr;
  shells = std::move(kept);
  static_cast<engines::FrameShape&>(known->frame) = before;
}

std::string Planner::outlying_note() const {
  const HeadPlan& made = decision.plan;
  for (const Find& find : found) {
    if (made.kind == CertificateKind::certified && find.candidate.arithmetic == made.arithmetic &&
        find.apart != nullptr) {
      return ", " + std::to_string(find.apart->outlying->count()) + " outlying keys summed exactly";
    }
  }
  return {};
}

}  // namespace polyattn::planning
