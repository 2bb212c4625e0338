// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

#include "simd/polynomial_loading.inl"
#include "simd/polynomial_moments.inl"
#include "simd/polynomial_products.inl"
#include "simd/polynomial_rows.inl"
#include "simd/polynomial_scaling.inl"
#include "simd/polynomial_sums.inl"

template <class F>
constexpr PolynomialKernels<typename F::Scalar> polynomial_kernels() noexcept {
  using T = typename F::Scalar;
  return {&place_kernel<T>, &locate_kernel,   &coordinates_kernel<T>, &moments_kernel<F>,
          &weigh_kernel<F>, &scale_kernel<T>, &evaluate_kernel<F>,    &choose_kernel,
          &certify_kernel,  &finish_kernel,   &complete_kernel};
}
