#include "engines/polynomial/moments.hpp"

#include "engines/columns.hpp"
#include "engines/finite.hpp"
#include "engines/polynomial/kernels.hpp"

#include <algorithm>
#include <limits>

namespace polyattn::engines {

namespace {

using base::usize;
using simd::kMomentBlock;

}  // namespace

double ValueRange::range() const noexcept {
  double largest = 0.0;
  for (std::size_t c = 0; c < low.size(); ++c) {
    largest = std::max(largest, high[c] - low[c]);
  }
  return largest;
}

MomentTotals make_totals(const FeatureList& features, base::MemoryMeter* memory) {
  MomentTotals totals;
  totals.totals = base::Buffer<double>(features.moments(), 0.0, memory);
  totals.absolute.assign(usize(features.value_dim), 0.0);
  totals.square.assign(usize(features.value_dim), 0.0);
  return totals;
}

template <class T>
MomentScratch<T>::MomentScratch(const FeatureList& features, std::int64_t block_tokens, base::MemoryMeter* memory)
    : tokens(block_tokens),
      x(features.dim() * tokens, memory),
      weight(tokens, memory),
      centred(features.value_dim * tokens, memory),
      rows(features.row_count() * tokens, memory),
      monomials(features.monomial_scratch(simd::kMomentGroup, tokens), memory) {}

namespace {

/// exp(log_weight - shift) of keys [first, first + count), rounded to T; log_weight <= shift.
template <class T>
void load_weights(const Frame& frame, std::int64_t first, std::int64_t count, double shift, MomentScratch<T>& scratch) {
  const std::int64_t padded = base::round_up_to(count, 8);
  scratch.columns.assign(usize(padded), -std::numeric_limits<double>::infinity());
  std::copy_n(frame.log_weight.data() + first, count, scratch.columns.begin());
  simd::kernels().statistics.exponentials(scratch.columns.data(), shift, padded, scratch.columns.data());
  for (std::int64_t j = 0; j < count; ++j) {
    scratch.weight[usize(j)] = static_cast<T>(scratch.columns[usize(j)]);
  }
}

/// Values of keys [first, first + count) less their centre, column by column; 0 where a key is hidden.
template <class T>
void load_centred_values(const HeadProblem& problem, const Frame& frame, const ValueRange& values, std::int64_t first,
                         std::int64_t count, MomentScratch<T>& scratch) {
  const std::int64_t value_dim = problem.value_dim();
  place_columns(problem.values, first, count, values.centre.data(), nullptr, scratch.centred.data(), scratch.tokens);
  for (std::int64_t j = 0; j < count; ++j) {
    if (frame.log_weight[usize(first + j)] == -std::numeric_limits<double>::infinity()) {
      for (std::int64_t c = 0; c < value_dim; ++c) {
        scratch.centred[usize(c * scratch.tokens + j)] = T(0);
      }
    }
  }
}

}  // namespace

template <class T>
void load_moment_block(const HeadProblem& problem, const Frame& frame, const ValueRange& values, std::int64_t first,
                       std::int64_t count, MomentScratch<T>& scratch) {
  if (count < scratch.tokens) {
    std::fill(scratch.x.begin(), scratch.x.end(), T(0));
    std::fill(scratch.centred.begin(), scratch.centred.end(), T(0));
  }
  load_key_coordinates(problem, frame, first, count, scratch.x.data(), scratch.tokens, scratch.columns);
  load_centred_values(problem, frame, values, first, count, scratch);
}

template <class T>
void add_loaded_block(const Frame& frame, const FeatureList& features, std::int64_t first, std::int64_t count,
                      double shift, MomentScratch<T>& scratch, MomentTotals& totals) {
  const std::int64_t value_dim = features.value_dim;
  const std::int64_t tokens = scratch.tokens;
  if (count < tokens) {
    std::fill(scratch.weight.begin(), scratch.weight.end(), T(0));
  }
  load_weights(frame, first, count, shift, scratch);
  const auto& kernels = polynomial_kernels<T>();
  const auto row = [&](std::int64_t column) { return scratch.rows.data() + column * tokens; };
  kernels.weigh({scratch.weight.data(), scratch.centred.data(), tokens, value_dim, row(0), totals.absolute.data(),
                 totals.square.data(), features.spread ? row(value_dim + 1) : nullptr});
  std::copy_n(scratch.weight.data(), tokens, row(value_dim));
  kernels.moments({features.program(), scratch.x.data(), scratch.rows.data(), tokens, scratch.monomials.data(),
                   totals.totals.data()});
  totals.keys += count;
}

template <class T>
void add_moment_block(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                      const FeatureList& features, std::int64_t first, std::int64_t count, double shift,
                      MomentScratch<T>& scratch, MomentTotals& totals) {
  load_moment_block(problem, frame, values, first, count, scratch);
  add_loaded_block(frame, features, first, count, shift, scratch, totals);
}

namespace {

void join(MomentTotals& into, const MomentTotals& part) noexcept {
  for (std::size_t i = 0; i < into.totals.size(); ++i) {
    into.totals[i] += part.totals[i];
  }
  for (std::size_t c = 0; c < into.absolute.size(); ++c) {
    into.absolute[c] += part.absolute[c];
    into.square[c] += part.square[c];
  }
  into.keys += part.keys;
}

void clear(MomentTotals& totals) noexcept {
  std::fill(totals.totals.begin(), totals.totals.end(), 0.0);
  std::fill(totals.absolute.begin(), totals.absolute.end(), 0.0);
  std::fill(totals.square.begin(), totals.square.end(), 0.0);
  totals.keys = 0;
}

}  // namespace

double moment_work(const FeatureList& features) noexcept {
  return features.work() + 2.0 * static_cast<double>(features.rank());
}

template <class T>
void sum_moments(const HeadProblem& problem, const Frame& frame, const ValueRange& values, const FeatureList& features,
                 std::int64_t first, const base::Context& context, MomentTotals& totals) {
  const std::int64_t chunks = base::blocks_of(problem.n_kv() - first, kMomentChunk);
  const std::int64_t lanes = std::clamp<std::int64_t>(context.threads, 1, std::max<std::int64_t>(chunks, 1));
  std::vector<MomentScratch<T>> scratch;
  std::vector<MomentTotals> parts;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    scratch.emplace_back(features, kMomentBlock, context.memory);
    parts.push_back(make_totals(features, context.memory));
  }
  const double work = moment_work(features);
  // Rounds of one chunk per thread, joined in order of the keys.
  for (std::int64_t round = 0; round < chunks; round += lanes) {
    const std::int64_t here = std::min(lanes, chunks - round);
    base::parallel_for(context, here, [&](std::int64_t lane, int) {
      MomentTotals& part = parts[usize(lane)];
      clear(part);
      const std::int64_t begin = first + (round + lane) * kMomentChunk;
      const std::int64_t end = std::min(begin + kMomentChunk, problem.n_kv());
      for (std::int64_t j = begin; j < end; j += kMomentBlock) {
        const std::int64_t count = std::min<std::int64_t>(kMomentBlock, end - j);
        add_moment_block(problem, frame, values, features, j, count, frame.log_scale, scratch[usize(lane)], part);
        if (context.progress != nullptr) {
          context.progress->add(work * static_cast<double>(count));
        }
      }
    });
    for (std::int64_t lane = 0; lane < here; ++lane) {
      join(totals, parts[usize(lane)]);
    }
  }
}

template struct MomentScratch<float>;
template struct MomentScratch<double>;
template void load_moment_block<float>(const HeadProblem&, const Frame&, const ValueRange&, std::int64_t, std::int64_t,
                                       MomentScratch<float>&);
template void load_moment_block<double>(const HeadProblem&, const Frame&, const ValueRange&, std::int64_t, std::int64_t,
                                        MomentScratch<double>&);
template void add_loaded_block<float>(const Frame&, const FeatureList&, std::int64_t, std::int64_t, double,
                                      MomentScratch<float>&, MomentTotals&);
template void add_loaded_block<double>(const Frame&, const FeatureList&, std::int64_t, std::int64_t, double,
                                       MomentScratch<double>&, MomentTotals&);
template void add_moment_block<float>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                      std::int64_t, std::int64_t, double, MomentScratch<float>&, MomentTotals&);
template void add_moment_block<double>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&,
                                       std::int64_t, std::int64_t, double, MomentScratch<double>&, MomentTotals&);
template void sum_moments<float>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&, std::int64_t,
                                 const base::Context&, MomentTotals&);
template void sum_moments<double>(const HeadProblem&, const Frame&, const ValueRange&, const FeatureList&, std::int64_t,
                                  const base::Context&, MomentTotals&);

}  // namespace polyattn::engines
