#pragma once

/// Kernels of the grid engine, in float64: columns of points, Chebyshev polynomials, tensors of a cell. Plain types
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

/// Chebyshev polynomials at points of a cell: T_0 = 1, T_1 = x, T_{k+1} = 2x T_k - T_{k-1} in one fused operation.
struct ChebyshevPoints {
  const double* x;  ///< [points]
  std::ptrdiff_t points;
  std::ptrdiff_t nodes;  ///< how many polynomials
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

/// out[c * ld_out + i] = sum over k_0 ... of tensor[(c * nodes[0] + k_0) * width + rest] prod_l T_{k_l}(point i), rest
/// the place of (k_1, ..., k_last) in order: one chain of fused operations for every axis, the last axis inmost, k
/// ascending, from the number of k = 0 on.
struct EvaluateRows {
  const double* lists;  ///< T_k of one axis after the other, [k * ld + i]; all points of T_0 are 1
  std::ptrdiff_t ld;
  const std::ptrdiff_t* nodes;  ///< [axes], at most kMaxNodes each
  std::ptrdiff_t axes;          ///< at least two
  std::ptrdiff_t width;
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

/// out[c * ld_out + i] = table[c * width + part of point i]. Cells are cut in bins[l] on axis l, the last one fastest:
/// a place x in [-1, 1] is in bin floor((x + 1) bins / 2), and in the last one where that is none, at the very end of
/// the cell.
struct LookUpParts {
  const double* places;  ///< of one axis after the other, [i]
  std::ptrdiff_t ld;
  const std::ptrdiff_t* bins;
  std::ptrdiff_t axes;
  std::ptrdiff_t points;  ///< a multiple of 8
  const double* table;
  std::ptrdiff_t width;
  std::ptrdiff_t channels;
  double* out;
  std::ptrdiff_t ld_out;
};

/// The certificate of rows of one cell (engines/grid/row_math.hpp has the scalar twin): lanes are rows, element i of
/// column c at c * ld + i. out: answers by column, then approximation (infinity: refused) and rounding.
struct CertifyRows {
  const double* sums;     ///< [1 + columns]
  const double* charges;  ///< [1 + 3 columns]
  const double* own;      ///< [1 + columns]; null: none
  const double* reach;    ///< [1 + columns]
  const double* low;      ///< [columns] of the values
  const double* centre;
  const double* high;
  std::ptrdiff_t columns;
  std::ptrdiff_t ld;
  std::ptrdiff_t points;  ///< a multiple of 8
  double rounding;
  double outside;
  double lost;
  double perturbation;  ///< what moved scores do to an answer
  double answer;        ///< rounding of an answer, over its largest magnitude plus largest_value
  double largest_value;
  double* out;
};

struct GridKernels {
  ColumnRange (*range)(const double* x, std::ptrdiff_t tokens) noexcept;
  void (*locate)(const LocateColumn&) noexcept;
  /// out[k * ld + j]; points are a multiple of 8.
  void (*chebyshev_points)(const ChebyshevPoints&) noexcept;
  /// out[j * ld + k]; 0 behind the last, up to a multiple of 8.
  void (*chebyshev_lists)(const ChebyshevPoints&) noexcept;
  void (*expand)(const ExpandLists&) noexcept;
  void (*weigh)(const WeighRows&) noexcept;
  void (*form)(const FormTensor&) noexcept;
  void (*evaluate)(const EvaluateRows&) noexcept;
  void (*own)(const OwnProducts&) noexcept;
  void (*look_up)(const LookUpParts&) noexcept;
  void (*certify)(const CertifyRows&) noexcept;
  void (*pass)(const PassTarget&) noexcept;
};

}  // namespace polyattn::simd
