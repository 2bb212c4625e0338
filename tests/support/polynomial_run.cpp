#include "support/polynomial_run.hpp"

#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::test {

namespace {

using base::usize;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

PolynomialSetup make_setup(const engines::HeadProblem& problem, int degree, const base::Context& context, bool spread) {
  PolynomialSetup setup;
  setup.frame = engines::make_frame(problem, engines::query_extent(problem, context), context);
  setup.values = planning::value_range(problem, setup.frame.log_weight.data(), setup.frame.log_scale, context);
  setup.features = engines::make_features(problem.dim(), degree, problem.value_dim(), spread);
  setup.table = engines::make_table(setup.frame.radius <= 300.0 ? setup.frame.radius : 300.0, degree);
  return setup;
}

template <class T>
PolynomialRun run_polynomial(const engines::HeadProblem& problem, const PolynomialSetup& setup, bool want_lse,
                             const engines::Acceptance& acceptance, const base::Context& context) {
  const auto rows = usize(problem.n_q());
  PolynomialRun run;
  run.output.assign(rows * usize(problem.value_dim()), 0.0);
  run.approximation.assign(rows, -1.0);
  run.rounding.assign(rows, -1.0);
  run.lse.assign(rows, 0.0);
  run.lse_bound.assign(rows, -1.0);
  run.answered.assign(rows, 0);
  engines::HeadOutputs out;
  out.output = {run.output.data(), DType::float64, problem.value_dim(), 1};
  out.approximation = run.approximation.data();
  out.rounding = run.rounding.data();
  if (want_lse) {
    out.lse = run.lse.data();
    out.lse_bound = run.lse_bound.data();
  }
  if (problem.mask.causal) {
    run.summary = engines::causal_rows<T>(problem, setup.frame, setup.values, setup.features, setup.table, acceptance,
                                          out, run.answered, context);
    return run;
  }
  engines::MomentTotals totals = engines::make_totals(setup.features, context.memory);
  engines::sum_moments<T>(problem, setup.frame, setup.values, setup.features, 0, context, totals);
  const auto moments =
      engines::prepare_moments<T>(setup.frame, setup.values, setup.features, setup.table, totals, context.memory);
  run.summary =
      engines::evaluate_rows<T>(problem, setup.frame, setup.values, moments, acceptance, out, run.answered, context);
  return run;
}
template PolynomialRun run_polynomial<float>(const engines::HeadProblem&, const PolynomialSetup&, bool,
                                             const engines::Acceptance&, const base::Context&);
template PolynomialRun run_polynomial<double>(const engines::HeadProblem&, const PolynomialSetup&, bool,
                                              const engines::Acceptance&, const base::Context&);

template <class Real>
HeadTruth<Real> truth_of(const HeadData& head) {
  HeadTruth<Real> truth;
  std::vector<Real> weight(usize(head.n_kv));
  const auto magnitude_of = [](Real x) { return std::fabs(static_cast<double>(x)); };
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const std::int64_t visible = head.mask.visible(i, head.n_kv);
    Real largest = Real(-kInfinity);
    double size = 1.0;  // of the terms of a score
    for (std::int64_t j = 0; j < visible; ++j) {
      const double bias = head.bias.empty() ? 0.0 : head.bias[usize(j)];
      Real score = Real(0);
      double terms = std::fabs(bias);
      for (std::int64_t l = 0; bias != -kInfinity && l < head.dim; ++l) {
        const Real q = Real(head.q[usize(i * head.dim + l)]);
        const Real k = Real(head.k[usize(j * head.dim + l)]);
        if (head.score.kind == engines::ScoreKind::dot) {
          const Real term = Real(head.score.scale) * q * k;
          terms += magnitude_of(term);
          score += term;
        } else {
          const Real away = (q - k) / Real(head.score.bandwidth[usize(l)]);
          terms += magnitude_of(away * away);
          score -= away * away / Real(2);
        }
      }
      size = bias == -kInfinity ? size : std::max(size, 1.01 * terms);
      weight[usize(j)] = bias == -kInfinity ? Real(-kInfinity) : score + Real(bias);
      largest = weight[usize(j)] > largest ? weight[usize(j)] : largest;
    }
    Real denominator = Real(0);
    std::vector<Real> sums(usize(head.value_dim), Real(0));
    std::vector<double> absolute(usize(head.value_dim), 0.0);
    for (std::int64_t j = 0; j < visible && largest > Real(-kInfinity); ++j) {
      if (weight[usize(j)] == Real(-kInfinity)) {
        continue;
      }
      const Real w = exp_of(weight[usize(j)] - largest);
      denominator += w;
      for (std::int64_t c = 0; c < head.value_dim; ++c) {
        const Real term = w * Real(head.v[usize(j * head.value_dim + c)]);
        sums[usize(c)] += term;
        absolute[usize(c)] += magnitude_of(term);
      }
    }
    const bool any = denominator > Real(0);
    truth.lse.push_back(any ? largest + log_of(denominator) : Real(-kInfinity));
    // Each score and the largest of them have at most dim + 4 roundings of terms that sum to `size`, so a weight is off
    // by this relative error with that of exp; numerator and denominator add one rounding a key.
    const double doubt = (16.0 * static_cast<double>(head.dim + 6) * size + 2.0 * static_cast<double>(visible + 4)) *
                         kUnitRoundoff<Real>;
    truth.lse_doubt.push_back(any ? doubt : 0.0);
    for (std::size_t c = 0; c < sums.size(); ++c) {
      truth.answer.push_back(any ? sums[c] / denominator : Real(0));
      truth.doubt.push_back(any ? 2.0 * doubt * absolute[c] / static_cast<double>(denominator) : 0.0);
    }
  }
  return truth;
}

template <class Real>
Clearance clearance_of(const HeadData& head, const PolynomialRun& run, const HeadTruth<Real>& truth) {
  Clearance worst;
  const auto ratio = [](Real error, double bound) {
    const auto magnitude = static_cast<double>(error < Real(0) ? -error : error);
    return magnitude == 0.0 && bound >= 0.0 ? 0.0 : magnitude / bound;
  };
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    if (run.answered[usize(i)] == 0) {
      continue;
    }
    for (std::int64_t c = 0; c < head.value_dim; ++c) {
      const auto at = usize(i * head.value_dim + c);
      const double here = ratio(Real(run.output[at]) - truth.answer[at], run.bound(i));
      if (!(here <= worst.answer)) {
        worst.answer = here;
        worst.worst_row = i;
      }
    }
    if (run.lse_bound[usize(i)] >= 0.0) {
      const double here = ratio(Real(run.lse[usize(i)]) - truth.lse[usize(i)], run.lse_bound[usize(i)]);
      worst.lse = here <= worst.lse ? worst.lse : here;
    }
  }
  return worst;
}

template HeadTruth<long double> truth_of<long double>(const HeadData&);
template Clearance clearance_of<long double>(const HeadData&, const PolynomialRun&, const HeadTruth<long double>&);
#if defined(POLYATTN_TEST_FLOAT128)
template HeadTruth<Quad> truth_of<Quad>(const HeadData&);
template Clearance clearance_of<Quad>(const HeadData&, const PolynomialRun&, const HeadTruth<Quad>&);
#endif

}  // namespace polyattn::test
