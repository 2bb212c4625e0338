#include "peers/softmax_rows.hpp"

#include <immintrin.h>

namespace polyattn::bench::peers {

namespace {

using V = __m256;
constexpr std::int64_t kLanes = 8;

inline V load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, V x) { _mm256_storeu_ps(to, x); }
inline V set(float x) { return _mm256_set1_ps(x); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V subtract(V a, V b) { return _mm256_sub_ps(a, b); }
inline V multiply(V a, V b) { return _mm256_mul_ps(a, b); }
inline V maximum(V a, V b) { return _mm256_max_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
inline V nearest(V x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V times_power_of_2(V x, V whole) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), exponent));
}
inline float largest(V x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline float total(V x) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

#include "peers/softmax_rows.inl"

}  // namespace

const SoftmaxKernels kSoftmaxAvx2{"avx2", weigh, scale};

}  // namespace polyattn::bench::peers
