#include "engines/grid/cells.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string>

namespace polyattn::engines::grid {

namespace {

using base::usize;

/// A table of the whole box is made up to this many cells; beyond, lists are merged.
constexpr std::int64_t kMostTable = std::int64_t{1} << 21;
/// Cells, and ways between them, that are listed at most: half a gigabyte. A grid of more is dearer than exact.
constexpr std::int64_t kMostListed = std::int64_t{1} << 26;

void require_listable(std::size_t cells, std::int64_t band) {
  if (static_cast<double>(cells) * static_cast<double>(2 * band + 1) > static_cast<double>(kMostListed)) {
    base::fail(ErrorCode::out_of_memory,
               "the grid's passes would reach more than " + std::to_string(kMostListed) + " cells");
  }
}

/// Cells within `band` of one of `cells` along an axis. Lines end in `far_band` cells that hold nothing, so what wraps
/// around into the next line is none of the cells anyone asks for.
CellList dilate(const CellList& cells, std::int64_t stride, std::int64_t band, std::int64_t box) {
  if (band == 0) {
    return cells;
  }
  CellList out;
  if (box <= kMostTable) {
    std::vector<std::uint8_t> mark(usize(box), 0);
    for (const std::int64_t cell : cells) {
      for (std::int64_t o = -band; o <= band; ++o) {
        const std::int64_t at = cell + o * stride;
        if (at >= 0 && at < box) {
          mark[usize(at)] = 1;
        }
      }
    }
    for (std::int64_t cell = 0; cell < box; ++cell) {
      if (mark[usize(cell)] != 0) {
        out.push_back(cell);
      }
    }
    return out;
  }
  require_listable(cells.size(), band);
  out.reserve(cells.size() * usize(2 * band + 1));
  for (std::int64_t o = -band; o <= band; ++o) {
    std::transform(cells.begin(), cells.end(), std::back_inserter(out),
                   [&](std::int64_t cell) { return cell + o * stride; });
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

CellList common(const CellList& a, const CellList& b) {
  CellList out;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

std::vector<std::int32_t> find_sources(const CellList& targets, const CellList& before, std::int64_t stride,
                                       std::int64_t band, std::int64_t box) {
  const std::int64_t row = 2 * band + 1;
  require_listable(targets.size(), band);
  std::vector<std::int32_t> out(targets.size() * usize(row), -1);
  if (box <= kMostTable) {
    std::vector<std::int32_t> place(usize(box), -1);
    for (std::size_t i = 0; i < before.size(); ++i) {
      place[usize(before[i])] = static_cast<std::int32_t>(i);
    }
    for (std::size_t t = 0; t < targets.size(); ++t) {
      for (std::int64_t o = -band; o <= band; ++o) {
        const std::int64_t cell = targets[t] - o * stride;
        out[t * usize(row) + usize(o + band)] = cell >= 0 && cell < box ? place[usize(cell)] : -1;
      }
    }
    return out;
  }
  for (std::int64_t o = -band; o <= band; ++o) {
    std::size_t i = 0;
    for (std::size_t t = 0; t < targets.size(); ++t) {
      const std::int64_t cell = targets[t] - o * stride;
      while (i < before.size() && before[i] < cell) {
        ++i;
      }
      if (i < before.size() && before[i] == cell) {
        out[t * usize(row) + usize(o + band)] = static_cast<std::int32_t>(i);
      }
    }
  }
  return out;
}

/// Line by line along the axis. Beyond `kMostOrdered` sorting takes longer than it saves.
std::vector<std::int32_t> along_lines(const CellList& targets, const Axis& axis) {
  constexpr std::size_t kMostOrdered = std::size_t{1} << 17;
  std::vector<std::int32_t> order;
  if (axis.stride == 1 || axis.cells == 1 || targets.size() > kMostOrdered) {
    return order;
  }
  std::vector<std::int64_t> line;
  line.reserve(targets.size());
  const std::int64_t padded = Geometry::padded_cells(axis);
  for (const std::int64_t cell : targets) {
    line.push_back(cell - cell / axis.stride % padded * axis.stride);
  }
  order.resize(targets.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int32_t a, std::int32_t b) { return line[usize(a)] < line[usize(b)]; });
  return order;
}

}  // namespace

std::vector<PassCells> find_passes(const Geometry& geometry, const CellList& keys, const CellList& queries) {
  const std::size_t axes = geometry.axes.size();
  const std::int64_t box = geometry.box();
  std::vector<CellList> wanted(axes);  // after each pass
  wanted[axes - 1] = queries;
  for (std::size_t l = axes - 1; l > 0; --l) {
    wanted[l - 1] = dilate(wanted[l], geometry.axes[l].stride, geometry.axes[l].far_band, box);
  }
  std::vector<PassCells> passes(axes);
  const CellList* before = &keys;
  for (std::size_t l = 0; l < axes; ++l) {
    const Axis& axis = geometry.axes[l];
    passes[l].targets = common(dilate(*before, axis.stride, axis.far_band, box), wanted[l]);
    passes[l].sources = find_sources(passes[l].targets, *before, axis.stride, axis.far_band, box);
    passes[l].order = along_lines(passes[l].targets, axis);
    before = &passes[l].targets;
  }
  return passes;
}

}  // namespace polyattn::engines::grid
