/// The kernels compiled for one instruction set.

#include "simd/kernels.hpp"
#include "simd/lanes_scalar.hpp"

namespace polyattn::simd::scalar {
namespace {
#include "simd/exact_kernels.inl"
#include "simd/grid_kernels.inl"
#include "simd/loading.inl"
#include "simd/polynomial_kernels.inl"
#include "simd/sliding_kernels.inl"
#include "simd/statistics.inl"
#include "simd/streaming_kernels.inl"
}  // namespace
}  // namespace polyattn::simd::scalar

namespace polyattn::simd {

const KernelTable kScalarKernels{
    "scalar",
    scalar::exact_kernels<scalar::F32>(),
    scalar::exact_kernels<scalar::F64>(),
    scalar::polynomial_kernels<scalar::F32>(),
    scalar::polynomial_kernels<scalar::F64>(),
    scalar::statistics_kernels(),
    scalar::loading_kernels(),
    scalar::streaming_kernels(),
    scalar::grid_kernels(),
    scalar::sliding_kernels(),
};

}  // namespace polyattn::simd
