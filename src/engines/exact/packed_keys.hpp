#pragma once

/// Keys, values and log-weights of one head in the order the exact kernels read them, packed once and used by every
/// query. Memory n (d + d_v + 1) elements of T, n rounded up to 128.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/problem.hpp"
#include "simd/exact_kernels.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

/// What the bounds need to know about the visible keys (bias not -inf) of a head. Plain numbers, so that a planner can
/// fill them in from a statistics pass of its own.
struct KeyStatistics {
  std::int64_t keys = 0;  ///< all keys, hidden ones included
  std::int64_t visible = 0;
  std::int64_t first_visible = std::numeric_limits<std::int64_t>::max();
  double max_norm = 0.0;                                            ///< at least max_j |k_j|
  std::vector<double> key_min;                                      ///< [d]; +inf where no key is visible
  std::vector<double> key_max;                                      ///< [d]; -inf where no key is visible
  std::vector<double> value_min;                                    ///< [d_v]
  std::vector<double> value_max;                                    ///< [d_v]
  double smallest_value = std::numeric_limits<double>::infinity();  ///< smallest non-zero |v|
  double bias_min = std::numeric_limits<double>::infinity();        ///< natural units, visible keys
  double bias_max = -std::numeric_limits<double>::infinity();
  /// Largest distance of a bias below the largest of its key block, natural units; when unknown bias_max - bias_min is
  /// always right.
  double bias_spread = 0.0;
  bool keys_exact = true;    ///< the arithmetic type holds every key exactly
  bool values_exact = true;  ///< and every value
  bool finite = true;        ///< keys and values are finite, in storage and in the arithmetic type
};

template <class T>
struct PackedKeys {
  std::int64_t count = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t blocks = 0;
  base::Buffer<T> keys;                     ///< [blocks][16][dim][8]
  base::Buffer<T> values;                   ///< [blocks], each as ExactBlock::values
  base::Buffer<T> bias;                     ///< [blocks][128] log2 units, relative to shift + offsets[block]
  base::Buffer<T> offsets;                  ///< [blocks] whole numbers
  double shift = 0.0;                       ///< whole number, log2 units: scores here are this much smaller
  std::vector<std::uint8_t> any_visible;    ///< [blocks]
  std::vector<std::uint8_t> finite_values;  ///< [blocks]
  double value_scale = 1.0;                 ///< packed values times this power of two are the values
  KeyStatistics statistics;

  [[nodiscard]] simd::ExactBlock<T> block(std::int64_t b) const noexcept;
};

/// Packs the keys of a head. Where the problem says so, throws Error (non_finite) naming the tensor and the position of
/// the first NaN or infinity among the visible keys (keys before values); a bias that is NaN or +inf always throws.
template <class T>
PackedKeys<T> pack_keys(const HeadProblem& problem, const base::Context& context);

/// Row-major keys [count, dim] and values [count, value_dim] of the arithmetic type itself, all finite, with natural
/// log-weights (null: 0; -inf hides a key).
template <class T>
struct KeyMatrix {
  const T* keys = nullptr;
  std::int64_t key_stride = 0;
  const T* values = nullptr;
  std::int64_t value_stride = 0;
  const double* bias = nullptr;
  std::int64_t count = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
};
template <class T>
PackedKeys<T> pack_matrix(const KeyMatrix<T>& matrix, const base::Context& context);

/// Bytes that packing `n_kv` keys allocates.
std::int64_t packed_bytes(std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, std::int64_t element);

extern template struct PackedKeys<float>;
extern template struct PackedKeys<double>;

}  // namespace polyattn::engines
