#include "engines/tuples/moments.hpp"

#include "numerics/exp_polynomial.hpp"
#include "numerics/rounding.hpp"
#include "numerics/tensor_products.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace polyattn::engines {

using base::usize;
using numerics::kU64;

namespace {

/// The moments of tuples are the Hadamard product of the sets' ([AS24] Lemma C.3).
void multiply(MomentTotals& into, const MomentTotals& by) noexcept {
  const auto product = [](auto& out, const auto& factor) {
    numerics::hadamard_in_place(out.data(), factor.data(), static_cast<std::int64_t>(out.size()));
  };
  product(into.totals, by.totals);
  product(into.absolute, by.absolute);
  product(into.square, by.square);
}

/// Divides by a power of two near W, so that products of many sets stay in range.
double bring_near_one(MomentTotals& totals, std::size_t value_dim) noexcept {
  const double weight = totals.totals[value_dim];
  if (!(weight > 0.0 && weight < 0x1p1000)) {
    return 0.0;
  }
  const int exponent = std::ilogb(weight);
  const double factor = std::ldexp(1.0, -exponent);
  for (double& total : totals.totals) {
    total *= factor;
  }
  for (std::size_t c = 0; c < totals.absolute.size(); ++c) {
    totals.absolute[c] *= factor;
    totals.square[c] *= factor;
  }
  return static_cast<double>(exponent);
}

/// At least every sum of absolute values of a set.
double largest_sum(const MomentTotals& totals, std::size_t value_dim, double keys) noexcept {
  double largest = std::max({1.0, keys, totals.totals[value_dim]});
  for (const double absolute : totals.absolute) {
    largest = std::max(largest, absolute);
  }
  for (const double square : totals.square) {
    largest = std::max(largest, square);
  }
  return 2.0 * largest;  // as computed, by far less than a factor of two off wherever a bound will exist
}

}  // namespace

PolynomialTable tuple_table(const TupleFrame& frame, int degree) {
  return make_table(std::min(frame.frame.radius, numerics::kMaxRadius), degree);
}

template <class T>
TupleMoments sum_tuple_moments(const TupleFrame& frame, const FeatureList& features, const base::Context& context) {
  TupleMoments out;
  for (const TupleSet& set : frame.sets) {
    MomentTotals totals = make_totals(features, context.memory);
    sum_moments<T>(set.problem, set.frame, set.values, features, 0, context, totals);
    out.largest *= largest_sum(totals, usize(features.value_dim), static_cast<double>(set.problem.n_kv()));
    out.exponent += bring_near_one(totals, usize(features.value_dim));
    if (&set == &frame.sets.front()) {
      out.product = std::move(totals);
    } else {
      multiply(out.product, totals);
    }
  }
  return out;
}
template TupleMoments sum_tuple_moments<float>(const TupleFrame&, const FeatureList&, const base::Context&);
template TupleMoments sum_tuple_moments<double>(const TupleFrame&, const FeatureList&, const base::Context&);

template <class T>
RoundingModel tuple_rounding(int degree_of_features, std::int64_t rank,
                             const std::vector<std::int64_t>& keys) noexcept {
  constexpr bool single = std::is_same_v<T, float>;
  const double unit = single ? numerics::kU32 : kU64;
  const auto degree = static_cast<double>(degree_of_features);
  const auto sets = static_cast<double>(keys.size());
  // A set's moments, as in rounding_model: in T the value and its weighing, g products, a chain of keys, joining lanes;
  // blocks and chunks of keys in float64. Squares have one product more and no monomial.
  const double chain = static_cast<double>(simd::kMomentBlock) / (single ? 16.0 : 8.0) + 4.0;
  const double key_steps = std::max(degree, 1.0) + 2.0 + chain + 1.0;
  // A row, likewise: g - 1 products, the scaled moment, a chain of features, a suffix and a chain of groups.
  const double row_steps =
      degree + 1.0 + static_cast<double>(simd::kEvaluationGroup) + static_cast<double>(simd::kEvaluationGroups) + 2.0;
  // In float64: m - 1 products, the multinomial weight, sums of groups or suffixes, the sum over degrees.
  const double row_wide = sets + static_cast<double>(rank) / 16.0 + 6.0 * degree + 16.0;
  double product = (1.0 + numerics::gamma(row_steps, unit)) * (1.0 + numerics::gamma(row_wide, kU64));
  for (const std::int64_t count : keys) {
    const double blocks = std::ceil(static_cast<double>(count) / static_cast<double>(kCausalBlock)) + 16.0;
    product *= (1.0 + numerics::gamma(key_steps, unit)) * (1.0 + numerics::gamma(blocks, kU64));
  }
  RoundingModel model;
  model.unit = unit;
  model.gamma = numerics::inflate(product - 1.0 + 8.0 * (sets + 1.0) * kU64, 4);
  // Every set's coordinates and the queries' are rounded once from float64, which is exact but for the factor; z is a
  // product of m + 2 numbers.
  model.score = (sets + 1.0) * (1.005 * unit + 2.0 * kU64) + 10.0 * kU64;
  model.weight = 1.01 * unit * sets;
  model.lost = (single ? 0x1p-149 : 0x1p-1021) * sets;
  model.smallest = (single ? 0x1p-149 : 0x1p-1074) * 3.0 * sets * std::exp2(sets);
  return model;
}
template RoundingModel tuple_rounding<float>(int, std::int64_t, const std::vector<std::int64_t>&) noexcept;
template RoundingModel tuple_rounding<double>(int, std::int64_t, const std::vector<std::int64_t>&) noexcept;

template <class T>
PreparedMoments<T> prepare_tuples(const TupleFrame& frame, const FeatureList& features, const PolynomialTable& table,
                                  const RoundingModel& rounding, const TupleMoments& moments,
                                  base::MemoryMeter* memory) {
  PreparedMoments<T> out;
  out.features = features;
  out.table = table;
  out.rounding = rounding;
  out.bounds =
      bound_sums(frame.frame, frame.values, moments.product, out.rounding, moments.largest * rounding.smallest, {});
  out.key_count = moments.largest;
  out.scaled = base::Buffer<T>(features.moments(), memory);
  std::vector<double> weights(usize(features.moments()));
  moment_weights(features, frame.frame.z.data(), weights.data());
  scale_moments(moments.product, weights.data(), out.scaled);
  bound_entries(out);
  return out;
}
template PreparedMoments<float> prepare_tuples<float>(const TupleFrame&, const FeatureList&, const PolynomialTable&,
                                                      const RoundingModel&, const TupleMoments&, base::MemoryMeter*);
template PreparedMoments<double> prepare_tuples<double>(const TupleFrame&, const FeatureList&, const PolynomialTable&,
                                                        const RoundingModel&, const TupleMoments&, base::MemoryMeter*);

}  // namespace polyattn::engines
