#include "engines/grid/rows.hpp"

#include "engines/columns.hpp"
#include "engines/grid/row_bounds.hpp"
#include "engines/grid/row_math.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "simd/dispatch.hpp"
#include "simd/grid_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace polyattn::engines::grid {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kLd = PointBlock::kLd;
constexpr std::int64_t kStored = 512;  ///< rows written at a time

/// Blocks of queries of one cell that have a key within reach.
struct Block {
  std::int64_t cell;
  std::int64_t first;
  std::int64_t count;
};

std::vector<Block> blocks_of_queries(const RowSources& from) {
  std::vector<Block> blocks;
  constexpr std::int64_t kMost = 16 * kLd;
  for (std::int64_t cell = 0; cell < from.queries.cells(); ++cell) {
    if (from.target[usize(cell)] < 0) {
      continue;
    }
    const std::int64_t last = from.queries.starts[usize(cell) + 1];
    for (std::int64_t first = from.queries.starts[usize(cell)]; first < last; first += kMost) {
      blocks.push_back({cell, first, std::min(kMost, last - first)});
    }
  }
  return blocks;
}

/// What a thread needs.
struct Worker {
  PointBlock block;
  std::vector<double> sums;     ///< [1 + columns][kLd]
  std::vector<double> own;      ///< kappa~ of a point and itself
  std::vector<double> values;   ///< [columns][kLd] of a point's own key: weight, then weighted values
  std::vector<double> charges;  ///< [1 + 3 columns][kLd]
  std::vector<double> answers;  ///< [columns + 2][kLd]

  Worker(const RowSources& from, std::int64_t columns)
      : block(from.geometry, from.in_place() ? from.record_width : from.keys.width,
              from.in_place() ? 0 : from.keys.first_axis),
        sums(usize((1 + columns) * kLd)),
        own(usize(kLd)),
        values(usize((1 + columns) * kLd)),
        charges(usize((1 + 3 * columns) * kLd)),
        answers(usize((columns + 2) * kLd)) {}
};

/// Takes its own key's part, as the grid sees it, out of every row's sums.
void leave_out(const RowSources& from, const std::vector<AxisMatrices>& self, std::int64_t first, std::int64_t count,
               std::int64_t channels, Worker& worker) {
  const std::int64_t axes = static_cast<std::int64_t>(from.geometry.axes.size());
  std::fill(worker.own.begin(), worker.own.end(), 1.0);
  const double* list = worker.block.lists();
  for (std::int64_t l = 0; l < axes; ++l) {
    const std::ptrdiff_t nodes = worker.block.nodes()[usize(l)];
    worker.block.kernels().own(
        {list, kLd, nodes, self[usize(l)].blocks.data(), worker.block.padded(), worker.own.data()});
    list += nodes * kLd;
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    double* sums = worker.sums.data() + c * kLd;
    double* values = worker.values.data() + c * kLd;
    for (std::int64_t i = 0; i < count; ++i) {
      values[i] = from.keys.channel(first + i, c);
      sums[i] -= values[i] * worker.own[usize(i)];
    }
  }
}

/// Charges of the parts of the cell that the points are in.
void look_up(const RowSources& from, const std::vector<std::ptrdiff_t>& bins, std::int64_t target, Worker& worker) {
  worker.block.kernels().look_up({worker.block.places(0), kLd, bins.data(), static_cast<std::ptrdiff_t>(bins.size()),
                                  worker.block.padded(), from.charges.tensor(target), from.charges.width(),
                                  from.charges.nodes.front(), worker.charges.data(), kLd});
}

/// Results of rows in the order of the queries' records: [columns] answers, approximation, rounding, and with
/// log-sum-exp that of the cell's units and its bound.
struct Results {
  std::int64_t columns;
  std::int64_t width;  ///< from one to the next
  double* data;
  [[nodiscard]] double* row(std::int64_t i) const noexcept { return data + i * width; }
};

/// Rows of a batch, in lanes, into their records.
void certify(const RowRules& rules, const RowBatch& batch, Worker& worker, Results& results, std::int64_t first) {
  const ColumnKnots& knots = rules.knots;
  worker.block.kernels().certify(
      {batch.sums, batch.charges, batch.own, batch.reach, knots.low.data(), knots.centre.data(), knots.high.data(),
       results.columns, kLd, base::round_up_to(batch.count, 8), rules.rounding, batch.outside, kLostMass,
       rules.range * score_movement(rules.perturbation), kAnswerRounding, rules.largest_value, worker.answers.data()});
  for (std::int64_t i = 0; i < batch.count; ++i) {
    double* row = results.row(first + i);
    for (std::int64_t c = 0; c < results.columns + 2; ++c) {
      row[c] = worker.answers[usize(c * kLd + i)];
    }
    if (rules.wants_lse) {
      const LogSumExp lse = log_sum_exp(rules, batch, i);
      row[results.columns + 2] = lse.value;
      row[results.columns + 3] = lse.bound;
    }
  }
}

void answer_block(const RowSources& from, const Block& block, const std::vector<std::ptrdiff_t>& bins,
                  const std::vector<AxisMatrices>& self, const RowRules& rules, Worker& worker, Results& results) {
  const std::int64_t target = from.target[usize(block.cell)];
  const std::int64_t channels = from.tensors.channels;
  std::vector<double> reach(usize(channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    reach[usize(c)] = from.reach.tensor(target)[c * from.reach.width()];
  }
  const double unit = from.tensors.exponents.empty() ? 0.0 : static_cast<double>(from.tensors.exponents[usize(target)]);
  for (std::int64_t first = 0; first < block.count; first += kLd) {
    const std::int64_t count = std::min(kLd, block.count - first);
    worker.block.load(from.in_place() ? from.records.data() + (block.first + first) * from.record_width
                                      : from.keys.record(block.first + first),
                      count);
    worker.block.make_lists();
    worker.block.kernels().evaluate({worker.block.lists(), kLd, worker.block.nodes().data(),
                                     static_cast<std::ptrdiff_t>(worker.block.nodes().size()), from.tensors.width(),
                                     worker.block.padded(), from.tensors.tensor(target), channels, worker.sums.data(),
                                     kLd});
    if (!self.empty()) {
      leave_out(from, self, block.first + first, count, channels, worker);
    }
    look_up(from, bins, target, worker);
    const RowBatch batch{worker.sums.data(),
                         worker.charges.data(),
                         self.empty() ? nullptr : worker.values.data(),
                         reach.data(),
                         unit,
                         from.outside.in(unit),
                         kLd,
                         count};
    certify(rules, batch, worker, results, block.first + first);
  }
}

/// One block of rows, column by column.
struct Rows {
  std::vector<double> answers;
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<double> largest;
  std::vector<std::uint8_t> good;

  explicit Rows(std::int64_t columns)
      : answers(usize(std::max<std::int64_t>(columns, 1) * kStored)),
        approximation(usize(kStored)),
        rounding(usize(kStored)),
        largest(usize(kStored), 0.0),
        good(usize(kStored), 0) {}
};

/// Where accepted rows are written.
struct Writer {
  const HeadProblem& problem;
  const RowSources& from;
  const Acceptance& acceptance;
  const HeadOutputs& out;
  const RowRules& rules;
  const Results& results;
  std::vector<std::uint8_t>& answered;

  /// Rows [first, first + count) of the head, `rows` for room.
  EvaluationSummary write(std::int64_t first, std::int64_t count, Rows& rows) const;
  /// `count` answered rows, from the `begin`-th of a block on.
  void write_run(std::int64_t first, std::int64_t begin, std::int64_t count, const StorageRounding& stored,
                 const Rows& rows) const;
  [[nodiscard]] bool accept_lse(std::int64_t row, const double* result, const double* query) const;
};

/// Results lie cell by cell: each is fetched before its turn.
void gather(const Results& results, const std::uint32_t* place, std::int64_t count, Rows& rows) {
  constexpr std::int64_t kAhead = 32;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      __builtin_prefetch(results.row(static_cast<std::int64_t>(place[i + kAhead])));
    }
    const double* result = results.row(static_cast<std::int64_t>(place[i]));
    double largest = 0.0;
    for (std::int64_t c = 0; c < results.columns; ++c) {
      rows.answers[usize(c * kStored + i)] = result[c];
      largest = std::max(largest, std::fabs(result[c]));
    }
    rows.largest[usize(i)] = largest;
    rows.approximation[usize(i)] = result[results.columns];
    rows.rounding[usize(i)] = result[results.columns + 1];
  }
}

bool Writer::accept_lse(std::int64_t row, const double* result, const double* query) const {
  const LogSumExp lse =
      finish_log_sum_exp(from.geometry, {result[results.columns + 2], result[results.columns + 3]}, query);
  const double density =
      std::expm1(lse.bound) * (acceptance.density_absolute ? std::exp(lse.value) : 1.0) * (1.0 + 1e-13);
  if (!(lse.bound <= acceptance.lse_tolerance) || !(density <= acceptance.density_tolerance) ||
      !std::isfinite(lse.value)) {
    return false;
  }
  if (out.lse != nullptr) {
    out.lse[row] = lse.value;
  }
  if (out.lse_bound != nullptr) {
    out.lse_bound[row] = lse.bound;
  }
  return true;
}

EvaluationSummary Writer::write(std::int64_t first, std::int64_t count, Rows& rows) const {
  EvaluationSummary summary;
  const std::uint32_t* place = from.queries.place.data() + first;
  gather(results, place, count, rows);
  std::vector<double> queries;  // [row][dim]
  if (rules.wants_lse && !from.geometry.query_linear.empty()) {
    queries.resize(usize(problem.dim() * count));
    base::load_rows(problem.queries, first, count, queries.data(), problem.dim());
  }
  const StorageRounding stored = storage_of(out.output.dtype);
  std::int64_t good = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    double& rounding = rows.rounding[usize(i)];
    rounding = (rounding + stored.rounding.at(rows.largest[usize(i)])) * (1.0 + 1e-13);
    const double bound = rows.approximation[usize(i)] + rounding;
    rows.good[usize(i)] = static_cast<std::uint8_t>(bound <= acceptance.tolerance && bound < kInfinity);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    if (rules.wants_lse && rows.good[usize(i)] != 0) {
      const double* query = queries.data() + (queries.empty() ? 0 : i * problem.dim());
      const bool accepted = accept_lse(first + i, results.row(static_cast<std::int64_t>(place[i])), query);
      rows.good[usize(i)] = static_cast<std::uint8_t>(accepted);
    }
    good += rows.good[usize(i)];
  }
  summary.answered = good;
  std::int64_t begin = 0;  // of a run of answered rows
  while (begin < count) {
    const auto* flags = rows.good.data();
    const std::int64_t run = std::find(flags + begin, flags + count, std::uint8_t{0}) - flags - begin;
    write_run(first, begin, run, stored, rows);
    begin += run;
    begin = std::find(flags + begin, flags + count, std::uint8_t{1}) - flags;
  }
  return summary;
}

void Writer::write_run(std::int64_t first, std::int64_t begin, std::int64_t count, const StorageRounding& stored,
                       const Rows& rows) const {
  const std::int64_t row = first + begin;
  base::store_columns(out.output, row, count, rows.answers.data() + begin, kStored, results.columns);
  std::fill_n(answered.begin() + row, count, std::uint8_t{1});
  if (out.approximation != nullptr) {
    std::copy_n(rows.approximation.data() + begin, count, out.approximation + row);
  }
  if (out.rounding != nullptr) {
    std::copy_n(rows.rounding.data() + begin, count, out.rounding + row);
  }
  if (out.relative != nullptr) {
    std::fill_n(out.relative + row, count, kInfinity);
  }
  for (std::int64_t i = 0; i < count && out.storage != nullptr; ++i) {
    out.storage[row + i] = stored.storage.at(rows.largest[usize(begin + i)]);
  }
}

}  // namespace

double Outside::in(double unit) const noexcept {
  if (!(mass > 0.0) || exponent == kNothing) {
    return mass;
  }
  const double shift = static_cast<double>(exponent) - unit;
  // Rounded up where it would underflow.
  return shift > 1023.0 ? std::numeric_limits<double>::infinity()
                        : mass * std::ldexp(1.0, static_cast<int>(std::max(shift, -1000.0)));
}

std::vector<std::int32_t> find_targets(const std::vector<std::int64_t>& queries,
                                       const std::vector<std::int64_t>& reached) {
  std::vector<std::int32_t> out(queries.size(), -1);
  std::size_t at = 0;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    while (at < reached.size() && reached[at] < queries[i]) {
      ++at;
    }
    if (at < reached.size() && reached[at] == queries[i]) {
      out[i] = static_cast<std::int32_t>(at);
    }
  }
  return out;
}

std::int64_t result_width(std::int64_t columns, bool wants_lse) noexcept { return columns + 2 + (wants_lse ? 2 : 0); }

EvaluationSummary answer_rows(const HeadProblem& problem, const RowSources& from, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context) {
  const std::int64_t columns = problem.value_dim();
  const RowRules rules{from.knots,
                       from.rounding,
                       from.range,
                       from.largest_value,
                       from.geometry.weight_error,
                       wants_lse(acceptance, out)};
  base::Buffer<double> apart;
  Results results{columns, from.record_width, from.records.data()};
  if (!from.in_place()) {
    results.width = result_width(columns, rules.wants_lse);
    apart = base::Buffer<double>(from.queries.points() * results.width, context.memory);
    results.data = apart.data();
  }
  for (std::int64_t cell = 0; cell < from.queries.cells(); ++cell) {
    for (std::int64_t i = from.queries.starts[usize(cell)];
         from.target[usize(cell)] < 0 && i < from.queries.starts[usize(cell) + 1]; ++i) {
      std::fill_n(results.row(i), results.width, kInfinity);
    }
  }
  const std::vector<std::int64_t> cut = bins_of(from.geometry);
  const std::vector<std::ptrdiff_t> bins(cut.begin(), cut.end());
  std::vector<AxisMatrices> self;
  if (problem.mask.exclude_self) {
    for (Axis axis : from.geometry.axes) {
      axis.band = 0;
      self.push_back(node_matrices(axis));
    }
  }
  const std::vector<Block> blocks = blocks_of_queries(from);
  std::vector<std::unique_ptr<Worker>> workers(usize(std::max(context.threads, 1)));
  base::parallel_for(context, static_cast<std::int64_t>(blocks.size()), [&](std::int64_t item, int thread) {
    if (workers[usize(thread)] == nullptr) {
      workers[usize(thread)] = std::make_unique<Worker>(from, columns);
    }
    answer_block(from, blocks[usize(item)], bins, self, rules, *workers[usize(thread)], results);
    if (context.progress != nullptr) {
      context.progress->add(static_cast<double>(blocks[usize(item)].count) * tensor_work(from.geometry, 1 + columns));
    }
  });
  const Writer writer{problem, from, acceptance, out, rules, results, answered};
  std::vector<EvaluationSummary> parts(usize(base::blocks_of(problem.n_q(), kStored)));
  std::vector<std::unique_ptr<Rows>> spaces(workers.size());
  base::parallel_for(context, static_cast<std::int64_t>(parts.size()), [&](std::int64_t part, int thread) {
    std::unique_ptr<Rows>& space = spaces[usize(thread)];
    if (space == nullptr) {
      space = std::make_unique<Rows>(columns);
    }
    const std::int64_t first = part * kStored;
    parts[usize(part)] = writer.write(first, std::min(kStored, problem.n_q() - first), *space);
  });
  EvaluationSummary summary;
  for (const EvaluationSummary& part : parts) {
    summary.answered += part.answered;
  }
  return summary;
}

}  // namespace polyattn::engines::grid
