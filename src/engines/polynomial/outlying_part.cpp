#include "engines/polynomial/outlying_part.hpp"

#include "engines/exact/certificate.hpp"
#include "engines/polynomial/causal_join.hpp"
#include "numerics/rounding.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kLog2E;

constexpr int kHalvings = 12;

}  // namespace

const DiagonalBound* OutlyingBounds::at(double norm) const noexcept {
  if (!(norm <= top)) {
    return nullptr;
  }
  std::size_t i = 0;
  for (double half = 0.5 * top; i + 1 < by_halving.size() && norm <= half; half *= 0.5) {
    ++i;
  }
  return &by_halving[i];
}

template <class T>
OutlyingBounds outlying_bounds(const OutlyingKeys& keys, const ValueRange& values) {
  const std::int64_t block = base::round_up_to(keys.count(), simd::kKeyBlock);
  DiagonalModel<T> model = diagonal_model<T>(keys.frame, values, block);
  OutlyingBounds out;
  // Where coordinates would not be below their scales no row is served.
  out.top = std::isfinite(keys.frame.radius) ? keys.query_norm : -1.0;
  double norm = keys.query_norm;
  for (int i = 0; i < kHalvings; ++i) {
    model.size = norm * keys.frame.key_norm * kLog2E * (1.0 + 1e-5);
    out.by_halving.push_back(bound_whole_block(model, keys.log_range * (1.0 + 1e-12)));
    norm *= 0.5;
  }
  return out;
}

template <class T>
OutlyingPart<T>::OutlyingPart(const Frame& frame, const ValueRange& values, const base::Context& context)
    : source(*frame.outlying),
      model(diagonal_model<T>(source.frame, values, base::round_up_to(source.count(), simd::kKeyBlock))),
      keys(frame.dim(), source.problem.value_dim(), source.count(), context.memory),
      bounds(outlying_bounds<T>(source, values)),
      dropped(dropped_mass(static_cast<double>(frame.log_weight.size()), frame.radius)) {
  const FeatureList columns = make_features(frame.dim(), 0, source.problem.value_dim());
  MomentScratch<T> loaded(columns, base::round_up_to(source.count(), simd::kKeyBlock), context.memory);
  load_moment_block(source.problem, source.frame, values, 0, source.count(), loaded);
  pack_diagonal(source.frame, model, DiagonalBound{}, 0, source.count(), loaded, keys);
}

template <class T>
void add_outlying(const FeatureList& features, const OutlyingPart<T>& part, RowBlock<T>& rows,
                  DiagonalRows<T>& exact) noexcept {
  sum_diagonal(part.source.problem, features, part.model, part.keys, rows, exact);
  for (std::int64_t r = 0; r < rows.block; ++r) {
    const DiagonalBound* bound = part.bounds.at(rows.norm[r]);
    const bool proved = bound != nullptr && std::isfinite(bound->answer_error) && bound->denominator_error < 0.5 &&
                        exact.sum[usize(r)] > 0.0 && std::isfinite(exact.sum[usize(r)]);
    if (!proved) {
      rows.refused[usize(r)] = 1;
      rows.coefficients[rows.coefficients.size() - usize(rows.block) + usize(r)] = 0.0;
      continue;
    }
    // What follows asks how far rounded coordinates move the score of any key.
    rows.box[r] = widest_score(&part.source, rows.box[r], rows.norm[r]);
    join_exact_row(part.model, *bound, exact, part.source.exponent, false, part.dropped, r, rows);
  }
}

double widest_score(const OutlyingKeys* keys, double box, double norm) noexcept {
  return keys == nullptr ? box : std::max(box, norm * keys->frame.key_norm);
}

template struct OutlyingPart<float>;
template struct OutlyingPart<double>;
template OutlyingBounds outlying_bounds<float>(const OutlyingKeys&, const ValueRange&);
template OutlyingBounds outlying_bounds<double>(const OutlyingKeys&, const ValueRange&);
template void add_outlying<float>(const FeatureList&, const OutlyingPart<float>&, RowBlock<float>&,
                                  DiagonalRows<float>&) noexcept;
template void add_outlying<double>(const FeatureList&, const OutlyingPart<double>&, RowBlock<double>&,
                                   DiagonalRows<double>&) noexcept;

}  // namespace polyattn::engines
