#pragma once

/// Sums over keys that more keys are added to, in the frame they were made in (docs/theory.md, section 11). Centres and
/// scales of coordinates stay; what can only grow with a key, its extents, radius and weights, grows. Old keys are not
/// read. Cost: as for a set of the new keys alone, and one pass over the sums.

#include "engines/polynomial/features.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/moments.hpp"

#include <cstdint>
#include <optional>

namespace polyattn::engines {

/// The unit that weights are measured in is exp(log_scale) of the frame; it moves by powers of two from where the frame
/// was made, so that sums move with it exactly.
struct WeightUnit {
  double origin = 0.0;  ///< log_scale when the frame was made
  double steps = 0.0;   ///< whole: log_scale = origin + steps ln 2, as rounded
  double error = 0.0;   ///< weight_error of the frame but for that rounding
};
WeightUnit weight_unit(const FrameShape& frame) noexcept;

/// The frame of all keys, with the log weights of those that are added alone; keys beyond the cut are hidden, and rows
/// charged for them.
struct GrownFrame {
  Frame frame;
  WeightUnit unit;
  double factor = 1.0;  ///< that old sums are to be multiplied with: a power of two, or 0
};
/// Nothing if the frame cannot carry the keys: their coordinates exceed its scales, or a number its range. Then the
/// keys want a frame of their own, made for all. `added` are the new keys; Error (non_finite) if a visible one is not
/// finite. `queries` is the extent that the frame was made for.
std::optional<GrownFrame> grow_frame(const FrameShape& frame, const WeightUnit& unit, const QueryExtent& queries,
                                     const HeadProblem& added, const base::Context& context);

/// Old sums in the new unit, and those of the added keys. `keys` of the result is a bound that makes the rounding model
/// right for any number of calls.
template <class T>
MomentTotals add_keys(const MomentTotals& old, const HeadProblem& added, const GrownFrame& grown,
                      const ValueRange& values, const FeatureList& features, const base::Context& context);

}  // namespace polyattn::engines
