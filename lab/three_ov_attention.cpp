#include "lab/three_ov_attention.hpp"

#include "polyattn/error.hpp"

#include <cmath>

namespace polyattn::lab {

namespace {

/// The bits as numbers, then the two coordinates of the pads.
std::function<void(std::int64_t, std::span<float>)> rows_of(const BitVectors& vectors, float first, float second) {
  return [&vectors, first, second](std::int64_t i, std::span<float> out) {
    const auto dimension = static_cast<std::size_t>(vectors.dimension());
    for (std::size_t l = 0; l < dimension; ++l) out[l] = vectors.get(i, static_cast<std::int64_t>(l)) ? 1.0F : 0.0F;
    out[dimension] = first;
    out[dimension + 1] = second;
  };
}

std::vector<float> pad(std::int64_t dimension, float first, float second) {
  std::vector<float> key(static_cast<std::size_t>(dimension), 0.0F);
  key.push_back(first);
  key.push_back(second);
  return key;
}

}  // namespace

TripleAttention direct_attention(const ThreeOv& instance) {
  const auto& [a, b, c] = instance.sets;
  if (b.count() == 0 || c.count() == 0) {
    throw Error(ErrorCode::invalid_argument, "3-OV: expected vectors in every set, got an empty one");
  }
  const double pairs = static_cast<double>(b.count()) * static_cast<double>(c.count());
  TripleAttention problem;
  problem.rows = a.count();
  problem.real = {b.count(), c.count()};
  problem.pads = {1, 1};
  problem.dim = instance.dimension() + 2;
  problem.scale = -2.0 * std::log(4.0 * pairs);
  problem.query = rows_of(a, 1.0F, 1.0F);
  problem.key = {rows_of(b, 1.0F, 0.0F), rows_of(c, 0.0F, 1.0F)};
  problem.pad = {pad(instance.dimension(), 0.5F, 1.0F), pad(instance.dimension(), 1.0F, 0.0F)};
  problem.decision = {.low = 1.0 / 5.0, .high = 8.0 / 11.0, .threshold = 23.0 / 50.0};
  return problem;
}

}  // namespace polyattn::lab
