#include "planning/reach.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace polyattn::planning {
namespace {

using base::usize;

/// Below it a low degree is enough as things are.
constexpr double kSmallRadius = 1.5;
/// A reach is worth a try if it lowers the radius by this factor against the one before.
constexpr double kGain = 0.9;
constexpr std::array kShares{1.0, 0.998, 0.99, 0.98, 0.95, 0.9, 0.8, 0.6};

/// |q - qc| of some four thousand rows, evenly spaced, ascending; the last is that of the farthest row of all.
std::vector<double> query_norms(const engines::HeadProblem& problem, const engines::Frame& frame, double largest) {
  constexpr std::int64_t kSample = 4096;
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_q() / kSample);
  std::vector<double> norms;
  std::vector<double> row(usize(frame.dim()));
  for (std::int64_t i = stride / 2; i < problem.n_q(); i += stride) {
    base::load_rows(problem.queries, i, 1, row.data(), frame.dim());
    const double square = engines::centred_square(frame.metric, row.data(), frame.query_centre);
    norms.push_back(engines::metric_norm(square, row.size()));
  }
  std::sort(norms.begin(), norms.end());
  norms.push_back(largest);
  return norms;
}

/// Fewest shells that leave out no more than `mass` for a row of this norm.
std::size_t shells_needed(const engines::KeyShells& keys, double norm, double mass) noexcept {
  std::size_t kept = keys.shells.size();
  double left_out = 0.0;
  while (kept > 1) {
    const engines::KeyShell& shell = keys.shells[kept - 1];
    left_out += std::exp(shell.log_mass + norm * shell.norm);
    if (!(left_out <= mass)) {
      break;
    }
    --kept;
  }
  return kept;
}

}  // namespace

bool may_leave_out(const engines::HeadProblem& problem, const engines::Frame& frame) noexcept {
  return !problem.mask.causal && std::isfinite(frame.radius) && frame.radius > kSmallRadius;
}

std::vector<Reach> reaches(const engines::HeadProblem& problem, const engines::Frame& frame,
                           const engines::QueryExtent& extent, const engines::KeyShells& keys, double allowed,
                           bool domain) {
  std::vector<Reach> out;
  double mass = 0.0;
  for (const engines::KeyShell& shell : keys.shells) {
    mass += std::exp(shell.log_mass);
  }
  const bool shelled = mass > 0.0 && std::isfinite(mass);
  const std::vector<double> norms = domain ? std::vector{extent.norm} : query_norms(problem, frame, extent.norm);
  double radius = norms.back() * frame.key_norm;
  for (const double share : kShares) {
    const double norm = norms[usize(std::llround(share * static_cast<double>(norms.size() - 1)))];
    const std::size_t kept = shelled ? shells_needed(keys, norm, allowed * mass) : keys.shells.size();
    const double reached = norm * (shelled ? keys.shells[kept - 1].norm : frame.key_norm);
    if (reached < kGain * radius) {
      out.push_back({kept, share});
      radius = reached;
    }
    if (domain) {
      break;
    }
  }
  return out;
}

}  // namespace polyattn::planning
