#include "lab/best_polynomial.hpp"

#include <cmath>

namespace polyattn::lab {

const Candidate* best_polynomial(const HeadPlan& head) noexcept {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : head.candidates) {
    const bool serves = candidate.engine == Engine::polynomial && candidate.degree >= 0 &&
                        candidate.fallback_share < 0.5 && std::isfinite(candidate.seconds);
    if (serves && (best == nullptr || candidate.seconds < best->seconds)) best = &candidate;
  }
  return best;
}

}  // namespace polyattn::lab
