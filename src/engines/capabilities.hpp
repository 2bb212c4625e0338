#pragma once

/// What each engine can do: one table, read by the planner, the error messages and the documents.

#include "engines/problem.hpp"
#include "polyattn/options.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace polyattn::engines {

enum class Feature : std::uint8_t {
  order_2,
  higher_order,
  dot_score,
  gaussian_score,
  causal,
  key_bias,
  window,
  segments,
  boolean_mask,
  additive_mask,
  exclude_self,
  soft_cap,
  log_sum_exp,
  row_maximum,
  prepared_keys,
  sampled_guarantee,
};

struct EngineCapability {
  Engine engine;
  Feature feature;
  bool higher;       ///< at order 3 and above; else at order 2
  const char* name;  ///< of the feature, the order said where it is higher
  bool supported;
};

const char* name_of(Feature feature) noexcept;
std::span<const EngineCapability> capability_table() noexcept;
/// `order` is one more than there are key sets.
bool supports(Engine engine, Feature feature, std::size_t order = 2) noexcept;

/// Names of the engines that support a feature, "none" if there is none.
std::string engines_with(Feature feature, std::size_t order = 2);

/// Whether the polynomial engine may be considered for this head.
bool supports_polynomial(const HeadProblem& problem) noexcept;

/// The same of the grid engine: at most kMostGridDim axes, no mask over pairs, leave-one-out only where queries are the
/// keys.
inline constexpr std::int64_t kMostGridDim = 8;
bool supports_grid(const HeadProblem& problem) noexcept;

}  // namespace polyattn::engines
