#pragma once

/// The kernels of one arithmetic for the instruction set in use.

#include "simd/dispatch.hpp"

#include <type_traits>

namespace polyattn::engines {

template <class T>
const simd::ExactKernels<T>& exact_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return simd::kernels().exact32;
  } else {
    return simd::kernels().exact64;
  }
}

}  // namespace polyattn::engines
