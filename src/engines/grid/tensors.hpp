#pragma once

/// The tensors of the keys' cells, M_B[c][J_1 ... J_d] = sum_j w_j [1, v_j - centre]_c prod_l l_{J_l}(k_jl), and the
/// kernel between nodes.

#include "base/parallel.hpp"
#include "engines/grid/cell_points.hpp"
#include "engines/grid/field.hpp"
#include "engines/grid/geometry.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines::grid {

/// Points of one cell whose tensors are added up in one go, then joined in order: fixes bits.
inline constexpr std::int64_t kCellChunk = 1 << 14;

/// Multiply-adds of a point with a tensor, for progress.
double tensor_work(const Geometry& geometry, std::int64_t channels) noexcept;

/// Lagrange polynomials of an axis in Chebyshev polynomials, as the kernels read them.
struct AxisBasis {
  std::int64_t nodes = 1;
  std::int64_t ld = 8;
  std::vector<double> matrix;  ///< [k][J]
};
std::vector<AxisBasis> make_bases(const Geometry& geometry);

/// The points of a block on their way in and out of tensors: products of Lagrange polynomials.
class PointBlock {
 public:
  PointBlock(const Geometry& geometry, const std::vector<AxisBasis>& bases, std::int64_t record_width);
  /// Points [first, first + count) of a cell, count <= kGridBlock.
  void load(const CellPoints& points, std::int64_t first, std::int64_t count);

  /// Column c of the records: [kGridBlock], zeros behind the last point.
  [[nodiscard]] const double* column(std::int64_t c) const noexcept { return records_.data() + c * kLd; }
  /// Products over all axes but the first: [point][width()].
  [[nodiscard]] const double* products() const noexcept { return products_; }
  [[nodiscard]] std::int64_t ld_products() const noexcept { return ld_; }
  /// Lagrange polynomials of the first axis: [node][kLd].
  [[nodiscard]] const double* leading() const noexcept { return leading_.data(); }
  [[nodiscard]] std::int64_t padded() const noexcept { return padded_; }
  static constexpr std::int64_t kLd = 64;

 private:
  const std::vector<AxisBasis>& bases_;
  std::int64_t axes_;
  std::int64_t width_;
  std::int64_t ld_ = 0;
  std::int64_t padded_ = 0;
  std::vector<double> records_;
  std::vector<double> leading_;
  std::vector<double> axis_;
  std::vector<double> lists_[2];
  const double* products_ = nullptr;
};

/// Tensors of all cells of the keys. Flops: 2 points p^d channels, about.
Field form_tensors(const CellPoints& keys, const Geometry& geometry, const std::vector<AxisBasis>& bases,
                   std::int64_t channels, const base::Context& context);

/// kappa between the nodes of cells up to `band` apart.
AxisMatrices node_matrices(const Axis& axis);

}  // namespace polyattn::engines::grid
