/// The kernels compiled for one instruction set.

#include "simd/kernels.hpp"
#include "simd/lanes_neon.hpp"

namespace polyattn::simd::neon {
namespace {
#include "simd/exact_kernels.inl"
#include "simd/grid_kernels.inl"
#include "simd/loading.inl"
#include "simd/polynomial_kernels.inl"
#include "simd/sliding_kernels.inl"
#include "simd/statistics.inl"
#include "simd/streaming_kernels.inl"
}  // namespace
}  // namespace polyattn::simd::neon

namespace polyattn::simd {

const KernelTable kNeonKernels{
    "neon",
    neon::exact_kernels<neon::F32>(),
    neon::exact_kernels<neon::F64>(),
    neon::polynomial_kernels<neon::F32>(),
    neon::polynomial_kernels<neon::F64>(),
    neon::statistics_kernels(),
    neon::loading_kernels(),
    neon::streaming_kernels(),
    neon::grid_kernels(),
    neon::sliding_kernels(),
};

}  // namespace polyattn::simd
