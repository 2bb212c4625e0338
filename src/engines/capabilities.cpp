#include "engines/capabilities.hpp"

#include <algorithm>
#include <array>

namespace polyattn::engines {

namespace {

/// Engines that have something.
struct Able {
  bool reference;
  bool exact;
  bool polynomial;
  bool grid;
};
constexpr Able kAll{true, true, true, true};
constexpr Able kExact{true, true, false, false};
constexpr Able kNotGrid{true, true, true, false};
constexpr Able kNone{false, false, false, false};

struct Row {
  Feature feature;
  const char* name;
  Able order_2;
  const char* higher_name;  ///< none: the feature is an order itself
  Able higher;              ///< at order 3 and above
};

constexpr std::array kRows{
    Row{Feature::order_2, "order 2", kAll, nullptr, kAll},
    Row{Feature::higher_order, "order 3 and above", kNotGrid, nullptr, kNotGrid},
    Row{Feature::dot_score, "dot score", kAll, "dot score, order 3 and above", kNotGrid},
    Row{Feature::gaussian_score, "gaussian score", kAll, "gaussian score, order 3 and above", kNone},
    Row{Feature::causal, "causal", kNotGrid, "causal, order 3 and above", kNotGrid},
    Row{Feature::key_bias, "key_bias", kAll, "key_bias, order 3 and above", kNotGrid},
    Row{Feature::window, "window", kExact, "window, order 3 and above", kNotGrid},
    Row{Feature::segments, "segments", kExact, "segments, order 3 and above", kNone},
    Row{Feature::boolean_mask, "boolean", kExact, "boolean, order 3 and above", kNone},
    Row{Feature::additive_mask, "additive", kExact, "additive, order 3 and above", kNone},
    Row{Feature::exclude_self, "exclude_self", {true, true, false, true}, "exclude_self, order 3 and above", kNone},
    Row{Feature::soft_cap, "soft_cap", kExact, "soft_cap, order 3 and above", kNone},
    Row{Feature::log_sum_exp, "log-sum-exp", kAll, "log-sum-exp, order 3 and above", kNotGrid},
    Row{Feature::row_maximum, "row maximum", kExact, "row maximum, order 3 and above", kExact},
    Row{Feature::prepared_keys, "prepared keys", kNotGrid, "prepared keys, order 3 and above", kNone},
    Row{Feature::sampled_guarantee, "sampled guarantee", kAll, "sampled guarantee, order 3 and above", kNone},
};

/// No clustered engine in this version: every feature is refused.
constexpr auto make_table() noexcept {
  constexpr std::size_t kTables = 2 * kRows.size() - 2;  // two rows are orders themselves
  std::array<EngineCapability, kTables * 5> table{};
  std::size_t i = 0;
  const auto add = [&](const Row& row, bool higher, const char* name, const Able& able) {
    table[i++] = {Engine::reference, row.feature, higher, name, able.reference};
    table[i++] = {Engine::exact, row.feature, higher, name, able.exact};
    table[i++] = {Engine::polynomial, row.feature, higher, name, able.polynomial};
    table[i++] = {Engine::grid, row.feature, higher, name, able.grid};
    table[i++] = {Engine::clustered, row.feature, higher, name, false};
  };
  for (const Row& row : kRows) {
    add(row, false, row.name, row.order_2);
  }
  for (const Row& row : kRows) {
    if (row.higher_name != nullptr) {
      add(row, true, row.higher_name, row.higher);
    }
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

namespace {

/// Whether a line of the table speaks of this feature at this order.
bool concerns(const EngineCapability& line, Feature feature, std::size_t order) noexcept {
  const bool is_order = feature == Feature::order_2 || feature == Feature::higher_order;
  return line.feature == feature && line.higher == (order > 2 && !is_order);
}

}  // namespace

bool supports(Engine engine, Feature feature, std::size_t order) noexcept {
  return std::any_of(kTable.begin(), kTable.end(), [&](const EngineCapability& c) {
    return c.engine == engine && concerns(c, feature, order) && c.supported;
  });
}

std::string engines_with(Feature feature, std::size_t order) {
  std::string names;
  for (const EngineCapability& c : kTable) {
    if (concerns(c, feature, order) && c.supported) {
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
