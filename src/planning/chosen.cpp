#include "planning/chosen.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::planning {

std::string share_of_exact(const HeadPlan& plan) {
  return base::text(std::round(1000.0 * plan.predicted_seconds / plan.exact_seconds) / 10.0) +
         " % of the predicted time of exact";
}

void choose(HeadPlan& plan, Candidate candidate, const std::string& what, const std::string& how) {
  for (Candidate& other : plan.candidates) {
    other.reason += other.chosen ? "; dearer than " + what : "";
    other.chosen = false;
  }
  candidate.kind = CertificateKind::certified;
  candidate.a_priori_bound = candidate.papers_bound = std::numeric_limits<double>::infinity();
  candidate.usable = candidate.chosen = true;
  plan.engine = candidate.engine;
  plan.kind = candidate.kind;
  plan.arithmetic = candidate.arithmetic;
  plan.degree = candidate.degree;
  plan.rank = candidate.rank;
  plan.predicted_seconds = candidate.seconds;
  plan.predicted_bytes = candidate.bytes;
  plan.predicted_bound = candidate.predicted_bound;
  plan.fallback_share = candidate.fallback_share;
  plan.why = "certifies the tolerance at " + share_of_exact(plan) + ", " + how;
  plan.candidates.push_back(std::move(candidate));
}

void choose_cheapest(HeadPlan& plan, Engine asked) {
  Candidate* best = nullptr;
  for (Candidate& candidate : plan.candidates) {
    const bool allowed = asked == Engine::automatic || candidate.engine == asked;
    if (candidate.usable && allowed && (best == nullptr || candidate.seconds < best->seconds)) {
      best = &candidate;
    }
  }
  if (best == nullptr) {
    base::fail(ErrorCode::not_reachable, "engine", "one that can serve this head",
               std::string(name_of(asked)) + ", which cannot");
  }
  best->chosen = true;
  plan.engine = best->engine;
  plan.arithmetic = best->arithmetic;
  plan.degree = best->degree;
  plan.rank = best->rank;
  plan.predicted_seconds = best->seconds;
  plan.predicted_bytes = best->bytes;
  plan.predicted_bound = best->predicted_bound;
  plan.fallback_share = best->engine == Engine::polynomial ? best->fallback_share : 1.0;
  plan.kind = best->kind;
  for (Candidate& candidate : plan.candidates) {
    if (!candidate.chosen && candidate.usable) {
      candidate.reason += best->engine == candidate.engine || asked == Engine::automatic ? "; dearer than the choice"
                                                                                         : "; not asked for";
    }
  }
}

void spread_over_threads(HeadPlan& plan, int threads) noexcept {
  const double share = std::max(1, threads);
  plan.predicted_seconds /= share;
  plan.exact_seconds /= share;
  for (Candidate& candidate : plan.candidates) {
    candidate.seconds /= share;
  }
}

}  // namespace polyattn::planning
