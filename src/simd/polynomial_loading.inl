// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

template <class T>
double locate_kernel(const LocateBlock<T>& block) noexcept {
  const F64 infinite = F64::set(__builtin_inf());
  F64 poison = F64::zero();
  for (std::ptrdiff_t i = 0; i < block.tokens; i += F64::width) {
    F64 norm = F64::set(block.least);
    F64 box = norm;
    F64 inside = F64::set(1.0);
    for (std::ptrdiff_t l = 0; l < block.dim; ++l) {
      double* x = block.x + l * block.tokens + i;
      const F64 given = F64::load(x);
      poison = fma(given, F64::zero(), poison);
      const F64 centred = given - F64::set(block.centre[l]);
      centred.store(x);
      const F64 away = abs(centred);
      const F64 weighted = F64::set(__builtin_fabs(block.metric[l])) * away;
      inside = select_less(F64::set(block.half[l]), away, F64::zero(), inside);
      norm = norm + weighted * away;
      box = box + weighted * F64::set(block.reach[l]);
    }
    norm = sqrt(norm) * F64::set(1.0 + 1e-6);
    const F64 radius = min(box * F64::set(1.0 + 1e-6), norm * F64::set(block.key_norm));
    inside = select_less(F64::set(block.limit), radius, F64::zero(), inside);
    inside = select_less(radius, infinite, inside, F64::zero());  // nor where it is not a number
    norm.store(block.norm + i);
    radius.store(block.radius + i);
    radius.store(block.box + i);
    inside.store(block.inside + i);
    for (std::ptrdiff_t l = 0; l < block.dim; ++l) {
      const F64 y = F64::load(block.x + l * block.tokens + i) * F64::set(block.factor[l]);
      store_as(select_less(F64::zero(), inside, y, F64::zero()), block.y + l * block.tokens + i);
    }
  }
  return sum(poison);
}

/// A plain loop over independent rows: compilers turn it into vector code, whose bits are the same everywhere.
inline void complete_kernel(const CompleteBlock& block) noexcept {
  const double* __restrict box = block.box;
  const double* __restrict lost = block.lost;
  const double* __restrict low = block.denominator_low;
  const double* __restrict largest = block.largest;
  double* __restrict approximation = block.approximation;
  double* __restrict rounding = block.rounding;
  double* __restrict storage = block.storage;
  const StoreLoss with = block.stored;
  const StoreLoss apart = block.stored_apart;
  constexpr double kUp = 1.0 + 1e-12;
  for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
    const double half = 0.5 * (block.score * box[i] + block.moved);
    const double movement = half < 1.0 ? half : 1.0;
    const double size = largest[i];
    const double stored = size <= with.most ? with.unit * size + with.least : __builtin_inf();
    const double answer = block.answer_unit * (size + block.answer_largest);
    rounding[i] = (rounding[i] + block.range * (movement + lost[i] / low[i]) + answer + stored) * kUp;
    storage[i] = size <= apart.most ? apart.unit * size + apart.least : __builtin_inf();
    approximation[i] *= kUp;
  }
}
