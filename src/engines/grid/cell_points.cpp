#include "engines/grid/cell_points.hpp"

#include "engines/columns.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace polyattn::engines::grid {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRows = 512;
/// Histograms of all cells of the box are kept up to this many, else cells are found by sorting.
constexpr std::int64_t kMostCounters = std::int64_t{1} << 22;

/// Rows [first, first + count) on their way to the cells.
struct Located {
  std::vector<double> coordinates;  ///< [dim][kRows]
  std::vector<double> local;        ///< [axes][kRows]
  std::vector<double> id;           ///< [kRows]
  std::vector<double> bias;         ///< [kRows], where keys have one

  explicit Located(const Geometry& geometry)
      : coordinates(usize(geometry.dim * kRows), 0.0),
        local(geometry.axes.size() * usize(kRows), 0.0),
        id(usize(kRows), 0.0),
        bias(usize(kRows), 0.0) {}
};

struct PointSet {
  const HeadProblem& problem;
  const Geometry& geometry;
  bool keys;

  [[nodiscard]] const base::Rows& rows() const noexcept { return keys ? problem.keys : problem.queries; }
  [[nodiscard]] std::int64_t size() const noexcept { return rows().rows; }
  [[nodiscard]] bool hides() const noexcept { return keys && problem.has_bias(); }
};

/// Hidden keys hold anything: their coordinates become 0, their bias says what they are.
void locate(const PointSet& set, std::int64_t first, std::int64_t count, Located& at) {
  const Geometry& geometry = set.geometry;
  load_columns(set.rows(), first, count, at.coordinates.data(), kRows);
  if (set.hides()) {
    load_bias(set.problem, first, count, at.bias.data());
  }
  for (std::int64_t l = 0; l < geometry.dim; ++l) {
    double* column = at.coordinates.data() + l * kRows;
    std::fill(column + count, column + base::round_up_to(count, 8), 0.0);
    for (std::int64_t i = 0; set.hides() && i < count; ++i) {
      column[i] = at.bias[usize(i)] == -kInfinity ? 0.0 : column[i];
    }
  }
  std::fill(at.id.begin(), at.id.end(), 0.0);
  for (std::int64_t l = 0; l < geometry.dim; ++l) {
    const Axis& axis = geometry.axes[usize(geometry.first_axis() + l)];
    simd::kernels().grid.locate(
        {at.coordinates.data() + l * kRows, base::round_up_to(count, 8), set.keys ? axis.key_origin : axis.query_origin,
         set.keys ? axis.key_scale : axis.query_scale, static_cast<double>(axis.cells),
         static_cast<double>(axis.stride), at.local.data() + (geometry.first_axis() + l) * kRows, at.id.data()});
  }
}

/// Rows a thread takes, all in one go: points of a cell stay in order whatever the number of threads.
struct Share {
  std::int64_t first;
  std::int64_t last;
};
Share share_of(std::int64_t rows, std::int64_t parts, std::int64_t part) noexcept {
  const std::int64_t blocks = base::blocks_of(rows, kRows);
  return {std::min(rows, blocks * part / parts * kRows), std::min(rows, blocks * (part + 1) / parts * kRows)};
}

/// out[i] = cell number of row i, -1 where it is hidden.
void number_cells(const PointSet& set, const Share& share, std::int64_t* out) {
  Located at(set.geometry);
  for (std::int64_t first = share.first; first < share.last; first += kRows) {
    const std::int64_t count = std::min(kRows, share.last - first);
    locate(set, first, count, at);
    for (std::int64_t i = 0; i < count; ++i) {
      const bool hidden = set.hides() && at.bias[usize(i)] == -kInfinity;
      out[first + i] = hidden ? -1 : static_cast<std::int64_t>(at.id[usize(i)]);
    }
  }
}

/// counts[part][cell], cells either all of the box or the occupied ones.
struct Counters {
  std::int64_t parts = 0;
  std::int64_t cells = 0;
  std::vector<std::uint32_t> count;
  [[nodiscard]] std::uint32_t* of(std::int64_t part) noexcept { return count.data() + part * cells; }
};

/// Occupied cells by sorting, and in place of cell numbers their ranks.
std::vector<std::int64_t> rank_cells(std::vector<std::int64_t>& numbers) {
  std::vector<std::int64_t> ids = numbers;
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (!ids.empty() && ids.front() < 0) {
    ids.erase(ids.begin());
  }
  for (std::int64_t& number : numbers) {
    number = number < 0 ? -1 : std::lower_bound(ids.begin(), ids.end(), number) - ids.begin();
  }
  return ids;
}

/// Sets ids, starts, cell and place from the cell number of every row.
void arrange(const Geometry& geometry, std::vector<std::int64_t> numbers, const base::Context& context,
             CellPoints& out) {
  const auto rows = static_cast<std::int64_t>(numbers.size());
  const bool dense = geometry.box() <= std::min(kMostCounters, std::max<std::int64_t>(1 << 14, 4 * rows));
  std::vector<std::int64_t> ids;
  if (!dense) {
    ids = rank_cells(numbers);
  }
  Counters counters;
  counters.parts = std::clamp<std::int64_t>(context.threads, 1, 16);
  counters.cells = dense ? geometry.box() : static_cast<std::int64_t>(ids.size());
  counters.count.assign(usize(counters.parts * counters.cells), 0);
  base::parallel_for(context, counters.parts, [&](std::int64_t part, int) {
    const Share share = share_of(rows, counters.parts, part);
    std::uint32_t* count = counters.of(part);
    for (std::int64_t i = share.first; i < share.last; ++i) {
      if (numbers[usize(i)] >= 0) {
        ++count[numbers[usize(i)]];
      }
    }
  });
  std::vector<std::uint32_t> rank(usize(counters.cells));
  std::uint32_t next = 0;
  out.starts.push_back(0);
  for (std::int64_t cell = 0; cell < counters.cells; ++cell) {
    const std::uint32_t begin = next;
    for (std::int64_t part = 0; part < counters.parts; ++part) {
      next += std::exchange(counters.of(part)[cell], next);
    }
    if (next > begin) {
      rank[usize(cell)] = static_cast<std::uint32_t>(out.ids.size());
      out.ids.push_back(dense ? cell : ids[usize(cell)]);
      out.starts.push_back(next);
    }
  }
  out.cell.resize(usize(rows));
  out.place.resize(usize(rows));
  base::parallel_for(context, counters.parts, [&](std::int64_t part, int) {
    const Share share = share_of(rows, counters.parts, part);
    std::uint32_t* cursor = counters.of(part);
    for (std::int64_t i = share.first; i < share.last; ++i) {
      const std::int64_t number = numbers[usize(i)];
      out.place[usize(i)] = number < 0 ? kNowhere : cursor[number]++;
      out.cell[usize(i)] = number < 0 ? kNowhere : rank[usize(number)];
    }
  });
}

CellPoints place_points(const PointSet& set, const base::Context& context) {
  CellPoints out;
  std::vector<std::int64_t> numbers(usize(set.size()));
  const std::int64_t parts = std::clamp<std::int64_t>(context.threads, 1, 16);
  base::parallel_for(context, parts, [&](std::int64_t part, int) {
    number_cells(set, share_of(set.size(), parts, part), numbers.data());
  });
  arrange(set.geometry, std::move(numbers), context, out);
  return out;
}

/// Log weights of located keys.
void log_weights(const Geometry& geometry, const Located& at, std::int64_t count, double* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    double sum = at.bias[usize(i)];
    for (std::size_t l = 0; l < geometry.linear.size(); ++l) {
      const double k = at.coordinates[l * usize(kRows) + usize(i)];
      const double y = k - geometry.centre[l];
      sum += geometry.linear[l] * k + geometry.square[l] * y * y;
    }
    out[i] = sum;
  }
}

/// Turns the log weights of a cell into weights in units of 2^exponent, and values into weighted ones.
std::int64_t weigh_cell(const Geometry& geometry, std::int64_t first, std::int64_t last, CellPoints& out) {
  const std::size_t at = geometry.axes.size();
  double largest = -kInfinity;
  for (std::int64_t i = first; i < last; ++i) {
    largest = std::max(largest, out.record(i)[at]);
  }
  const double exponent = std::ceil(largest / 0.6931471805599453);
  const double shift = exponent * 0.6931471805599453;
  double weight[8];
  for (std::int64_t i = first; i < last; i += 8) {
    const std::int64_t count = std::min<std::int64_t>(8, last - i);
    std::fill(weight, weight + 8, -kInfinity);
    for (std::int64_t j = 0; j < count; ++j) {
      // The shift rounds: a difference of a few ulp above 0 would be outside of what the kernel takes.
      weight[j] = std::min(out.record(i + j)[at], shift);
    }
    simd::kernels().statistics.exponentials(weight, shift, 8, weight);
    for (std::int64_t j = 0; j < count; ++j) {
      double* record = out.records.data() + (i + j) * out.width + at;
      record[0] = weight[j];
      for (std::int64_t c = 1; c < out.width - static_cast<std::int64_t>(at); ++c) {
        record[c] *= weight[j];
      }
    }
  }
  return static_cast<std::int64_t>(exponent);
}

/// One column after the other of a block into the records.
void scatter(const double* column, std::int64_t count, const std::uint32_t* place, std::int64_t width,
             double* records) noexcept {
  for (std::int64_t i = 0; i < count; ++i) {
    if (place[i] != kNowhere) {
      records[static_cast<std::int64_t>(place[i]) * width] = column[i];
    }
  }
}

}  // namespace

CellPoints sort_keys(const HeadProblem& problem, const Geometry& geometry, const std::vector<double>& value_centre,
                     const base::Context& context) {
  const PointSet set{problem, geometry, true};
  CellPoints out = place_points(set, context);
  const auto axes = static_cast<std::int64_t>(geometry.axes.size());
  const std::int64_t columns = problem.value_dim();
  out.width = axes + 1 + columns;
  out.records = base::Buffer<double>((out.points() + 8) * out.width, context.memory);
  std::fill(out.records.end() - 8 * out.width, out.records.end(), 0.0);
  const std::int64_t parts = base::blocks_of(problem.n_kv(), 16 * kRows);
  base::parallel_for(context, parts, [&](std::int64_t part, int) {
    Located at(geometry);
    std::vector<double> values(usize(std::max<std::int64_t>(columns, 1) * kRows));
    std::vector<double> weight(usize(kRows), 1.0);
    const std::int64_t last = std::min(problem.n_kv(), (part + 1) * 16 * kRows);
    for (std::int64_t first = part * 16 * kRows; first < last; first += kRows) {
      const std::int64_t count = std::min(kRows, last - first);
      locate(set, first, count, at);
      const std::uint32_t* place = out.place.data() + first;
      for (std::int64_t l = 0; l < axes; ++l) {
        scatter(at.local.data() + l * kRows, count, place, out.width, out.records.data() + l);
      }
      if (geometry.weighted) {
        log_weights(geometry, at, count, weight.data());
      }
      scatter(weight.data(), count, place, out.width, out.records.data() + axes);
      place_columns<double>(problem.values, first, count, value_centre.data(), nullptr, values.data(), kRows);
      for (std::int64_t c = 0; c < columns; ++c) {
        scatter(values.data() + c * kRows, count, place, out.width, out.records.data() + axes + 1 + c);
      }
    }
  });
  if (geometry.weighted) {
    out.exponents.resize(out.ids.size());
    base::parallel_for(context, out.cells(), [&](std::int64_t cell, int) {
      out.exponents[usize(cell)] = weigh_cell(geometry, out.starts[usize(cell)], out.starts[usize(cell) + 1], out);
    });
  }
  return out;
}

CellPoints sort_queries(const HeadProblem& problem, const Geometry& geometry, const base::Context& context) {
  const PointSet set{problem, geometry, false};
  CellPoints out = place_points(set, context);
  out.width = static_cast<std::int64_t>(geometry.axes.size());
  out.records = base::Buffer<double>((out.points() + 8) * out.width, context.memory);
  std::fill(out.records.end() - 8 * out.width, out.records.end(), 0.0);
  base::parallel_for(context, base::blocks_of(problem.n_q(), 16 * kRows), [&](std::int64_t part, int) {
    Located at(geometry);
    const std::int64_t last = std::min(problem.n_q(), (part + 1) * 16 * kRows);
    for (std::int64_t first = part * 16 * kRows; first < last; first += kRows) {
      const std::int64_t count = std::min(kRows, last - first);
      locate(set, first, count, at);
      for (std::int64_t l = 0; l < out.width; ++l) {
        scatter(at.local.data() + l * kRows, count, out.place.data() + first, out.width, out.records.data() + l);
      }
    }
  });
  return out;
}

}  // namespace polyattn::engines::grid
