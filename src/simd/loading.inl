// Included inside the namespace of one instruction set, after its lanes. See loading_kernels.hpp.

/// How far ahead rows are fetched: blocks of rows are read one by one, with other work in between, which the processor
/// does not see through.
constexpr std::ptrdiff_t kRowsAhead = 256;

/// Rows without gaps, few numbers each.
template <int Columns>
void load_packed_rows(const ColumnsBlock<double>& block, std::ptrdiff_t rows) noexcept {
  for (std::ptrdiff_t r = 0; r < rows; r += F64::width) {
    for (int line = 0; line < Columns; ++line) {  // wherever that is: rows are read in order
      __builtin_prefetch(block.rows + (r + kRowsAhead) * Columns + line * 8);
    }
    F64 column[static_cast<std::size_t>(Columns)];
    load_packed<Columns>(block.rows + r * Columns, column);
    for (int c = 0; c < Columns; ++c) {
      column[c].store(block.out + c * block.ld + r);
    }
  }
}

/// How many rows it has loaded.
inline std::ptrdiff_t load_packed_columns(const ColumnsBlock<double>& block) noexcept {
  const std::ptrdiff_t rows = block.stride == block.columns ? block.count / F64::width * F64::width : 0;
  switch (block.columns) {
    case 1:
      load_packed_rows<1>(block, rows);
      return rows;
    case 2:
      load_packed_rows<2>(block, rows);
      return rows;
    case 3:
      load_packed_rows<3>(block, rows);
      return rows;
    case 4:
      load_packed_rows<4>(block, rows);
      return rows;
    case 5:
      load_packed_rows<5>(block, rows);
      return rows;
    case 6:
      load_packed_rows<6>(block, rows);
      return rows;
    case 8:
      load_packed_rows<8>(block, rows);
      return rows;
    default:
      return 0;
  }
}
inline std::ptrdiff_t load_packed_columns(const ColumnsBlock<float>&) noexcept { return 0; }

/// Rows go in groups as wide as a vector, columns a few at a time through registers; what is left over one by one.
template <class F>
void load_columns_kernel(const ColumnsBlock<typename F::Scalar>& block) noexcept {
  std::ptrdiff_t r = load_packed_columns(block);
  for (; r + F::width <= block.count; r += F::width) {
    const auto* from = block.rows + r * block.stride;
    std::ptrdiff_t c = 0;
    for (; c + F::columns <= block.columns; c += F::columns) {
      F column[F::columns];
      load_columns(from + c, block.stride, column);
      for (int k = 0; k < F::columns; ++k) {
        double* to = block.out + (c + k) * block.ld + r;
        widen_low(column[k]).store(to);
        if constexpr (F::width != F64::width) {
          widen_high(column[k]).store(to + F64::width);
        }
      }
    }
    for (; c < block.columns; ++c) {
      double* to = block.out + c * block.ld + r;
      for (std::ptrdiff_t i = 0; i < F::width; ++i) {
        to[i] = static_cast<double>(from[i * block.stride + c]);
      }
    }
  }
  for (; r < block.count; ++r) {
    for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
      block.out[c * block.ld + r] = static_cast<double>(block.rows[r * block.stride + c]);
    }
  }
}

template <class T>
inline void place_lanes(F64 x, double centre, double factor, T* out) noexcept {
  store_as((x - F64::set(centre)) * F64::set(factor), out);
}

template <class F, class T>
void place_columns_kernel(const PlaceBlock<typename F::Scalar, T>& block) noexcept {
  const auto factor = [&](std::ptrdiff_t c) { return block.factor == nullptr ? 1.0 : block.factor[c]; };
  std::ptrdiff_t r = 0;
  if constexpr (F::width == F64::width) {
    for (; block.columns == 1 && block.stride == 1 && r + F::width <= block.count; r += F::width) {
      place_lanes(F64::load(block.rows + r), block.centre[0], factor(0), block.out + r);
    }
  }
  for (; r + F::width <= block.count; r += F::width) {
    const auto* from = block.rows + r * block.stride;
    std::ptrdiff_t c = 0;
    for (; c + F::columns <= block.columns; c += F::columns) {
      F column[F::columns];
      load_columns(from + c, block.stride, column);
      for (int k = 0; k < F::columns; ++k) {
        T* to = block.out + (c + k) * block.ld + r;
        place_lanes(widen_low(column[k]), block.centre[c + k], factor(c + k), to);
        if constexpr (F::width != F64::width) {
          place_lanes(widen_high(column[k]), block.centre[c + k], factor(c + k), to + F64::width);
        }
      }
    }
    for (; c < block.columns; ++c) {
      double column[F::width];
      for (std::ptrdiff_t i = 0; i < F::width; ++i) {
        column[i] = static_cast<double>(from[i * block.stride + c]);
      }
      for (std::ptrdiff_t i = 0; i < F::width; i += F64::width) {
        place_lanes(F64::load(column + i), block.centre[c], factor(c), block.out + c * block.ld + r + i);
      }
    }
  }
  for (; r < block.count; ++r) {
    for (std::ptrdiff_t c = 0; c < block.columns; ++c) {
      const auto x = static_cast<double>(block.rows[r * block.stride + c]);
      block.out[c * block.ld + r] = static_cast<T>((x - block.centre[c]) * factor(c));
    }
  }
}

constexpr LoadingKernels loading_kernels() noexcept {
  return {&load_columns_kernel<F32>,          &load_columns_kernel<F64>,         &place_columns_kernel<F32, float>,
          &place_columns_kernel<F32, double>, &place_columns_kernel<F64, float>, &place_columns_kernel<F64, double>};
}
