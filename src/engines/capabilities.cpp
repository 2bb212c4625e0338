#include "engines/capabilities.hpp"

#include <algorithm>
#include <array>

namespace polyattn::engines {

namespace {

struct Row {
  Feature feature;
  const char* name;
  bool reference;
  bool exact;
  bool polynomial;
  bool grid;
};

constexpr std::array kRows{
    Row{Feature::order_2, "order 2", true, true, true, true},
    Row{Feature::higher_order, "order 3 and above", false, false, false, false},
    Row{Feature::dot_score, "dot score", true, true, true, true},
    Row{Feature::gaussian_score, "gaussian score", true, true, true, true},
    Row{Feature::causal, "causal", true, true, true, false},
    Row{Feature::key_bias, "key_bias", true, true, true, true},
    Row{Feature::window, "window", true, true, false, false},
    Row{Feature::segments, "segments", true, true, false, false},
    Row{Feature::boolean_mask, "boolean", true, true, false, false},
    Row{Feature::additive_mask, "additive", true, true, false, false},
    Row{Feature::exclude_self, "exclude_self", true, true, false, true},
    Row{Feature::soft_cap, "soft_cap", true, true, false, false},
    Row{Feature::log_sum_exp, "log-sum-exp", true, true, true, true},
    Row{Feature::row_maximum, "row maximum", true, true, false, false},
    Row{Feature::prepared_keys, "prepared keys", true, true, true, false},
};

/// No clustered engine in this version: every feature is refused.
constexpr auto make_table() noexcept {
  std::array<EngineCapability, kRows.size() * 5> table{};
  std::size_t i = 0;
  for (const Row& row : kRows) {
    table[i++] = {Engine::reference, row.feature, row.reference};
    table[i++] = {Engine::exact, row.feature, row.exact};
    table[i++] = {Engine::polynomial, row.feature, row.polynomial};
    table[i++] = {Engine::grid, row.feature, row.grid};
    table[i++] = {Engine::clustered, row.feature, false};
  }
  return table;
}
constexpr auto kTable = make_table();

}  // namespace

const char* name_of(Feature feature) noexcept {
  for (const Row& row : kRows) {
    if (row.feature == feature) {
      return row.name;
    }
  }
  return "unknown";
}

std::span<const EngineCapability> capability_table() noexcept { return kTable; }

bool supports(Engine engine, Feature feature) noexcept {
  return std::any_of(kTable.begin(), kTable.end(), [&](const EngineCapability& c) {
    return c.engine == engine && c.feature == feature && c.supported;
  });
}

std::string engines_with(Feature feature) {
  std::string names;
  for (const EngineCapability& c : kTable) {
    if (c.feature == feature && c.supported) {
      names.append(names.empty() ? "" : ", ").append(polyattn::name_of(c.engine));
    }
  }
  return names.empty() ? "none" : names;
}

bool supports_polynomial(const HeadProblem& problem) noexcept {
  return supports(Engine::polynomial,
                  problem.score.kind == ScoreKind::dot ? Feature::dot_score : Feature::gaussian_score) &&
         problem.prefix_mask() && problem.soft_cap == 0.0 &&
         (!problem.mask.causal || supports(Engine::polynomial, Feature::causal)) &&
         (!problem.has_bias() || supports(Engine::polynomial, Feature::key_bias));
}

bool supports_grid(const HeadProblem& problem) noexcept {
  const bool plain = problem.mask.window == 0 && problem.mask.segments == nullptr && !problem.pairs.any() &&
                     problem.soft_cap == 0.0 && !problem.mask.causal;
  return plain &&
         supports(Engine::grid, problem.score.kind == ScoreKind::dot ? Feature::dot_score : Feature::gaussian_score) &&
         problem.dim() <= kMostGridDim && problem.positions == 0 &&
         (!problem.mask.exclude_self || (problem.queries == problem.keys && problem.score.kind == ScoreKind::gaussian));
}

}  // namespace polyattn::engines
