#pragma once

/// The best multiply-add rate one core reaches: independent chains of fused multiply-adds that never leave registers,
/// in the widest instruction set the processor has or in 256-bit registers. What a share of peak is a share of.

namespace polyattn::bench {

enum class FmaWidth {
  widest,    ///< the widest registers the processor has
  bits_256,  ///< those of AVX2, whatever else there is
};

/// Floating-point operations a second (two per multiply-add): the best of four bursts of about 2 ms, short enough that
/// one of them is likely to have the core for itself. T is float or double.
template <class T>
double fma_peak(FmaWidth width = FmaWidth::widest);

/// The widest: "avx512f", "avx2+fma", "neon", or "baseline" where only a multiplication and an addition apart are
/// known.
const char* fma_instruction_set();

}  // namespace polyattn::bench
