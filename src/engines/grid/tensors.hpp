#pragma once

/// The tensors of the keys' cells, M_B[c][k_1 ... k_d] = sum_j w_j [1, v_j - centre]_c prod_l T_{k_l}(t_jl), T the
/// Chebyshev polynomials, and what takes them to cells of queries: the interpolant of the kernel in its nodes, in
/// Chebyshev polynomials on both sides.

#include "base/parallel.hpp"
#include "engines/grid/cell_points.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/geometry.hpp"
#include "simd/kernels.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Points of one cell whose tensors are added up in one go, then joined in order: fixes bits.
inline constexpr std::int64_t kCellChunk = 1 << 14;

/// Multiply-adds of a point with a tensor, for progress.
double tensor_work(const Geometry& geometry, std::int64_t channels) noexcept;

/// The points of a block on their way in and out of tensors.
class PointBlock {
 public:
  /// Of records of `width` numbers, places from `first_axis` on (CellPoints).
  PointBlock(const Geometry& geometry, std::int64_t width, std::int64_t first_axis);
  /// `count` records of a cell, at most kGridBlock, as columns; T_k of the first axis.
  void load(const double* records, std::int64_t count);
  /// T_k of the other axes, for tensors to be evaluated, or their products, for tensors to be formed: of `count` points
  /// from `first` on, a multiple of 8.
  void make_lists();
  void make_products(std::int64_t first, std::int64_t count);

  [[nodiscard]] const simd::GridKernels& kernels() const noexcept { return kernels_.grid; }
  /// Column c of the records: [kLd], zeros behind the last point. Column -1 is all ones.
  [[nodiscard]] const double* column(std::int64_t c) const noexcept { return records_.data() + (1 + c) * kLd; }
  /// Places on an axis.
  [[nodiscard]] const double* places(std::int64_t axis) const noexcept { return column(first_axis_ + axis); }
  /// T_k of the axes, one after the other: [node][kLd].
  [[nodiscard]] const double* lists() const noexcept { return lists_.data(); }
  [[nodiscard]] const std::vector<std::ptrdiff_t>& nodes() const noexcept { return nodes_; }
  /// Products over all axes but the first: [point][ld_products()], of at most group() points, for which they lie in the
  /// first cache.
  [[nodiscard]] const double* products() const noexcept { return made_; }
  [[nodiscard]] std::int64_t ld_products() const noexcept { return ld_; }
  [[nodiscard]] std::int64_t group() const noexcept { return ld_ <= 48 ? kLd : kLd / 2; }
  [[nodiscard]] std::int64_t padded() const noexcept { return padded_; }
  static constexpr std::int64_t kLd = 64;

 private:
  const simd::KernelTable& kernels_;
  std::vector<std::ptrdiff_t> nodes_;
  std::int64_t width_;
  std::int64_t first_axis_;
  std::int64_t ld_ = 0;
  std::int64_t padded_ = 0;
  std::vector<double> records_;
  std::vector<double> lists_;
  std::vector<double> axis_;
  std::vector<double> products_[2];
  const double* made_ = nullptr;
};

/// Tensors of all cells of the keys. Flops: 2 points p^d channels, about.
Field form_tensors(const CellPoints& keys, const Geometry& geometry, std::int64_t channels,
                   const base::Context& context);

/// A_o of cells up to `band` apart: the interpolant of kappa in the nodes of both is sum_kk' A_o[k][k'] T_k(u) T_k'(t).
/// Each element is rounded once where long double is wider than float64 (docs/proofs/grid.md, section 4).
AxisMatrices node_matrices(const Axis& axis);
/// Those of all axes.
std::vector<AxisMatrices> node_matrices(const Geometry& geometry);

}  // namespace polyattn::engines::grid
