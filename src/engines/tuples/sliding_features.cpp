#include "engines/tuples/sliding_features.hpp"

#include "base/checked.hpp"
#include "numerics/monomials.hpp"
#include "numerics/rank.hpp"
#include "simd/sliding_kernels.hpp"

#include <algorithm>

namespace polyattn::engines {

using base::usize;

SlidingFeatures make_sliding_features(int dim, int degree, const double* z) {
  SlidingFeatures out;
  out.dim = dim;
  out.degree = degree;
  out.starts.push_back(0);
  for (int t = 0; t <= degree; ++t) {
    const auto count = static_cast<std::ptrdiff_t>(numerics::binomial(dim + t - 1, t));
    for (int l = 0; l < dim; ++l) {
      const auto tail = static_cast<std::ptrdiff_t>(numerics::binomial(dim - l + t - 1, t));
      out.tails.push_back(out.starts.back() + count - tail);
    }
    out.counts.push_back(count);
    out.starts.push_back(out.starts.back() +
                         static_cast<std::ptrdiff_t>(base::round_up_to(count, simd::kSlidingLanes)));
  }
  const numerics::Monomials list = numerics::monomials(dim, degree);
  std::vector<double> weights(usize(list.rank()));
  numerics::multinomial_weights(list, z, weights.data());
  out.weights.assign(usize(out.stride()), 0.0);
  for (int t = 0; t <= degree; ++t) {
    std::copy(weights.begin() + list.offsets[usize(t)], weights.begin() + list.offsets[usize(t) + 1],
              out.weights.begin() + out.starts[usize(t)]);
  }
  return out;
}

void expand_token(const SlidingFeatures& features, const double* x, double* out) noexcept {
  std::fill_n(out, features.starts[1], 0.0);
  out[0] = 1.0;
  for (int t = 1; t <= features.degree; ++t) {
    const std::ptrdiff_t* tails = features.tails.data() + (t - 1) * features.dim;
    const std::ptrdiff_t end = features.starts[usize(t - 1)] + features.counts[usize(t - 1)];
    double* to = out + features.starts[usize(t)];
    for (int l = 0; l < features.dim; ++l) {
      const double variable = x[l];
      const double* __restrict from = out + tails[l];
      const std::ptrdiff_t count = end - tails[l];
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        to[i] = from[i] * variable;
      }
      to += count;
    }
    std::fill(to, out + features.starts[usize(t) + 1], 0.0);
  }
}

}  // namespace polyattn::engines
