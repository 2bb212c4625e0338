// The exact engine as a candidate, with its a-priori bound where extents are known.

#include "base/error.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/exact.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What the exact engine's a-priori bound needs, from the statistics pass of the polynomial engine.
engines::KeyStatistics key_statistics(const engines::HeadProblem& problem, const engines::Frame& frame,
                                      const engines::ValueRange& values, bool single) {
  engines::KeyStatistics keys;
  keys.keys = problem.n_kv();
  keys.visible = frame.visible_keys;
  keys.first_visible = 0;
  double square = 0.0;
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    keys.key_min.push_back(frame.key_centre[l] - frame.key_half[l]);
    keys.key_max.push_back(frame.key_centre[l] + frame.key_half[l]);
    const double far = std::fabs(frame.key_centre[l]) + frame.key_half[l];
    square += far * far;
  }
  keys.max_norm = std::sqrt(square);
  keys.value_min = values.low;
  keys.value_max = values.high;
  keys.smallest_value = 0x1p-100;  // not known here; matters below the normal range only
  keys.bias_min = 0.0;
  keys.bias_max = 0.0;
  if (problem.has_bias()) {
    std::vector<double> bias(usize(problem.n_kv()));
    engines::load_bias(problem, 0, problem.n_kv(), bias.data());
    keys.bias_min = kInfinity;
    keys.bias_max = -kInfinity;
    for (const double b : bias) {
      if (b != -kInfinity) {
        keys.bias_min = std::min(keys.bias_min, b);
        keys.bias_max = std::max(keys.bias_max, b);
      }
    }
    keys.bias_spread = std::max(0.0, keys.bias_max - keys.bias_min);
  }
  keys.keys_exact = !single || base::fits_float32(problem.keys);
  keys.values_exact = !single || base::fits_float32(problem.values);
  return keys;
}

engines::QueryStatistics query_statistics(const engines::HeadProblem& problem, const engines::QueryExtent& extent,
                                          bool single) {
  engines::QueryStatistics queries;
  double square = 0.0;
  for (std::size_t l = 0; l < extent.centre.size(); ++l) {
    queries.query_min.push_back(extent.centre[l] - extent.half[l]);
    queries.query_max.push_back(extent.centre[l] + extent.half[l]);
    const double far = std::fabs(extent.centre[l]) + extent.half[l];
    square += far * far;
  }
  queries.max_norm = std::sqrt(square);
  queries.queries_exact = !single || base::fits_float32(problem.queries);
  return queries;
}

engines::ScoreFacts score_facts(const engines::HeadProblem& problem) noexcept {
  return {problem.soft_cap, !problem.mask.from_first(), problem.pairs.additive.data != nullptr};
}

}  // namespace

void Planner::exact_candidates(const engines::Frame* frame, const engines::QueryExtent* extent,
                               const engines::ValueRange* values) {
  if (request.engine == Engine::reference) {
    Candidate reference;
    reference.engine = Engine::reference;
    reference.arithmetic = Arithmetic::float64;
    reference.seconds = cost.exact_seconds(problem, pairs, Arithmetic::float64) * 30.0;
    reference.usable = true;
    reference.reason = "textbook loops, asked for by name";
    plan().candidates.push_back(reference);
    return;
  }
  for (const Arithmetic arithmetic : arithmetics(request)) {
    const bool single = arithmetic == Arithmetic::float32;
    Candidate exact;
    exact.engine = Engine::exact;
    exact.arithmetic = arithmetic;
    exact.seconds = cost.exact_seconds(problem, pairs, arithmetic);
    exact.bytes =
        static_cast<double>(engines::exact_bytes(problem.n_q() * problem.sharing, problem.n_kv(), problem.dim(),
                                                 problem.value_dim(), context.threads, single ? 4 : 8));
    exact.usable = true;
    exact.predicted_bound = kInfinity;
    if (request.tolerance.value == 0.0) {
      const bool native = request.arithmetic != Arithmetic::automatic || single == request.native_float32;
      exact.usable = native;
      exact.reason = native ? "tolerance 0 asks for exact in the input's own type" : "not the input's own type";
    } else if (frame != nullptr) {
      const auto keys = key_statistics(problem, *frame, *values, single);
      const auto asked = query_statistics(problem, *extent, single);
      const engines::ScoreFacts facts = score_facts(problem);
      const auto bound = single ? engines::exact_bound<float>(problem.score, keys, asked, request.output, facts)
                                : engines::exact_bound<double>(problem.score, keys, asked, request.output, facts);
      exact.predicted_bound = bound.rounding;
      exact.a_priori_bound = facts.pairs ? kInfinity : bound.rounding;  // of masks over pairs nothing was looked at
      const bool meets = bound.rounding <= plan().tolerance && (plan().tolerance > 0.0 || !single);
      exact.usable = meets || !single;
      exact.reason = meets ? "rounding bound meets the tolerance"
                           : "rounding bound " + base::text(bound.rounding) + " exceeds the tolerance";
    } else {
      exact.reason = single ? "used where its rounding bound, known once keys are packed, meets the tolerance"
                            : "used for rows where float32 does not meet the tolerance";
    }
    plan().candidates.push_back(exact);
  }
}

}  // namespace polyattn::planning
