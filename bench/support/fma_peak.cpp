#include "support/fma_peak.hpp"

#include "support/statistics.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace polyattn::bench {

namespace {

// Two units with a latency of 4 cycles need 8 chains, a latency of 5 needs 10. 12 chains and the two factors fit the 16
// registers of AVX2; with AVX-512 there is room for 16, the longest loop g++ unrolls completely, which keeps the chains
// in registers. The chains x <- x * a + b with a < 1 stay near b / (1 - a): neither overflow nor subnormals.
constexpr int kChains = 12;
constexpr int kWideChains = 16;

/// Runs `steps` steps of every chain and returns something that depends on all of them.
template <class T>
using Chains = T (*)(std::int64_t steps, T a, T b);

template <class T>
struct Kernel {
  Chains<T> run;
  std::int64_t flops_per_step;
};

template <class T>
T baseline_chains(std::int64_t steps, T a, T b) {
  constexpr std::size_t width = 16 / sizeof(T) * kChains;
  T x[width];
  for (std::size_t i = 0; i < width; ++i) x[i] = static_cast<T>(i);
  for (std::int64_t s = 0; s < steps; ++s) {
    for (std::size_t i = 0; i < width; ++i) x[i] = x[i] * a + b;
  }
  T sum{};
  for (const T value : x) sum += value;
  return sum;
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) float avx2_chains(std::int64_t steps, float a, float b) {
  const __m256 factor = _mm256_set1_ps(a);
  const __m256 term = _mm256_set1_ps(b);
  __m256 x[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = _mm256_set1_ps(static_cast<float>(i));
  for (std::int64_t s = 0; s < steps; ++s) {
    for (int i = 0; i < kChains; ++i) x[i] = _mm256_fmadd_ps(x[i], factor, term);
  }
  for (int i = 1; i < kChains; ++i) x[0] = _mm256_add_ps(x[0], x[i]);
  return _mm256_cvtss_f32(x[0]);
}

__attribute__((target("avx2,fma"))) double avx2_chains(std::int64_t steps, double a, double b) {
  const __m256d factor = _mm256_set1_pd(a);
  const __m256d term = _mm256_set1_pd(b);
  __m256d x[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = _mm256_set1_pd(i);
  for (std::int64_t s = 0; s < steps; ++s) {
    for (int i = 0; i < kChains; ++i) x[i] = _mm256_fmadd_pd(x[i], factor, term);
  }
  for (int i = 1; i < kChains; ++i) x[0] = _mm256_add_pd(x[0], x[i]);
  return _mm256_cvtsd_f64(x[0]);
}

__attribute__((target("avx512f"))) float avx512_chains(std::int64_t steps, float a, float b) {
  const __m512 factor = _mm512_set1_ps(a);
  const __m512 term = _mm512_set1_ps(b);
  __m512 x[kWideChains];
  for (int i = 0; i < kWideChains; ++i) x[i] = _mm512_set1_ps(static_cast<float>(i));
  for (std::int64_t s = 0; s < steps; ++s) {
    for (int i = 0; i < kWideChains; ++i) x[i] = _mm512_fmadd_ps(x[i], factor, term);
  }
  for (int i = 1; i < kWideChains; ++i) x[0] = _mm512_add_ps(x[0], x[i]);
  return _mm512_cvtss_f32(x[0]);
}

__attribute__((target("avx512f"))) double avx512_chains(std::int64_t steps, double a, double b) {
  const __m512d factor = _mm512_set1_pd(a);
  const __m512d term = _mm512_set1_pd(b);
  __m512d x[kWideChains];
  for (int i = 0; i < kWideChains; ++i) x[i] = _mm512_set1_pd(i);
  for (std::int64_t s = 0; s < steps; ++s) {
    for (int i = 0; i < kWideChains; ++i) x[i] = _mm512_fmadd_pd(x[i], factor, term);
  }
  for (int i = 1; i < kWideChains; ++i) x[0] = _mm512_add_pd(x[0], x[i]);
  return _mm512_cvtsd_f64(x[0]);
}

bool has_avx512() { return __builtin_cpu_supports("avx512f") != 0; }
bool has_avx2() { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }

#elif defined(__aarch64__)

// The widest ARM cores have four units with a latency of 4: 16 chains. The instruction overwrites the addend, so these
// are x <- x + a * b, which stay small enough.
float neon_chains(std::int64_t steps, float a, float b) {
  const float32x4_t factor = vdupq_n_f32(a);
  const float32x4_t term = vdupq_n_f32(b);
  float32x4_t x[kWideChains];
#pragma GCC unroll 16
  for (int i = 0; i < kWideChains; ++i) x[i] = vdupq_n_f32(static_cast<float>(i));
  for (std::int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kWideChains; ++i) x[i] = vfmaq_f32(x[i], factor, term);
  }
#pragma GCC unroll 16
  for (int i = 1; i < kWideChains; ++i) x[0] = vaddq_f32(x[0], x[i]);
  return vgetq_lane_f32(x[0], 0);
}

double neon_chains(std::int64_t steps, double a, double b) {
  const float64x2_t factor = vdupq_n_f64(a);
  const float64x2_t term = vdupq_n_f64(b);
  float64x2_t x[kWideChains];
#pragma GCC unroll 16
  for (int i = 0; i < kWideChains; ++i) x[i] = vdupq_n_f64(i);
  for (std::int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kWideChains; ++i) x[i] = vfmaq_f64(x[i], factor, term);
  }
#pragma GCC unroll 16
  for (int i = 1; i < kWideChains; ++i) x[0] = vaddq_f64(x[0], x[i]);
  return vgetq_lane_f64(x[0], 0);
}

#endif

template <class T>
Kernel<T> best_kernel([[maybe_unused]] FmaWidth width) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
#if defined(__x86_64__)
  if (has_avx512() && width == FmaWidth::widest) return {avx512_chains, 2 * kWideChains * 64 / size};
  if (has_avx2()) return {avx2_chains, 2 * kChains * 32 / size};
#elif defined(__aarch64__)
  return {neon_chains, 2 * kWideChains * 16 / size};
#endif
  return {baseline_chains<T>, 2 * kChains * 16 / size};
}

}  // namespace

template <class T>
double fma_peak(FmaWidth width) {
  const Kernel<T> kernel = best_kernel<T>(width);
  constexpr std::int64_t steps = 1'000'000;  // of 8 cycles
  T a = static_cast<T>(0.999);
  T b = static_cast<T>(0.001);
  benchmark::DoNotOptimize(a);
  benchmark::DoNotOptimize(b);
  double best = 0.0;
  for (int burst = 0; burst < 4; ++burst) {
    const double seconds = seconds_of([&] { benchmark::DoNotOptimize(kernel.run(steps, a, b)); });
    best = std::max(best, static_cast<double>(steps) * static_cast<double>(kernel.flops_per_step) / seconds);
  }
  return best;
}

template double fma_peak<float>(FmaWidth);
template double fma_peak<double>(FmaWidth);

const char* fma_instruction_set() {
#if defined(__x86_64__)
  if (has_avx512()) return "avx512f";
  if (has_avx2()) return "avx2+fma";
#elif defined(__aarch64__)
  return "neon";
#endif
  return "baseline";
}

}  // namespace polyattn::bench
