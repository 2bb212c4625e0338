#include "engines/polynomial/layers.hpp"

#include "base/checked.hpp"
#include "engines/polynomial/kernels.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <utility>

namespace polyattn::engines {

namespace {

using base::usize;
using simd::kMomentBlock;

/// Strong monomials of up to `left` more variables below the monomial just visited.
void visit(numerics::Monomials& list, int degree, int first, int strong) {
  for (int variable = first; variable < strong; ++variable) {
    list.steps.push_back({static_cast<std::uint16_t>(degree), static_cast<std::uint16_t>(variable)});
    if (degree < list.degree) {
      visit(list, degree + 1, variable, strong);
    }
  }
}

/// Every weak variable, each with all strong monomials of degree up to `first_degree` below it.
numerics::Monomials first_monomials(int dim, int strong, int first_degree) {
  numerics::Monomials list;
  list.dim = dim;
  list.degree = first_degree + 1;
  for (int weak = strong; weak < dim; ++weak) {
    list.steps.push_back({1, static_cast<std::uint16_t>(weak)});
    if (first_degree > 0) {
      visit(list, 2, 0, strong);
    }
  }
  list.offsets.assign(usize(list.degree) + 2, 0);
  std::vector<std::ptrdiff_t> counts(usize(list.degree) + 1, 0);
  counts[0] = 1;
  for (const numerics::MonomialStep& step : list.steps) {
    ++counts[step.degree];
  }
  for (std::size_t t = 0; t < counts.size(); ++t) {
    list.offsets[t + 1] = list.offsets[t] + counts[t];
  }
  return list;
}

/// Sums of the three lists over some keys.
struct LayerTotals {
  MomentTotals strong;
  MomentTotals first;
  MomentTotals weak;
};

LayerTotals make_layer_totals(const LayerFeatures& features, base::MemoryMeter* memory) {
  return {make_totals(features.strong, memory), make_totals(features.first, memory),
          make_totals(features.weak, memory)};
}

template <class T>
struct LayerScratch {
  LayerScratch(const LayerFeatures& features, base::MemoryMeter* memory)
      : first(features.first, kMomentBlock, memory),
        rows(features.strong.row_count() * kMomentBlock, memory),
        weak_rows(features.weak.row_count() * kMomentBlock, memory),
        monomials(std::max(features.strong.monomial_scratch(simd::kMomentGroup, kMomentBlock),
                           features.weak.monomial_scratch(simd::kMomentGroup, kMomentBlock)),
                  memory) {}
  MomentScratch<T> first;
  base::Buffer<T> rows;
  base::Buffer<T> weak_rows;
  base::Buffer<T> monomials;
};

/// The list of all coordinates loads keys and weighs columns; the other two use what it has loaded.
template <class T>
void add_block(const TurnedHead& head, const ValueRange& values, const LayerFeatures& features, std::int64_t begin,
               std::int64_t count, LayerScratch<T>& scratch, LayerTotals& totals) {
  add_moment_block(head.whole, head.frame, values, features.first, begin, count, head.frame.log_scale, scratch.first,
                   totals.first);
  const std::int64_t value_dim = features.first.value_dim;
  const auto& kernels = polynomial_kernels<T>();
  const T* columns = scratch.first.rows.data();
  std::copy_n(columns, (value_dim + 1) * kMomentBlock, scratch.rows.data());
  std::copy_n(columns + value_dim * kMomentBlock, kMomentBlock, scratch.weak_rows.data());
  kernels.moments({features.strong.program(), scratch.first.x.data(), scratch.rows.data(), kMomentBlock,
                   scratch.monomials.data(), totals.strong.totals.data()});
  kernels.moments({features.weak.program(), scratch.first.x.data() + head.strong_dim * kMomentBlock,
                   scratch.weak_rows.data(), kMomentBlock, scratch.monomials.data(), totals.weak.totals.data()});
}

void join(MomentTotals& into, MomentTotals& part) noexcept {
  const auto move = [](auto& to, auto& from) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] += from[i];
      from[i] = 0.0;
    }
  };
  move(into.totals, part.totals);
  move(into.absolute, part.absolute);
  move(into.square, part.square);
  into.keys += part.keys;
  part.keys = 0;
}

/// Whole chunks are summed apart and joined in order of the keys, as in sum_moments.
template <class T>
void sum_layers(const TurnedHead& head, const ValueRange& values, const LayerFeatures& features,
                const base::Context& context, LayerTotals& totals) {
  const std::int64_t keys = head.whole.n_kv();
  const std::int64_t chunks = base::blocks_of(keys, kMomentChunk);
  const std::int64_t lanes = std::clamp<std::int64_t>(context.threads, 1, std::max<std::int64_t>(chunks, 1));
  std::vector<LayerScratch<T>> scratch;
  std::vector<LayerTotals> parts;
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    scratch.emplace_back(features, context.memory);
    parts.push_back(make_layer_totals(features, context.memory));
  }
  const double work = moment_work(features.strong) + moment_work(features.first) + moment_work(features.weak);
  for (std::int64_t round = 0; round < chunks; round += lanes) {
    const std::int64_t here = std::min(lanes, chunks - round);
    base::parallel_for(context, here, [&](std::int64_t lane, int) {
      const std::int64_t begin = (round + lane) * kMomentChunk;
      const std::int64_t end = std::min(begin + kMomentChunk, keys);
      for (std::int64_t j = begin; j < end; j += kMomentBlock) {
        const std::int64_t count = std::min<std::int64_t>(kMomentBlock, end - j);
        add_block(head, values, features, j, count, scratch[usize(lane)], parts[usize(lane)]);
        if (context.progress != nullptr) {
          context.progress->add(work * static_cast<double>(count));
        }
      }
    });
    for (std::int64_t lane = 0; lane < here; ++lane) {
      join(totals.strong, parts[usize(lane)].strong);
      join(totals.first, parts[usize(lane)].first);
      join(totals.weak, parts[usize(lane)].weak);
    }
  }
  // The columns are the same for all lists; what is known of them was measured once.
  totals.strong.absolute = totals.first.absolute;
  totals.strong.square = totals.first.square;
  totals.strong.keys = totals.weak.keys = totals.first.keys;
}

}  // namespace

std::int64_t layered_rank(std::int64_t dim, const LayerShape& shape) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  const std::int64_t full = numerics::feature_rank(static_cast<int>(shape.strong), shape.degree);
  const std::int64_t first = numerics::feature_rank(static_cast<int>(shape.strong), shape.first_degree);
  if (full < 0 || first < 0 || full > kMost || first > kMost / std::max<std::int64_t>(dim, 1)) {
    return -1;
  }
  return full + (dim - shape.strong) * first;
}

LayerFeatures layer_features(std::int64_t dim, const LayerShape& shape, std::int64_t value_dim) {
  const auto strong = static_cast<int>(shape.strong);
  const auto all = static_cast<int>(dim);
  return {make_features(shape.strong, shape.degree, value_dim),
          walk_features(first_monomials(all, strong, shape.first_degree), value_dim),
          walk_features(numerics::monomials(all - strong, 2), 0)};
}

template <class T>
PreparedLayers<T> prepare_layers(const TurnedHead& head, const ValueRange& values, const LayerShape& shape,
                                 double radius, const base::Context& context) {
  const LayerFeatures features = layer_features(head.whole.dim(), shape, head.whole.value_dim());
  LayerTotals totals = make_layer_totals(features, context.memory);
  sum_layers<T>(head, values, features, context, totals);
  PreparedLayers<T> out;
  out.first_table = make_table(radius, shape.first_degree);
  out.strong = prepare_moments<T>(head.strong_frame, values, features.strong, make_table(radius, shape.degree),
                                  totals.strong, context.memory);
  // Polynomials of these two are not used: rows take first_table's.
  out.first = prepare_moments<T>(head.frame, values, features.first, make_table(1.0, shape.first_degree + 1),
                                 totals.first, context.memory);
  out.weak = prepare_moments<T>(head.weak_frame, {}, features.weak, make_table(1.0, 2), totals.weak, context.memory);
  return out;
}

template PreparedLayers<float> prepare_layers<float>(const TurnedHead&, const ValueRange&, const LayerShape&, double,
                                                     const base::Context&);
template PreparedLayers<double> prepare_layers<double>(const TurnedHead&, const ValueRange&, const LayerShape&, double,
                                                       const base::Context&);

}  // namespace polyattn::engines
