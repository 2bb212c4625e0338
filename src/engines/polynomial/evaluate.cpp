#include "engines/polynomial/evaluate.hpp"

#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/outlying_part.hpp"
#include "engines/polynomial/row_answers.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>

namespace polyattn::engines {

using base::usize;

std::int64_t evaluation_block(std::int64_t columns) noexcept { return columns <= 8 ? 128 : 64; }

namespace {

/// The table's numbers in two arrays.
template <class T>
void flatten_table(PreparedMoments<T>& moments) {
  const PolynomialTable& table = moments.table;
  const std::size_t width = usize(table.degree) + 1;
  const std::size_t most = width / 2 + 1;
  moments.flat_errors.resize(most * table.radii.size());
  moments.flat_coefficients.resize(table.radii.size() * most * width);
  for (std::size_t r = 0; r < table.radii.size(); ++r) {
    for (std::size_t q = 0; q < table.entries[r].size(); ++q) {
      const TableEntry& entry = table.entries[r][q];
      moments.flat_errors[q * table.radii.size() + r] = entry.moment_error;
      std::copy(entry.coefficients.begin(), entry.coefficients.end(),
                moments.flat_coefficients.begin() + static_cast<std::ptrdiff_t>((r * most + q) * width));
    }
  }
}

}  // namespace

template <class T>
void bound_entries(PreparedMoments<T>& moments) {
  flatten_table(moments);
  const KeySideBounds& keys = moments.bounds;
  const double degree = moments.table.degree;
  const double sums =
      2.0 * degree * std::max(keys.largest_absolute, keys.weight_high) + (degree + 2.0) * moments.key_count;
  const double features = 3.0 * static_cast<double>(moments.features.rank());
  const double smallest = moments.rounding.smallest;
  for (std::size_t r = 0; r < moments.table.radii.size(); ++r) {
    std::vector<EntryBounds> row;
    double slack = 0.0;
    for (const TableEntry& entry : moments.table.entries[r]) {
      double tiny = 0.0;
      double power = 1.0;
      for (const double c : entry.coefficients) {
        tiny += std::fabs(c) * (power * sums + features);
        power *= keys.z_sum;
      }
      const double loss = std::pow(keys.z_sum, 2 * entry.q) * sums + features;
      slack = std::max(slack, entry.slack);
      row.push_back({tiny * smallest * (1.0 + 1e-12), loss * smallest * (1.0 + 1e-12)});
    }
    moments.entry_bounds.push_back(std::move(row));
    moments.class_slack.push_back(slack);
    moments.class_lost.push_back(moments.key_count * moments.rounding.lost *
                                 std::exp(std::min(moments.table.radii[r], 700.0)) * (1.0 + 1e-13));
  }
}
template void bound_entries<float>(PreparedMoments<float>&);
template void bound_entries<double>(PreparedMoments<double>&);

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
  out.scaled = base::Buffer<T>(features.moments(), memory);
  std::vector<double> weights(usize(features.moments()));
  moment_weights(features, frame.z.data(), weights.data());
  scale_moments(totals, weights.data(), out.scaled);
  bound_entries(out);
  return out;
}

template <class T>
EvaluationSummary evaluate_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                                const PreparedMoments<T>& moments, const Acceptance& acceptance, const HeadOutputs& out,
                                std::vector<std::uint8_t>& answered, const base::Context& context,
                                const std::int64_t* targets) {
  const FeatureList& features = moments.features;
  const std::int64_t block = evaluation_block(features.columns());
  const std::int64_t blocks = base::blocks_of(problem.n_q(), block);
  const auto& kernels = polynomial_kernels<T>();
  const auto lanes = usize(std::clamp<std::int64_t>(context.threads, 1, std::max<std::int64_t>(blocks, 1)));
  std::vector<RowBlock<T>> scratch;
  scratch.reserve(lanes);
  std::optional<OutlyingPart<T>> outlying;
  std::vector<DiagonalRows<T>> exact;
  if (frame.outlying != nullptr) {
    outlying.emplace(frame, values, context);
  }
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    scratch.emplace_back(features, block, context.memory, outlying.has_value());
    if (outlying) {
      exact.emplace_back(features.dim(), features.value_dim, block, context.memory);
    }
  }
  const Answering<T> answering{
      problem, frame, acceptance, out, answered, {values.range(), values.max_abs}, wants_lse(acceptance, out), targets};
  EvaluationSummary summary;
  std::mutex mutex;
  const double work = moment_work(features);
  base::parallel_for(context, blocks, [&](std::int64_t item, int thread) {
    RowBlock<T>& rows = scratch[usize(thread)];
    const std::int64_t first = item * block;
    const std::int64_t count = std::min(block, problem.n_q() - first);
    load_row_block(problem, frame, features, first, count, rows);
    kernels.evaluate({features.program(), rows.y.data(), block, moments.scaled.data(), rows.prefixes.data(),
                      rows.monomials.data(), rows.partial.data(), rows.sums.data()});
    begin_certificates(moments, rows);
    if (outlying) {
      add_outlying(features, *outlying, rows, exact[usize(thread)]);
    }
    finish_certificates(values, moments, rows);
    const EvaluationSummary here = answering.write(moments, rows);
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
                                                std::vector<std::uint8_t>&, const base::Context&, const std::int64_t*);
template EvaluationSummary evaluate_rows<double>(const HeadProblem&, const Frame&, const ValueRange&,
                                                 const PreparedMoments<double>&, const Acceptance&, const HeadOutputs&,
                                                 std::vector<std::uint8_t>&, const base::Context&, const std::int64_t*);

}  // namespace polyattn::engines
