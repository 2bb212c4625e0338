#include "engines/polynomial/row_block.hpp"
#include "engines/tuples/moments.hpp"
#include "engines/tuples/polynomial.hpp"
#include "engines/tuples/sliding.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

namespace {

using base::usize;

/// Underflow is not in the bound of all rows: below this there is none.
constexpr double kLeastValues = 0x1p-60;
constexpr std::int64_t kSampledKeys = 128;
constexpr std::int64_t kSampledRows = 48;  // beside those of largest norm
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The listed rows, one after the other.
base::Rows pick(const base::Rows& rows, const std::vector<std::int64_t>& list) {
  base::Rows out;
  out.columns = rows.columns;
  for (const std::int64_t row : list) {
    const auto piece = std::find_if(rows.pieces.begin(), rows.pieces.end(), [&](const base::RowPiece& at) {
      return row >= at.begin && row < at.begin + at.count;
    });
    const auto width = static_cast<std::int64_t>(size_of(piece->dtype));
    base::RowPiece one = *piece;
    one.data = static_cast<const char*>(piece->data) + (row - piece->begin) * piece->row_stride * width;
    one.begin = out.rows++;
    one.count = 1;
    out.pieces.push_back(one);
  }
  return out;
}

/// Keys that stand for all, each for the same share of the weight.
std::vector<std::int64_t> sample_keys(const TupleSet& set) {
  const Frame& frame = set.frame;
  const std::int64_t keys = set.seen.size();
  const std::int64_t count = std::min(kSampledKeys, frame.visible_keys);
  std::vector<std::int64_t> list;
  if (!set.problem.has_bias()) {
    for (std::int64_t i = 0; i < count; ++i) {
      list.push_back(set.seen.first + (2 * i + 1) * keys / (2 * count));
    }
    return list;
  }
  std::vector<double> reached(usize(keys));
  double total = 0.0;
  for (std::int64_t j = 0; j < keys; ++j) {
    total += std::exp(frame.log_weight[usize(set.seen.first + j)] - frame.log_scale);
    reached[usize(j)] = total;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const double at = total * (static_cast<double>(i) + 0.5) / static_cast<double>(count);
    const auto found = std::lower_bound(reached.begin(), reached.end() - 1, at);
    list.push_back(set.seen.first + (found - reached.begin()));
  }
  return list;
}

TupleFrame sample_frame(const TupleFrame& frame) {
  TupleFrame out;
  out.problem = frame.problem;
  std::vector<std::int64_t> rows = frame.far_queries;
  const std::int64_t count = std::min(kSampledRows, frame.problem.n_q());
  for (std::int64_t i = 0; i < count; ++i) {
    rows.push_back((2 * i + 1) * frame.problem.n_q() / (2 * count));
  }
  out.problem.queries = pick(frame.problem.queries, rows);
  static_cast<FrameShape&>(out.frame) = static_cast<const FrameShape&>(frame.frame);
  out.values = frame.values;
  for (const TupleSet& set : frame.sets) {
    const std::vector<std::int64_t> keys = sample_keys(set);
    TupleSet sampled;
    sampled.problem.queries.columns = set.problem.dim();
    sampled.problem.keys = pick(set.problem.keys, keys);
    sampled.problem.values = pick(set.problem.values, keys);
    sampled.problem.non_finite = set.problem.non_finite;
    static_cast<FrameShape&>(sampled.frame) = static_cast<const FrameShape&>(set.frame);
    sampled.frame.log_weight = base::Buffer<double>(sampled.problem.n_kv(), set.frame.log_scale, nullptr);
    sampled.values = set.values;
    out.sets.push_back(std::move(sampled));
  }
  return out;
}

/// Before any row is seen: with E <= delta W, D >= J W and rounding r, |T* - T| <= b = (e range + 2 h t) / (1 - e - t),
/// e = delta / J, t = Gamma P_abs / J, h the largest value.
double bound_all_rows(const TupleFrame& frame, const PolynomialTable& table, const RoundingModel& rounding,
                      DType output) noexcept {
  const double radius = frame.frame.radius;
  if (frame.values.max_abs > 0.0 && frame.values.max_abs < kLeastValues) {
    return kInfinity;
  }
  if (!(radius <= table.radii.front()) || !(radius < 15.0)) {
    return kInfinity;
  }
  double absolute = 0.0;
  for (const TableEntry& entry : table.entries.front()) {
    double sum = 0.0;
    double power = 1.0;
    for (const double c : entry.coefficients) {
      sum += std::fabs(c) * power;
      power *= radius;
    }
    absolute = std::max(absolute, sum);
  }
  // The lanes' bound below exp(-R), and a little for the roundings of the mean score.
  const double jensen = std::pow(1.0 - radius / 16.0, 16.0) * (1.0 - 64.0 * rounding.gamma * (1.0 + radius));
  const double share = table.entries.front().front().uniform / jensen;
  const double rounded = rounding.gamma * absolute / jensen;
  const double range = frame.values.range();
  const double most = frame.values.max_abs;
  if (!(jensen > 0.0) || !(share + rounded < 1.0)) {
    return kInfinity;
  }
  const double off = (share * range + 2.0 * most * rounded) / (1.0 - share - rounded);
  const double moved = rounding.score * radius + rounding.weight + frame.frame.weight_error;
  const StorageRounding stored = storage_of(output);
  return (share * (range + off) + 2.0 * rounded * (most + off) + range * (score_movement(moved) + 1e-200) +
          answer_rounding({range, most}, most) + stored.rounding.at(most)) *
         (1.0 + 1e-9);
}

template <class T>
void predict_rows(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                  const Acceptance& acceptance, DType output, const base::Context& context, TuplePrediction& out) {
  const FeatureList features =
      make_features(frame.problem.dim(), choice.degree, frame.problem.value_dim(), choice.spread);
  const PolynomialTable table = tuple_table(frame, choice.degree);
  std::vector<std::int64_t> counts;
  for (const KeySet& set : problem.sets) {
    counts.push_back(set.size());
  }
  const RoundingModel rounding = frame.everything_seen
                                     ? tuple_rounding<T>(choice.degree, features.rank(), counts)
                                     : sliding_rounding(problem, frame, choice.degree, features.rank());
  out.a_priori = bound_all_rows(frame, table, rounding, output);
  const TupleFrame sample = sample_frame(frame);
  const TupleMoments moments = sum_tuple_moments<T>(sample, features, context.serial());
  const PreparedMoments<T> prepared = prepare_tuples<T>(sample, features, table, rounding, moments, context.memory);
  RowBlock<T> rows(features, evaluation_block(features.columns()), context.memory);
  const std::int64_t count = std::min(sample.problem.n_q(), rows.block);
  load_row_block(sample.problem, sample.frame, features, 0, count, rows);
  rows.kernels.evaluate({features.program(), rows.y.data(), rows.block, prepared.scaled.data(), rows.prefixes.data(),
                         rows.monomials.data(), rows.partial.data(), rows.sums.data()});
  certify_row_block(sample.values, prepared, rows);
  complete_bounds(sample.frame, prepared, {sample.values.range(), sample.values.max_abs}, output, rows);
  out.bound = out.lse_bound = 0.0;
  std::int64_t served = 0;
  for (std::int64_t r = 0; r < count; ++r) {
    const bool sound = rows.refused[usize(r)] == 0;
    const double bound = sound ? rows.approximation[r] + rows.rounding[r] : kInfinity;
    const RowCertificate row = certificate_of(sample.frame, prepared, rows, r);
    const double lse = sound ? (row.rounding_denominator + row.error) / std::min(row.denominator, row.denominator_low) +
                                   row.perturbation
                             : kInfinity;
    served += bound <= acceptance.tolerance && lse <= acceptance.lse_tolerance ? 1 : 0;
    if (!(bound <= out.bound)) {
      out.bound = bound;
      out.approximation = rows.approximation[r];
      out.rounding = rows.rounding[r];
    }
    out.lse_bound = lse <= out.lse_bound ? out.lse_bound : lse;
  }
  out.served = count == 0 ? 1.0 : static_cast<double>(served) / static_cast<double>(count);
}

}  // namespace

TuplePrediction predict_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, DType output, const base::Context& context) {
  TuplePrediction out;
  out.rank = tuple_rank(problem, choice.degree);
  out.work = tuple_work(problem, choice);
  out.bytes = tuple_bytes(problem, choice, context.threads);
  const bool hopeless = !std::isfinite(frame.frame.radius) || !std::isfinite(out.rank) ||
                        (!frame.everything_seen && problem.sets.size() > usize(simd::kSlidingSets)) ||
                        std::any_of(frame.sets.begin(), frame.sets.end(),
                                    [](const TupleSet& set) { return set.frame.visible_keys == 0; });
  if (hopeless || problem.n_q() == 0) {
    return out;
  }
  if (choice.single && frame.everything_seen) {
    predict_rows<float>(problem, frame, choice, acceptance, output, context, out);
  } else {
    predict_rows<double>(problem, frame, choice, acceptance, output, context, out);
  }
  return out;
}

}  // namespace polyattn::engines
