#include "polynomial/regret_choices.hpp"

#include "support/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace polyattn::bench::polynomial {

namespace {

/// Predicted to take so many times as long as the best, a choice is not tried; measured in first calls, not kept.
constexpr double kHopelessPrediction = 6.0;
constexpr double kHopeless = 2.0;
/// First calls below this time are followed by a second: they may have met cold caches.
constexpr double kRepeatSeconds = 0.02;
constexpr int kDegreesAbout[] = {-1, 0, 1};
constexpr int kHighestDegree = 30;  ///< that options.degree may ask for (include/polyattn/options.hpp)

Choice choice_of(const Problem& automatic, Engine engine, Arithmetic arithmetic) {
  Choice choice;
  choice.problem = automatic;
  choice.problem.options.engine = engine;
  choice.problem.options.arithmetic = arithmetic;
  choice.exact = engine == Engine::exact;
  choice.name = name_of(engine);
  if (arithmetic != Arithmetic::automatic) choice.name += std::string(" ") + name_of(arithmetic);
  return choice;
}

/// The choice does not certify the tolerance, cannot serve the problem, or would not fit in memory.
bool no_choice(const Error& error) noexcept {
  return error.code() == ErrorCode::not_reachable || error.code() == ErrorCode::unsupported ||
         error.code() == ErrorCode::out_of_memory;
}

/// Seconds of a first call; infinity if it is no choice.
double first_call(const Choice& choice, const View& output) {
  const auto call = [&] { attend_into(choice.problem, output); };
  try {
    const double seconds = seconds_of(call);
    return seconds < kRepeatSeconds ? std::min(seconds, seconds_of(call)) : seconds;
  } catch (const Error& error) {
    if (!no_choice(error)) throw;
    return std::numeric_limits<double>::infinity();
  }
}

/// The degree the planner has in mind for one arithmetic and those beside it, unless predicted to be hopeless; and the
/// engine asked for by name where the planner would have taken it.
void add_polynomials(std::vector<Choice>& choices, const Problem& automatic, const Candidate& planned, double allowed) {
  const Choice own = choice_of(automatic, Engine::polynomial, planned.arithmetic);
  if (planned.degree < 0) return;
  if (planned.usable && planned.seconds <= allowed) choices.push_back(own);
  const auto dim = static_cast<double>(automatic.q.shape[3]);
  for (const int about : kDegreesAbout) {
    const int degree = planned.degree + about;
    // C(d + g + 1, g + 1) / C(d + g, g)
    const double more = about > 0 ? (dim + degree) / degree : 1.0;
    if (degree < 0 || degree > kHighestDegree || planned.seconds * more > allowed) continue;
    Choice pinned = own;
    pinned.problem.options.degree = degree;
    pinned.name += " degree " + std::to_string(degree);
    choices.push_back(std::move(pinned));
  }
}

}  // namespace

std::vector<Choice> certified_choices(const Problem& automatic, const View& output) {
  std::vector<Choice> choices{choice_of(automatic, Engine::automatic, Arithmetic::automatic)};
  for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
    choices.push_back(choice_of(automatic, Engine::exact, arithmetic));
  }
  const auto plan_of = [&](Engine engine) {
    Options options = automatic.options;
    options.engine = engine;
    return polyattn::plan(automatic.q, std::array{automatic.keys}, std::array{automatic.values}, options)
        .report()
        .heads.front();
  };
  const double allowed = kHopelessPrediction * plan_of(Engine::automatic).predicted_seconds;
  for (const Engine engine : {Engine::polynomial, Engine::grid}) {
    // Asked for by name: where the planner takes one it may not look at the other.
    try {
      for (const Candidate& candidate : plan_of(engine).candidates) {
        if (candidate.engine != engine) continue;
        if (engine == Engine::polynomial) add_polynomials(choices, automatic, candidate, allowed);
        if (engine == Engine::grid && candidate.seconds <= allowed) {
          choices.push_back(choice_of(automatic, engine, Arithmetic::automatic));
        }
      }
    } catch (const Error& error) {
      if (!no_choice(error)) throw;
    }
  }
  std::vector<double> seconds;
  for (const Choice& choice : choices) {
    // Where exact certifies in float32 it is no faster in float64.
    const bool slower =
        choice.exact && choice.problem.options.arithmetic == Arithmetic::float64 && std::isfinite(seconds.back());
    seconds.push_back(slower ? std::numeric_limits<double>::infinity() : first_call(choice, output));
  }
  const double best = lowest(seconds);
  std::vector<Choice> kept;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (i == 0 || seconds[i] <= kHopeless * best) kept.push_back(std::move(choices[i]));
  }
  return kept;
}

void time_round(std::vector<Choice>& choices, const View& output, std::size_t turn) {
  for (std::size_t i = 0; i < choices.size(); ++i) {
    Choice& choice = choices[(turn + i) % choices.size()];
    choice.seconds.push_back(seconds_of([&] { benchmark::DoNotOptimize(attend_into(choice.problem, output)); }));
  }
}

std::size_t fastest(const std::vector<Choice>& choices) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < choices.size(); ++i) {
    if (median(choices[i].seconds) < median(choices[best].seconds)) best = i;
  }
  return best;
}

}  // namespace polyattn::bench::polynomial
