#include "engines/polynomial/causal.hpp"

#include "engines/polynomial/causal_diagonal.hpp"
#include "engines/polynomial/causal_join.hpp"
#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/row_answers.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>
#include <utility>

// Round by round of a few key blocks, two things side by side that share nothing but what the round before prepared:
//
//   rows whose prefix ends in one of the blocks: the keys before it by moments, those inside it exactly, joined
//   (causal_join);
//   the key side, in one thread: block by block, keys join the moments, from which the next round's rows are prepared.
//
// How many blocks a round has decides only how often threads wait for each other.

namespace polyattn::engines {

namespace {

using base::usize;

/// What the rows of one key block read: moments in T, pairs in X.
template <class T, class X>
struct Stage {
  bool empty = true;      ///< no key before the block is visible
  double exponent = 0.0;  ///< moments are in units of 2^exponent of the weights exp(log_weight)
  PreparedMoments<T> moments;
  DiagonalKeys<X> diagonal;
};

/// Rows [begin, begin + count) of one stage.
struct RowItem {
  std::int64_t stage = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// The rows whose visible prefix ends in [key_first, key_last), at most `row_block` an item: prefixes grow with the
/// row, so they are consecutive.
void add_items(const HeadProblem& problem, std::int64_t key_first, std::int64_t key_last, std::int64_t stage,
               std::int64_t row_block, std::vector<RowItem>& items) {
  const auto first_row_seeing = [&](std::int64_t count) {  // least row with visible(row) >= count
    return count <= 0 ? std::int64_t{0} : std::clamp<std::int64_t>(count - 1 - problem.mask.offset, 0, problem.n_q());
  };
  const std::int64_t end = key_last >= problem.n_kv() ? problem.n_q() : first_row_seeing(key_last);
  for (std::int64_t begin = first_row_seeing(key_first); begin < end; begin += row_block) {
    items.push_back({stage, begin, std::min(row_block, end - begin)});
  }
}

template <class T, class X>
struct Causal {
  const HeadProblem& problem;
  const Frame& frame;
  const ValueRange& values;
  const FeatureList& features;
  const base::Context& context;
  const Answering<T>& answering;
  std::int64_t block;
  DiagonalModel<X> model;
  double dropped;
  std::vector<double> weights;  ///< of the moments
  MomentTotals totals;
  double exponent = 0.0;     ///< of the totals
  bool any = false;          ///< a key in them is visible
  MomentScratch<T> scratch;  ///< the keys that were prepared last, as loaded

  Stage<T, X> make_stage(const PolynomialTable& table) const;
  void add(const DiagonalKeys<X>& keys);
  void prepare(const DiagonalBound& known, std::int64_t first, Stage<T, X>& stage);
  EvaluationSummary answer(const Stage<T, X>& stage, std::int64_t first, std::int64_t count, RowBlock<T>& rows,
                           DiagonalRows<X>& exact) const;
  EvaluationSummary run(const PolynomialTable& table);
};

template <class T, class X>
Stage<T, X> Causal<T, X>::make_stage(const PolynomialTable& table) const {
  Stage<T, X> stage{true, 0.0, {}, DiagonalKeys<X>(frame.dim(), problem.value_dim(), block, context.memory)};
  PreparedMoments<T>& moments = stage.moments;
  moments.features = features;
  moments.table = table;
  moments.rounding = rounding_model<T>(features.degree(), features.rank(), problem.n_kv());
  if constexpr (sizeof(X) < sizeof(T)) {  // coordinates of some keys are rounded to X
    const RoundingModel pairs = rounding_model<X>(features.degree(), features.rank(), problem.n_kv());
    moments.rounding.score = pairs.score;
    moments.rounding.weight = pairs.weight;
  }
  moments.scaled = base::Buffer<T>(features.moments(), context.memory);
  moments.key_count = static_cast<double>(problem.n_kv());
  // Underflow for the most that any prefix can weigh: no weight is above 1 in the units of its moments.
  KeySideBounds& most = moments.bounds;
  for (const double z : frame.z) {
    most.z_sum += std::fabs(z);
  }
  most.weight_high = moments.key_count * (1.0 + 1e-6);
  most.largest_absolute = most.weight_high * model.largest;
  bound_entries(moments);
  return stage;
}

/// The keys that were prepared last into the moments, whose units grow with the largest weight seen.
template <class T, class X>
void Causal<T, X>::add(const DiagonalKeys<X>& keys) {
  if (keys.visible && (!any || keys.exponent > exponent)) {
    const double factor = any ? std::exp2(std::max(exponent - keys.exponent, -1100.0)) : 1.0;
    for (double& total : totals.totals) {
      total *= factor;
    }
    for (std::size_t c = 0; c < totals.absolute.size(); ++c) {
      totals.absolute[c] *= factor;
      totals.square[c] *= factor;
    }
    exponent = keys.exponent;
  }
  if (keys.visible) {
    add_loaded_block(frame, features, keys.first, keys.count, exponent * std::numbers::ln2, scratch, totals);
  }
  any = any || keys.visible;
}

/// What rows ending in the block from key `first` on need; all keys before it are in the moments. Its keys stay loaded
/// for `add`.
template <class T, class X>
void Causal<T, X>::prepare(const DiagonalBound& known, std::int64_t first, Stage<T, X>& stage) {
  stage.empty = !any;
  stage.exponent = exponent;
  PreparedMoments<T>& moments = stage.moments;
  moments.bounds = bound_key_side(frame, values, totals, moments.rounding, std::move(moments.bounds));
  if (any) {
    scale_moments(totals, weights.data(), moments.scaled);
  } else {  // means of nothing
    std::fill(moments.bounds.mean.begin(), moments.bounds.mean.end(), 0.0);
    std::fill(moments.bounds.deviation.begin(), moments.bounds.deviation.end(), 0.0);
  }
  const std::int64_t count = std::min(block, problem.n_kv() - first);
  load_moment_block(problem, frame, values, first, count, scratch);
  pack_diagonal(frame, model, known, first, count, scratch, stage.diagonal);
}

template <class T, class X>
EvaluationSummary Causal<T, X>::answer(const Stage<T, X>& stage, std::int64_t first, std::int64_t count,
                                       RowBlock<T>& rows, DiagonalRows<X>& exact) const {
  load_row_block(problem, frame, features, first, count, rows);
  if (stage.empty) {
    no_certificates(stage.moments, rows);
  } else {
    polynomial_kernels<T>().evaluate({features.program(), rows.y.data(), rows.block, stage.moments.scaled.data(),
                                      rows.prefixes.data(), rows.monomials.data(), rows.partial.data(),
                                      rows.sums.data()});
    begin_certificates(stage.moments, rows);
  }
  sum_diagonal(problem, features, model, stage.diagonal, rows, exact);
  join_exact(model, stage.diagonal.bound, exact, stage.exponent, stage.empty, dropped, rows);
  finish_certificates(values, stage.moments, rows);
  return answering.write(stage.moments, rows);
}

template <class T, class X>
EvaluationSummary Causal<T, X>::run(const PolynomialTable& table) {
  const std::int64_t row_block = evaluation_block(features.columns());
  std::vector<RowBlock<T>> rows;
  std::vector<DiagonalRows<X>> exact;
  for (std::int64_t lane = 0; lane < std::max(1, context.threads); ++lane) {
    rows.emplace_back(features, row_block, context.memory, true);
    exact.emplace_back(frame.dim(), problem.value_dim(), row_block, context.memory);
  }
  const std::int64_t round = causal_round(context.threads);
  std::vector<Stage<T, X>> now;
  std::vector<Stage<T, X>> next;
  for (std::int64_t i = 0; i < round; ++i) {
    now.push_back(make_stage(table));
    next.push_back(make_stage(table));
  }
  const std::int64_t blocks = base::blocks_of(problem.n_kv(), block);
  // Stages of blocks [first, first + round); `before` is that of the block before, whose keys are not yet summed.
  const auto key_side = [&](std::int64_t first, const Stage<T, X>* before, std::vector<Stage<T, X>>& stages) {
    for (std::int64_t i = 0; i < std::min(round, blocks - first); ++i) {
      if (before != nullptr) {
        add(before->diagonal);
      }
      prepare(before == nullptr ? DiagonalBound{} : before->diagonal.bound, (first + i) * block, stages[usize(i)]);
      before = &stages[usize(i)];
    }
  };
  EvaluationSummary summary;
  std::mutex mutex;
  std::vector<RowItem> items;
  const double work = moment_work(features);
  key_side(0, nullptr, now);
  for (std::int64_t first = 0; first < blocks; first += round) {
    items.clear();
    for (std::int64_t i = 0; i < std::min(round, blocks - first); ++i) {
      add_items(problem, (first + i) * block, (first + i + 1) * block, i, row_block, items);
    }
    base::parallel_for(context, static_cast<std::int64_t>(items.size()) + 1, [&](std::int64_t item, int thread) {
      if (item == 0) {
        key_side(first + round, &now.back(), next);
        return;
      }
      const RowItem& take = items[usize(item - 1)];
      const EvaluationSummary here =
          answer(now[usize(take.stage)], take.begin, take.count, rows[usize(thread)], exact[usize(thread)]);
      const std::lock_guard lock(mutex);
      summary.answered += here.answered;
      summary.smallest_denominator = std::min(summary.smallest_denominator, here.smallest_denominator);
    });
    std::swap(now, next);
    if (context.progress != nullptr) {
      const std::int64_t last_key = std::min((first + round) * block, problem.n_kv());
      const std::int64_t answered = items.empty() ? 0 : items.back().begin + items.back().count - items.front().begin;
      context.progress->add(work * static_cast<double>(last_key - first * block + answered));
    }
  }
  return summary;
}

}  // namespace

std::int64_t causal_round(int threads) noexcept { return threads > 1 ? 8 : 1; }

std::int64_t causal_block(std::int64_t dim, std::int64_t value_dim, double moments) noexcept {
  // In multiply-adds: a pair costs its score, its values and an exponential; a block reads and writes every moment
  // twice, and has its bounds made. The best length is the square root of their ratio, times the square root of two.
  const double pair = 1.1 * static_cast<double>(dim + value_dim + 12);
  const double once = 110.0 * moments + 5e4;
  const double best = std::sqrt(2.0 * once / pair);
  std::int64_t block = kCausalBlock;
  while (2 * block <= simd::kMomentBlock && static_cast<double>(block) * std::numbers::sqrt2 < best) {
    block *= 2;
  }
  return block;
}

bool pairs_in_float32(const Frame& frame, const ValueRange& values, double tolerance) {
  constexpr double kShare = 0.25;  // of the tolerance
  const DiagonalModel<float> model = diagonal_model<float>(frame, values, simd::kMomentBlock);
  return std::isfinite(tolerance) && model.value_factor == 1.0F &&
         bound_diagonal(model, 1.0, 1.0).answer_error <= kShare * tolerance;
}

namespace {

template <class T, class X>
EvaluationSummary run_causal(const PolynomialTable& table, const Answering<T>& answering, const FeatureList& features,
                             std::int64_t block, const base::Context& context, const ValueRange& values) {
  const HeadProblem& problem = answering.problem;
  const Frame& frame = answering.frame;
  Causal<T, X> run{problem,
                   frame,
                   values,
                   features,
                   context,
                   answering,
                   block,
                   diagonal_model<X>(frame, values, block),
                   dropped_mass(static_cast<double>(problem.n_kv()), frame.radius),
                   std::vector<double>(usize(features.moments())),
                   make_totals(features, context.memory),
                   0.0,
                   false,
                   MomentScratch<T>(features, block, context.memory)};
  moment_weights(features, frame.z.data(), run.weights.data());
  return run.run(table);
}

}  // namespace

template <class T>
EvaluationSummary causal_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                              const FeatureList& features, const PolynomialTable& table, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context) {
  const std::int64_t block = causal_block(problem.dim(), problem.value_dim(), static_cast<double>(features.moments()));
  const Answering<T> answering{
      problem, frame, acceptance, out, answered, {values.range(), values.max_abs}, wants_lse(acceptance, out)};
  if (!answering.wants_lse && pairs_in_float32(frame, values, acceptance.tolerance)) {
    return run_causal<T, float>(table, answering, features, block, context, values);
  }
  return run_causal<T, T>(table, answering, features, block, context, values);
}

template EvaluationSummary causal_rows<float>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                              const PolynomialTable&, const Acceptance&, const HeadOutputs&,
                                              std::vector<std::uint8_t>&, const base::Context&);
template EvaluationSummary causal_rows<double>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                               const PolynomialTable&, const Acceptance&, const HeadOutputs&,
                                               std::vector<std::uint8_t>&, const base::Context&);

}  // namespace polyattn::engines
