#pragma once

/// Flags of --bandwidth cv: which bandwidths are tried.

#include "command.hpp"
#include "polyattn/smoothing.hpp"
#include "smoothing/flags.hpp"

#include <optional>
#include <string>

namespace polyattn::cli {

/// As given.
struct SearchFlags {
  std::optional<std::string> search, factors, most_candidates;
};

void add_search_flags(CLI::App& app, SearchFlags& flags);

/// Throws UsageError; so it does for flags of a search without one.
BandwidthOptions search_options(const SearchFlags& flags, const SmoothingRequest& request, const Tolerance& tolerance);

}  // namespace polyattn::cli
