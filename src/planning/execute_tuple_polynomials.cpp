// Rows by polynomials at order k >= 3, and what happens to those that are refused.

#include "engines/tuple_sets.hpp"
#include "planning/cost_model.hpp"
#include "planning/planner.hpp"
#include "planning/tuple_execution.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::RowList;
using engines::TupleProblem;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// A further try may cost this part of what exact would for the rows it is to serve.
constexpr double kTryShare = 0.5;
constexpr int kMostTries = 4;

/// Which keys of each set no bias hides, counted from the first on.
class VisibleKeys {
 public:
  explicit VisibleKeys(const TupleProblem& problem) : problem_(problem) {
    for (std::size_t s = 0; s < problem.sets.size(); ++s) {
      const std::vector<double> bias = engines::set_bias(problem, s);
      std::vector<std::int64_t> before{0};
      for (const double b : bias) {
        before.push_back(before.back() + (b == -kInfinity ? 0 : 1));
      }
      before_.push_back(std::move(before));
    }
  }
  /// Whether a row sees no tuple.
  [[nodiscard]] bool nothing(std::int64_t row) const noexcept {
    for (std::size_t s = 0; s < before_.size(); ++s) {
      const engines::KeyRange range = problem_.range(s, row);
      if (before_[s][usize(range.last)] == before_[s][usize(range.first)]) {
        return true;
      }
    }
    return false;
  }

 private:
  const TupleProblem& problem_;
  std::vector<std::vector<std::int64_t>> before_;
};

/// Whether a row of the list is within the extents that the frame's polynomials are for.
bool some_within(const TupleProblem& problem, const engines::TupleFrame& frame, const std::vector<std::int64_t>& rows) {
  std::vector<double> q(usize(problem.dim()));
  return std::any_of(rows.begin(), rows.end(), [&](std::int64_t row) {
    base::load_rows<double>(problem.queries, row, 1, q.data(), problem.dim());
    for (std::size_t l = 0; l < q.size(); ++l) {
      if (!(std::fabs(q[l]) <= frame.frame.query_half[l])) {
        return false;
      }
    }
    return true;
  });
}

RowList list_of(std::vector<std::int64_t> rows) {
  RowList list;
  list.all = false;
  list.rows = std::move(rows);
  list.targets = list.rows;
  return list;
}

}  // namespace

void TupleExecution::attempt(const engines::TupleChoice& choice) {
  const engines::Acceptance wanted = tuple_acceptance(request, report.tolerance, 1.0);
  std::vector<std::uint8_t> answered(usize(problem.n_q()), 0);
  const TuplePolynomials& chosen = *decision.polynomials;
  const bool summed = chosen.sums != nullptr && chosen.sums->choice == choice;
  const engines::TupleSummary summary =
      summed ? engines::answer_tuples(problem, *chosen.frame, *chosen.sums, wanted, outputs, answered, context)
             : engines::polynomial_tuples(problem, *chosen.frame, choice, wanted, outputs, answered, context);
  if (summary.answered == 0) {
    return;
  }
  report.degree = choice.degree;
  report.rank = static_cast<std::int64_t>(summary.rank);
  report.smallest_denominator = std::isnan(report.smallest_denominator)
                                    ? summary.smallest_denominator
                                    : std::min(report.smallest_denominator, summary.smallest_denominator);
  for (std::size_t i = 0; i < answered.size(); ++i) {
    rows.engine[i] = answered[i] != 0 ? Engine::polynomial : rows.engine[i];
  }
}

std::vector<std::int64_t> TupleExecution::refused() const {
  std::vector<std::int64_t> list;
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    if (rows.engine[usize(i)] != Engine::polynomial) {
      list.push_back(i);
    }
  }
  return list;
}

void TupleExecution::try_higher(std::vector<std::int64_t>& missing) {
  const TuplePolynomials& chosen = *decision.polynomials;
  if (chosen.sums != nullptr && !some_within(problem, *chosen.frame, missing)) {
    return;  // rows that leave the domain: no degree serves them
  }
  const CostModel cost(request.calibration, 1);
  engines::TupleChoice choice = chosen.choice;
  for (int tries = 0; tries < kMostTries && !missing.empty(); ++tries) {
    ++choice.degree;
    const double exact = chosen.seconds_per_row * static_cast<double>(missing.size());
    const double seconds = cost.tuple_polynomial_seconds(problem, choice, engines::tuple_work(problem, choice));
    const bool held = engines::tuple_rank(problem, choice.degree) <= engines::kMostRank &&
                      static_cast<std::uint64_t>(engines::tuple_bytes(problem, choice, context.threads)) <
                          context.memory->limit() - std::min(context.memory->limit(), context.memory->used());
    if (choice.degree > kMaxPlannedDegree || !held || seconds > kTryShare * exact) {
      return;
    }
    attempt(choice);
    std::vector<std::int64_t> still = refused();
    if (still.size() == missing.size()) {
      return;  // it is not the degree that they lack
    }
    missing = std::move(still);
  }
}

void TupleExecution::run_polynomial() {
  report.degree = decision.plan.degree;
  report.rank = decision.plan.rank;
  std::fill(rows.engine.begin(), rows.engine.end(), Engine::exact);
  if (decision.polynomials != nullptr) {
    attempt(decision.polynomials->choice);
  }
  std::vector<std::int64_t> missing = refused();
  if (missing.empty()) {
    return;
  }
  const VisibleKeys visible(problem);
  std::vector<std::int64_t> blind;  // they see no tuple: zero, whoever writes it
  std::copy_if(missing.begin(), missing.end(), std::back_inserter(blind),
               [&](std::int64_t row) { return visible.nothing(row); });
  if (!blind.empty()) {
    run_exact(list_of(blind), true);
    for (const std::int64_t row : blind) {
      rows.engine[usize(row)] = Engine::polynomial;
    }
    missing = refused();
  }
  const bool some = missing.size() + blind.size() < usize(problem.n_q());  // else a few degrees more are of no use
  if (!request.degree && decision.polynomials != nullptr && some) {
    try_higher(missing);
  }
  if (missing.empty()) {
    return;
  }
  if (request.strict && request.engine == Engine::polynomial) {
    fail_not_reachable(report, request.output, static_cast<std::int64_t>(missing.size()), problem.n_q(),
                       "polynomial alone");
  }
  const bool all = request.engine == Engine::automatic && static_cast<std::int64_t>(missing.size()) == problem.n_q();
  run_exact(list_of(std::move(missing)), !all);
  if (all) {
    credit_exact(report);
  }
}

}  // namespace polyattn::planning
