#pragma once

/// Options for the engines under test.

#include "polyattn/options.hpp"

#include <string>
#include <vector>

namespace polyattn::test {

struct Choice {
  Engine engine;
  Arithmetic arithmetic;
  [[nodiscard]] std::string name() const { return std::string(name_of(engine)) + "_" + name_of(arithmetic); }
};

/// Every engine that has causal masks, in every arithmetic it has. The polynomial one needs a degree, see `forced`.
inline std::vector<Choice> choices() {
  return {{Engine::reference, Arithmetic::float64},
          {Engine::exact, Arithmetic::float32},
          {Engine::exact, Arithmetic::float64},
          {Engine::polynomial, Arithmetic::float32},
          {Engine::polynomial, Arithmetic::float64}};
}

/// And the grid, for tests without such masks and prepared keys. It hands rows that it cannot certify to exact.
inline std::vector<Choice> plain_choices() {
  std::vector<Choice> all = choices();
  all.push_back({Engine::grid, Arithmetic::float64});
  return all;
}

/// Those that have every mask and soft-capping.
inline std::vector<Choice> masked_choices() {
  return {{Engine::reference, Arithmetic::float64},
          {Engine::exact, Arithmetic::float32},
          {Engine::exact, Arithmetic::float64}};
}

/// One engine and arithmetic pinned. The polynomial engine gets a degree and a tolerance no row can miss, so that the
/// tests see its certificates and not the planner's fallback.
inline Options forced(const Choice& choice, int degree = 8) {
  Options options;
  options.engine = choice.engine;
  options.arithmetic = choice.arithmetic;
  if (choice.engine == Engine::polynomial) {
    options.degree = degree;
    options.tolerance.value = 1e300;
    options.strict = true;
  }
  if (choice.engine == Engine::grid) {
    options.tolerance = {1e-3, ToleranceKind::of_value_range};
  }
  options.threads = 2;
  return options;
}

}  // namespace polyattn::test
