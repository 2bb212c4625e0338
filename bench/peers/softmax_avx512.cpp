#include "peers/softmax_rows.hpp"

#include <immintrin.h>

namespace polyattn::bench::peers {

namespace {

using V = __m512;
constexpr std::int64_t kLanes = 16;

inline V load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, V x) { _mm512_storeu_ps(to, x); }
inline V set(float x) { return _mm512_set1_ps(x); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V subtract(V a, V b) { return _mm512_sub_ps(a, b); }
inline V multiply(V a, V b) { return _mm512_mul_ps(a, b); }
inline V maximum(V a, V b) { return _mm512_max_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline V nearest(V x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline V times_power_of_2(V x, V whole) { return _mm512_scalef_ps(x, whole); }
inline float largest(V x) { return _mm512_reduce_max_ps(x); }
inline float total(V x) { return _mm512_reduce_add_ps(x); }

#include "peers/softmax_rows.inl"

}  // namespace

const SoftmaxKernels kSoftmaxAvx512{"avx512", weigh, scale};

}  // namespace polyattn::bench::peers
