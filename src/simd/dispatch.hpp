#pragma once

/// Which kernels run: the best the processor has, or the one named by POLYATTN_ISA.

#include "simd/kernels.hpp"

#include <vector>

namespace polyattn::simd {

/// Kernels this build contains and this processor can run, best first.
const std::vector<const KernelTable*>& available();
/// The table in use. The environment is read at every call: tests switch it. Throws Error (invalid_argument) if
/// POLYATTN_ISA names none that can run here.
const KernelTable& kernels();

}  // namespace polyattn::simd
