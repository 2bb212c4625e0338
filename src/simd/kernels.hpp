#pragma once

/// The kernels of one instruction set as a table of functions, so that the rest of the library is compiled for the
/// baseline processor. Each instruction set compiles the .inl files over its own lanes.

#include "simd/exact_kernels.hpp"
#include "simd/grid_kernels.hpp"
#include "simd/loading_kernels.hpp"
#include "simd/polynomial_kernels.hpp"
#include "simd/sliding_kernels.hpp"
#include "simd/statistics_kernels.hpp"
#include "simd/streaming_kernels.hpp"

namespace polyattn::simd {

struct KernelTable {
  const char* name;  ///< "avx512", "avx2", "neon", "scalar"
  ExactKernels<float> exact32;
  ExactKernels<double> exact64;
  PolynomialKernels<float> polynomial32;
  PolynomialKernels<double> polynomial64;
  StatisticsKernels statistics;
  LoadingKernels loading;
  StreamingKernels streaming;
  GridKernels grid;
  SlidingKernels sliding;
};

extern const KernelTable kScalarKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kNeonKernels;

}  // namespace polyattn::simd
