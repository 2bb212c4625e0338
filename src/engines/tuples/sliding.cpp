#include "engines/tuples/sliding.hpp"

#include "engines/polynomial/row_answers.hpp"
#include "engines/tuples/moments.hpp"
#include "engines/tuples/sliding_set.hpp"
#include "numerics/rounding.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeastWeight = 0x1p-300;  // of a row, all sets together; rows below are not answered

/// Most events of a set between two beginnings of its sums.
double most_events(const KeySet& set) noexcept {
  const auto keys = static_cast<double>(set.size());
  if (set.mask.window == 0) {
    return keys;
  }
  const double window = std::min(keys, 2.0 * static_cast<double>(set.mask.window));
  return std::min(2.0 * keys, 6.0 * window + static_cast<double>(kWornEvents) + 1024.0);
}

}  // namespace

RoundingModel sliding_rounding(const TupleProblem& problem, const TupleFrame& frame, int degree_of_features,
                               std::int64_t rank) noexcept {
  const auto degree = static_cast<double>(degree_of_features);
  const auto sets = static_cast<double>(problem.sets.size());
  // The row's monomial and weight, the product of the sets, a chain of vectors of features, the tree of lanes, the
  // division by W, the sum over degrees.
  const double row_steps = sets - 1.0 + 5.0 * degree + static_cast<double>(rank) / 8.0 + 16.0;
  double product = 1.0 + numerics::gamma(row_steps, kU64);
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    // A key's monomial, its weighed value, the chain of events.
    double off = numerics::gamma(degree + 2.0 + most_events(problem.sets[s]), kU64);
    if (problem.sets[s].mask.window > 0) {
      // Against all that was ever added or taken away; and a key that leaves may weigh a little else than it did.
      off = (off + 4.0 * frame.sets[s].frame.weight_error) * kWornOut;
    }
    product *= 1.0 + off;
  }
  RoundingModel model;
  model.unit = kU64;
  model.gamma = numerics::inflate(product - 1.0 + 8.0 * kU64, 16);
  model.score = (sets + 1.0) * 3.01 * kU64 + 10.0 * kU64;
  model.weight = 1.01 * kU64 * sets;
  model.lost = 0x1p-1021 * 0x1p320 * sets;  // relative to a row's own weight
  model.smallest = 0x1p-1074 * 0x1p320 * 8.0 * sets * std::exp2(sets);
  return model;
}

namespace {

/// Bounds of sums divided by their weight: W is 1, and no row's mean or variance is known.
KeySideBounds bound_rows(const TupleFrame& frame, const RoundingModel& rounding) {
  KeySideBounds out;
  out.weight_low = std::max(0.0, 1.0 - 4.0 * rounding.gamma);
  out.weight_high = rounding.gamma < 0.1 ? 1.0 + 4.0 * rounding.gamma : kInfinity;
  out.range = frame.values.range();
  out.largest_answer = frame.values.max_abs;
  out.largest_deviation = kInfinity;
  out.typical_distance = 0.5 * out.range;
  out.largest_absolute = frame.values.max_abs;
  for (const double z : frame.frame.z) {
    out.z_sum += std::fabs(z);
  }
  for (std::size_t c = 0; c < frame.values.low.size(); ++c) {
    out.low.push_back(frame.values.low[c]);
    out.high.push_back(frame.values.high[c]);
    out.mean.push_back(0.0);
    out.deviation.push_back(kInfinity);
    out.half_inverse.push_back(1.0);
    out.absolute.push_back(std::max(std::fabs(out.low.back()), std::fabs(out.high.back())));
  }
  return out;
}

/// One call.
class Slide {
 public:
  Slide(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice, const base::Context& context)
      : problem_(problem),
        frame_(frame),
        context_(context),
        kernels_(simd::kernels().sliding),
        list_(make_features_with(frame.problem.dim(), choice.degree, frame.problem.value_dim(), choice.spread, 0)),
        features_(make_sliding_features(static_cast<int>(frame.problem.dim()), choice.degree, frame.frame.z.data())),
        block_(evaluation_block(list_.columns())) {
    const auto tokens = static_cast<std::int64_t>(problem.sets.size()) + 1;
    chunk_ = std::clamp<std::int64_t>(kTokenNumbers / (tokens * features_.stride()), 8, kSlidingRows);
    const RoundingModel rounding = sliding_rounding(problem, frame, choice.degree, list_.rank());
    moments_.features = list_;
    moments_.table = tuple_table(frame, choice.degree);
    moments_.rounding = rounding;
    moments_.bounds = bound_rows(frame, rounding);
    moments_.key_count = 4.0;
    for (const TupleSet& set : frame.sets) {
      moments_.key_count *= 2.0 * static_cast<double>(set.problem.n_kv()) * std::max(1.0, set.values.max_abs);
      sums_.emplace_back(set, features_, list_, kSlidingRows, context.memory);
    }
    bound_entries(moments_);
    query_ = base::Buffer<double>(chunk_ * features_.stride() + simd::kSlidingLanes, context.memory);
    partial_ = base::Buffer<double>(std::max(1, context.threads) * list_.columns() * kRowsAtOnce * simd::kSlidingLanes,
                                    context.memory);
  }

  [[nodiscard]] std::int64_t block() const noexcept { return block_; }
  [[nodiscard]] const PreparedMoments<double>& moments() const noexcept { return moments_; }
  [[nodiscard]] const FeatureList& list() const noexcept { return list_; }

  /// Sums of all rows of a block, each divided by the row's weight. Blocks in their order.
  void read(std::int64_t first, RowBlock<double>& rows) {
    const std::int64_t count = std::min(rows.block, problem_.n_q() - first);
    load_row_block(frame_.problem, frame_.frame, list_, first, count, rows);
    std::fill(rows.sums.begin(), rows.sums.end(), 0.0);
    for (std::int64_t at = 0; at < count; at += chunk_) {
      read_chunk(at, std::min(chunk_, count - at), rows);
    }
  }

 private:
  static constexpr std::int64_t kTokenNumbers = 1 << 16;  // features of a chunk
  static constexpr std::int64_t kRowsAtOnce = 16;

  void read_chunk(std::int64_t at, std::int64_t count, RowBlock<double>& rows) {
    simd::SlidingBlock block{};
    std::vector<std::uint8_t> sound(usize(count), 1);
    double exponent = 0.0;
    for (std::size_t s = 0; s < sums_.size(); ++s) {
      std::vector<KeyRange> ranges(usize(count));
      for (std::int64_t r = 0; r < count; ++r) {
        ranges[usize(r)] = problem_.range(s, rows.first + at + r);
      }
      sums_[s].approach(ranges.front(), kernels_);
      const SlidingEvents& events = sums_[s].advance(ranges);
      block.sets[s] = {events.first.data(), events.tokens.features.data(), events.tokens.values.data(),
                       sums_[s].sums()};
      exponent += sums_[s].exponent();
      for (std::size_t r = 0; r < sound.size(); ++r) {
        sound[r] = sound[r] & events.sound[r];
      }
    }
    expand_tokens(features_, rows.y.data() + at, rows.block, count, true, query_.data());
    block.count = static_cast<int>(sums_.size());
    block.rows = count;
    block.stride = features_.stride();
    block.columns = list_.columns();
    block.query = query_.data();
    block.ld = rows.block;
    slide(at, block, rows);
    divide(at, count, exponent, sound, rows);
  }

  /// Threads over columns: every sum is one thread's. A few rows at a time, so that they stay in cache.
  void slide(std::int64_t at, const simd::SlidingBlock& shape, RowBlock<double>& rows) {
    const std::int64_t columns = list_.columns();
    const std::int64_t share = base::round_up_to(base::blocks_of(columns, std::max(1, context_.threads)), 2);
    base::parallel_for(context_, base::blocks_of(columns, share), [&](std::int64_t part, int thread) {
      simd::SlidingBlock block = shape;
      block.partial = partial_.data() + thread * columns * kRowsAtOnce * simd::kSlidingLanes;
      block.column = part * share;
      for (std::int64_t row = 0; row < shape.rows; row += kRowsAtOnce) {
        block.rows = std::min(kRowsAtOnce, shape.rows - row);
        block.query = shape.query + row * shape.stride;
        for (std::size_t s = 0; s < sums_.size(); ++s) {
          block.sets[s].first = shape.sets[s].first + row;
        }
        for (int t = 0; t <= features_.degree; ++t) {
          block.column_end = std::min(block.column + share, list_.columns_at[usize(t)]);
          block.feature = features_.starts[usize(t)];
          block.feature_end = features_.starts[usize(t) + 1];
          block.out = rows.sums.data() + t * columns * rows.block + at + row;
          if (block.column < block.column_end) {
            kernels_.slide(block);
          }
        }
      }
    });
  }

  void divide(std::int64_t at, std::int64_t count, double exponent, const std::vector<std::uint8_t>& known,
              RowBlock<double>& rows) noexcept {
    std::vector<double> inverse(usize(count), 0.0);
    const double* weights = rows.sums.data() + list_.value_dim * rows.block + at;
    for (std::int64_t r = 0; r < count; ++r) {
      const double weight = weights[r];
      const bool sound = known[usize(r)] != 0 && weight >= kLeastWeight && weight < kInfinity;
      inverse[usize(r)] = sound ? 1.0 / weight : 0.0;
      rows.log_scale[at + r] = exponent * kLn2 + (sound ? std::log(weight) : 0.0);
      rows.inside[at + r] = sound ? rows.inside[at + r] : 0.0;
    }
    for (std::int64_t slab = 0; slab < (features_.degree + 1) * list_.columns(); ++slab) {
      double* sums = rows.sums.data() + slab * rows.block + at;
      for (std::int64_t r = 0; r < count; ++r) {
        sums[r] *= inverse[usize(r)];
      }
    }
  }

  const TupleProblem& problem_;
  const TupleFrame& frame_;
  const base::Context& context_;
  const simd::SlidingKernels& kernels_;
  FeatureList list_;
  SlidingFeatures features_;
  std::int64_t block_;
  std::int64_t chunk_ = 0;
  PreparedMoments<double> moments_;
  std::vector<SlidingSums> sums_;
  base::Buffer<double> query_;
  base::Buffer<double> partial_;
};

}  // namespace

EvaluationSummary sliding_rows(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, const HeadOutputs& out,
                               std::vector<std::uint8_t>& answered, const base::Context& context) {
  EvaluationSummary summary;
  if (problem.sets.size() > usize(simd::kSlidingSets)) {
    return summary;
  }
  Slide slide(problem, frame, choice, context);
  const std::int64_t lanes = std::max(1, context.threads);
  std::vector<RowBlock<double>> rows;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    rows.emplace_back(slide.list(), slide.block(), context.memory);
  }
  const Answering<double> answering{frame.problem,
                                    frame.frame,
                                    acceptance,
                                    out,
                                    answered,
                                    {frame.values.range(), frame.values.max_abs},
                                    wants_lse(acceptance, out)};
  const double work = tuple_work(problem, choice) / static_cast<double>(problem.n_q());
  for (std::int64_t first = 0; first < problem.n_q(); first += lanes * slide.block()) {
    const std::int64_t here = std::min(lanes, base::blocks_of(problem.n_q() - first, slide.block()));
    for (std::int64_t lane = 0; lane < here; ++lane) {
      slide.read(first + lane * slide.block(), rows[usize(lane)]);
    }
    std::vector<EvaluationSummary> found(usize(here));
    base::parallel_for(context, here, [&](std::int64_t lane, int) {
      certify_row_block(frame.values, slide.moments(), rows[usize(lane)]);
      found[usize(lane)] = answering.write(slide.moments(), rows[usize(lane)]);
      if (context.progress != nullptr) {
        context.progress->add(work * static_cast<double>(rows[usize(lane)].count));
      }
    });
    for (const EvaluationSummary& part : found) {
      summary.answered += part.answered;
      summary.smallest_denominator = std::min(summary.smallest_denominator, part.smallest_denominator);
    }
  }
  return summary;
}

}  // namespace polyattn::engines
