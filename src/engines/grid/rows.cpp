#include "engines/grid/rows.hpp"

#include "engines/columns.hpp"
#include "engines/grid/row_bounds.hpp"
#include "engines/grid/row_math.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "simd/dispatch.hpp"
#include "simd/grid_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace polyattn::engines::grid {

namespace {

using base::usize;

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
  std::vector<double> axis;     ///< [node][kLd]
  std::vector<double> values;   ///< [columns][kLd] of a point's own key: weight, then weighted values
  std::vector<double> charges;  ///< [1 + 3 columns][kLd]

  Worker(const RowSources& from, std::int64_t columns)
      : block(from.geometry, from.bases, from.queries.width),
        sums(usize((1 + columns) * kLd)),
        own(usize(kLd)),
        axis(usize(simd::kMaxNodes * kLd)),
        values(usize((1 + columns) * kLd)),
        charges(usize((1 + 3 * columns) * kLd)) {}
};

/// Takes its own key's part, as the grid sees it, out of every row's sums.
void leave_out(const RowSources& from, const std::vector<AxisMatrices>& self, std::int64_t first, std::int64_t count,
               std::int64_t channels, Worker& worker) {
  const std::int64_t axes = static_cast<std::int64_t>(from.geometry.axes.size());
  const std::int64_t padded = worker.block.padded();
  std::fill(worker.own.begin(), worker.own.end(), 1.0);
  for (std::int64_t l = 0; l < axes; ++l) {
    const AxisBasis& basis = from.bases[usize(l)];
    simd::kernels().grid.lagrange_points(
        {worker.block.column(l), padded, basis.matrix.data(), basis.ld, basis.nodes, worker.axis.data(), kLd});
    simd::kernels().grid.own(
        {worker.axis.data(), kLd, basis.nodes, self[usize(l)].blocks.data(), padded, worker.own.data()});
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    double* sums = worker.sums.data() + c * kLd;
    double* values = worker.values.data() + c * kLd;
    for (std::int64_t i = 0; i < count; ++i) {
      values[i] = from.keys.record(first + i)[axes + c];
      sums[i] -= values[i] * worker.own[usize(i)];
    }
  }
}

/// Charges of the parts of the cell that the points are in.
void look_up(const RowSources& from, const std::vector<std::int64_t>& bins, std::int64_t target, std::int64_t count,
             Worker& worker) {
  const double* charges = from.charges.tensor(target);
  const std::int64_t width = from.charges.width();
  const std::int64_t stride = bins.front() * width;
  std::int64_t part[kLd];
  for (std::int64_t i = 0; i < count; ++i) {
    part[i] = 0;
  }
  for (std::size_t l = 1; l < bins.size(); ++l) {
    const double* x = worker.block.column(static_cast<std::int64_t>(l));
    for (std::int64_t i = 0; i < count; ++i) {
      part[i] = part[i] * bins[l] + bin_of(x[i], bins[l]);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    part[i] += bin_of(worker.block.column(0)[i], bins.front()) * width;
  }
  for (std::int64_t c = 0; c < from.charges.channels; ++c) {
    double* out = worker.charges.data() + c * kLd;
    for (std::int64_t i = 0; i < count; ++i) {
      out[i] = charges[c * stride + part[i]];
    }
  }
}

/// Results of rows in the order of the queries' records: [columns] answers, approximation, rounding, and with
/// log-sum-exp that of the cell's units and its bound.
struct Results {
  std::int64_t columns;
  std::int64_t width;
  base::Buffer<double> data;
};

void answer_block(const RowSources& from, const Block& block, const std::vector<std::int64_t>& bins,
                  const std::vector<AxisMatrices>& self, const RowRules& rules, Worker& worker, Results& results) {
  const std::int64_t target = from.target[usize(block.cell)];
  const std::int64_t channels = from.tensors.channels;
  const std::int64_t step = from.reach.size() / from.reach.channels;
  std::vector<double> reach(usize(channels));
  for (std::int64_t c = 0; c < channels; ++c) {
    reach[usize(c)] = from.reach.tensor(target)[c * step];
  }
  const double unit = from.tensors.exponents.empty() ? 0.0 : static_cast<double>(from.tensors.exponents[usize(target)]);
  for (std::int64_t first = 0; first < block.count; first += kLd) {
    const std::int64_t count = std::min(kLd, block.count - first);
    worker.block.load(from.queries, block.first + first, count);
    simd::kernels().grid.evaluate({worker.block.leading(), from.bases.front().nodes, kLd, worker.block.products(),
                                   worker.block.ld_products(), from.tensors.width(), worker.block.padded(),
                                   from.tensors.tensor(target), channels, worker.sums.data(), kLd});
    if (!self.empty()) {
      leave_out(from, self, block.first + first, count, channels, worker);
    }
    look_up(from, bins, target, count, worker);
    const RowBatch batch{worker.sums.data(),
                         worker.charges.data(),
                         self.empty() ? nullptr : worker.values.data(),
                         reach.data(),
                         unit,
                         kLd,
                         count};
    certify_batch(rules, batch, results.data.data() + (block.first + first) * results.width, results.width);
  }
}

/// Where accepted rows are written.
struct Writer {
  const HeadProblem& problem;
  const RowSources& from;
  const Acceptance& acceptance;
  const HeadOutputs& out;
  const RowRules& rules;
  const Results& results;
  std::vector<std::uint8_t>& answered;

  /// Rows [first, first + count) of the head.
  EvaluationSummary write(std::int64_t first, std::int64_t count) const;
  [[nodiscard]] bool accept(std::int64_t row, const double* result, const std::vector<double>& query) const;
  void store(std::int64_t first, std::int64_t begin, std::int64_t end, const std::vector<double>& columns) const;
};

bool Writer::accept(std::int64_t row, const double* result, const std::vector<double>& query) const {
  const double approximation = result[results.columns];
  double rounding = result[results.columns + 1];
  double largest = 0.0;
  for (std::int64_t c = 0; c < results.columns; ++c) {
    largest = std::max(largest, std::fabs(result[c]));
  }
  const StorageRounding stored = storage_of(out.output.dtype);
  rounding = (rounding + stored.rounding.at(largest)) * (1.0 + 1e-13);
  if (!(approximation + rounding <= acceptance.tolerance) || !std::isfinite(approximation + rounding)) {
    return false;
  }
  if (rules.wants_lse) {
    const LogSumExp lse =
        finish_log_sum_exp(from.geometry, {result[results.columns + 2], result[results.columns + 3]}, query.data());
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
  }
  if (out.approximation != nullptr) {
    out.approximation[row] = approximation;
  }
  if (out.rounding != nullptr) {
    out.rounding[row] = rounding;
  }
  if (out.storage != nullptr) {
    out.storage[row] = stored.storage.at(largest);
  }
  if (out.relative != nullptr) {
    out.relative[row] = std::numeric_limits<double>::infinity();
  }
  return true;
}

void Writer::store(std::int64_t first, std::int64_t begin, std::int64_t end, const std::vector<double>& columns) const {
  base::store_columns(out.output, first + begin, end - begin, columns.data() + begin, kStored, results.columns);
}

EvaluationSummary Writer::write(std::int64_t first, std::int64_t count) const {
  EvaluationSummary summary;
  std::vector<double> columns(usize(std::max<std::int64_t>(results.columns, 1) * kStored));
  std::vector<double> queries;
  std::vector<double> query(usize(problem.dim()));
  if (rules.wants_lse && from.geometry.weighted) {
    queries.resize(usize(problem.dim() * kStored));
    load_columns(problem.queries, first, count, queries.data(), kStored);
  }
  std::int64_t begin = 0;  // of a run of answered rows
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = first + i;
    const double* result =
        results.data.data() + static_cast<std::int64_t>(from.queries.place[usize(row)]) * results.width;
    for (std::size_t l = 0; l < query.size() && !queries.empty(); ++l) {
      query[l] = queries[l * usize(kStored) + usize(i)];
    }
    if (from.target[from.queries.cell[usize(row)]] < 0 || !accept(row, result, query)) {
      store(first, begin, i, columns);
      begin = i + 1;
      continue;
    }
    answered[usize(row)] = 1;
    ++summary.answered;
    for (std::int64_t c = 0; c < results.columns; ++c) {
      columns[usize(c * kStored + i)] = result[c];
    }
  }
  store(first, begin, count, columns);
  return summary;
}

}  // namespace

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

EvaluationSummary answer_rows(const HeadProblem& problem, const RowSources& from, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context) {
  const std::int64_t columns = problem.value_dim();
  const RowRules rules{from.knots,
                       from.rounding,
                       from.outside,
                       from.range,
                       from.largest_value,
                       from.geometry.weight_error,
                       wants_lse(acceptance, out)};
  Results results{columns, columns + 2 + (rules.wants_lse ? 2 : 0), {}};
  results.data = base::Buffer<double>(from.queries.points() * results.width, context.memory);
  const std::vector<std::int64_t> bins = bins_of(from.geometry);
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
  base::parallel_for(context, static_cast<std::int64_t>(parts.size()), [&](std::int64_t part, int) {
    const std::int64_t first = part * kStored;
    parts[usize(part)] = writer.write(first, std::min(kStored, problem.n_q() - first));
  });
  EvaluationSummary summary;
  for (const EvaluationSummary& part : parts) {
    summary.answered += part.answered;
  }
  return summary;
}

}  // namespace polyattn::engines::grid
