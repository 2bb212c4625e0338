#include "engines/tuples/exact.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/exact.hpp"
#include "engines/tuple_sets.hpp"
#include "engines/tuples/exact_certificate.hpp"
#include "engines/tuples/exact_results.hpp"
#include "engines/tuples/exact_sets.hpp"
#include "engines/tuples/exact_worker.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kTile;

/// Rows a thread takes at once, unless a segment has more: a few milliseconds, and next to nothing lost by its last
/// tile.
constexpr std::int64_t kRowsPerItem = 3072;
/// Most queries, and most segments unless a single query has more, whose states are kept at the same time.
constexpr std::int64_t kQueriesPerBatch = 2048;
constexpr std::int64_t kSegmentsPerBatch = 4096;

/// Some consecutive queries of the list, and the states of their segments.
struct Batch {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::vector<KeyRange> outer;        // [queries][outer sets]
  std::vector<std::int64_t> segment;  // [queries + 1] first segment of each
  std::vector<Segment> segments;
  std::vector<JoinState> states;
  base::Buffer<double> sums;  // [segments][d_v]
};

/// The keys of each outer set that a query sees, among those that are loaded.
void outer_ranges(const TupleProblem& problem, const SetOrder& order, const std::vector<SetFacts>& facts,
                  std::span<const OuterSet> outer, std::int64_t query, KeyRange* ranges) {
  for (std::size_t s = 0; s < order.outer.size(); ++s) {
    const SetFacts& set = facts[order.outer[s]];
    const KeyRange range = problem.range(order.outer[s], query);
    ranges[s] = {set.before[usize(range.first)] - outer[s].first, set.before[usize(range.last)] - outer[s].first};
    if (range.size() == 0) {
      ranges[s] = {};
    }
  }
}

/// The next queries from `first` on, their states those of no row.
Batch next_batch(const TupleProblem& problem, const RowList& rows, const SetOrder& order,
                 const std::vector<SetFacts>& facts, std::span<const OuterSet> outer, std::int64_t first,
                 base::MemoryMeter* memory) {
  const std::int64_t count = rows.count(problem.n_q());
  Batch batch;
  batch.first = first;
  batch.outer.resize(usize(std::min(count - first, kQueriesPerBatch)) * outer.size());
  for (batch.last = first; batch.last < std::min(count, first + kQueriesPerBatch); ++batch.last) {
    const std::int64_t query = rows.row(batch.last);
    KeyRange* ranges = batch.outer.data() + usize(batch.last - first) * outer.size();
    outer_ranges(problem, order, facts, outer, query, ranges);
    const KeyRange inner = problem.range(order.inner, query);
    const std::int64_t seen = OuterRows::count({ranges, outer.size()});
    const std::int64_t segments = facts[order.inner].visible(inner) == 0 ? 0 : base::blocks_of(seen, kJoinedRows);
    const auto before = static_cast<std::int64_t>(batch.segments.size());
    if (before > 0 && before + segments > kSegmentsPerBatch) {
      break;
    }
    batch.segment.push_back(before);
    for (std::int64_t s = 0; s < segments; ++s) {
      batch.segments.push_back({query, s * kJoinedRows, std::min(seen, (s + 1) * kJoinedRows), inner, ranges});
    }
  }
  batch.segment.push_back(static_cast<std::int64_t>(batch.segments.size()));
  batch.states.resize(batch.segments.size());
  const std::int64_t d_v = problem.value_dim();
  batch.sums = base::Buffer<double>(base::checked_mul(static_cast<std::int64_t>(batch.segments.size()), d_v, "values"),
                                    0.0, memory);
  for (std::size_t s = 0; s < batch.states.size(); ++s) {
    batch.states[s].sums = batch.sums.data() + s * usize(d_v);
  }
  return batch;
}

/// First segments of the items of a batch, and the end: each about `most` rows, or one segment.
std::vector<std::size_t> items_of(const Batch& batch, std::int64_t most) {
  std::vector<std::size_t> items = {0};
  std::int64_t rows = 0;
  for (std::size_t s = 0; s < batch.segments.size(); ++s) {
    const std::int64_t more = batch.segments[s].last - batch.segments[s].first;
    if (rows > 0 && rows + more > most) {
      items.push_back(s);
      rows = 0;
    }
    rows += more;
  }
  if (!batch.segments.empty()) {
    items.push_back(batch.segments.size());
  }
  return items;
}

std::int64_t rows_of(const Batch& batch) {
  std::int64_t rows = 0;
  for (const Segment& segment : batch.segments) {
    rows += segment.last - segment.first;
  }
  return rows;
}

/// Tuples that the queries of a batch may see by position, but not with the keys that are hidden.
double hidden_tuples(const TupleProblem& problem, const RowList& rows, const Batch& batch) {
  double tuples = 0.0;
  for (std::int64_t i = batch.first; i < batch.last; ++i) {
    tuples += visible_tuples(problem, rows.row(i));
  }
  for (const Segment& segment : batch.segments) {
    tuples -= static_cast<double>(segment.last - segment.first) * static_cast<double>(segment.inner.size());
  }
  return std::max(tuples, 0.0);
}

}  // namespace

template <class T>
void exact_tuples(const TupleProblem& problem, const RowList& rows, const HeadOutputs& out,
                  const base::Context& context) {
  const base::FloatEnvironment environment;
  const std::vector<SetFacts> facts = gather_sets(problem);
  const SetOrder order = order_of_sets(problem);
  const HeadProblem inner = set_problem(problem, order.inner);
  const PackedKeys<T> packed = pack_keys<T>(inner, context);
  std::vector<OuterSet> outer;
  for (const std::size_t s : order.outer) {
    outer.push_back(load_outer(problem, s, facts[s], context.memory));
  }
  const auto scoring = tile_scoring<T>(inner.score, problem.dim());
  const TupleShared<T> shared{problem, packed, outer, scoring, needs_masks(inner)};
  const TupleCertifier<T> certifier(problem, order, facts, out.output.dtype);
  const TupleResults<T> results{problem, rows, out, order, facts, certifier, packed.shift(), packed.value_scale};

  const std::int64_t count = rows.count(problem.n_q());
  const int threads = std::max(1, context.threads);
  std::vector<TupleWorker<T>> workers;
  for (std::int64_t first = 0; first < count;) {
    Batch batch = next_batch(problem, rows, order, facts, outer, first, context.memory);
    const std::int64_t all = rows_of(batch);
    const std::int64_t share = base::round_up_to(std::max<std::int64_t>(all / (4 * threads), 1), kTile);
    const std::vector<std::size_t> items = items_of(batch, threads > 1 ? std::min(share, kRowsPerItem) : kRowsPerItem);
    const auto work = static_cast<std::int64_t>(items.size()) - 1;
    while (static_cast<std::int64_t>(workers.size()) < std::min<std::int64_t>(threads, work)) {
      workers.emplace_back(shared, kTupleTiles, context.memory);
    }
    base::parallel_for(context, work, [&](std::int64_t item, int thread) {
      // Under a causal mask the last queries have the most rows: they go first.
      const std::size_t from = items[usize(work - 1 - item)];
      const std::size_t to = items[usize(work - item)];
      workers[usize(thread)].answer(std::span(batch.segments).subspan(from, to - from),
                                    std::span(batch.states).subspan(from, to - from), context);
    });
    base::parallel_for(context, batch.last - batch.first, [&](std::int64_t i, int) {
      const auto from = usize(batch.segment[usize(i)]);
      const auto to = usize(batch.segment[usize(i + 1)]);
      write_tuple_row(results, batch.first + i, std::span(batch.states).subspan(from, to - from));
    });
    if (context.progress != nullptr) {
      context.progress->add(exact_work(hidden_tuples(problem, rows, batch), problem.dim(), problem.value_dim()));
    }
    first = batch.last;
  }
}

TupleBounds exact_tuple_bounds(const TupleProblem& problem, DType output) {
  const base::FloatEnvironment environment;
  const std::vector<SetFacts> facts = gather_sets(problem);
  for (const SetFacts& set : facts) {
    if (set.statistics.visible == 0) {
      return {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}};
    }
  }
  double norm = 0.0;
  std::vector<double> largest(usize(problem.dim()), 0.0);
  std::vector<double> query(usize(problem.dim()));
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    base::load_rows(problem.queries, i, 1, query.data(), problem.dim());
    double square = 0x1p-1000 * static_cast<double>(problem.dim());
    for (std::size_t l = 0; l < query.size(); ++l) {
      square += query[l] * query[l];
      largest[l] = std::fabs(query[l]) <= largest[l] ? largest[l] : std::fabs(query[l]);
    }
    norm = std::isnan(norm) || std::sqrt(square) <= norm ? norm : std::sqrt(square);
  }
  const SetOrder order = order_of_sets(problem);
  const TupleCertifier<float> single(problem, order, facts, output);
  const TupleCertifier<double> wide(problem, order, facts, output);
  return {single.certify(single.worst(norm, largest)), wide.certify(wide.worst(norm, largest))};
}

double exact_tuple_work(const TupleProblem& problem, const RowList& rows) noexcept {
  return exact_work(visible_tuples(problem, rows), problem.dim(), problem.value_dim());
}

std::int64_t exact_tuple_bytes(const TupleProblem& problem, std::int64_t rows, int threads, std::int64_t element) {
  const std::int64_t d = problem.dim();
  const std::int64_t d_v = problem.value_dim();
  const SetOrder order = order_of_sets(problem);
  std::int64_t bytes = packed_bytes(problem.sets[order.inner].size(), d, d_v, element);
  double tuples = 1.0;
  for (const std::size_t s : order.outer) {
    const std::int64_t n = problem.sets[s].size();
    bytes += outer_bytes(n, d, d_v);
    tuples *= static_cast<double>(n);
  }
  const double segments = std::ceil(tuples / static_cast<double>(kJoinedRows));
  const double kept = std::max(segments, std::min(static_cast<double>(kSegmentsPerBatch),
                                                  segments * static_cast<double>(std::min(rows, kQueriesPerBatch))));
  bytes += base::checked_mul(static_cast<std::int64_t>(std::min(kept, 0x1p60)), 8 * d_v, "keys");
  return bytes + std::max(1, threads) * TupleWorker<float>::bytes(d, d_v, kTupleTiles, true, element);
}

template void exact_tuples<float>(const TupleProblem&, const RowList&, const HeadOutputs&, const base::Context&);
template void exact_tuples<double>(const TupleProblem&, const RowList&, const HeadOutputs&, const base::Context&);

}  // namespace polyattn::engines
