#include "planning/chosen.hpp"

#include "base/error.hpp"

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

}  // namespace polyattn::planning
