#pragma once

/// Numbers on the cells of a grid, a tensor for each, and what moves them from the cells of keys to those of queries:
/// one small matrix for each axis and distance of cells.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/grid/cells.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines::grid {

/// Tensor of a cell: [channel][nodes of the leading axis][width], width the product of the other axes' nodes, in order,
/// rounded up to a multiple of 8 with zeros. In units of 2^exponent.
struct Field {
  std::int64_t channels = 0;
  std::vector<std::int64_t> nodes;      ///< per axis, the leading one first
  std::vector<std::int64_t> exponents;  ///< per cell; empty: 0
  base::Buffer<double> data;

  std::int64_t row = 0;   ///< width()
  std::int64_t step = 0;  ///< size()

  [[nodiscard]] std::int64_t width() const noexcept { return row; }
  [[nodiscard]] std::int64_t size() const noexcept { return step; }  ///< of a tensor
  [[nodiscard]] double* tensor(std::int64_t cell) noexcept { return data.data() + cell * size(); }
  [[nodiscard]] const double* tensor(std::int64_t cell) const noexcept { return data.data() + cell * size(); }
};

/// Without exponents and data.
Field shape_field(std::int64_t channels, std::vector<std::int64_t> nodes);
/// All zeros.
Field make_field(std::int64_t cells, std::int64_t channels, std::vector<std::int64_t> nodes, base::MemoryMeter* memory);

/// Exponent of cells that nothing reaches.
inline constexpr std::int64_t kNothing = -(std::int64_t{1} << 40);

/// The matrices of an axis: blocks[(o + band) * nodes * nodes + I * nodes + J] takes node J of a cell to node I of the
/// cell `o` cells after it.
struct AxisMatrices {
  std::int64_t band = 0;
  std::vector<double> blocks;
};

/// out = sum over inputs of its matrices applied to it.
struct PassInput {
  const Field* field;
  const AxisMatrices* matrices;
};

/// Exponents of the targets of a pass: the largest of a source's, less what the kernel loses on the way from it. They
/// keep numbers away from overflow and underflow, no bound depends on them.
std::vector<std::int64_t> pass_exponents(const PassCells& cells, const Axis& axis,
                                         const std::vector<std::int64_t>& before);

/// One pass along the leading axis, which becomes the last. All inputs have the same shape. `exponents` are the
/// targets'; empty: none. Sums: one chain over inputs, sources and nodes. The result lies in `storage` if that is large
/// enough: new memory costs more than a pass, which writes every number but once.
Field run_pass(std::span<const PassInput> inputs, const PassCells& cells, const Axis& axis,
               std::vector<std::int64_t> exponents, const base::Context& context, base::Buffer<double> storage = {});

}  // namespace polyattn::engines::grid
