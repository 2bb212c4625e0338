#pragma once

/// The sums over one set of keys that slide along with the rows.

#include "engines/polynomial/moments.hpp"
#include "engines/tuples/frame.hpp"
#include "engines/tuples/sliding_features.hpp"
#include "simd/sliding_kernels.hpp"
#include "simd/statistics_kernels.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Keys one after the other.
struct SlidingTokens {
  std::vector<double> features;  ///< [tokens][stride], and some more
  std::vector<double> values;    ///< [tokens][columns]: w v, w, and w |v| with spreads
};

/// Keys that enter and leave before some rows are read, as the kernel takes them.
struct SlidingEvents {
  std::vector<std::ptrdiff_t> first;  ///< [rows + 1]
  SlidingTokens tokens;               ///< one an event
  std::vector<std::uint8_t> sound;    ///< [rows] 1 where the weight ever added and taken away is not too much
};

class SlidingSums {
 public:
  /// `most` rows and some 64 keys more are brought in at a time.
  SlidingSums(const TupleSet& set, const SlidingFeatures& features, const FeatureList& list, std::int64_t most,
              base::MemoryMeter* memory);

  /// Brings in and takes away whatever lies between the keys summed and [range.first, range.last), as long as that
  /// is more than a row's worth; begins anew where that is cheaper or where rounding has piled up.
  void approach(KeyRange range, const simd::SlidingKernels& kernels);
  /// The events that make the sums those of ranges[i] before row i is read. The sums are scaled for them; the kernel
  /// carries them out.
  const SlidingEvents& advance(const std::vector<KeyRange>& ranges);

  [[nodiscard]] double* sums() noexcept { return sums_.data(); }
  /// The weights are relative to 2^exponent.
  [[nodiscard]] double exponent() const noexcept { return exponent_; }

 private:
  void clear(std::int64_t at) noexcept;
  void raise_unit(std::int64_t first, std::int64_t last) noexcept;
  /// Keys [first, last) of the set, at most what scratch holds, as features and values.
  using Tokens = SlidingTokens;
  void load(std::int64_t first, std::int64_t last, double sign, Tokens& out);
  void count(double weight) noexcept;
  void add_many(std::int64_t first, std::int64_t last, double sign, const simd::SlidingKernels& kernels);

  const TupleSet& set_;
  const SlidingFeatures& features_;
  const FeatureList& list_;
  std::int64_t most_;
  MomentScratch<double> scratch_;
  const simd::StatisticsKernels& statistics_;
  base::Buffer<double> sums_;  ///< [columns][stride]
  KeyRange summed_;
  double exponent_ = 0.0;
  bool any_ = false;     ///< a key that is not hidden was summed since sums began
  bool taken_ = false;   ///< a key was taken away since
  double ever_ = 0.0;    ///< weight added and taken away since, and
  double weight_ = 0.0;  ///< what is left
  std::int64_t events_ = 0;
  Tokens entering_;
  Tokens leaving_;
  SlidingEvents out_;
};

/// Sums begin anew once the weight ever added and taken away is more than kWorn times what there is, or after this many
/// events, or four for each key of the window if that is more. Rows for which it is more than kWornOut times in any set
/// are not answered.
inline constexpr double kWorn = 32.0;
inline constexpr double kWornOut = 256.0;
inline constexpr std::int64_t kWornEvents = 512;
/// Most rows that are advanced at a time.
inline constexpr std::int64_t kSlidingRows = 64;

}  // namespace polyattn::engines
