// Candidates for a sampled guarantee: degrees whose error is small in a pilot, whatever their certificates say.

#include "base/error.hpp"
#include "engines/exact/exact.hpp"
#include "planning/planner.hpp"
#include "planning/sampled.hpp"
#include "polyattn/polynomial.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>

namespace polyattn::planning {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMaxRank = std::int64_t{1} << 20;

/// Highest degree that takes less than `limit` seconds, or -1.
int highest_degree(const Planner& planner, Arithmetic arithmetic, double limit) {
  const engines::HeadProblem& problem = planner.problem;
  int highest = -1;
  for (int degree = 0; degree <= kMaxPlannedDegree; ++degree) {
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    if (rank < 0 || rank > kMaxRank ||
        planner.cost.polynomial_seconds(problem, planner.queries, {rank, degree, false}, arithmetic) >= limit) {
      break;
    }
    highest = degree;
  }
  return highest;
}

/// What a sampled candidate must undercut: every candidate that may be taken without a sample; exact in float64 where
/// polynomials are forced.
double seconds_to_beat(const Planner& planner, bool forced) {
  double seconds = planner.cost.exact_seconds(planner.problem, planner.pairs, Arithmetic::float64);
  for (const Candidate& candidate : planner.decision.plan.candidates) {
    if (candidate.usable && !(forced && candidate.engine == Engine::exact)) {
      seconds = std::min(seconds, candidate.seconds);
    }
  }
  return seconds;
}

}  // namespace

std::size_t next_attempt(const SampledChoice& sampled, std::size_t last, double factor, double tolerance) noexcept {
  const std::vector<Attempt>& all = sampled.attempts;
  for (std::size_t i = last + 1; i < all.size(); ++i) {
    if (all[i].error < all[last].error && all[i].error * factor <= kPilotMargin * tolerance &&
        all[i].seconds < sampled.exact_seconds) {
      return i;
    }
  }
  return all.size();
}

void Planner::sampled_candidates() {
  const bool forced = request.engine == Engine::polynomial;
  if (request.guarantee != Guarantee::sampled || domain != nullptr || !(plan().tolerance > 0.0) ||
      !(eligible || forced)) {
    return;
  }
  const double risk = attempt_risk(request.sampling.confidence, request.heads, 1);
  const std::int64_t rows = rows_to_sample(request.sampling.share, risk);
  known->restore();
  const engines::Frame& frame = known->frame;
  const double sample_seconds = cost.exact_seconds(
      problem, pairs * static_cast<double>(rows) / static_cast<double>(problem.n_q()), Arithmetic::float64);
  const Arithmetic cheapest = arithmetics(request).front();
  const bool hopeless = highest_degree(*this, cheapest, seconds_to_beat(*this, forced) - sample_seconds) < 0;
  const double limit = cost.exact_seconds(problem, pairs, Arithmetic::float64);  // later attempts may be dearer
  const int highest = request.degree.value_or(hopeless ? -1 : highest_degree(*this, cheapest, limit));
  if (rows >= problem.n_q() || highest < 0 || !(frame.radius <= kMaxRadius)) {
    return;  // as many rows by exact as there are, or no polynomial that could be worth it
  }
  if (!known->pilot || known->pilot->degree < highest) {
    known->pilot = fly_pilot(problem, frame, known->values, highest, pilot_keys(problem), context);
  }
  sampled.radius = frame.radius;
  sampled.exact_seconds = forced ? kInfinity : plan().exact_seconds;
  engines::TableSeries tables(frame.radius, highest, 2);
  for (int degree = request.degree.value_or(0); degree <= highest; ++degree) {
    const std::int64_t rank = feature_rank(problem.dim(), degree);
    if (rank < 0 || rank > kMaxRank) {
      break;
    }
    const engines::PolynomialTable table = tables.table(degree);
    for (const Arithmetic arithmetic : arithmetics(request)) {
      const auto bytes = static_cast<std::uint64_t>(polynomial_bytes(problem, {rank, degree, false}, arithmetic, 1));
      const PilotError error =
          pilot_error(*known->pilot, problem, frame, known->values, table, rank, arithmetic, request.output);
      const double seconds = cost.polynomial_seconds(problem, queries, {rank, degree, false}, arithmetic) +
                             sample_seconds + error.refused * plan().exact_seconds;
      if (bytes <= context.memory->limit() && error.refused < 0.5) {
        sampled.attempts.push_back({degree, rank, arithmetic, error.largest, seconds, error.refused});
      }
    }
  }
  std::stable_sort(sampled.attempts.begin(), sampled.attempts.end(),
                   [](const Attempt& a, const Attempt& b) { return a.seconds < b.seconds; });
  const auto first = std::find_if(sampled.attempts.begin(), sampled.attempts.end(), [&](const Attempt& attempt) {
    return attempt.error <= kPilotMargin * plan().tolerance;
  });
  if (first == sampled.attempts.end()) {
    return;
  }
  sampled.attempts.erase(sampled.attempts.begin(), first);
  const Attempt& attempt = sampled.attempts.front();
  Candidate candidate;
  candidate.engine = Engine::polynomial;
  candidate.kind = CertificateKind::sampled;
  candidate.arithmetic = attempt.arithmetic;
  candidate.degree = attempt.degree;
  candidate.rank = attempt.rank;
  candidate.seconds = attempt.seconds;
  candidate.bytes = static_cast<double>(
      polynomial_bytes(problem, {attempt.rank, attempt.degree, false}, attempt.arithmetic, 1) +
      engines::exact_bytes(rows, problem.n_kv(), problem.dim(), problem.value_dim(), context.threads, 8));
  candidate.predicted_bound = attempt.error;
  candidate.fallback_share = attempt.refused;
  candidate.a_priori_bound = kInfinity;
  candidate.papers_bound = kInfinity;
  candidate.usable = true;
  candidate.reason = "to be accepted by " + std::to_string(rows) + " random exact rows, for all but " +
                     base::text(100.0 * request.sampling.share) + " % of the rows";
  plan().candidates.push_back(candidate);
}

void Planner::settle_sampled(PolynomialChoice& choice) {
  const Attempt& first = sampled.attempts.front();
  choice.arithmetic = first.arithmetic;
  choice.features = engines::make_features(problem.dim(), first.degree, problem.value_dim());
  choice.table = engines::make_table(sampled.radius, first.degree);
  decision.sampled = std::make_shared<const SampledChoice>(std::move(sampled));
}

}  // namespace polyattn::planning
