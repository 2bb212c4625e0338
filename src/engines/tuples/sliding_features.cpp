#include "engines/tuples/sliding_features.hpp"

#include "base/checked.hpp"
#include "numerics/monomials.hpp"
#include "numerics/rank.hpp"
#include "simd/dispatch.hpp"

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
  out.padded = out.starts.back() + (out.starts.back() / simd::kSlidingLanes % 2 == 0 ? 1 : 2) * simd::kSlidingLanes;
  out.kernels = &simd::kernels().sliding;
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

void expand_tokens(const SlidingFeatures& features, const double* x, std::int64_t ld, std::int64_t tokens,
                   bool weighted, double* out) noexcept {
  simd::ExpandTokens block{};
  block.dim = features.dim;
  block.degree = features.degree;
  block.starts = features.starts.data();
  block.counts = features.counts.data();
  block.tails = features.tails.data();
  block.x = x;
  block.ld = ld;
  block.tokens = tokens;
  block.weights = weighted ? features.weights.data() : nullptr;
  block.out = out;
  block.stride = features.stride();
  features.kernels->expand(block);
}

}  // namespace polyattn::engines
