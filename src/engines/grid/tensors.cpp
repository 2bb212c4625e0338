#include "engines/grid/tensors.hpp"

#include "numerics/chebyshev_lagrange.hpp"
#include "simd/dispatch.hpp"
#include "simd/grid_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace polyattn::engines::grid {

namespace {

using base::usize;

static_assert(PointBlock::kLd == simd::kGridBlock);

/// A chunk of a cell's points, and where its tensor goes.
struct Chunk {
  std::int64_t first;
  std::int64_t count;
  std::int64_t slot;  ///< cells first, then further chunks
};

std::vector<std::int64_t> nodes_of(const Geometry& geometry) {
  std::vector<std::int64_t> nodes;
  for (const Axis& axis : geometry.axes) {
    nodes.push_back(axis.nodes);
  }
  return nodes;
}

}  // namespace

double tensor_work(const Geometry& geometry, std::int64_t channels) noexcept {
  auto nodes = static_cast<double>(channels);
  for (const Axis& axis : geometry.axes) {
    nodes *= axis.nodes;
  }
  return nodes;
}

std::vector<AxisBasis> make_bases(const Geometry& geometry) {
  std::vector<AxisBasis> bases;
  for (const Axis& axis : geometry.axes) {
    AxisBasis basis;
    basis.nodes = axis.nodes;
    basis.ld = base::round_up_to(basis.nodes, 8);
    basis.matrix.assign(usize(basis.nodes * basis.ld), 0.0);
    const std::vector<double> matrix = numerics::lagrange_coefficients(axis.nodes);
    for (std::int64_t k = 0; k < basis.nodes; ++k) {
      std::copy_n(matrix.begin() + k * basis.nodes, basis.nodes, basis.matrix.begin() + k * basis.ld);
    }
    bases.push_back(std::move(basis));
  }
  return bases;
}

PointBlock::PointBlock(const Geometry& geometry, const std::vector<AxisBasis>& bases, std::int64_t record_width)
    : bases_(bases),
      axes_(static_cast<std::int64_t>(geometry.axes.size())),
      width_(record_width),
      records_(usize(record_width * kLd), 0.0),
      leading_(usize(bases.front().nodes * kLd), 0.0),
      axis_(usize(kLd * 16), 0.0) {
  std::int64_t length = 1;
  for (std::size_t l = 1; l < bases.size(); ++l) {
    length *= bases[l].nodes;
  }
  ld_ = base::round_up_to(length, 8) + 16;
  for (std::vector<double>& list : lists_) {
    list.assign(usize(kLd * ld_ + 16), 0.0);
  }
}

void PointBlock::load(const CellPoints& points, std::int64_t first, std::int64_t count) {
  const simd::KernelTable& kernels = simd::kernels();
  padded_ = base::round_up_to(count, 8);
  kernels.loading.columns64({points.record(first), points.width, count, points.width, records_.data(), kLd});
  for (std::int64_t c = 0; c < width_ && count < padded_; ++c) {
    std::fill(records_.begin() + c * kLd + count, records_.begin() + c * kLd + padded_, 0.0);
  }
  const AxisBasis& front = bases_.front();
  kernels.grid.lagrange_points({column(0), padded_, front.matrix.data(), front.ld, front.nodes, leading_.data(), kLd});
  const AxisBasis& second = bases_[1];
  kernels.grid.lagrange_nodes(
      {column(1), padded_, second.matrix.data(), second.ld, second.nodes, lists_[0].data(), ld_});
  int from = 0;
  std::int64_t length = second.nodes;
  for (std::int64_t l = 2; l < axes_; ++l) {
    const AxisBasis& basis = bases_[usize(l)];
    kernels.grid.lagrange_nodes({column(l), padded_, basis.matrix.data(), basis.ld, basis.nodes, axis_.data(), 16});
    kernels.grid.expand(
        {lists_[from].data(), ld_, length, axis_.data(), 16, basis.nodes, padded_, lists_[1 - from].data(), ld_});
    length *= basis.nodes;
    from = 1 - from;
  }
  products_ = lists_[from].data();
}

Field form_tensors(const CellPoints& keys, const Geometry& geometry, const std::vector<AxisBasis>& bases,
                   std::int64_t channels, const base::Context& context) {
  std::vector<Chunk> chunks;
  std::int64_t slots = keys.cells();
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const std::int64_t last = keys.starts[usize(cell) + 1];
    for (std::int64_t first = keys.starts[usize(cell)]; first < last; first += kCellChunk) {
      const bool more = first > keys.starts[usize(cell)];
      chunks.push_back({first, std::min(kCellChunk, last - first), more ? slots++ : cell});
    }
  }
  Field field = make_field(slots, channels, nodes_of(geometry), context.memory);
  field.exponents = keys.exponents;
  const std::int64_t axes = static_cast<std::int64_t>(geometry.axes.size());
  const std::int64_t nodes = geometry.axes.front().nodes;
  std::vector<std::unique_ptr<PointBlock>> blocks(usize(std::max(context.threads, 1)));
  std::vector<std::vector<double>> rows(blocks.size());
  base::parallel_for(context, static_cast<std::int64_t>(chunks.size()), [&](std::int64_t item, int thread) {
    const Chunk& chunk = chunks[usize(item)];
    if (blocks[usize(thread)] == nullptr) {
      blocks[usize(thread)] = std::make_unique<PointBlock>(geometry, bases, keys.width);
      rows[usize(thread)].resize(usize(channels * nodes * PointBlock::kLd));
    }
    PointBlock& block = *blocks[usize(thread)];
    double* row = rows[usize(thread)].data();
    for (std::int64_t first = 0; first < chunk.count; first += PointBlock::kLd) {
      const std::int64_t count = std::min(PointBlock::kLd, chunk.count - first);
      block.load(keys, chunk.first + first, count);
      simd::kernels().grid.weigh(
          {block.leading(), nodes, block.column(axes), channels, block.padded(), PointBlock::kLd, row});
      simd::kernels().grid.form({row, channels * nodes, PointBlock::kLd, block.products(), block.ld_products(),
                                 field.width(), count, field.tensor(chunk.slot)});
    }
    if (context.progress != nullptr) {
      context.progress->add(static_cast<double>(chunk.count) * tensor_work(geometry, channels));
    }
  });
  std::int64_t slot = keys.cells();
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const std::int64_t points = keys.starts[usize(cell) + 1] - keys.starts[usize(cell)];
    for (std::int64_t first = kCellChunk; first < points; first += kCellChunk, ++slot) {
      const double* more = field.tensor(slot);
      std::transform(more, more + field.size(), field.tensor(cell), field.tensor(cell), std::plus<>());
    }
  }
  return field;
}

AxisMatrices node_matrices(const Axis& axis) {
  const std::int64_t nodes = axis.nodes;
  AxisMatrices out;
  out.band = axis.band;
  out.blocks.resize(usize((2 * axis.band + 1) * nodes * nodes));
  const std::vector<double> x = numerics::chebyshev_nodes(axis.nodes);
  for (std::int64_t o = -axis.band; o <= axis.band; ++o) {
    double* block = out.blocks.data() + (o + axis.band) * nodes * nodes;
    for (std::int64_t i = 0; i < nodes; ++i) {
      for (std::int64_t j = 0; j < nodes; ++j) {
        const double u = axis.side * (static_cast<double>(o) + 0.5 * (x[usize(i)] - x[usize(j)]));
        block[i * nodes + j] = std::exp(-u * u);
      }
    }
  }
  return out;
}

}  // namespace polyattn::engines::grid
