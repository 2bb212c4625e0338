#include "engines/polynomial/layered_rows.hpp"

#include "engines/polynomial/kernels.hpp"
#include "engines/polynomial/row_answers.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUp = 1.0 + 1e-12;

}  // namespace

double second_order(double r) noexcept {
  if (!(r <= 700.0)) {
    return kInfinity;
  }
  if (r <= 0.5) {  // the series, its tail from r^3/120 on below r^3/120 (1 + r/6 + ...) <= r^3/100
    return (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * 0.01))) * kUp;
  }
  return (std::expm1(r) - r) / (r * r) * kUp;
}

FirstOrder choose_first_order(const std::vector<TableEntry>& entries, const LayerMoments& moments) noexcept {
  FirstOrder best;
  best.error = best.uniform = kInfinity;
  const double root = std::sqrt(moments.tau * moments.weight);
  for (const TableEntry& entry : entries) {
    // sum w |t| |p_1 - e^s1| <= c sum w |t| s_1^2q + slack sum w |t|, each by Cauchy-Schwarz.
    const std::size_t at = 2 * usize(entry.q);
    if (at >= moments.count) {
      break;
    }
    const double error = (entry.moment_error * std::sqrt(moments.even[at] * moments.tau) + entry.slack * root) * kUp;
    const double uniform = entry.uniform * root * kUp;
    if (best.polynomial == nullptr || std::min(error, uniform) < best.error) {
      best = {&entry, std::min(error, uniform), uniform};
    }
  }
  // |e^s1 (e^t - 1 - t)| <= e^s1 t^2 second_order(reach).
  const double curvature = second_order(moments.reach) * std::exp(std::min(moments.radius, 700.0)) * kUp;
  best.error = (best.error + curvature * moments.tau) * kUp;
  best.uniform = (best.uniform + curvature * moments.reach * root) * kUp;
  return best;
}

namespace {

/// Numbers of a head that the rows' underflow term is made of.
struct Underflow {
  double strong = 0.0;  ///< Z of the strong coordinates
  double weak = 0.0;
  double sums = 0.0;
  double features = 0.0;
  double smallest = 0.0;
};

template <class T>
Underflow underflow_of(const PreparedLayers<T>& layers) noexcept {
  const KeySideBounds& keys = layers.first.bounds;
  const double degree = layers.first.features.degree();
  return {layers.strong.bounds.z_sum, layers.weak.bounds.z_sum,
          2.0 * degree * std::max(keys.largest_absolute, keys.weight_high) + (degree + 2.0) * layers.first.key_count,
          3.0 * static_cast<double>(layers.first.features.rank()), layers.first.rounding.smallest};
}

/// sum w s_1^2q of a row for 2q up to the degree, and sum w t^2, each at most what it may be.
template <class T>
LayerMoments moments_of(const PreparedLayers<T>& layers, const RowBlock<T>& weak, const RowBlock<T>& rows,
                        std::int64_t r) {
  const FeatureList& features = layers.strong.features;
  LayerMoments out;
  out.weight = std::max(layers.strong.bounds.weight_high, layers.weak.bounds.weight_high);
  out.radius = rows.radius[r];
  out.reach = weak.radius[r];
  const auto bound = [&](double sum, double gamma, double loss, double most) {
    return std::min((std::max(sum, 0.0) + gamma * most + loss) * kUp, most);
  };
  double power = out.weight;
  out.even[out.count++] = power;
  for (int t = 2; t <= features.degree(); t += 2) {
    power *= rows.box[r] * rows.box[r] * kUp;
    const double sum = rows.sums[usize((t * features.columns() + features.value_dim) * rows.block + r)];
    const double loss = layers.strong.entry_bounds[rows.entry[usize(r)]][usize(t / 2)].moment_loss;
    out.even[out.count++] = bound(sum, layers.strong.rounding.gamma, loss, power);
  }
  const double most = weak.box[r] * weak.box[r] * out.weight * kUp;
  out.tau = bound(weak.sums[usize(2 * weak.block + r)], layers.weak.rounding.gamma,
                  layers.weak.entry_bounds.front()[1].moment_loss, most);
  return out;
}

/// One row of join_layers, but for its numerators; coefficient[u] is that of degree u + 1 of the first list.
template <class T>
void join_row(const PreparedLayers<T>& layers, const Underflow& underflow, const RowBlock<T>& weak, const double* sums,
              std::int64_t r, double* coefficient, RowBlock<T>& rows) {
  const FeatureList& features = layers.first.features;
  const LayerMoments moments = moments_of(layers, weak, rows, r);
  const FirstOrder first = choose_first_order(layers.first_table.entries[rows.entry[usize(r)]], moments);
  double denominator = 0.0;
  double absolute = 0.0;
  double tiny = 0.0;
  double box_power = 1.0;
  double z_power = underflow.weak;
  for (int u = 0; u < features.degree(); ++u) {
    const double c = first.polynomial->coefficients[usize(u)];
    coefficient[u] = c / (u + 1);
    denominator += coefficient[u] * sums[((u + 1) * features.columns() + features.value_dim) * rows.block + r];
    absolute += std::fabs(c) * box_power;
    tiny += std::fabs(c) * (z_power * underflow.sums + underflow.features);
    box_power *= rows.box[r];
    z_power *= underflow.strong;
  }
  const double weight = moments.weight;
  const double scale = layers.first.rounding.gamma * absolute * weak.box[r] * kUp;
  const double lost = tiny * underflow.smallest * kUp;
  rows.error[r] += first.error;
  rows.uniform[r] += first.uniform;
  rows.slack[r] += first.error;
  rows.denominator[r] += denominator;
  // One more addition for every numerator and for the denominator; gamma is more than 50 roundings of float64.
  rows.rounding_scale[r] = (rows.rounding_scale[r] * 1.1 + scale) * kUp;
  rows.tiny[r] = (rows.tiny[r] + lost) * kUp;
  rows.rounding_denominator[r] =
      ((rows.rounding_denominator[r] * 1.1 + scale * weight) + lost + 8.0 * kU64 * std::fabs(rows.denominator[r])) *
      kUp;
  rows.denominator_low[r] =
      ((rows.denominator[r] - rows.rounding_denominator[r]) - rows.error[r] * kUp) * (1.0 - 1e-14);
  rows.spread_error[r] = kInfinity;
  rows.box[r] += weak.box[r];
  rows.lost[r] *= std::exp(std::min(weak.radius[r], 700.0)) * kUp;
}

}  // namespace

template <class T>
void join_layers(const PreparedLayers<T>& layers, const RowBlock<T>& weak, const double* sums, RowBlock<T>& strong) {
  const FeatureList& features = layers.first.features;
  const Underflow underflow = underflow_of(layers);
  const std::int64_t block = strong.block;
  const std::int64_t columns = features.columns();
  const int degree = features.degree();
  std::vector<double> coefficients(usize(degree * block), 0.0);
  std::vector<double> own(usize(degree));
  double* joined = strong.coefficients.data() + strong.coefficients.size() - block;
  for (std::int64_t r = 0; r < block; ++r) {
    joined[r] = 1.0;
    if (strong.refused[usize(r)] != 0 || weak.inside[r] == 0.0) {
      strong.refused[usize(r)] = 1;
      continue;
    }
    join_row(layers, underflow, weak, sums, r, own.data(), strong);
    for (int u = 0; u < degree; ++u) {
      coefficients[usize(u * block + r)] = own[usize(u)];
    }
  }
  double* out = strong.sums.data() + (layers.strong.features.degree() + 1) * columns * block;
  for (std::int64_t c = 0; c < columns; ++c) {
    double* column = out + c * block;
    std::fill_n(column, block, 0.0);
    for (int u = 0; u < degree; ++u) {
      const double* sum = sums + ((u + 1) * columns + c) * block;
      const double* coefficient = coefficients.data() + u * block;
      for (std::int64_t r = 0; r < block; ++r) {
        column[r] += coefficient[r] * sum[r];
      }
    }
  }
}
template void join_layers<float>(const PreparedLayers<float>&, const RowBlock<float>&, const double*, RowBlock<float>&);
template void join_layers<double>(const PreparedLayers<double>&, const RowBlock<double>&, const double*,
                                  RowBlock<double>&);

namespace {

/// Buffers of one thread.
template <class T>
struct LayerRows {
  LayerRows(const PreparedLayers<T>& layers, std::int64_t block, base::MemoryMeter* memory)
      : strong(layers.strong.features, block, memory, true),
        weak(layers.weak.features, block, memory),
        y(layers.first.features.dim() * block, memory),
        monomials(layers.first.features.monomial_scratch(simd::kEvaluationGroup, block), memory),
        partial((layers.first.features.degree() + 1) * layers.first.features.columns() * block, memory),
        sums((layers.first.features.degree() + 1) * layers.first.features.columns() * block, memory) {}
  RowBlock<T> strong;
  RowBlock<T> weak;
  base::Buffer<T> y;
  base::Buffer<T> monomials;
  base::Buffer<T> partial;
  base::Buffer<double> sums;
};

template <class T>
void evaluate_block(const TurnedHead& head, const ValueRange& values, const PreparedLayers<T>& layers,
                    std::int64_t first, std::int64_t count, LayerRows<T>& rows) {
  const auto& kernels = polynomial_kernels<T>();
  const std::int64_t block = rows.strong.block;
  load_row_block(head.strong, head.strong_frame, layers.strong.features, first, count, rows.strong);
  load_row_block(head.weak, head.weak_frame, layers.weak.features, first, count, rows.weak);
  std::copy(rows.weak.y.begin(), rows.weak.y.end(),
            std::copy(rows.strong.y.begin(), rows.strong.y.end(), rows.y.begin()));
  for (auto* part : {&rows.strong, &rows.weak}) {
    const PreparedMoments<T>& moments = part == &rows.strong ? layers.strong : layers.weak;
    kernels.evaluate({moments.features.program(), part->y.data(), block, moments.scaled.data(), part->prefixes.data(),
                      part->monomials.data(), part->partial.data(), part->sums.data()});
  }
  kernels.evaluate({layers.first.features.program(), rows.y.data(), block, layers.first.scaled.data(), nullptr,
                    rows.monomials.data(), rows.partial.data(), rows.sums.data()});
  begin_certificates(layers.strong, rows.strong);
  join_layers(layers, rows.weak, rows.sums.data(), rows.strong);
  finish_certificates(values, layers.strong, rows.strong);
}

}  // namespace

template <class T>
EvaluationSummary evaluate_layers(const TurnedHead& head, const ValueRange& values, const PreparedLayers<T>& layers,
                                  const Acceptance& acceptance, const HeadOutputs& out,
                                  std::vector<std::uint8_t>& answered, const base::Context& context) {
  const std::int64_t block = evaluation_block(layers.strong.features.columns());
  const std::int64_t rows = head.whole.n_q();
  const std::int64_t blocks = base::blocks_of(rows, block);
  std::vector<LayerRows<T>> scratch;
  for (std::int64_t lane = 0; lane < std::clamp<std::int64_t>(context.threads, 1, std::max<std::int64_t>(blocks, 1));
       ++lane) {
    scratch.emplace_back(layers, block, context.memory);
  }
  const Answering<T> answering{
      head.strong, head.strong_frame, acceptance, out, answered, {values.range(), values.max_abs}, false, nullptr};
  EvaluationSummary summary;
  std::mutex mutex;
  const double work =
      moment_work(layers.strong.features) + moment_work(layers.first.features) + moment_work(layers.weak.features);
  base::parallel_for(context, blocks, [&](std::int64_t item, int thread) {
    LayerRows<T>& here = scratch[usize(thread)];
    const std::int64_t first = item * block;
    const std::int64_t count = std::min(block, rows - first);
    evaluate_block(head, values, layers, first, count, here);
    const EvaluationSummary part = answering.write(layers.strong, here.strong);
    {
      const std::lock_guard lock(mutex);
      summary.answered += part.answered;
      summary.smallest_denominator = std::min(summary.smallest_denominator, part.smallest_denominator);
    }
    if (context.progress != nullptr) {
      context.progress->add(work * static_cast<double>(count));
    }
  });
  return summary;
}
template EvaluationSummary evaluate_layers<float>(const TurnedHead&, const ValueRange&, const PreparedLayers<float>&,
                                                  const Acceptance&, const HeadOutputs&, std::vector<std::uint8_t>&,
                                                  const base::Context&);
template EvaluationSummary evaluate_layers<double>(const TurnedHead&, const ValueRange&, const PreparedLayers<double>&,
                                                   const Acceptance&, const HeadOutputs&, std::vector<std::uint8_t>&,
                                                   const base::Context&);

}  // namespace polyattn::engines
