#include "engines/polynomial/evaluate.hpp"

#include "engines/finite.hpp"
#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/row_outputs.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace polyattn::engines {

using base::usize;

std::int64_t evaluation_block(std::int64_t columns) noexcept { return columns <= 8 ? 256 : 64; }

template <class T>
PreparedMoments<T> prepare_moments(const Frame& frame, const ValueRange& values, const FeatureList& features,
                                   const PolynomialTable& table, const MomentTotals& totals,
                                   base::MemoryMeter* memory) {
  PreparedMoments<T> out;
  out.features = features;
  out.table = table;
  out.rounding = rounding_model<T>(features.degree(), features.rank(), totals.keys);
  out.bounds = bound_key_side(frame, values, totals, out.rounding);
  out.key_count = static_cast<double>(totals.keys);
  out.scaled = base::Buffer<T>(static_cast<std::int64_t>(totals.totals.size()), memory);
  std::vector<double> weights(usize(features.rank()));
  numerics::multinomial_weights(features.monomials, frame.z.data(), weights.data());
  scale_moments(totals, weights.data(), out.scaled);
  return out;
}

namespace {

/// Buffers of one thread for blocks of `block` rows.
template <class T>
struct EvaluationScratch {
  EvaluationScratch(const FeatureList& features, std::int64_t dim, std::int64_t columns, std::int64_t block,
                    base::MemoryMeter* memory)
      : y(dim * block, memory),
        groups((features.degree() + 1) * simd::kEvaluationGroup * block, memory),
        partial((features.degree() + 1) * columns * block, memory),
        sums((features.degree() + 1) * columns * block, memory),
        coefficients((features.degree() + 1) * block, memory),
        answer(columns * block, memory),
        per_row(13 * block, memory),
        moments(columns <= kChordColumns ? columns * block : 0, memory),
        rows(usize(dim * block)),
        radius(usize(block)),
        certificate(usize(block)) {}
  base::Buffer<T> y;
  base::Buffer<T> groups;
  base::Buffer<T> partial;
  base::Buffer<double> sums;
  base::Buffer<double> coefficients;
  base::Buffer<double> answer;
  base::Buffer<double> per_row;  // denominator, low, error, uniform, scale, rounding of D, approximation, rounding;
                                 // moment, its scale and loss, its error constant and slack
  base::Buffer<double> moments;  // [columns][block], of the degree each row's polynomial is matched to
  std::vector<double> rows;
  std::vector<RowRadius> radius;
  std::vector<RowCertificate> certificate;
  std::vector<double> tiny = std::vector<double>(radius.size(), 0.0);
};

/// Rows to coordinates; rows outside the frame and padding become 0 and are refused later.
template <class T>
void load_queries(const HeadProblem& problem, const Frame& frame, std::int64_t first, std::int64_t count,
                  std::int64_t block, EvaluationScratch<T>& scratch) {
  const std::int64_t dim = frame.dim();
  base::load_rows(problem.queries, first, count, scratch.rows.data(), dim);
  require_finite(problem, "q", scratch.rows.data(), first, count, dim);
  std::fill(scratch.y.begin(), scratch.y.end(), T(0));
  for (std::int64_t r = 0; r < count; ++r) {
    double* row = scratch.rows.data() + r * dim;
    for (std::int64_t l = 0; l < dim; ++l) {
      row[l] -= frame.query_centre[usize(l)];
    }
    scratch.radius[usize(r)] = row_radius(frame, row);
    if (scratch.radius[usize(r)].inside) {
      for (std::int64_t l = 0; l < dim; ++l) {
        scratch.y[usize(l * block + r)] = static_cast<T>(row[l] / frame.query_scale[usize(l)]);
      }
    }
  }
}

/// Certificates of the rows of a block, laid out for the finish kernel.
template <class T>
void certify_block(const Frame& frame, const PreparedMoments<T>& moments, std::int64_t count, std::int64_t block,
                   std::int64_t columns, EvaluationScratch<T>& scratch) noexcept {
  const std::int64_t degree = moments.features.degree();
  double* per_row = scratch.per_row.data();
  for (std::int64_t r = 0; r < block; ++r) {
    RowCertificate& row = scratch.certificate[usize(r)];
    row = RowCertificate{};
    const bool served = r < count && scratch.radius[usize(r)].inside;
    if (served) {
      row = certify_row(frame, moments.bounds, moments.rounding, moments.table, moments.features.rank(),
                        moments.key_count, scratch.radius[usize(r)], frame.far.at(scratch.radius[usize(r)].norm),
                        scratch.sums.data() + (columns - 1) * block + r, columns * block);
    }
    const bool sound = row.denominator_low > 0.0 && std::isfinite(row.denominator) && row.denominator != 0.0;
    if (!sound) {
      row.denominator_low = 0.0;
    }
    for (std::int64_t t = 0; t <= degree; ++t) {
      scratch.coefficients[usize(t * block + r)] = sound ? row.polynomial->coefficients[usize(t)] : 0.0;
    }
    per_row[0 * block + r] = sound ? row.denominator : 1.0;
    per_row[1 * block + r] = sound ? row.denominator_low : 1.0;
    per_row[2 * block + r] = row.error;
    per_row[3 * block + r] = row.uniform;
    per_row[4 * block + r] = row.rounding_scale;
    per_row[5 * block + r] = row.rounding_denominator;
    scratch.tiny[usize(r)] = row.tiny;
    if (columns <= kChordColumns) {
      const std::int64_t t = sound ? 2 * static_cast<std::int64_t>(row.polynomial->q) : 0;
      for (std::int64_t c = 0; c < columns; ++c) {
        scratch.moments[usize(c * block + r)] = scratch.sums[usize((t * columns + c) * block + r)];
      }
      per_row[8 * block + r] = scratch.moments[usize((columns - 1) * block + r)];
      per_row[9 * block + r] = row.moment_scale;
      per_row[10 * block + r] = row.moment_loss;
      per_row[11 * block + r] = sound ? row.polynomial->moment_error : 0.0;
      per_row[12 * block + r] = sound ? row.polynomial->slack * moments.bounds.weight_high : 0.0;
    }
  }
}

template <class T>
simd::FinishBlock finish_block(const PreparedMoments<T>& moments, std::int64_t block, std::int64_t columns,
                               EvaluationScratch<T>& scratch) noexcept {
  const KeySideBounds& keys = moments.bounds;
  double* per_row = scratch.per_row.data();
  simd::FinishBlock finish{};
  finish.tokens = block;
  finish.columns = columns - 1;
  finish.degree = moments.features.degree();
  finish.sums = scratch.sums.data();
  finish.stride_columns = columns;
  finish.coefficients = scratch.coefficients.data();
  finish.denominator = per_row;
  finish.denominator_low = per_row + block;
  finish.error = per_row + 2 * block;
  finish.uniform = per_row + 3 * block;
  finish.rounding_scale = per_row + 4 * block;
  finish.rounding_denominator = per_row + 5 * block;
  finish.rounding_tiny = scratch.tiny.data();
  finish.low = keys.low.data();
  finish.high = keys.high.data();
  finish.mean = keys.mean.data();
  finish.deviation = keys.deviation.data();
  finish.half_inverse = keys.half_inverse.data();
  finish.absolute = keys.absolute.data();
  finish.moments = columns <= kChordColumns ? scratch.moments.data() : nullptr;
  finish.moment = per_row + 8 * block;
  finish.moment_scale = per_row + 9 * block;
  finish.moment_loss = per_row + 10 * block;
  finish.moment_error = per_row + 11 * block;
  finish.slack = per_row + 12 * block;
  finish.answer = scratch.answer.data();
  finish.approximation = per_row + 6 * block;
  finish.rounding = per_row + 7 * block;
  return finish;
}

}  // namespace

template <class T>
EvaluationSummary evaluate_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                                const PreparedMoments<T>& moments, const Acceptance& acceptance, const HeadOutputs& out,
                                std::vector<std::uint8_t>& answered, const base::Context& context) {
  const std::int64_t value_dim = problem.value_dim();
  const std::int64_t columns = value_dim + 1;
  const std::int64_t block = evaluation_block(columns);
  const std::int64_t blocks = base::blocks_of(problem.n_q(), block);
  const auto& kernels = polynomial_kernels<T>();
  const auto lanes = usize(std::clamp<std::int64_t>(context.threads, 1, std::max<std::int64_t>(blocks, 1)));
  std::vector<EvaluationScratch<T>> scratch;
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    scratch.emplace_back(moments.features, frame.dim(), columns, block, context.memory);
  }
  const AnswerScale scale{values.range(), values.max_abs};
  EvaluationSummary summary;
  std::mutex mutex;
  const double work = moment_work(moments.features, columns);
  base::parallel_for(context, blocks, [&](std::int64_t item, int thread) {
    EvaluationScratch<T>& s = scratch[usize(thread)];
    const std::int64_t first = item * block;
    const std::int64_t count = std::min(block, problem.n_q() - first);
    load_queries(problem, frame, first, count, block, s);
    kernels.evaluate({moments.features.program(), s.y.data(), block, moments.scaled.data(), columns, s.groups.data(),
                      s.partial.data(), s.sums.data()});
    certify_block(frame, moments, count, block, columns, s);
    kernels.finish(finish_block(moments, block, columns, s));
    EvaluationSummary here;
    std::vector<double> row(usize(value_dim));
    for (std::int64_t r = 0; r < count; ++r) {
      const RowCertificate& certificate = s.certificate[usize(r)];
      RowAnswer answer;
      answer.row = first + r;
      answer.approximation = s.per_row[usize(6 * block + r)];
      answer.rounding = s.per_row[usize(7 * block + r)];
      answer.certificate = &certificate;
      answer.centred_query = s.rows.data() + r * frame.dim();
      answer.log_scale = frame.log_scale;
      for (std::int64_t c = 0; c < value_dim; ++c) {
        row[usize(c)] = std::clamp(s.answer[usize(c * block + r)] + values.centre[usize(c)], values.low[usize(c)],
                                   values.high[usize(c)]);
      }
      if (!(certificate.denominator_low > 0.0) ||
          !write_row(problem, frame, scale, acceptance, answer, row.data(), out)) {
        continue;
      }
      answered[usize(first + r)] = 1;
      ++here.answered;
      here.smallest_denominator =
          std::min(here.smallest_denominator, certificate.denominator_low / moments.bounds.weight_high);
    }
    {
      const std::lock_guard lock(mutex);
      summary.answered += here.answered;
      summary.smallest_denominator = std::min(summary.smallest_denominator, here.smallest_denominator);
    }
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(count));
    }
  });
  return summary;
}

template PreparedMoments<float> prepare_moments<float>(const Frame&, const ValueRange&, const FeatureList&,
                                                       const PolynomialTable&, const MomentTotals&, base::MemoryMeter*);
template PreparedMoments<double> prepare_moments<double>(const Frame&, const ValueRange&, const FeatureList&,
                                                         const PolynomialTable&, const MomentTotals&,
                                                         base::MemoryMeter*);
template EvaluationSummary evaluate_rows<float>(const HeadProblem&, const Frame&, const ValueRange&,
                                                const PreparedMoments<float>&, const Acceptance&, const HeadOutputs&,
                                                std::vector<std::uint8_t>&, const base::Context&);
template EvaluationSummary evaluate_rows<double>(const HeadProblem&, const Frame&, const ValueRange&,
                                                 const PreparedMoments<double>&, const Acceptance&, const HeadOutputs&,
                                                 std::vector<std::uint8_t>&, const base::Context&);

}  // namespace polyattn::engines
