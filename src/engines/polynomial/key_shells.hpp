#pragma once

/// Keys by their distance from the centre. Where weights fall off faster than scores grow, as in kernel smoothing, the
/// farthest keys decide the radius of the scores and carry next to none of the mass. Such keys may be left out: what a
/// row loses by that is charged to it (docs/theory.md, section 5), and the radius is that of the keys that stay.

#include "base/memory.hpp"
#include "engines/polynomial/frame.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Visible keys of about the same norm.
struct KeyShell {
  double norm = 0.0;           ///< upper bound of theirs, in the metric
  double log_mass = 0.0;       ///< upper bound of log sum exp(log_weight - log_scale)
  double square = 0.0;         ///< largest norm squared, as computed
  std::int64_t farthest = 0;   ///< the key it belongs to
  std::vector<double> half{};  ///< max |k_l - kc_l| per axis
};

struct KeyShells {
  std::vector<KeyShell> shells;  ///< by ascending norm; a dozen an octave at most
  base::Buffer<double> square;   ///< of each key as computed, -1 where hidden
};

/// Cost: one pass over K with an exponential for every key.
KeyShells key_shells(const HeadProblem& problem, const Frame& frame, const base::Context& context);

/// Upper bound of sum w_j exp(norm rho_j) over the keys of shells from `first` on.
double far_mass(const KeyShells& keys, std::size_t first, double norm) noexcept;

/// Leaves shells from `first` on out of what the frame knows of the keys: extents, scales, radius, and what rows are
/// charged. `frame` has its queries' extent. May be called again with any `first`.
void leave_out(Frame& frame, const QueryExtent& extent, const KeyShells& keys, std::size_t first);

/// Makes that final: keys left out weigh nothing from here on.
void hide_far_keys(Frame& frame, const KeyShells& keys) noexcept;

}  // namespace polyattn::engines
