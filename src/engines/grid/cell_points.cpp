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

/// Calls body(row, cell number) for the rows of a share; -1 where one is hidden.
template <class Body>
void number_cells(const PointSet& set, const Share& share, const Body& body) {
  Located at(set.geometry);
  for (std::int64_t first = share.first; first < share.last; first += kRows) {
    const std::int64_t count = std::min(kRows, share.last - first);
    locate(set, first, count, at);
    for (std::int64_t i = 0; i < count; ++i) {
      const bool hidden = set.hides() && at.bias[usize(i)] == -kInfinity;
      body(first + i, hidden ? -1 : static_cast<std::int64_t>(at.id[usize(i)]));
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

/// Occupied cells by sorting, and for every row the rank of its cell.
std::vector<std::int64_t> rank_cells(const PointSet& set, std::int64_t parts, const base::Context& context,
                                     base::Buffer<std::uint32_t>& ranks) {
  base::Buffer<std::int64_t> numbers(set.size(), context.memory);
  base::parallel_for(context, parts, [&](std::int64_t part, int) {
    number_cells(set, share_of(set.size(), parts, part),
                 [&](std::int64_t row, std::int64_t number) { numbers[usize(row)] = number; });
  });
  std::vector<std::int64_t> ids(numbers.begin(), numbers.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (!ids.empty() && ids.front() < 0) {
    ids.erase(ids.begin());
  }
  std::transform(numbers.begin(), numbers.end(), ranks.begin(), [&](std::int64_t number) {
    return number < 0 ? kNowhere
                      : static_cast<std::uint32_t>(std::lower_bound(ids.begin(), ids.end(), number) - ids.begin());
  });
  return ids;
}

/// Sets ids and starts from the counts, which become the first record of every part in every cell.
void arrange(const std::vector<std::int64_t>& ids, Counters& counters, CellPoints& out) {
  std::uint32_t next = 0;
  out.starts.push_back(0);
  for (std::int64_t cell = 0; cell < counters.cells; ++cell) {
    const std::uint32_t begin = next;
    for (std::int64_t part = 0; part < counters.parts; ++part) {
      next += std::exchange(counters.of(part)[cell], next);
    }
    if (next > begin) {
      out.ids.push_back(ids.empty() ? cell : ids[usize(cell)]);
      out.starts.push_back(next);
    }
  }
}

CellPoints place_points(const PointSet& set, const base::Context& context) {
  CellPoints out;
  const std::int64_t rows = set.size();
  const std::int64_t box = set.geometry.box();
  const bool dense = box <= std::min(kMostCounters, std::max<std::int64_t>(1 << 14, 4 * rows));
  Counters counters;
  counters.parts = std::clamp<std::int64_t>(context.threads, 1, 16);
  out.place = base::Buffer<std::uint32_t>(rows, context.memory);  // at first of cells, then of records
  std::vector<std::int64_t> ids;
  if (!dense) {
    ids = rank_cells(set, counters.parts, context, out.place);
  }
  counters.cells = dense ? box : static_cast<std::int64_t>(ids.size());
  counters.count.assign(usize(counters.parts * counters.cells), 0);
  base::parallel_for(context, counters.parts, [&](std::int64_t part, int) {
    const Share share = share_of(rows, counters.parts, part);
    std::uint32_t* count = counters.of(part);
    if (dense) {
      number_cells(set, share, [&](std::int64_t row, std::int64_t number) {
        out.place[usize(row)] = number < 0 ? kNowhere : static_cast<std::uint32_t>(number);
      });
    }
    for (std::int64_t i = share.first; i < share.last; ++i) {
      if (out.place[usize(i)] != kNowhere) {
        ++count[out.place[usize(i)]];
      }
    }
  });
  arrange(ids, counters, out);
  base::parallel_for(context, counters.parts, [&](std::int64_t part, int) {
    const Share share = share_of(rows, counters.parts, part);
    std::uint32_t* cursor = counters.of(part);
    for (std::int64_t i = share.first; i < share.last; ++i) {
      std::uint32_t& place = out.place[usize(i)];
      place = place == kNowhere ? kNowhere : cursor[place]++;
    }
  });
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
std::int64_t weigh_cell(std::int64_t first, std::int64_t last, CellPoints& out) {
  double largest = -kInfinity;
  for (std::int64_t i = first; i < last; ++i) {
    largest = std::max(largest, out.record(i)[0]);
  }
  const double exponent = std::ceil(largest / 0.6931471805599453);
  const double shift = exponent * 0.6931471805599453;
  double weight[8];
  for (std::int64_t i = first; i < last; i += 8) {
    const std::int64_t count = std::min<std::int64_t>(8, last - i);
    std::fill(weight, weight + 8, -kInfinity);
    for (std::int64_t j = 0; j < count; ++j) {
      // The shift rounds: a difference of a few ulp above 0 would be outside of what the kernel takes.
      weight[j] = std::min(out.record(i + j)[0], shift);
    }
    simd::kernels().statistics.exponentials(weight, shift, 8, weight);
    for (std::int64_t j = 0; j < count; ++j) {
      double* record = out.records.data() + (i + j) * out.width;
      record[0] = weight[j];
      for (std::int64_t c = 1; c < out.first_axis; ++c) {
        record[c] *= weight[j];
      }
    }
  }
  return static_cast<std::int64_t>(exponent);
}

/// Columns of a block on their way into records.
using Columns = std::vector<const double*>;

template <int Width>
void scatter_rows(const double* const* columns, std::int64_t count, const std::uint32_t* place,
                  double* records) noexcept {
  constexpr std::int64_t kAhead = 16;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count && place[i + kAhead] != kNowhere) {
      __builtin_prefetch(records + static_cast<std::int64_t>(place[i + kAhead]) * Width, 1);
    }
    if (place[i] != kNowhere) {
      double* record = records + static_cast<std::int64_t>(place[i]) * Width;
      for (int c = 0; c < Width; ++c) {
        record[c] = columns[c][i];
      }
    }
  }
}

void scatter(const Columns& columns, std::int64_t count, const std::uint32_t* place, double* records) noexcept {
  const auto width = static_cast<std::int64_t>(columns.size());
  switch (width) {
    case 3:
      return scatter_rows<3>(columns.data(), count, place, records);
    case 4:
      return scatter_rows<4>(columns.data(), count, place, records);
    case 5:
      return scatter_rows<5>(columns.data(), count, place, records);
    default:
      break;
  }
  for (std::int64_t c = 0; c < width; ++c) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (place[i] != kNowhere) {
        records[static_cast<std::int64_t>(place[i]) * width + c] = columns[usize(c)][i];
      }
    }
  }
}

}  // namespace

CellPoints sort_keys(const HeadProblem& problem, const Geometry& geometry, const std::vector<double>& value_centre,
                     const base::Context& context) {
  const PointSet set{problem, geometry, true};
  CellPoints out = place_points(set, context);
  const std::int64_t columns = problem.value_dim();
  out.weighted = geometry.weighted;
  out.first_axis = columns + (out.weighted ? 1 : 0);
  out.width = out.first_axis + static_cast<std::int64_t>(geometry.axes.size());
  out.records = base::Buffer<double>(out.points() * out.width, context.memory);
  const std::int64_t parts = base::blocks_of(problem.n_kv(), 16 * kRows);
  base::parallel_for(context, parts, [&](std::int64_t part, int) {
    Located at(geometry);
    std::vector<double> values(usize(std::max<std::int64_t>(columns, 1) * kRows));
    std::vector<double> weight(usize(kRows), 1.0);
    Columns record;
    if (out.weighted) {
      record.push_back(weight.data());
    }
    for (std::int64_t c = 0; c < columns; ++c) {
      record.push_back(values.data() + c * kRows);
    }
    for (std::size_t l = 0; l < geometry.axes.size(); ++l) {
      record.push_back(at.local.data() + l * usize(kRows));
    }
    const std::int64_t last = std::min(problem.n_kv(), (part + 1) * 16 * kRows);
    for (std::int64_t first = part * 16 * kRows; first < last; first += kRows) {
      const std::int64_t count = std::min(kRows, last - first);
      locate(set, first, count, at);
      if (out.weighted) {
        log_weights(geometry, at, count, weight.data());
      }
      place_columns<double>(problem.values, first, count, value_centre.data(), nullptr, values.data(), kRows);
      scatter(record, count, out.place.data() + first, out.records.data());
    }
  });
  if (out.weighted) {
    out.exponents.resize(out.ids.size());
    base::parallel_for(context, out.cells(), [&](std::int64_t cell, int) {
      out.exponents[usize(cell)] = weigh_cell(out.starts[usize(cell)], out.starts[usize(cell) + 1], out);
    });
  }
  return out;
}

CellPoints sort_queries(const HeadProblem& problem, const Geometry& geometry, const base::Context& context) {
  return place_points({problem, geometry, false}, context);
}

base::Buffer<double> query_records(const HeadProblem& problem, const Geometry& geometry, const CellPoints& queries,
                                   std::int64_t width, const base::Context& context) {
  const PointSet set{problem, geometry, false};
  base::Buffer<double> out(queries.points() * width, context.memory);
  const std::vector<double> nothing(usize(kRows), 0.0);
  base::parallel_for(context, base::blocks_of(problem.n_q(), 16 * kRows), [&](std::int64_t part, int) {
    Located at(geometry);
    Columns record(usize(width), nothing.data());
    for (std::size_t l = 0; l < geometry.axes.size(); ++l) {
      record[l] = at.local.data() + l * usize(kRows);
    }
    const std::int64_t last = std::min(problem.n_q(), (part + 1) * 16 * kRows);
    for (std::int64_t first = part * 16 * kRows; first < last; first += kRows) {
      const std::int64_t count = std::min(kRows, last - first);
      locate(set, first, count, at);
      scatter(record, count, queries.place.data() + first, out.data());
    }
  });
  return out;
}

}  // namespace polyattn::engines::grid
