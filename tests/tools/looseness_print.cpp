#include "tools/looseness_steps.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace polyattn::test {

using base::usize;

namespace {

double quantile(std::vector<double> values, double share) {
  if (values.empty()) {
    return 0.0;
  }
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[usize(at)];
}

}  // namespace

void print_looseness(const std::string& title, const std::vector<std::pair<HeadData, Outcomes>>& heads,
                     bool (*which)(const HeadData&)) {
  std::size_t count = 0;
  std::array<std::vector<double>, kSteps.size()> looseness;
  std::array<std::vector<double>, kSteps.size()> bound;
  std::array<std::vector<double>, kSteps.size()> against{};  // certified over what the whole certificate's answers err
  std::array<int, kSteps.size()> served{};
  std::array<double, kSteps.size()> degrees{};
  int common = 0;
  for (const auto& [head, outcomes] : heads) {
    if (!which(head)) {
      continue;
    }
    ++count;
    const bool all = std::all_of(outcomes.begin(), outcomes.end(), [](const Outcome& o) { return o.lowest >= 0; });
    common += all ? 1 : 0;
    for (std::size_t s = 0; s < kSteps.size(); ++s) {
      const Outcome& outcome = outcomes[s];
      looseness[s].insert(looseness[s].end(), outcome.looseness.begin(), outcome.looseness.end());
      bound[s].insert(bound[s].end(), outcome.bound.begin(), outcome.bound.end());
      for (std::size_t i = 0; i < outcome.bound.size(); ++i) {
        against[s].push_back(outcome.bound[i] / outcomes[kAll].measured[i]);
      }
      served[s] += outcome.lowest >= 0 ? 1 : 0;
      degrees[s] += all ? outcome.lowest : 0.0;
    }
  }
  std::printf("### %s: %zu heads\n\n", title.c_str(), count);
  std::printf(
      "| | looseness, median | 90th percentile | against the error of all, median | certified / range, median | heads "
      "served | mean degree (%d "
      "heads) |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
      common);
  for (std::size_t s = 0; s < kSteps.size(); ++s) {
    if (s == kCumulative) {
      std::printf("| | | | | | | |\n");
    }
    std::printf("| %s | %.3g | %.3g | %.3g | %.2e | %d | %.2f |\n", kSteps[s].name, quantile(looseness[s], 0.5),
                quantile(looseness[s], 0.9), quantile(against[s], 0.5), quantile(bound[s], 0.5), served[s],
                common > 0 ? degrees[s] / common : 0.0);
  }
  std::printf("\n");
}

}  // namespace polyattn::test
