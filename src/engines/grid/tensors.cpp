#include "engines/grid/tensors.hpp"

#include "base/nearest_long_double.hpp"
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

PointBlock::PointBlock(const Geometry& geometry, std::int64_t width, std::int64_t first_axis)
    : kernels_(simd::kernels()), width_(width), first_axis_(first_axis), records_(usize((1 + width) * kLd), 0.0) {
  std::fill_n(records_.begin(), kLd, 1.0);
  std::int64_t length = 1;
  std::int64_t all = 0;
  for (const Axis& axis : geometry.axes) {
    length *= nodes_.empty() ? 1 : axis.nodes;
    all += axis.nodes;
    nodes_.push_back(axis.nodes);
  }
  lists_.assign(usize(all * kLd), 0.0);
  // Lists may spill into the next one's place, which is made later; an odd number of cache lines shares few of them.
  ld_ = base::round_up_to(length, 8);
  ld_ += ld_ % 16 == 0 ? 8 : 0;
}

void PointBlock::load(const double* records, std::int64_t count) {
  padded_ = base::round_up_to(count, 8);
  double* columns = records_.data() + kLd;
  kernels_.loading.columns64({records, width_, count, width_, columns, kLd});
  for (std::int64_t c = 0; c < width_ && count < padded_; ++c) {
    std::fill(columns + c * kLd + count, columns + c * kLd + padded_, 0.0);
  }
  kernels_.grid.chebyshev_points({places(0), padded_, nodes_.front(), lists_.data(), kLd});
}

void PointBlock::make_lists() {
  double* to = lists_.data();
  for (std::size_t l = 1; l < nodes_.size(); ++l) {
    to += nodes_[l - 1] * kLd;
    kernels_.grid.chebyshev_points({places(static_cast<std::int64_t>(l)), padded_, nodes_[l], to, kLd});
  }
}

void PointBlock::make_products(std::int64_t first, std::int64_t count) {
  if (axis_.empty()) {
    axis_.assign(usize(kLd * 16), 0.0);
    for (std::vector<double>& list : products_) {
      list.assign(usize(group() * ld_ + 16), 0.0);
    }
  }
  kernels_.grid.chebyshev_lists({places(1) + first, count, nodes_[1], products_[0].data(), ld_});
  int from = 0;
  std::int64_t length = nodes_[1];
  for (std::size_t l = 2; l < nodes_.size(); ++l) {
    kernels_.grid.chebyshev_lists({places(static_cast<std::int64_t>(l)) + first, count, nodes_[l], axis_.data(), 16});
    kernels_.grid.expand(
        {products_[from].data(), ld_, length, axis_.data(), 16, nodes_[l], count, products_[1 - from].data(), ld_});
    length *= nodes_[l];
    from = 1 - from;
  }
  made_ = products_[from].data();
}

Field form_tensors(const CellPoints& keys, const Geometry& geometry, std::int64_t channels,
                   const base::Context& context) {
  std::vector<Chunk> chunks;
  std::int64_t slots = keys.cells();
  for (std::int64_t cell = 0; cell < keys.cells(); ++cell) {
    const std::int64_t last = keys.starts[usize(cell) + 1];
    for (std::int64_t first = keys.starts[usize(cell)]; first < last; first += kCellChunk) {
      const bool more = first > keys.starts[usize(cell)];
      chunks.push_back({first, std::min(kCellChunk, last - first), more ? slots++ : cell});
    }
  }
  Field field = shape_field(channels, nodes_of(geometry));
  field.data = base::Buffer<double>(base::checked_mul(slots, field.size(), "memory"), context.memory);
  field.exponents = keys.exponents;
  const std::int64_t nodes = geometry.axes.front().nodes;
  std::vector<std::unique_ptr<PointBlock>> blocks(usize(std::max(context.threads, 1)));
  std::vector<std::vector<double>> rows(blocks.size());
  base::parallel_for(context, static_cast<std::int64_t>(chunks.size()), [&](std::int64_t item, int thread) {
    const Chunk& chunk = chunks[usize(item)];
    if (blocks[usize(thread)] == nullptr) {
      blocks[usize(thread)] = std::make_unique<PointBlock>(geometry, keys.width, keys.first_axis);
      rows[usize(thread)].resize(usize(channels * nodes * PointBlock::kLd));
    }
    PointBlock& block = *blocks[usize(thread)];
    double* row = rows[usize(thread)].data();
    double* tensor = field.tensor(chunk.slot);
    std::fill(tensor, tensor + field.size(), 0.0);
    for (std::int64_t first = 0; first < chunk.count; first += PointBlock::kLd) {
      const std::int64_t count = std::min(PointBlock::kLd, chunk.count - first);
      block.load(keys.record(chunk.first + first), count);
      block.kernels().weigh(
          {block.lists(), nodes, block.column(keys.weighted ? 0 : -1), channels, block.padded(), PointBlock::kLd, row});
      for (std::int64_t part = 0; part < count; part += block.group()) {
        const std::int64_t points = std::min(block.group(), count - part);
        block.make_products(part, base::round_up_to(points, 8));
        block.kernels().form({row + part, channels * nodes, PointBlock::kLd, block.products(), block.ld_products(),
                              field.width(), points, tensor});
      }
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

namespace {

/// The matrix of cells `o` >= 0 apart; `c`: the coefficients of the Lagrange polynomials.
void fill_block(const Axis& axis, std::int64_t o, const std::vector<long double>& c, double* out) {
  const std::size_t nodes = usize(axis.nodes);
  const std::vector<long double> node = numerics::chebyshev_nodes(axis.nodes);
  std::vector<long double> half(nodes * nodes);  // [I][k']
  for (std::size_t i = 0; i < nodes; ++i) {
    for (std::size_t j = 0; j < nodes; ++j) {
      const long double u =
          static_cast<long double>(axis.side) * (static_cast<long double>(o) + 0.5L * (node[i] - node[j]));
      const long double kernel = std::exp(-u * u);
      for (std::size_t k = 0; k < nodes; ++k) {
        half[i * nodes + k] += kernel * c[k * nodes + j];
      }
    }
  }
  for (std::size_t k = 0; k < nodes; ++k) {
    for (std::size_t l = 0; l < nodes; ++l) {
      long double sum = 0.0L;
      for (std::size_t i = 0; i < nodes; ++i) {
        sum += c[k * nodes + i] * half[i * nodes + l];
      }
      out[k * nodes + l] = static_cast<double>(sum);
    }
  }
}

}  // namespace

AxisMatrices node_matrices(const Axis& axis) {
  const base::NearestLongDouble nearest;
  const std::int64_t nodes = axis.nodes;
  AxisMatrices out;
  out.band = axis.band;
  out.blocks.resize(usize((2 * axis.band + 1) * nodes * nodes));
  const std::vector<long double> c = numerics::lagrange_coefficients(axis.nodes);
  for (std::int64_t o = 0; o <= axis.band; ++o) {
    double* block = out.blocks.data() + (o + axis.band) * nodes * nodes;
    double* mirrored = out.blocks.data() + (axis.band - o) * nodes * nodes;
    fill_block(axis, o, c, block);
    for (std::int64_t k = 0; k < nodes && o > 0; ++k) {  // T_k(-x) = (-1)^k T_k(x)
      for (std::int64_t l = 0; l < nodes; ++l) {
        mirrored[k * nodes + l] = (k + l) % 2 == 0 ? block[k * nodes + l] : -block[k * nodes + l];
      }
    }
  }
  return out;
}

std::vector<AxisMatrices> node_matrices(const Geometry& geometry) {
  std::vector<AxisMatrices> out;
  for (std::size_t l = 0; l < geometry.axes.size(); ++l) {
    const Axis& axis = geometry.axes[l];
    std::size_t same = 0;
    while (same < l && (geometry.axes[same].nodes != axis.nodes || geometry.axes[same].side != axis.side ||
                        geometry.axes[same].band != axis.band)) {
      ++same;
    }
    out.push_back(same < l ? out[same] : node_matrices(axis));
  }
  return out;
}

}  // namespace polyattn::engines::grid
