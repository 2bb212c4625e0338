/// The kernels compiled for one instruction set.

#include "simd/kernels.hpp"
#include "simd/lanes_avx512.hpp"

namespace polyattn::simd::avx512 {
namespace {
#include "simd/exact_kernels.inl"
#include "simd/grid_kernels.inl"
#include "simd/loading.inl"
#include "simd/polynomial_kernels.inl"
#include "simd/sliding_kernels.inl"
#include "simd/statistics.inl"
#include "simd/streaming_kernels.inl"
}  // namespace
}  // namespace polyattn::simd::avx512

namespace polyattn::simd {

const KernelTable kAvx512Kernels{
    "avx512",
    avx512::exact_kernels<avx512::F32>(),
    avx512::exact_kernels<avx512::F64>(),
    avx512::polynomial_kernels<avx512::F32>(),
    avx512::polynomial_kernels<avx512::F64>(),
    avx512::statistics_kernels(),
    avx512::loading_kernels(),
    avx512::streaming_kernels(),
    avx512::grid_kernels(),
    avx512::sliding_kernels(),
};

}  // namespace polyattn::simd
