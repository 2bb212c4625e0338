// Included inside the namespace of one instruction set, after its lanes. See polynomial_kernels.hpp.

// Plain loops over independent rows: compilers turn them into vector code, whose bits are the same everywhere.

template <class T>
void place_kernel(const PlaceBlock<T>& block) noexcept {
  const double* __restrict x = block.x;
  T* __restrict out = block.out;
  for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
    out[i] = static_cast<T>((x[i] - block.centre) * block.factor);
  }
}

/// One coordinate: centred, and what it adds to the squared norm and to the bound by boxes.
inline double locate_column(const LocateBlock& block, std::ptrdiff_t l) noexcept {
  double* __restrict x = block.x + l * block.tokens;
  double* __restrict norm = block.norm;
  double* __restrict box = block.box;
  double* __restrict inside = block.inside;
  const double centre = block.centre[l];
  const double metric = __builtin_fabs(block.metric[l]);
  const double half = block.half[l];
  const double reach = block.reach[l];
  double poison = 0.0;  // NaN as soon as one number is not finite
  for (std::ptrdiff_t i = 0; i < block.count; ++i) {
    poison += 0.0 * x[i];
    x[i] -= centre;
  }
  for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
    const double away = __builtin_fabs(x[i]);
    inside[i] = away <= half ? inside[i] : 0.0;
    norm[i] += metric * away * away;
    box[i] += metric * away * reach;
  }
  return poison;
}

inline double locate_kernel(const LocateBlock& block) noexcept {
  for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
    block.norm[i] = block.least;
    block.box[i] = block.least;
    block.inside[i] = 1.0;
  }
  double poison = 0.0;
  for (std::ptrdiff_t l = 0; l < block.dim; ++l) {
    poison += locate_column(block, l);
  }
  double* __restrict norm = block.norm;
  double* __restrict box = block.box;
  double* __restrict inside = block.inside;
  double* __restrict radius = block.radius;
  for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
    norm[i] = __builtin_sqrt(norm[i]) * (1.0 + 1e-6);
    const double by_norm = norm[i] * block.key_norm;
    const double by_box = box[i] * (1.0 + 1e-6);
    const double least = by_box < by_norm ? by_box : by_norm;
    radius[i] = least;
    box[i] = least;
    inside[i] = least <= block.limit ? inside[i] : 0.0;
  }
  return poison;
}

/// y = centred / scale where the row is inside, else 0.
template <class T>
void coordinates_kernel(const CoordinatesBlock<T>& block) noexcept {
  for (std::ptrdiff_t l = 0; l < block.dim; ++l) {
    const double* __restrict x = block.x + l * block.tokens;
    const double* __restrict inside = block.inside;
    T* __restrict y = block.y + l * block.tokens;
    const double inverse = 1.0 / block.scale[l];  // a power of two: exact
    for (std::ptrdiff_t i = 0; i < block.tokens; ++i) {
      y[i] = static_cast<T>(inside[i] != 0.0 ? x[i] * inverse : 0.0);
    }
  }
}

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
