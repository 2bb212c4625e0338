#pragma once

/// Reports of smooth and density, as JSON and in words.

#include "polyattn/smoothing.hpp"
#include "results.hpp"
#include "smoothing/flags.hpp"
#include "smoothing/places.hpp"

#include <optional>
#include <string>
#include <vector>

namespace polyattn::cli {

/// The bandwidth that is used, and where it comes from.
struct ChosenBandwidth {
  std::string rule;               ///< "given", "scott" or "cv"
  std::vector<double> bandwidth;  ///< one for all axes, or one for each
  std::optional<BandwidthResult> search;
};

/// What was read and left out, and the bandwidths: the first lines of every report.
std::string input_words(const Tables& tables, const ChosenBandwidth& chosen);
/// The same: `points`, `queries`, `dim`, `left_out`, `bandwidth`, `bandwidth_rule`, `selection`, `grid`.
void add_inputs(Json& json, const Tables& tables, const Places& places, const ChosenBandwidth& chosen);
/// The curve of a search for bandwidths.
std::string curve_words(const BandwidthResult& search, const std::vector<std::string>& axes);

/// Standard errors, and queries that see nothing.
std::string words(const SmoothResult& result, const std::vector<std::string>& columns);
void add_result(Json& json, const SmoothResult& result);

std::string words(const DensityResult& result, const DensityOptions& options);
void add_result(Json& json, const DensityResult& result, const DensityOptions& options);

}  // namespace polyattn::cli
