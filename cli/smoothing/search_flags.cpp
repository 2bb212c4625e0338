#include "smoothing/search_flags.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace polyattn::cli {

namespace {

constexpr std::int64_t most_factors = 10000;

/// "0.1,0.5,2", or "LOW:HIGH:COUNT", each as many times the last.
std::vector<double> parse_factors(const std::string& text) {
  const char* expected = "positive numbers, or LOW:HIGH:COUNT with 0 < LOW < HIGH and COUNT from 2 to 10000";
  std::vector<double> factors;
  const std::size_t first = text.find(':');
  if (first == std::string::npos) {
    factors = parse_reals("--factors", text);
  } else {
    const std::size_t second = text.find(':', first + 1);
    if (second == std::string::npos) refuse_flag("--factors", text, expected);
    const double low = parse_real("--factors", text.substr(0, first));
    const double high = parse_real("--factors", text.substr(first + 1, second - first - 1));
    const std::int64_t count = parse_integer("--factors", text.substr(second + 1), 2, most_factors);
    if (!(low > 0.0 && low < high)) refuse_flag("--factors", text, expected);
    const double octaves = std::log2(high) - std::log2(low);
    for (std::int64_t k = 0; k < count; ++k) {
      const double share = static_cast<double>(k) / static_cast<double>(count - 1);
      factors.push_back(k == count - 1 ? high : low * std::exp2(share * octaves));
    }
  }
  if (!std::ranges::all_of(factors, [](double factor) { return factor > 0.0; }))
    refuse_flag("--factors", text, expected);
  return factors;
}

}  // namespace

void add_search_flags(CLI::App& app, SearchFlags& flags) {
  text_flag(app, "--search", flags.search, "HOW",
            "For cv: factor (default), multiples of Scott's bandwidths; per_axis, then each axis by itself");
  text_flag(app, "--factors", flags.factors, "F,...|LOW:HIGH:COUNT",
            "For cv: the multiples to try (default 0.05:2:30, evenly spaced in the logarithm)");
  text_flag(app, "--most-candidates", flags.most_candidates, "N", "For cv: try at most N bandwidths (default 200)");
}

BandwidthOptions search_options(const SearchFlags& flags, const SmoothingRequest& request, const Tolerance& tolerance) {
  if (request.bandwidth_rule != "cv") {
    for (const auto& [flag, given] : {std::pair{"--search", flags.search.has_value()},
                                      {"--factors", flags.factors.has_value()},
                                      {"--most-candidates", flags.most_candidates.has_value()}}) {
      if (given) throw UsageError(std::string(flag) + " needs --bandwidth cv");
    }
  }
  BandwidthOptions options;
  if (flags.search) {
    options.search = parse_choice<BandwidthSearch>(
        "--search", *flags.search, {{"factor", BandwidthSearch::factor}, {"per_axis", BandwidthSearch::per_axis}});
  }
  if (flags.factors) options.factors = parse_factors(*flags.factors);
  if (flags.most_candidates) {
    options.most_candidates = static_cast<int>(parse_integer("--most-candidates", *flags.most_candidates, 1, 1000000));
  }
  options.tolerance = tolerance;
  request.means.apply(options);
  return options;
}

}  // namespace polyattn::cli
