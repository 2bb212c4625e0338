// Included inside the namespace of one instruction set, after its lanes. See exact_kernels.hpp.

#include "simd/exact_functions.inl"
//
#include "simd/exact_tile.inl"
//
#include "simd/exact_rows.inl"
#include "simd/exact_totals.inl"
//
#include "simd/exact_packing.inl"

template <class F>
constexpr ExactKernels<typename F::Scalar> exact_kernels() noexcept {
  using T = typename F::Scalar;
  return {&absorb_block<F>,    &flush_tile<F>,    &absorb_row<F>,      &flush_row<F>,       &divide_tile,
          &row_squares<F>,     &column_ranges<F>, &interleave_rows<F>, &pack_value_rows<T>, &measure_query_row,
          &pack_query_rows<T>, &mask_pairs<F>,    &mask_ranges<F>};
}
