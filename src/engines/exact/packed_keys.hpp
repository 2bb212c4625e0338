#pragma once

/// Keys, values and log-weights of one head in the order the exact kernels read them, packed once and used by every
/// query. Memory n (d + d_v) elements of T, n rounded up to 128, and n more where there are biases.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/exact/key_source.hpp"
#include "engines/exact/key_statistics.hpp"
#include "engines/exact/packed_bias.hpp"
#include "engines/exact/tile_mask.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

template <class T>
struct PackedKeys {
  std::int64_t count = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t blocks = 0;
  base::Buffer<T> keys;                     ///< [blocks][16][dim][8]
  base::Buffer<T> values;                   ///< [blocks], each as ExactBlock::values
  PackedBias<T> biases;                     ///< scores here are smaller by its shift
  std::vector<std::uint8_t> finite_values;  ///< [blocks]
  double value_scale = 1.0;                 ///< packed values times this power of two are the values
  KeyStatistics statistics;

  [[nodiscard]] double shift() const noexcept { return biases.shift(); }
  [[nodiscard]] simd::ExactBlock<T> block(std::int64_t b) const noexcept;
  [[nodiscard]] BlockFacts facts(std::int64_t b) const noexcept;
};

/// Packs the keys of a head that some row of the problem may see by position. Where the problem says so, throws Error
/// (non_finite) naming the tensor and the position of the first NaN or infinity among the visible keys (keys before
/// values); a bias that is NaN or +inf always throws.
template <class T>
PackedKeys<T> pack_keys(const HeadProblem& problem, const base::Context& context);

template <class T>
PackedKeys<T> pack_matrix(const KeyMatrix<T>& matrix, const base::Context& context);

/// What pack_keys does before it looks at keys: biases in natural units, none if there are none, checked.
base::Buffer<double> checked_bias(const HeadProblem& problem, const base::Context& context);
/// Throws Error (non_finite) naming the first NaN or infinity.
[[noreturn]] void fail_at(const HeadProblem& problem, const Position& bad);

/// Values beyond it are packed smaller, so that sums over a superblock stay finite.
template <class T>
constexpr double kLargestValue = sizeof(T) == sizeof(float) ? 0x1p100 : 0x1p1000;

/// Bytes that packing `n_kv` keys allocates.
std::int64_t packed_bytes(std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, std::int64_t element);

extern template struct PackedKeys<float>;
extern template struct PackedKeys<double>;

}  // namespace polyattn::engines
