#pragma once

/// Small problems of attention over tuples, and their answers by brute force in long double.

#include "engines/polynomial/evaluate.hpp"
#include "engines/tuple_problem.hpp"
#include "engines/tuples/polynomial.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// The data a problem points to; float64 unless `single`, when all numbers are float32 values stored as such.
struct TupleCase {
  struct Set {
    std::int64_t size = 0;
    std::vector<double> keys;
    std::vector<double> values;
    std::vector<double> bias;  ///< none: empty
    engines::PositionMask mask{};
  };
  std::int64_t n_q = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  double scale = 1.0;
  std::vector<double> queries;
  std::vector<Set> sets;
  bool single = false;

  /// Valid as long as the case is; rounds its numbers to float32 if it is single.
  [[nodiscard]] engines::TupleProblem problem();

 private:
  base::Rows rows(std::vector<double>& data, std::int64_t count, std::int64_t columns);
  std::vector<std::vector<float>> floats_;
};

/// By the definition, over all tuples; 0 and -inf for a row that sees none.
struct TupleTruth {
  std::vector<long double> output;  ///< [n_q][value_dim]
  std::vector<long double> lse;
};
TupleTruth brute_force(const TupleCase& head);

/// What the engine made of a choice.
struct TupleRun {
  engines::TupleSummary summary;
  engines::TuplePrediction prediction;
  std::vector<double> output;
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<double> lse;
  std::vector<double> lse_bound;
  std::vector<std::uint8_t> answered;
};
struct TupleAsk {
  engines::TupleChoice choice;
  engines::Acceptance acceptance{};
  int threads = 1;
  bool with_lse = true;
  bool predict = false;
};
TupleRun run_tuples(TupleCase& head, const TupleAsk& ask);

/// Largest measured / certified over the answered rows, of the output and of log-sum-exp where there is one; NaN and
/// answers that are not finite count as infinite.
double worst_ratio(const TupleCase& head, const TupleRun& run, const TupleTruth& truth);

/// Numbers uniform in [-1, 1] and values sin(3 k) of them, everything from one seed.
TupleCase uniform_case(std::uint64_t seed, std::size_t sets, std::int64_t n_q, std::int64_t keys, std::int64_t dim,
                       std::int64_t value_dim, double scale);

}  // namespace polyattn::test
