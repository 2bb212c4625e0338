#pragma once

/// Key side of Algorithm 1 of [AS23]: the sums S[alpha][c] = sum_j w_j x_j^alpha (v_jc - mu_c) and, in the last column,
/// sum_j w_j x_j^alpha. U_2 is never formed; keys stream through in blocks with float64 totals.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/polynomial/features.hpp"
#include "engines/polynomial/frame.hpp"
#include "simd/kernels.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// What is known of the values of the visible keys, per column.
struct ValueRange {
  std::vector<double> low;
  std::vector<double> high;
  std::vector<double> centre;  ///< mu: near the mean; any number is correct
  double max_abs = 0.0;
  std::vector<double> mean{};  ///< of all values, where no key has a bias; else empty
  [[nodiscard]] double range() const noexcept;
};

/// Sums over a set of keys in float64. `absolute[c]` = sum w |v_c - mu_c|, `square[c]` = sum w (v_c - mu_c)^2, each as
/// computed (relative error below gamma_40(u)).
struct MomentTotals {
  std::int64_t keys = 0;        ///< keys summed, hidden ones included
  base::Buffer<double> totals;  ///< as FeatureList lays them out
  std::vector<double> absolute;
  std::vector<double> square;
};
MomentTotals make_totals(const FeatureList& features, base::MemoryMeter* memory);

/// Keys per partial sum: whole blocks are summed apart and joined in order, so the totals do not depend on threads.
inline constexpr std::int64_t kMomentChunk = 8 * simd::kMomentBlock;

/// Least keys of a block under a causal mask.
inline constexpr std::int64_t kCausalBlock = 128;

/// Scratch of one thread.
template <class T>
struct MomentScratch {
  MomentScratch(const FeatureList& features, std::int64_t tokens, base::MemoryMeter* memory);
  std::int64_t tokens;  ///< of a block: a multiple of 16, at most kMomentBlock
  base::Buffer<T> x;
  base::Buffer<T> weight;
  base::Buffer<T> centred;
  base::Buffer<T> rows;         ///< [row_count][tokens]
  base::Buffer<T> monomials;    ///< suffixes or groups of a walk
  std::vector<double> columns;  ///< of keys or values in float64
};

/// Coordinates x [dim][tokens] and centred values [value_dim][tokens] of keys [first, first + count), count <=
/// scratch.tokens, into the scratch; zeros for hidden keys and beyond the last.
template <class T>
void load_moment_block(const HeadProblem& problem, const Frame& frame, const ValueRange& values, std::int64_t first,
                       std::int64_t count, MomentScratch<T>& scratch);
/// Adds the keys that load_moment_block loaded, with weights exp(log_weight - shift).
template <class T>
void add_loaded_block(const Frame& frame, const FeatureList& features, std::int64_t first, std::int64_t count,
                      double shift, MomentScratch<T>& scratch, MomentTotals& totals);
/// Both.
template <class T>
void add_moment_block(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                      const FeatureList& features, std::int64_t first, std::int64_t count, double shift,
                      MomentScratch<T>& scratch, MomentTotals& totals);

/// Sums over keys [first, n_kv) with weights exp(log_weight - frame.log_scale), added to `totals`.
template <class T>
void sum_moments(const HeadProblem& problem, const Frame& frame, const ValueRange& values, const FeatureList& features,
                 std::int64_t first, const base::Context& context, MomentTotals& totals);

/// Work units of one key or one query (score pairs x 1 fused multiply-add), for progress.
double moment_work(const FeatureList& features) noexcept;

}  // namespace polyattn::engines
