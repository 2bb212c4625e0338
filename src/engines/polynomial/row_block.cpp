#include "engines/polynomial/row_block.hpp"

#include "engines/finite.hpp"
#include "engines/polynomial/kernels.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace polyattn::engines {

using base::usize;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The arrays of a block in the order of `per_row`.
template <class T>
constexpr auto row_arrays() {
  using Block = RowBlock<T>;
  return std::to_array<double * Block::*>({&Block::radius,
                                           &Block::box,
                                           &Block::norm,
                                           &Block::inside,
                                           &Block::made_for,
                                           &Block::q,
                                           &Block::error,
                                           &Block::uniform,
                                           &Block::tiny,
                                           &Block::denominator,
                                           &Block::denominator_low,
                                           &Block::rounding_scale,
                                           &Block::rounding_denominator,
                                           &Block::moment,
                                           &Block::moment_scale,
                                           &Block::moment_loss,
                                           &Block::moment_error,
                                           &Block::slack,
                                           &Block::second,
                                           &Block::spread_loss,
                                           &Block::spread_error,
                                           &Block::largest,
                                           &Block::approximation,
                                           &Block::rounding,
                                           &Block::storage,
                                           &Block::lost,
                                           &Block::log_scale});
}

}  // namespace

template <class T>
RowBlock<T>::RowBlock(const FeatureList& features, std::int64_t rows, base::MemoryMeter* memory, bool with_exact)
    : block(rows),
      joined(with_exact),
      y(features.dim() * block, memory),
      outer(features.outer_count() * block, memory),
      groups((features.degree() + 1) * simd::group_stride(simd::kEvaluationGroup, block), memory),
      partial((features.degree() + 1) * features.columns() * block, memory),
      sums((features.degree() + 1 + (joined ? 1 : 0)) * features.columns() * block, memory),
      coefficients((features.degree() + 1 + (joined ? 1 : 0)) * block, memory),
      answer(features.value_dim * block, memory),
      moments(features.value_dim + 1 <= kChordColumns ? features.value_dim * block : 0, memory),
      centred(features.dim() * block, memory),
      errors((features.degree() / 2 + 1) * block, memory),
      per_row(static_cast<std::int64_t>(row_arrays<T>().size()) * block, memory),
      refused(usize(block)),
      entry(usize(block)) {
  double* next = per_row.data();
  for (const auto member : row_arrays<T>()) {
    this->*member = next;
    next += block;
  }
}

namespace {

/// row_radius for a block: the same operations in the same order, for polynomials are made for the largest of these.
template <class T>
void row_radii(const Frame& frame, RowBlock<T>& rows) noexcept {
  const std::int64_t block = rows.block;
  const double least = static_cast<double>(frame.dim()) * kRadiusUnderflow;
  std::fill_n(rows.norm, block, least);
  std::fill_n(rows.box, block, least);
  std::fill_n(rows.inside, block, 1.0);
  for (std::int64_t l = 0; l < frame.dim(); ++l) {
    const double metric = std::fabs(frame.metric[usize(l)]);
    const double half = frame.query_half[usize(l)];
    const double reach = frame.key_half[usize(l)];
    const double* centred = rows.centred.data() + l * block;
    for (std::int64_t r = 0; r < block; ++r) {
      const double away = std::fabs(centred[r]);
      rows.inside[r] = away <= half ? rows.inside[r] : 0.0;
      rows.norm[r] += metric * away * away;
      rows.box[r] += metric * away * reach;
    }
  }
  const bool finite = std::isfinite(frame.radius);
  for (std::int64_t r = 0; r < block; ++r) {
    rows.norm[r] = std::sqrt(rows.norm[r]) * (1.0 + 1e-6);
    const double radius = std::min(rows.norm[r] * frame.key_norm, rows.box[r] * (1.0 + 1e-6));
    rows.radius[r] = radius;
    rows.box[r] = radius;
    rows.inside[r] = finite && radius <= frame.radius ? rows.inside[r] : 0.0;
  }
}

}  // namespace

template <class T>
void load_row_block(const HeadProblem& problem, const Frame& frame, const FeatureList& features, std::int64_t first,
                    std::int64_t count, RowBlock<T>& rows) {
  const std::int64_t block = rows.block;
  rows.first = first;
  rows.count = count;
  std::fill_n(rows.log_scale, block, frame.log_scale);
  std::fill(rows.centred.begin(), rows.centred.end(), 0.0);
  base::load_columns(problem.queries, first, count, rows.centred.data(), block);
  require_finite_columns(problem, "q", rows.centred.data(), first, count, features.dim(), block);
  for (std::int64_t l = 0; l < features.dim(); ++l) {
    double* centred = rows.centred.data() + l * block;
    for (std::int64_t r = 0; r < count; ++r) {
      centred[r] -= frame.query_centre[usize(l)];
    }
  }
  row_radii(frame, rows);
  for (std::int64_t l = 0; l < features.dim(); ++l) {
    const double inverse = 1.0 / frame.query_scale[usize(l)];  // a power of two: exact
    const double* centred = rows.centred.data() + l * block;
    T* y = rows.y.data() + l * block;
    for (std::int64_t r = 0; r < block; ++r) {
      y[r] = static_cast<T>(rows.inside[r] != 0.0 ? centred[r] * inverse : 0.0);
    }
  }
}

namespace {

/// Radius class of every row and what the choice of its polynomial needs; rows that none serves are refused.
template <class T>
void classify_rows(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  const PolynomialTable& table = moments.table;
  const int most = moments.features.degree() / 2;
  for (std::int64_t r = 0; r < rows.block; ++r) {
    const bool served = r < rows.count && rows.inside[r] != 0.0 && rows.radius[r] <= table.radii.front();
    const std::size_t at = served ? table.row_class(rows.radius[r]) : table.radii.size() - 1;
    rows.refused[usize(r)] = served ? 0 : 1;
    rows.entry[usize(r)] = at;
    rows.made_for[r] = table.radii[at];
    rows.slack[r] = moments.class_slack[at];
    rows.lost[r] = moments.class_lost[at];
  }
  for (int q = 0; q <= most; ++q) {
    const double* errors = moments.flat_errors.data() + usize(q) * table.radii.size();
    for (std::int64_t r = 0; r < rows.block; ++r) {
      rows.errors[usize(q * rows.block + r)] = errors[rows.entry[usize(r)]];
    }
  }
}

template <class T>
void choose_polynomials(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  const KeySideBounds& keys = moments.bounds;
  const FeatureList& features = moments.features;
  simd::ChooseBlock choose{};
  choose.tokens = rows.block;
  choose.degree = features.degree();
  choose.sums = rows.sums.data() + features.value_dim * rows.block;
  choose.stride = features.columns() * rows.block;
  choose.moment_error = rows.errors.data();
  choose.slack = rows.slack;
  choose.radius = rows.made_for;
  choose.box = rows.box;
  choose.weight = keys.weight_high;
  choose.gamma = moments.rounding.gamma;
  choose.range = keys.range;
  choose.deviation = keys.largest_deviation;
  choose.typical = keys.typical_distance;
  choose.spread_q = features.spread ? kSpreadDegree / 2 : -1;
  choose.q = rows.q;
  choose.error = rows.error;
  choose.uniform = rows.uniform;
  choose.chosen_error = rows.moment_error;
  choose.moment_scale = rows.moment_scale;
  choose.moment = rows.second;
  polynomial_kernels<T>().choose(choose);
}

/// Coefficients and moments of what was chosen.
template <class T>
void gather_polynomials(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  const FeatureList& features = moments.features;
  const std::int64_t block = rows.block;
  const double weight = moments.bounds.weight_high;
  const double spread_q = features.spread ? kSpreadDegree / 2 : -1;
  for (std::int64_t r = 0; r < block; ++r) {
    const std::size_t at = rows.entry[usize(r)];
    const auto q = static_cast<std::size_t>(rows.q[r]);
    const std::size_t width = usize(features.degree()) + 1;
    const double* from = moments.flat_coefficients.data() + (at * (width / 2 + 1) + q) * width;
    double* to = rows.coefficients.data() + r;
    for (std::size_t t = 0; t < width; ++t) {
      to[t * usize(block)] = from[t];
    }
    const EntryBounds& known = moments.entry_bounds[at][q];
    rows.tiny[r] = known.tiny;
    rows.moment_loss[r] = 2.0 * rows.moment_scale[r] * weight + known.moment_loss;
    rows.spread_loss[r] = known.moment_loss;
    rows.spread_error[r] = rows.q[r] == spread_q ? rows.moment_error[r] * (1.0 + 1e-13) : kInfinity;
    rows.slack[r] *= weight;
    if (rows.moments.size() != 0) {
      const std::size_t t = 2 * q * usize(features.columns());
      for (std::size_t c = 0; c < usize(features.value_dim); ++c) {
        rows.moments[c * usize(block) + usize(r)] = rows.sums[(t + c) * usize(block) + usize(r)];
      }
      rows.moment[r] = rows.sums[(t + usize(features.value_dim)) * usize(block) + usize(r)];
    }
  }
}

template <class T>
simd::FinishBlock finish_block(const ValueRange& values, const PreparedMoments<T>& moments,
                               RowBlock<T>& rows) noexcept {
  const KeySideBounds& keys = moments.bounds;
  const FeatureList& features = moments.features;
  const bool spread = features.spread;
  simd::FinishBlock finish{};
  finish.tokens = rows.block;
  finish.columns = features.value_dim;
  finish.degree = features.degree() + (rows.joined ? 1 : 0);
  finish.sums = rows.sums.data();
  finish.stride_columns = features.columns();
  finish.coefficients = rows.coefficients.data();
  finish.denominator = rows.denominator;
  finish.denominator_low = rows.denominator_low;
  finish.error = rows.error;
  finish.uniform = rows.uniform;
  finish.rounding_scale = rows.rounding_scale;
  finish.rounding_denominator = rows.rounding_denominator;
  finish.rounding_tiny = rows.tiny;
  finish.low = keys.low.data();
  finish.high = keys.high.data();
  finish.mean = keys.mean.data();
  finish.deviation = keys.deviation.data();
  finish.half_inverse = keys.half_inverse.data();
  finish.absolute = keys.absolute.data();
  finish.centre = values.centre.data();
  finish.least = values.low.data();
  finish.most = values.high.data();
  finish.moments = rows.moments.size() == 0 ? nullptr : rows.moments.data();
  finish.moment = rows.moment;
  finish.moment_scale = rows.moment_scale;
  finish.moment_loss = rows.moment_loss;
  finish.moment_error = rows.moment_error;
  finish.slack = rows.slack;
  finish.spreads =
      spread ? rows.sums.data() + (kSpreadDegree * features.columns() + features.value_dim + 1) * rows.block : nullptr;
  finish.second = rows.second;
  finish.spread_scale = rows.moment_scale;
  finish.spread_loss = rows.spread_loss;
  finish.spread_error = rows.spread_error;
  finish.answer = rows.answer.data();
  finish.largest = rows.largest;
  finish.approximation = rows.approximation;
  finish.rounding = rows.rounding;
  return finish;
}

}  // namespace

template <class T>
void begin_certificates(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  const FeatureList& features = moments.features;
  const std::int64_t block = rows.block;
  classify_rows(moments, rows);
  choose_polynomials(moments, rows);
  gather_polynomials(moments, rows);
  simd::CertifyBlock certify{};
  certify.tokens = block;
  certify.degree = features.degree();
  certify.sums = rows.sums.data() + features.value_dim * block;
  certify.stride = features.columns() * block;
  certify.coefficients = rows.coefficients.data();
  certify.box = rows.box;
  certify.error = rows.error;
  certify.tiny = rows.tiny;
  certify.gamma = moments.rounding.gamma;
  certify.weight_low = moments.bounds.weight_low;
  certify.weight_high = moments.bounds.weight_high;
  certify.denominator = rows.denominator;
  certify.denominator_low = rows.denominator_low;
  certify.rounding_scale = rows.rounding_scale;
  certify.rounding_denominator = rows.rounding_denominator;
  polynomial_kernels<T>().certify(certify);
}

template <class T>
void no_certificates(const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  classify_rows(moments, rows);
  std::fill(rows.sums.begin(), rows.sums.end(), 0.0);
  std::fill(rows.coefficients.begin(), rows.coefficients.end(), 0.0);
  std::fill(rows.moments.begin(), rows.moments.end(), 0.0);
  for (double* array :
       {rows.error, rows.uniform, rows.tiny, rows.denominator, rows.denominator_low, rows.rounding_scale,
        rows.rounding_denominator, rows.moment, rows.moment_scale, rows.moment_loss, rows.moment_error, rows.slack,
        rows.second, rows.spread_loss, rows.spread_error, rows.lost}) {
    std::fill_n(array, rows.block, 0.0);
  }
}

template <class T>
void finish_certificates(const ValueRange& values, const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  for (std::int64_t r = 0; r < rows.block; ++r) {
    const bool sound = rows.refused[usize(r)] == 0 && rows.denominator_low[r] > 0.0 &&
                       std::isfinite(rows.denominator[r]) && rows.denominator[r] != 0.0;
    if (!sound) {
      rows.refused[usize(r)] = 1;
      rows.denominator[r] = 1.0;
      rows.denominator_low[r] = 1.0;
    }
  }
  polynomial_kernels<T>().finish(finish_block(values, moments, rows));
}

template <class T>
void certify_row_block(const ValueRange& values, const PreparedMoments<T>& moments, RowBlock<T>& rows) noexcept {
  begin_certificates(moments, rows);
  finish_certificates(values, moments, rows);
}

template <class T>
void complete_bounds(const Frame& frame, const PreparedMoments<T>& moments, const AnswerScale& scale, DType output,
                     RowBlock<T>& rows) noexcept {
  const RoundingModel& rounding = moments.rounding;
  const bool far = !frame.far.mass.empty();
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const double moved = rounding.score * rows.box[r] + rounding.weight + frame.weight_error;
    const double lost = rows.lost[r] / rows.denominator_low[r];
    rows.rounding[r] = (rows.rounding[r] + scale.range * (score_movement(moved) + lost) +
                        answer_rounding(scale, rows.largest[r]) + stored_rounding(output, rows.largest[r])) *
                       (1.0 + 1e-12);
    rows.storage[r] = storage_rounding(output, rows.largest[r]);
    if (far) {
      const double mass = frame.far.at(rows.norm[r]) * std::exp(2.0 * moved);
      rows.approximation[r] += scale.range * (mass / rows.denominator_low[r]);
    }
    rows.approximation[r] *= 1.0 + 1e-12;
  }
}

template <class T>
RowCertificate certificate_of(const Frame& frame, const PreparedMoments<T>& moments, const RowBlock<T>& rows,
                              std::int64_t place) noexcept {
  RowCertificate out;
  out.denominator = rows.denominator[place];
  out.denominator_low = rows.denominator_low[place];
  out.error = rows.error[place];
  out.rounding_denominator = rows.rounding_denominator[place];
  out.perturbation = moments.rounding.score * rows.box[place] + moments.rounding.weight + frame.weight_error;
  out.lost = rows.lost[place];
  const double far = frame.far.at(rows.norm[place]);
  out.far = far == 0.0 ? 0.0 : far * std::exp(2.0 * out.perturbation);  // true mass, perturbed denominator
  return out;
}

template struct RowBlock<float>;
template struct RowBlock<double>;
template void load_row_block<float>(const HeadProblem&, const Frame&, const FeatureList&, std::int64_t, std::int64_t,
                                    RowBlock<float>&);
template void load_row_block<double>(const HeadProblem&, const Frame&, const FeatureList&, std::int64_t, std::int64_t,
                                     RowBlock<double>&);
template void begin_certificates<float>(const PreparedMoments<float>&, RowBlock<float>&) noexcept;
template void begin_certificates<double>(const PreparedMoments<double>&, RowBlock<double>&) noexcept;
template void no_certificates<float>(const PreparedMoments<float>&, RowBlock<float>&) noexcept;
template void no_certificates<double>(const PreparedMoments<double>&, RowBlock<double>&) noexcept;
template void finish_certificates<float>(const ValueRange&, const PreparedMoments<float>&, RowBlock<float>&) noexcept;
template void finish_certificates<double>(const ValueRange&, const PreparedMoments<double>&,
                                          RowBlock<double>&) noexcept;
template void certify_row_block<float>(const ValueRange&, const PreparedMoments<float>&, RowBlock<float>&) noexcept;
template void certify_row_block<double>(const ValueRange&, const PreparedMoments<double>&, RowBlock<double>&) noexcept;
template void complete_bounds<float>(const Frame&, const PreparedMoments<float>&, const AnswerScale&, DType,
                                     RowBlock<float>&) noexcept;
template void complete_bounds<double>(const Frame&, const PreparedMoments<double>&, const AnswerScale&, DType,
                                      RowBlock<double>&) noexcept;
template RowCertificate certificate_of<float>(const Frame&, const PreparedMoments<float>&, const RowBlock<float>&,
                                              std::int64_t) noexcept;
template RowCertificate certificate_of<double>(const Frame&, const PreparedMoments<double>&, const RowBlock<double>&,
                                               std::int64_t) noexcept;

}  // namespace polyattn::engines
