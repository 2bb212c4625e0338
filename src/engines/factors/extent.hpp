#pragma once

/// How far points reach from a centre, for a few centres worth trying.

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Points [count, dim], contiguous.
struct PointSet {
  const double* data = nullptr;
  std::int64_t count = 0;
  std::int64_t dim = 0;
};

struct Extent {
  std::vector<double> centre;
  std::vector<double> half;  ///< max |p_l - centre_l|, within one rounding
  double norm = 0.0;         ///< max sqrt(sum_l |metric_l| (p_l - centre_l)^2), rounded up
};

Extent extent_about(const PointSet& points, const std::vector<double>& metric, std::vector<double> centre);

/// About 0 (first), the mean, the middle of the bounding box, and the middle of a ball nearly as small as any that
/// holds the points (Badoiu and Clarkson 2003: some steps towards the farthest point). Cost: 36 passes.
std::vector<Extent> candidate_extents(const PointSet& points, const std::vector<double>& metric);

/// Bound on |sum_l metric_l p_l q_l| and on the sum of absolute values, over centred points of either side: the smaller
/// of the product of the norms and of the sum over axes. 0 only where every product is.
double radius_of(const Extent& one, const Extent& other, const std::vector<double>& metric) noexcept;

/// Magnitudes the bounds are proved for: 0, or from 2^-320 to 2^320.
bool moderate(double magnitude) noexcept;

}  // namespace polyattn::engines
