#pragma once

/// Kernels of the grid engine, in float64: columns of points, Lagrange polynomials, tensors of a cell. Plain types
/// only. A block has at most kGridBlock points of one cell; their number is rounded up to a multiple of 8, what is
/// added counts as a point with weight 0.

#include <cstddef>

namespace polyattn::simd {

inline constexpr std::ptrdiff_t kGridBlock = 64;  ///< points whose sums stay in registers; fixes bits
inline constexpr std::ptrdiff_t kMaxNodes = 16;   ///< of an axis of a cell

struct ColumnRange {
  double low;
  double high;
  double poison;  ///< 0, or NaN if a number is not finite
};

/// g = (x - origin) * scale, cell = floor(g) within [0, cells), local = 2 (g - cell) - 1 within [-1, 1],
/// id += cell * stride. Tokens: a multiple of 8.
struct LocateColumn {
  const double* x;
  std::ptrdiff_t tokens;
  double origin;
  double scale;
  double cells;
  double stride;
  double* local;
  double* id;
};

/// The nodes' Lagrange polynomials at points of a cell, l_J(x) = sum_k matrix[k * ld_matrix + J] T_k(x), k ascending,
/// T_{k+1} = 2x T_k - T_{k-1}, both in fused operations. Rows of `matrix` end in zeros, up to a multiple of 8.
struct LagrangePoints {
  const double* x;  ///< [points]
  std::ptrdiff_t points;
  const double* matrix;
  std::ptrdiff_t ld_matrix;
  std::ptrdiff_t nodes;
  double* out;
  std::ptrdiff_t ld;
};

/// out[j * ld_out + i * nodes + J] = list[j * ld_list + i] * axis[j * ld_axis + J] for i < length; up to 15 numbers
/// behind the last are set to 0.
struct ExpandLists {
  const double* list;
  std::ptrdiff_t ld_list;
  std::ptrdiff_t length;
  const double* axis;
  std::ptrdiff_t ld_axis;
  std::ptrdiff_t nodes;
  std::ptrdiff_t points;
  double* out;
  std::ptrdiff_t ld_out;
};

/// out[(c * nodes + J) * ld + j] = leading[J * ld + j] * weights[c * ld + j].
struct WeighRows {
  const double* leading;
  std::ptrdiff_t nodes;
  const double* weights;
  std::ptrdiff_t channels;
  std::ptrdiff_t points;  ///< a multiple of 8
  std::ptrdiff_t ld;
  double* out;
};

/// tensor[r * width + m] += sum_j rows[r * ld_rows + j] columns[j * ld_columns + m], j ascending in one chain.
struct FormTensor {
  const double* rows;
  std::ptrdiff_t row_count;
  std::ptrdiff_t ld_rows;
  const double* columns;
  std::ptrdiff_t ld_columns;
  std::ptrdiff_t width;  ///< a multiple of 8
  std::ptrdiff_t points;
  double* tensor;
};

/// out[c * ld_out + i] = sum_m columns[i * ld_columns + m] sum_J rows[J * ld_rows + i] tensor[(c * nodes + J) * width +
/// m]: J ascending in one chain, then eight chains of m, joined by the tree of `sum`.
struct EvaluateRows {
  const double* rows;
  std::ptrdiff_t nodes;
  std::ptrdiff_t ld_rows;
  const double* columns;
  std::ptrdiff_t ld_columns;
  std::ptrdiff_t width;   ///< a multiple of 8
  std::ptrdiff_t points;  ///< a multiple of 8
  const double* tensor;
  std::ptrdiff_t channels;
  double* out;
  std::ptrdiff_t ld_out;
};

/// out[(c * nodes + I) * width + m] = sum_s sum_J matrices[s][I * nodes + J] sources[s][(c * nodes + J) * width + m],
/// s, then J ascending in one chain.
struct PassTarget {
  const double* const* sources;
  const double* const* matrices;
  std::ptrdiff_t count;
  std::ptrdiff_t nodes;
  std::ptrdiff_t channels;
  std::ptrdiff_t width;  ///< a multiple of 8
  double* out;
};

/// out[j] *= sum_I list[I * ld + j] sum_J matrix[I * nodes + J] list[J * ld + j].
struct OwnProducts {
  const double* list;
  std::ptrdiff_t ld;
  std::ptrdiff_t nodes;
  const double* matrix;
  std::ptrdiff_t points;  ///< a multiple of 8
  double* out;
};

struct GridKernels {
  ColumnRange (*range)(const double* x, std::ptrdiff_t tokens) noexcept;
  void (*locate)(const LocateColumn&) noexcept;
  /// out[J * ld + j]: lanes are points, a multiple of 8.
  void (*lagrange_points)(const LagrangePoints&) noexcept;
  /// out[j * ld + J]: lanes are nodes; 0 behind the last, up to a multiple of 8.
  void (*lagrange_nodes)(const LagrangePoints&) noexcept;
  void (*expand)(const ExpandLists&) noexcept;
  void (*weigh)(const WeighRows&) noexcept;
  void (*form)(const FormTensor&) noexcept;
  void (*evaluate)(const EvaluateRows&) noexcept;
  void (*own)(const OwnProducts&) noexcept;
  void (*pass)(const PassTarget&) noexcept;
};

}  // namespace polyattn::simd
