#pragma once

/// The state of carrying out a decision for one head. Private to planning: execute.cpp has the course of things,
/// execute_sampled.cpp what a sampled guarantee adds.

#include "base/memory.hpp"
#include "engines/exact/near_rows.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "planning/execute.hpp"
#include "planning/row_arrays.hpp"
#include "planning/sampled.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::planning {

/// What became of the rows of a head under one attempt of a sampled guarantee.
struct AttemptedRows {
  std::vector<std::int64_t> sound;    ///< answered, with a finite proved bound
  std::vector<std::int64_t> open;     ///< those of them whose bound exceeds the tolerance
  std::vector<std::int64_t> refused;  ///< without an answer: for exact
};

/// Largest radius of strong scores that layers are made for.
inline constexpr double kMostLayerRadius = 300.0;

/// Work units of a token, for progress (execute_layers.cpp).
double layer_work(const engines::HeadProblem& problem, const engines::LayerShape& shape);

struct Execution {
  HeadGroup& group;
  const engines::HeadProblem& problem;
  const HeadDecision& decision;
  const Request& request;
  const base::Context& context;
  RowArrays rows;
  engines::HeadOutputs outputs;
  HeadReport report;
  double tolerance = 0.0;                                           ///< absolute; NaN until the value range is known
  std::vector<double> value_sum{};                                  ///< of the visible values, where the engine knows
  std::int64_t visible = 0;                                         ///< how many there are
  double float32_guess = std::numeric_limits<double>::quiet_NaN();  ///< of its bound, in units of the tolerance

  [[nodiscard]] bool asks_for_bound() const noexcept { return planning::asks_for_bound(request); }
  [[nodiscard]] bool row_meets(std::int64_t i) const noexcept;
  void know_range(double range) noexcept;
  void run_reference();
  void run_polynomial();
  /// What a row must meet to count as answered; the tolerance is that of the call, or none.
  [[nodiscard]] engines::Acceptance acceptance() const noexcept;
  /// Rows by polynomials in arithmetic T; answered[row] says which.
  template <class T>
  void evaluate_as(const PolynomialChoice& choice, const engines::FeatureList& features,
                   const engines::PolynomialTable& table, const engines::Acceptance& acceptance,
                   std::vector<std::uint8_t>& answered);
  void evaluate(Arithmetic arithmetic, const engines::FeatureList& features, const engines::PolynomialTable& table,
                const engines::Acceptance& acceptance, std::vector<std::uint8_t>& answered);
  /// Groups of queries, each by its own polynomials; the rest by exact in one batch.
  void run_groups(const engines::Acceptance& wanted);
  template <class T>
  void evaluate_group(const QueryGroup& part, const engines::Acceptance& wanted, std::vector<std::uint8_t>& answered);
  /// Features in layers.
  void run_layers(const engines::Acceptance& wanted);
  template <class T>
  void evaluate_layers(const engines::Acceptance& wanted, std::vector<std::uint8_t>& answered);
  /// The grid's rows, the others by exact.
  void run_grid();
  /// Direct sums over the keys near each row, the others by exact.
  void run_near();
  /// Rows that the grid left, where they are many: by the keys near them. What is missing after that stays.
  void rest_by_near(std::vector<std::int64_t>& missing);
  void answer_rest(std::vector<std::int64_t>& missing);
  std::vector<std::int64_t> near_passes(const NearChoice& choice, Engine engine);
  template <class T>
  std::vector<std::int64_t> near_pass(const engines::NearKeys& keys, const engines::PackedKeys<T>& packed,
                                      const engines::NearTiles& tiles, const engines::NearGoal& goal, Engine engine);
  /// Rows that are answered are the polynomials'; the others are handed over.
  void keep_answered(const std::vector<std::uint8_t>& answered, Engine engine = Engine::polynomial);
  /// Rows that an approximate engine did not answer go to exact, or are refused if it was to be that engine alone.
  void hand_over(std::vector<std::int64_t> rows);
  /// Whether a row sees no key at all.
  [[nodiscard]] bool sees_nothing(std::int64_t row) const;
  /// Polynomials of rising degree until a sample accepts their answers, exact for what none of them serves.
  void run_sampled();
  /// The attempt's answers; every sound one counts, whatever its bound.
  AttemptedRows attempt(const Attempt& attempt);
  /// Largest error of these rows, each the distance of its output from exact in float64 less what rounding to 16-bit
  /// storage may have done, plus the proved bound of the exact row. Infinity if an output is NaN.
  double largest_error(const std::vector<std::int64_t>& list);
  void run_exact(engines::RowList list, bool handed_over);
  template <class T>
  [[nodiscard]] double range_of(const engines::KeyStatistics& keys) const;
  [[nodiscard]] bool wide_gaussian() const;
  [[nodiscard]] double guess_of_float32(const engines::RowList& list) const;
  [[nodiscard]] bool sure_of_float32(const engines::KeyStatistics& keys, const engines::RowList& some) const;
  template <class T>
  bool most_miss(const engines::RowList& list, const engines::PackedKeys<T>* packed);
  template <class T>
  engines::RowList exact_pass(const engines::RowList& list, bool last);
};

}  // namespace polyattn::planning
