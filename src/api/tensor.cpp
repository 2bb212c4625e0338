#include "polyattn/tensor.hpp"

#include "base/memory.hpp"

namespace polyattn {

void Tensor::Free::operator()(std::byte* p) const noexcept { base::free_aligned(p); }

Tensor::Tensor(DType dtype, const Shape& shape) : dtype_(dtype), shape_(shape) {
  elements_ = base::checked_product({shape[0], shape[1], shape[2], shape[3]}, "shape");
  base::checked_mul(elements_, static_cast<std::int64_t>(size_of(dtype)), "shape");
  data_.reset(static_cast<std::byte*>(base::allocate_aligned(bytes())));
}

}  // namespace polyattn
