#include "planning/prepared_head.hpp"

#include "base/memory.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Representatives that are answered to see whether a plan still serves its domain: one block of rows.
constexpr std::int64_t kTriedRows = 64;
/// So many more of them may be refused than when the plan was made.
constexpr std::int64_t kRefusedMore = 4;

/// Some of the representatives, evenly spaced.
engines::HeadProblem tried_rows(const engines::HeadProblem& problem) {
  engines::HeadProblem some = problem;
  base::RowPiece& piece = some.queries.pieces.front();
  const std::int64_t step = base::blocks_of(piece.count, kTriedRows);
  if (step > 1) {
    piece.row_stride *= step;
    piece.count = base::blocks_of(piece.count, step);
    some.queries.rows = piece.count;
  }
  return some;
}

/// How many of them miss what the request asks for.
template <class T>
std::int64_t refused_rows(const engines::HeadProblem& problem, const PolynomialChoice& choice,
                          const engines::PreparedMoments<T>& moments, const Request& request,
                          const base::Context& context) {
  if (problem.n_q() == 0) {
    return 0;
  }
  const engines::HeadProblem some = tried_rows(problem);
  engines::Acceptance acceptance;
  if (request.tolerance.value > 0.0 || request.engine == Engine::polynomial) {
    acceptance.tolerance = absolute_tolerance(request.tolerance, choice.values.range());
  }
  acceptance.lse_tolerance = request.lse_tolerance.value_or(kInfinity);
  acceptance.density_tolerance = request.density_tolerance.value_or(kInfinity);
  acceptance.density_absolute = request.density_absolute;
  const auto element = static_cast<std::int64_t>(size_of(request.output));
  base::Buffer<std::byte> output(some.n_q() * some.value_dim() * element, context.memory);
  engines::HeadOutputs out;
  out.output = {output.data(), request.output, some.value_dim(), 1};
  std::vector<std::uint8_t> answered(usize(some.n_q()), 0);
  const auto summary =
      engines::evaluate_rows<T>(some, choice.frame, choice.values, moments, acceptance, out, answered, context);
  return some.n_q() - summary.answered;
}

/// Makes moments of sums that are there, and counts representatives that are refused.
template <class T>
std::int64_t finish(const engines::HeadProblem& problem, const engines::MomentTotals& totals, const Request& request,
                    PolynomialChoice& choice, std::shared_ptr<const engines::PreparedMoments<T>>& moments,
                    const base::Context& context) {
  moments = std::make_shared<const engines::PreparedMoments<T>>(
      engines::prepare_moments<T>(choice.frame, choice.values, choice.features, choice.table, totals, context.memory));
  return refused_rows<T>(problem, choice, *moments, request, context);
}

/// Values of both; the centre stays, since any is correct.
void widen(engines::ValueRange& values, const engines::ValueRange& added, const std::vector<double>& mean) {
  for (std::size_t c = 0; c < values.low.size(); ++c) {
    values.low[c] = std::min(values.low[c], added.low[c]);
    values.high[c] = std::max(values.high[c], added.high[c]);
  }
  values.max_abs = std::max(values.max_abs, added.max_abs);
  values.mean = mean;
}

/// Bounds that the plan says are proved before any row is seen no longer are: they rest on the centre being the mean.
void withdraw_proved(HeadPlan& plan) {
  for (Candidate& candidate : plan.candidates) {
    candidate.a_priori_bound = kInfinity;
    candidate.papers_bound = kInfinity;
  }
}

/// What the plan says of its inputs.
void describe_growth(const PolynomialChoice& choice, std::int64_t added, const Request& request, HeadPlan& plan) {
  InputStatistics& s = plan.statistics;
  s.keys += added;
  s.visible_keys = choice.frame.visible_keys;
  s.max_abs_key = choice.frame.max_abs_key;
  s.max_abs_value = choice.values.max_abs;
  s.value_range = choice.values.range();
  s.radius_before = choice.frame.radius_before;
  s.radius_after = choice.frame.radius;
  plan.tolerance = absolute_tolerance(request.tolerance, s.value_range);
  withdraw_proved(plan);
}

ConstantAnswer constant_of(const engines::HeadProblem& problem, const engines::ValueRange& values,
                           const base::Context& context) {
  if (values.mean.empty()) {
    return constant_answer(problem, context);
  }
  return {values.mean, static_cast<double>(problem.n_kv()), 0.0};
}

template <class T>
std::optional<PreparedHead> append_as(const PreparedHead& head, const engines::HeadProblem& added,
                                      const Request& request, const Domain& domain, const base::Context& context) {
  const PolynomialChoice& old = *head.decision.polynomial;
  const PreparedSums& sums = *head.sums;
  auto grown = engines::grow_frame(old.frame, sums.unit, domain.extent, added, context);
  if (!grown || !(grown->frame.radius <= kMaxRadius)) {
    return std::nullopt;
  }
  auto choice = std::make_shared<PolynomialChoice>();
  choice->values = old.values;
  choice->features = old.features;
  choice->table = old.table;
  choice->arithmetic = old.arithmetic;
  auto next = std::make_shared<PreparedSums>();
  const engines::ValueRange values =
      value_range(added, grown->frame.log_weight.data(), grown->frame.log_scale, context);
  next->constant = join(sums.constant, constant_of(added, values, context));
  const bool any = grown->frame.visible_keys > old.frame.visible_keys;
  widen(choice->values, any ? values : old.values, next->constant.mean);
  if (grown->frame.radius > choice->table.radii.front()) {
    choice->table = engines::make_table(grown->frame.radius, old.table.degree);
  }
  next->totals = engines::add_keys<T>(sums.totals, added, *grown, choice->values, choice->features, context);
  next->unit = grown->unit;
  choice->frame = std::move(grown->frame);
  choice->frame.log_weight = base::Buffer<double>();
  std::int64_t refused = 0;
  if constexpr (std::is_same_v<T, float>) {
    refused = finish<float>(added, next->totals, request, *choice, choice->moments32, context);
  } else {
    refused = finish<double>(added, next->totals, request, *choice, choice->moments64, context);
  }
  next->refused = sums.refused;
  if (refused > sums.refused + (request.strict ? 0 : kRefusedMore)) {
    return std::nullopt;
  }
  PreparedHead out = head;
  describe_growth(*choice, added.n_kv(), request, out.decision.plan);
  out.decision.polynomial = std::move(choice);
  out.sums = std::move(next);
  return out;
}

template <class T>
std::int64_t sum_as(const engines::HeadProblem& problem, const Request& request, PolynomialChoice& choice,
                    std::shared_ptr<const engines::PreparedMoments<T>>& moments, engines::MomentTotals& totals,
                    const base::Context& context) {
  totals = engines::make_totals(choice.features, context.memory);
  engines::sum_moments<T>(problem, choice.frame, choice.values, choice.features, 0, context, totals);
  return finish<T>(problem, totals, request, choice, moments, context);
}

}  // namespace

PreparedHead prepare_head(const engines::HeadProblem& problem, const Request& request, const Domain& domain,
                          const base::Context& context) {
  require_bias(problem);
  PreparedHead head;
  head.planned_keys = problem.n_kv();
  head.decision = decide(problem, request, context, &domain);
  if (head.decision.polynomial == nullptr) {
    return head;
  }
  auto choice = std::const_pointer_cast<PolynomialChoice>(head.decision.polynomial);  // made by decide just now
  auto sums = std::make_shared<PreparedSums>();
  sums->unit = engines::weight_unit(choice->frame);
  sums->constant = constant_of(problem, choice->values, context);
  choice->values.mean = sums->constant.mean;
  sums->refused = choice->arithmetic == Arithmetic::float32
                      ? sum_as<float>(problem, request, *choice, choice->moments32, sums->totals, context)
                      : sum_as<double>(problem, request, *choice, choice->moments64, sums->totals, context);
  choice->frame.log_weight = base::Buffer<double>();  // summed, and not read again
  head.sums = std::move(sums);
  return head;
}

std::optional<PreparedHead> append_to_head(const PreparedHead& head, const engines::HeadProblem& added,
                                           const Request& request, const Domain& domain, const base::Context& context) {
  require_bias(added);
  const std::int64_t keys = head.decision.plan.statistics.keys + added.n_kv();
  if (keys >= 2 * head.planned_keys) {
    return std::nullopt;
  }
  if (head.decision.polynomial != nullptr) {
    if (head.decision.polynomial->frame.visible_keys == 0) {
      return std::nullopt;
    }
    return head.decision.polynomial->arithmetic == Arithmetic::float32
               ? append_as<float>(head, added, request, domain, context)
               : append_as<double>(head, added, request, domain, context);
  }
  engines::HeadProblem keys_alone = added;
  keys_alone.queries.rows = 0;
  engines::require_finite_inputs(keys_alone);
  PreparedHead out = head;  // exact and reference read all keys for every query set anyway
  out.decision.plan.statistics.keys = out.decision.plan.statistics.visible_keys = keys;
  out.decision.plan.statistics_known = false;
  withdraw_proved(out.decision.plan);
  return out;
}

}  // namespace polyattn::planning
