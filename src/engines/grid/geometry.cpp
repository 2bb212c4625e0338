#include "engines/grid/geometry.hpp"

#include "base/checked.hpp"

namespace polyattn::engines::grid {

bool set_strides(Geometry& geometry) noexcept {
  double cells = 1.0;
  std::int64_t stride = 1;
  for (auto axis = geometry.axes.rbegin(); axis != geometry.axes.rend(); ++axis) {
    cells *= static_cast<double>(Geometry::padded_cells(*axis));
    if (!(cells <= kMostCells)) {
      return false;
    }
    axis->stride = stride;
    stride *= Geometry::padded_cells(*axis);
  }
  return true;
}

std::int64_t tensor_width(const std::vector<std::int64_t>& nodes, std::size_t first) noexcept {
  std::int64_t width = 1;
  for (std::size_t l = 0; l < nodes.size(); ++l) {
    width *= l == first ? 1 : nodes[l];
  }
  return base::round_up_to(width, 8);
}

}  // namespace polyattn::engines::grid
