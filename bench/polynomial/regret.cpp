#include "polynomial/regret.hpp"

#include "polynomial/outcome.hpp"
#include "polynomial/regret_choices.hpp"
#include "support/statistics.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

namespace polyattn::bench::polynomial {

namespace {

/// Rounds go on for this time, within these numbers.
constexpr double kSeconds = 0.2;
constexpr std::size_t kLeastRounds = 3;
constexpr std::size_t kMostRounds = 201;
/// Beyond these a problem is measured once more, for longer: it may have been noise.
constexpr double kSuspect = 1.10;
constexpr double kSuspectExact = 1.05;
constexpr std::size_t kMoreOfSuspects = 3;
/// Below a millisecond a look at the problem may cost this much.
constexpr double kShort = 1e-3;
constexpr double kLook = 2e-6;
constexpr std::int64_t kCheckedRows = 16;
constexpr std::size_t kQuickly = 9;  // with --quick every so many problems only

struct Regret {
  double automatic = 0.0;  ///< median seconds
  double best = 0.0;
  double ratio = 1.0;  ///< median over rounds
  std::string name;    ///< of the best
  bool exact = false;  ///< whether that is exact

  [[nodiscard]] double allowed() const { return kSuspectExact * best + (best < kShort ? kLook : 0.0); }
  [[nodiscard]] bool suspect() const { return ratio > kSuspect || (exact && automatic > allowed()); }
};

Regret measure_regret(std::vector<Choice>& choices, const View& output, std::size_t more) {
  for (Choice& choice : choices) choice.seconds.clear();
  double total = 0.0;
  const std::size_t most = static_cast<std::size_t>(repetitions(kMostRounds)) * more;
  const std::size_t least = std::min(most, kLeastRounds - 1 + more);
  for (std::size_t round = 0; round < least || (round < most && total < kSeconds * static_cast<double>(more));
       ++round) {
    total += seconds_of([&] { time_round(choices, output, round); });
  }
  const std::size_t best = fastest(choices);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < choices[0].seconds.size(); ++i) {
    ratios.push_back(choices[0].seconds[i] / choices[best].seconds[i]);
  }
  return {median(choices[0].seconds), median(choices[best].seconds), median(ratios), choices[best].name,
          choices[best].exact};
}

template <class T>
void measure(benchmark::State& state, const RegretProblem& which) {
  Inputs<T> inputs(which.setting);
  const View output = inputs.output(which.queries);
  Problem problem = inputs.problem(which.queries, which.setting.n, Engine::automatic);
  if (which.causal) problem.options.mask.visibility.causal = Causal::lower_right;
  const Report report = attend_into(problem, output);
  const double error = measured_error(problem, output, kCheckedRows);
  std::vector<Choice> choices = certified_choices(problem, output);
  Regret regret;
  for (auto _ : state) {
    regret = measure_regret(choices, output, 1);
    if (regret.suspect()) regret = measure_regret(choices, output, kMoreOfSuspects);
    state.SetIterationTime(regret.automatic);
  }
  // The automatic choice may be the fastest of all; then the best is what it took.
  const HeadReport& head = report.heads.front();
  const bool exact = regret.exact || (regret.name == name_of(Engine::automatic) && head.engine == Engine::exact);
  set_counter(state, "automatic_seconds", regret.automatic);
  set_counter(state, "best_seconds", regret.best);
  set_counter(state, "ratio", regret.ratio);
  set_counter(state, "best_is_exact", exact ? 1.0 : 0.0);
  set_counter(state, "exact_within", exact && regret.automatic <= regret.allowed() ? 1.0 : 0.0);
  set_counter(state, "choices", static_cast<double>(choices.size()));
  set_counter(state, "rounds", static_cast<double>(choices[0].seconds.size()));
  describe_case(state, problem, report, error);
  state.SetLabel(name_of_answer(head) + "; best: " + regret.name);
}

}  // namespace

void declare_regret(const std::vector<RegretProblem>& problems) {
  const bool quick = repetitions(static_cast<int>(kMostRounds)) < static_cast<int>(kMostRounds);
  for (std::size_t i = 0; i < problems.size(); i += quick ? kQuickly + 1 : 1) {
    const RegretProblem& which = problems[i];
    declare_case(which.name, 1, [&which](benchmark::State& state) {
      which.float64 ? measure<double>(state, which) : measure<float>(state, which);
    });
  }
}

void add_regret_figures(const Rows& rows, const std::string& prefix, Figures& figures) {
  double cases = 0.0;
  double within = 0.0;
  double worst = 0.0;
  double exact = 0.0;
  double exact_within = 0.0;
  std::vector<double> ratios;
  for (const Json& row : rows.json()) {
    if (!row.contains("ratio")) continue;
    const auto ratio = row["ratio"].get<double>();
    cases += 1.0;
    within += ratio <= kSuspect ? 1.0 : 0.0;
    worst = std::max(worst, ratio);
    exact += row["best_is_exact"].get<double>();
    exact_within += row["exact_within"].get<double>();
    ratios.push_back(ratio);
  }
  if (cases == 0.0) return;
  figures.add(prefix + "_cases", cases, "problems");
  figures.add(prefix + "_within_1.10", 100.0 * within / cases, "%");
  figures.add(prefix + "_worst", worst, "x");
  figures.add(prefix + "_median", median(ratios), "x");
  figures.add(prefix + "_exact_best", 100.0 * exact / cases, "%");
  if (exact > 0.0) figures.add(prefix + "_exact_best_within_1.05", 100.0 * exact_within / exact, "%");
}

}  // namespace polyattn::bench::polynomial
