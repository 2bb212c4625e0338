/// The kernels compiled for one instruction set.

#include "simd/kernels.hpp"
#include "simd/lanes_avx2.hpp"

namespace polyattn::simd::avx2 {
namespace {
#include "simd/exact_kernels.inl"
#include "simd/grid_kernels.inl"
#include "simd/loading.inl"
#include "simd/polynomial_kernels.inl"
#include "simd/sliding_kernels.inl"
#include "simd/statistics.inl"
#include "simd/streaming_kernels.inl"
}  // namespace
}  // namespace polyattn::simd::avx2

namespace polyattn::simd {

const KernelTable kAvx2Kernels{
    "avx2",
    avx2::exact_kernels<avx2::F32>(),
    avx2::exact_kernels<avx2::F64>(),
    avx2::polynomial_kernels<avx2::F32>(),
    avx2::polynomial_kernels<avx2::F64>(),
    avx2::statistics_kernels(),
    avx2::loading_kernels(),
    avx2::streaming_kernels(),
    avx2::grid_kernels(),
    avx2::sliding_kernels(),
};

}  // namespace polyattn::simd
