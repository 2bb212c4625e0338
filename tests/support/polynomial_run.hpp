#pragma once

/// One head with its data, run through the polynomial engine step by step, and judged by its definition in a wider
/// type.

#include "engines/polynomial/causal.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial_head.hpp"
#include "support/quad.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// The head's frame, values and polynomials, as the planner makes them.
struct PolynomialSetup {
  engines::Frame frame;
  engines::ValueRange values;
  engines::FeatureList features;
  engines::PolynomialTable table;
};
/// `spread`: with value-weighted second moments.
PolynomialSetup make_setup(const engines::HeadProblem& problem, int degree,
                           const base::Context& context = serial_context(), bool spread = false);

/// What the engine said, row by row.
struct PolynomialRun {
  std::vector<double> output;  ///< [n_q][value_dim], float64
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<double> lse;
  std::vector<double> lse_bound;
  std::vector<std::uint8_t> answered;
  engines::EvaluationSummary summary;

  [[nodiscard]] double bound(std::int64_t row) const {
    const auto i = static_cast<std::size_t>(row);
    return approximation[i] + rounding[i];
  }
};
/// evaluate_rows, or causal_rows if the mask is causal. Without `want_lse` log-sum-exp is not asked for.
template <class T>
PolynomialRun run_polynomial(const engines::HeadProblem& problem, const PolynomialSetup& setup, bool want_lse = true,
                             const engines::Acceptance& acceptance = {},
                             const base::Context& context = serial_context());

/// The head under the frame and table that the planner would make for it.
template <class T>
PolynomialRun run_head(const HeadData& head, int degree, const base::Context& context = serial_context()) {
  const engines::HeadProblem problem = head.problem();
  return run_polynomial<T>(problem, make_setup(problem, degree), true, {}, context);
}

/// The definition. `answer[row][c]` is 0 and `lse` -inf where no key is visible.
template <class Real>
struct HeadTruth {
  std::vector<Real> answer;
  std::vector<Real> lse;
  std::vector<double> doubt;  ///< bounds on the errors of `answer` and `lse` from rounding in Real
  std::vector<double> lse_doubt;
};
template <class Real>
HeadTruth<Real> truth_of(const HeadData& head);

/// Largest |answer - truth| / bound over answered rows, and of log-sum-exp; NaN and infinity count as such. The truth
/// is taken as it is, without its doubt.
struct Clearance {
  double answer = 0.0;
  double lse = 0.0;
  std::int64_t worst_row = -1;
};
template <class Real>
Clearance clearance_of(const HeadData& head, const PolynomialRun& run, const HeadTruth<Real>& truth);

}  // namespace polyattn::test
