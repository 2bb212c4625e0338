#include "engines/polynomial/causal.hpp"

#include "engines/exact/certificate.hpp"
#include "engines/exact/tile.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>
#include <span>

// Numbered passes, for every key block c = keys [first, last):
//   1. the moments of all keys before `first` become the key side of the rows whose prefix ends in the block;
//   2. rows in blocks: prefix by evaluate, the keys [first, visible) by the exact tile kernel, joined in float64;
//   3. the block's keys join the moments (side by side with 2: rows read only what 1 prepared).
//
// Certificate: with N = N_p + N_x, D = D_p + D_x (prefix and exact part), T* = N^/D^:
//   D (T* - T) = [prefix terms of docs/theory.md] + (D_x^ - D_x)(T_x^ - T*) + D_x (T_x^ - T_x),
// and D >= max(prefix lower bound, 0) + D_x^ (1 - e), |D_x^ - D_x| <= e D_x^, |T_x^ - T_x| <= r from the exact engine.

namespace polyattn::engines {

namespace {

using base::usize;

/// The prefix as rows use it. Its sums are in units of 2^exponent (of the weights as given, exp(log_weight)).
template <class T>
struct Prefix {
  bool empty = true;
  double exponent = 0.0;
  double keys = 0.0;
  KeySideBounds bounds;
  base::Buffer<T> scaled;
};

/// The block's keys for the exact tile, and the bounds of its part.
template <class T>
struct Diagonal {
  PackedKeys<T> packed;
  double offset = 0.0;             ///< log weights were packed relative to this (natural log)
  double answer_error = 0.0;       ///< |T_x^ - T_x|
  double denominator_error = 0.0;  ///< relative, of D_x^
};

template <class T>
struct CausalScratch {
  CausalScratch(const FeatureList& features, const TileScoring<T>& scoring, std::int64_t dim, std::int64_t columns,
                std::int64_t block, base::MemoryMeter* memory)
      : y(dim * block, memory),
        outer(features.outer_count() * block, memory),
        groups((features.degree() + 1) * simd::group_stride(simd::kEvaluationGroup, block), memory),
        partial((features.degree() + 1) * columns * block, memory),
        sums((features.degree() + 1) * columns * block, memory),
        tile(dim, columns - 1, scoring, memory),
        work(true, memory),
        rows(usize(dim * block)),
        answer(usize(columns)) {}
  base::Buffer<T> y;
  base::Buffer<T> outer;
  base::Buffer<T> groups;
  base::Buffer<T> partial;
  base::Buffer<double> sums;
  Tile<T> tile;
  TileWork<T> work;
  const double* tile_average = nullptr;  ///< [columns][kTile]
  std::vector<double> rows;
  std::vector<double> answer;
};

template <class T>
struct Causal {
  const HeadProblem& problem;
  const Frame& frame;
  const ValueRange& values;
  const FeatureList& features;
  const PolynomialTable& table;
  const Acceptance& acceptance;
  const HeadOutputs& out;
  std::vector<std::uint8_t>& answered;
  const base::Context& context;
  std::int64_t columns;
  std::int64_t key_block;
  std::int64_t row_block;
  RoundingModel rounding;
  AnswerScale scale;
  TileScoring<T> scoring;
  std::vector<double> weights;  ///< of the moments
  EvaluationSummary summary;
  std::mutex mutex;

  Diagonal<T> diagonal(std::int64_t first, std::int64_t last) const;
  void rows(const Prefix<T>& prefix, const Diagonal<T>& block, std::int64_t key_first, std::int64_t row_first,
            std::int64_t count, CausalScratch<T>& scratch);
  bool row(const Prefix<T>& prefix, const Diagonal<T>& block, std::int64_t index, std::int64_t in_block,
           std::int64_t lane, bool with_tile, const RowRadius& radius, CausalScratch<T>& scratch, double& low_share);
  EvaluationSummary run();
};

template <class T>
Diagonal<T> Causal<T>::diagonal(std::int64_t first, std::int64_t last) const {
  const std::int64_t count = last - first;
  const std::int64_t dim = frame.dim();
  const std::int64_t value_dim = columns - 1;
  Diagonal<T> block;
  std::vector<T> x(usize(dim * count));
  std::vector<double> scratch;
  load_key_coordinates(problem, frame, first, count, x.data(), count, scratch);
  std::vector<T> keys(usize(count * dim));
  std::vector<T> centred(usize(count * value_dim), T(0));
  std::vector<double> bias(usize(count));
  scratch.resize(usize(count * value_dim));
  base::load_rows(problem.values, first, count, scratch.data(), value_dim);
  block.offset = -std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < count; ++j) {
    block.offset = std::max(block.offset, frame.log_weight[usize(first + j)]);
  }
  block.offset = std::isfinite(block.offset) ? block.offset : 0.0;
  for (std::int64_t j = 0; j < count; ++j) {
    bias[usize(j)] = frame.log_weight[usize(first + j)] - block.offset;
    for (std::int64_t l = 0; l < dim; ++l) {
      keys[usize(j * dim + l)] = x[usize(l * count + j)];
    }
    for (std::int64_t c = 0; c < value_dim && std::isfinite(bias[usize(j)]); ++c) {
      centred[usize(j * value_dim + c)] = static_cast<T>(scratch[usize(j * value_dim + c)] - values.centre[usize(c)]);
    }
  }
  KeyMatrix<T> matrix;
  matrix.keys = keys.data();
  matrix.key_stride = dim;
  matrix.values = centred.data();
  matrix.value_stride = value_dim;
  matrix.bias = bias.data();
  matrix.count = count;
  matrix.dim = dim;
  matrix.value_dim = value_dim;
  block.packed = pack_matrix<T>(matrix, context.serial());
  // Queries of the tile are z o y with |y_l| <= 1; the values were rounded to T, hence `values_exact = false`.
  QueryStatistics queries;
  double square = 0.0;
  for (const double z : frame.z) {
    queries.query_min.push_back(-std::fabs(z));
    queries.query_max.push_back(std::fabs(z));
    square += z * z;
  }
  queries.max_norm = std::sqrt(square) * (1.0 + 1e-14);
  queries.queries_exact = false;
  KeyStatistics statistics = block.packed.statistics;
  statistics.values_exact = false;
  HeadScore score;
  score.kind = ScoreKind::dot;
  score.scale = 1.0;
  const ExactBound bound = exact_bound<T>(score, statistics, queries, DType::float64);
  block.answer_error = bound.rounding;
  block.denominator_error = std::expm1(bound.lse) * (1.0 + 1e-12);
  return block;
}

/// One row: `in_block` is its place among the evaluated rows, `lane` in the tile. False if it stays unanswered.
template <class T>
bool Causal<T>::row(const Prefix<T>& prefix, const Diagonal<T>& block, std::int64_t index, std::int64_t in_block,
                    std::int64_t lane, bool with_tile, const RowRadius& radius, CausalScratch<T>& scratch,
                    double& low_share) {
  const std::int64_t value_dim = columns - 1;
  RowCertificate total;
  double prefix_low = 0.0;
  if (!prefix.empty) {
    total = certify_row(frame, prefix.bounds, rounding, table, features.rank(), prefix.keys, radius, 0.0,
                        scratch.sums.data() + value_dim * row_block + in_block, columns * row_block);
    if (total.polynomial == nullptr) {
      return false;
    }
    prefix_low = std::max(total.denominator_low, 0.0);
  } else {
    total.perturbation = rounding.score * radius.box + rounding.weight + frame.weight_error;
  }
  // Scales: the prefix in 2^p, the tile in 2^x; everything is brought to the larger one, a power of two.
  const double tile_sum = with_tile ? scratch.tile.total_sum()[lane] : 0.0;
  const double tile_scale =
      tile_sum > 0.0 ? scratch.tile.total_max()[lane] + block.packed.shift() + block.offset / std::numbers::ln2 : 0.0;
  const double whole_tile_scale = std::ceil(tile_scale);
  const bool has_tile = tile_sum > 0.0;
  if (!has_tile && prefix.empty) {
    return false;  // nothing is visible: exact writes the zero row
  }
  const double exponent = !has_tile      ? prefix.exponent
                          : prefix.empty ? whole_tile_scale
                                         : std::max(prefix.exponent, whole_tile_scale);
  const double prefix_factor = prefix.empty ? 0.0 : std::exp2(std::max(prefix.exponent - exponent, -1100.0));
  // Not a power of two because of the offset's fraction; its rounding is part of weight_error.
  const double tile_factor = has_tile ? std::exp2(std::max(tile_scale - exponent, -1100.0)) : 0.0;
  const double tile_denominator = tile_factor * tile_sum;
  const double answer_error = has_tile ? block.answer_error : 0.0;
  const double denominator_error = has_tile ? block.denominator_error + 16.0 * numerics::kU64 : 0.0;
  const double underflow = 1e-290;  // factors below the range count as this much mass

  const double error = prefix_factor * total.error;
  const double uniform = prefix_factor * total.uniform;
  const double rounding_scale = prefix_factor * total.rounding_scale;
  const double tiny = prefix_factor * total.tiny;
  const double prefix_rounding = prefix_factor * total.rounding_denominator;
  const double denominator = prefix_factor * total.denominator + tile_denominator;
  const double low =
      (prefix_factor * prefix_low + tile_denominator * (1.0 - denominator_error)) * (1.0 - 1e-14) - underflow;
  if (!(low > 0.0) || !std::isfinite(denominator) || !(denominator > 0.0)) {
    return false;
  }
  double approximation = 0.0;
  double rounded = 0.0;
  const KeySideBounds& keys = prefix.bounds;
  for (std::int64_t c = 0; c < value_dim; ++c) {
    const auto i = usize(c);
    double numerator = 0.0;
    if (!prefix.empty) {
      for (std::size_t t = total.polynomial->coefficients.size(); t-- > 0;) {
        numerator += total.polynomial->coefficients[t] *
                     scratch.sums[(t * usize(columns) + i) * usize(row_block) + usize(in_block)];
      }
      numerator *= prefix_factor;
    }
    if (has_tile) {
      // The average clipped into the hull of the block's values, as its bound assumes.
      numerator += tile_denominator * scratch.tile_average[c * simd::kTile + lane];
    }
    const double answer = numerator / denominator;
    if (!std::isfinite(answer)) {
      return false;
    }
    const double centre = values.centre[i];
    const double low_value = values.low[i] - centre;
    const double high_value = values.high[i] - centre;
    if (!prefix.empty) {
      const double spread = std::max(keys.high[i] - answer, answer - keys.low[i]);
      const double away = answer - keys.mean[i];
      const double deviation = keys.deviation[i] + away * away * keys.half_inverse[i];
      approximation = std::max(approximation, std::min(error * spread, uniform * deviation));
    }
    const double outside = std::max({0.0, answer - high_value, low_value - answer});
    const double tile_error = tile_denominator * (denominator_error * (scale.range + answer_error + outside) +
                                                  (1.0 + denominator_error) * answer_error);
    rounded = std::max(rounded, rounding_scale * (prefix.empty ? 0.0 : keys.absolute[i]) + tiny +
                                    std::fabs(answer) * prefix_rounding + tile_error +
                                    8.0 * numerics::kU64 * denominator * std::fabs(answer));
    scratch.answer[i] = std::clamp(answer + centre, values.low[i], values.high[i]);
  }
  total.denominator = denominator;
  total.denominator_low = low;
  total.error = error;
  total.rounding_denominator = prefix_rounding + tile_denominator * denominator_error;
  total.lost = prefix_factor * total.lost + underflow;
  RowAnswer answer;
  answer.row = index;
  answer.approximation = approximation / low;
  answer.rounding = rounded / low;
  answer.certificate = &total;
  for (std::int64_t c = 0; c < value_dim; ++c) {
    answer.largest = std::max(answer.largest, std::fabs(scratch.answer[usize(c)]));
  }
  answer.centred_query = scratch.rows.data() + in_block * frame.dim();
  answer.log_scale = exponent * std::numbers::ln2;
  low_share = low / denominator;
  if (!accept_row(problem, frame, scale, acceptance, answer, out)) {
    return false;
  }
  base::store_row(out.output, index, scratch.answer.data(), value_dim);
  return true;
}

template <class T>
void Causal<T>::rows(const Prefix<T>& prefix, const Diagonal<T>& block, std::int64_t key_first, std::int64_t row_first,
                     std::int64_t count, CausalScratch<T>& scratch) {
  const std::int64_t dim = frame.dim();
  base::load_rows(problem.queries, row_first, count, scratch.rows.data(), dim);
  require_finite(problem, "q", scratch.rows.data(), row_first, count, dim);
  std::vector<RowRadius> radius(usize(count));
  std::fill(scratch.y.begin(), scratch.y.end(), T(0));
  for (std::int64_t r = 0; r < count; ++r) {
    double* q = scratch.rows.data() + r * dim;
    for (std::int64_t l = 0; l < dim; ++l) {
      q[l] -= frame.query_centre[usize(l)];
    }
    radius[usize(r)] = row_radius(frame, q);
    for (std::int64_t l = 0; l < dim && radius[usize(r)].inside; ++l) {
      scratch.y[usize(l * row_block + r)] = static_cast<T>(q[l] / frame.query_scale[usize(l)]);
    }
  }
  if (!prefix.empty) {
    polynomial_kernels<T>().evaluate({features.program(), scratch.y.data(), row_block, prefix.scaled.data(),
                                      scratch.outer.data(), scratch.groups.data(), scratch.partial.data(),
                                      scratch.sums.data()});
  }
  EvaluationSummary here;
  for (std::int64_t begin = 0; begin < count; begin += simd::kTile) {
    const std::int64_t lanes = std::min<std::int64_t>(simd::kTile, count - begin);
    scratch.tile.reset(lanes);
    std::int64_t longest = 0;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t visible = problem.mask.visible(row_first + begin + lane, problem.n_kv());
      const bool served = radius[usize(begin + lane)].inside;
      scratch.tile.set_range(lane, {0, std::max<std::int64_t>(0, visible - key_first)});
      longest = std::max(longest, visible - key_first);
      for (std::int64_t l = 0; l < dim; ++l) {
        const double y = scratch.rows[usize((begin + lane) * dim + l)] / frame.query_scale[usize(l)];
        scratch.tile.queries()[l * simd::kTile + lane] =
            served ? static_cast<T>(frame.z[usize(l)] * y * scoring.query_factor) : T(0);
      }
    }
    const bool with_tile = longest > 0;
    if (with_tile) {
      absorb<T>(block.packed, std::span(&scratch.tile, 1), scratch.work, 0, block.packed.blocks);
      scratch.tile_average = scratch.tile.divide(block.packed.statistics, block.packed.value_scale);
    }
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::int64_t index = row_first + begin + lane;
      double low_share = 0.0;
      if (radius[usize(begin + lane)].inside &&
          row(prefix, block, index, begin + lane, lane, with_tile, radius[usize(begin + lane)], scratch, low_share)) {
        answered[usize(index)] = 1;
        ++here.answered;
        here.smallest_denominator = std::min(here.smallest_denominator, low_share);
      }
    }
  }
  const std::lock_guard lock(mutex);
  summary.answered += here.answered;
  summary.smallest_denominator = std::min(summary.smallest_denominator, here.smallest_denominator);
}

/// Rows whose visible prefix ends in [key_first, key_last): prefixes grow with the row, so they are consecutive.
struct RowSpan {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
RowSpan rows_ending_in(const HeadProblem& problem, std::int64_t key_first, std::int64_t key_last) {
  const std::int64_t m = problem.n_kv();
  const auto first_row_seeing = [&](std::int64_t count) {  // least row with visible(row) >= count
    return count <= 0 ? std::int64_t{0} : std::clamp<std::int64_t>(count - 1 - problem.mask.offset, 0, problem.n_q());
  };
  const bool last = key_last >= m;
  return {first_row_seeing(key_first), last ? problem.n_q() : first_row_seeing(key_last)};
}

template <class T>
EvaluationSummary Causal<T>::run() {
  const std::int64_t m = problem.n_kv();
  const std::int64_t lanes = std::max(1, context.threads);
  std::vector<CausalScratch<T>> scratch;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    scratch.emplace_back(features, scoring, frame.dim(), columns, row_block, context.memory);
  }
  MomentScratch<T> moment_scratch(features, key_block, context.memory);
  MomentTotals totals = make_totals(features, context.memory);
  Prefix<T> prefix;
  prefix.scaled = base::Buffer<T>(features.moments(), context.memory);
  double exponent = 0.0;  // of totals
  bool any = false;
  const double work = moment_work(features);
  for (std::int64_t first = 0; first < m; first += key_block) {
    const std::int64_t last = std::min(first + key_block, m);
    const RowSpan span = rows_ending_in(problem, first, last);
    // 1. the key side of these rows
    prefix.empty = !any;
    if (any) {
      prefix.exponent = exponent;
      prefix.keys = static_cast<double>(first);
      prefix.bounds = bound_key_side(frame, values, totals, rounding);
      scale_moments(totals, weights.data(), prefix.scaled);
    }
    const Diagonal<T> block = diagonal(first, last);
    const double largest = block.offset / std::numbers::ln2;
    const bool visible = block.packed.statistics.visible > 0;
    if (visible && (!any || std::ceil(largest) > exponent)) {
      const double larger = std::ceil(largest);
      const double factor = any ? std::exp2(std::max(exponent - larger, -1100.0)) : 1.0;
      for (double& total : totals.totals) {
        total *= factor;
      }
      for (std::size_t c = 0; c < totals.absolute.size(); ++c) {
        totals.absolute[c] *= factor;
        totals.square[c] *= factor;
      }
      exponent = larger;
    }
    // 2. and 3.
    const std::int64_t row_blocks = base::blocks_of(span.end - span.begin, row_block);
    base::parallel_for(context, row_blocks + 1, [&](std::int64_t item, int thread) {
      if (item == 0) {
        if (visible) {
          add_moment_block(problem, frame, values, features, first, last - first, exponent * std::numbers::ln2,
                           moment_scratch, totals);
        }
        return;
      }
      const std::int64_t begin = span.begin + (item - 1) * row_block;
      rows(prefix, block, first, begin, std::min(row_block, span.end - begin), scratch[usize(thread)]);
    });
    any = any || visible;
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(last - first + span.end - span.begin));
    }
  }
  return summary;
}

}  // namespace

std::int64_t causal_block(std::int64_t keys) noexcept {
  constexpr std::int64_t kLong = 8192;
  return keys > kLong ? simd::kMomentBlock : kCausalBlock;
}

template <class T>
EvaluationSummary causal_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                              const FeatureList& features, const PolynomialTable& table, const Acceptance& acceptance,
                              const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                              const base::Context& context) {
  HeadScore score;
  score.kind = ScoreKind::dot;
  score.scale = 1.0;
  const std::int64_t columns = problem.value_dim() + 1;
  Causal<T> run{problem,
                frame,
                values,
                features,
                table,
                acceptance,
                out,
                answered,
                context,
                columns,
                causal_block(problem.n_kv()),
                evaluation_block(columns),
                rounding_model<T>(features.degree(), features.rank(), problem.n_kv()),
                {values.range(), values.max_abs},
                tile_scoring<T>(score, frame.dim()),
                std::vector<double>(usize(features.moments())),
                {},
                {}};
  moment_weights(features, frame.z.data(), run.weights.data());
  return run.run();
}

template EvaluationSummary causal_rows<float>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                              const PolynomialTable&, const Acceptance&, const HeadOutputs&,
                                              std::vector<std::uint8_t>&, const base::Context&);
template EvaluationSummary causal_rows<double>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                               const PolynomialTable&, const Acceptance&, const HeadOutputs&,
                                               std::vector<std::uint8_t>&, const base::Context&);

}  // namespace polyattn::engines
