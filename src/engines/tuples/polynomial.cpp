#include "engines/tuples/polynomial.hpp"

#include "engines/tuples/moments.hpp"
#include "engines/tuples/sliding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

namespace {

constexpr int kMostDegree = 64;  // of the kernels

std::vector<std::int64_t> key_counts(const TupleFrame& frame) {
  std::vector<std::int64_t> counts;
  for (const TupleSet& set : frame.sets) {
    counts.push_back(set.problem.n_kv());
  }
  return counts;
}

template <class T>
PreparedMoments<T> prepared_moments(const TupleFrame& frame, const TupleChoice& choice, Frame& units,
                                    const base::Context& context) {
  const FeatureList features =
      make_features(frame.problem.dim(), choice.degree, frame.problem.value_dim(), choice.spread);
  const PolynomialTable table = tuple_table(frame, choice.degree);
  const TupleMoments moments = sum_tuple_moments<T>(frame, features, context);
  const RoundingModel rounding = tuple_rounding<T>(choice.degree, features.rank(), key_counts(frame));
  units.log_scale += moments.exponent * 0x1.62e42fefa39efp-1;  // ln 2
  return prepare_tuples<T>(frame, features, table, rounding, moments, context.memory);
}

double rank_of(std::int64_t dim, int degree) noexcept {
  if (degree < 0 || degree > kMostDegree) {
    return std::numeric_limits<double>::infinity();
  }
  double rank = 1.0;
  for (int t = 1; t <= degree; ++t) {
    rank *= static_cast<double>(dim + t) / static_cast<double>(t);
  }
  return rank <= kMostRank ? std::round(rank) : std::numeric_limits<double>::infinity();
}

/// No row can be served.
bool hopeless(const TupleFrame& frame, const TupleChoice& choice) noexcept {
  return !std::isfinite(frame.frame.radius) || !std::isfinite(rank_of(frame.problem.dim(), choice.degree)) ||
         std::any_of(frame.sets.begin(), frame.sets.end(),
                     [](const TupleSet& set) { return set.frame.visible_keys == 0; });
}

TupleSummary empty_summary(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice) noexcept {
  TupleSummary summary;
  summary.rank = tuple_rank(problem, choice.degree);
  summary.radius = frame.frame.radius;
  summary.radius_before = frame.frame.radius_before;
  return summary;
}

}  // namespace

bool single_allowed(const TupleProblem& problem) noexcept { return sees_everything(problem); }

double tuple_rank(const TupleProblem& problem, int degree) noexcept { return rank_of(problem.dim(), degree); }

double tuple_row_work(const TupleProblem& problem, const TupleChoice& choice, double rows) noexcept {
  const auto value_dim = static_cast<double>(problem.value_dim());
  double moments = tuple_rank(problem, choice.degree) * (value_dim + 3.0);
  if (choice.spread) {
    moments += tuple_rank(problem, std::min(choice.degree, kSpreadDegree)) * value_dim;
  }
  return moments * rows;
}

double tuple_work(const TupleProblem& problem, const TupleChoice& choice) noexcept {
  double tokens = static_cast<double>(problem.n_q());
  for (const KeySet& set : problem.sets) {
    tokens += static_cast<double>(set.size()) * (set.mask.window > 0 ? 3.0 : 1.0);
  }
  if (!sees_everything(problem)) {
    tokens += static_cast<double>(problem.n_q()) * (static_cast<double>(problem.sets.size()) - 1.0);
  }
  return tuple_row_work(problem, choice, tokens);  // a key costs as much as a row
}

std::int64_t tuple_bytes(const TupleProblem& problem, const TupleChoice& choice, int threads) noexcept {
  const auto value_dim = static_cast<double>(problem.value_dim());
  const double rank = tuple_rank(problem, choice.degree);
  const double columns = value_dim * (choice.spread ? 2.0 : 1.0) + 1.0;
  const auto sets = static_cast<double>(problem.sets.size());
  const auto lanes = static_cast<double>(std::max(threads, 1));
  // Totals of the product, of a set and of every thread; scaled moments and weights; and blocks of tokens.
  const double moments = rank * columns * 8.0 * (4.0 + lanes);
  const double sliding = rank * 8.0 * (columns * sets + 64.0 * (sets + 2.0));
  const double block = lanes * 8.0 * 512.0 * (columns * 12.0 * (choice.degree + 1.0) + 64.0 * (choice.degree + 1.0));
  const double bytes = (sees_everything(problem) ? moments : sliding) + block + rank * 64.0;
  return bytes < 0x1p62 ? static_cast<std::int64_t>(bytes) : std::int64_t{1} << 62;
}

std::shared_ptr<const TupleSums> sum_tuples(const TupleFrame& frame, const TupleChoice& choice,
                                            const base::Context& context) {
  if (hopeless(frame, choice)) {
    return nullptr;
  }
  auto out = std::make_shared<TupleSums>();
  out->choice = choice;
  static_cast<FrameShape&>(out->units) = static_cast<const FrameShape&>(frame.frame);
  if (choice.single) {
    out->moments = prepared_moments<float>(frame, choice, out->units, context);
  } else {
    out->moments = prepared_moments<double>(frame, choice, out->units, context);
  }
  return out;
}

TupleSummary answer_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleSums& sums,
                           const Acceptance& acceptance, const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                           const base::Context& context) {
  TupleSummary summary = empty_summary(problem, frame, sums.choice);
  HeadProblem queries = frame.problem;
  queries.queries = problem.queries;
  const EvaluationSummary found = std::visit(
      [&](const auto& moments) {
        return evaluate_rows(queries, sums.units, frame.values, moments, acceptance, out, answered, context);
      },
      sums.moments);
  summary.answered = found.answered;
  summary.smallest_denominator = found.smallest_denominator;
  return summary;
}

TupleSummary polynomial_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, const HeadOutputs& out,
                               std::vector<std::uint8_t>& answered, const base::Context& context) {
  TupleSummary summary = empty_summary(problem, frame, choice);
  if (problem.n_q() == 0 || hopeless(frame, choice)) {
    return summary;
  }
  if (frame.everything_seen) {
    return answer_tuples(problem, frame, *sum_tuples(frame, choice, context), acceptance, out, answered, context);
  }
  const EvaluationSummary found = sliding_rows(problem, frame, choice, acceptance, out, answered, context);
  summary.answered = found.answered;
  summary.smallest_denominator = found.smallest_denominator;
  return summary;
}

}  // namespace polyattn::engines
