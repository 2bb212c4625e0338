#include "lab/nearest_instances.hpp"

#include "polyattn/error.hpp"

#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::lab {

namespace {

/// 0 to count - 1. The tiny bias of the remainder does not matter here; distributions differ between libraries.
std::int64_t below(std::mt19937_64& random, std::int64_t count) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(count));
}

void fill(std::mt19937_64& random, BitVectors& vectors) {
  for (std::int64_t i = 0; i < vectors.count(); ++i) {
    for (std::int64_t l = 0; l < vectors.dimension(); ++l) vectors.set(i, l, (random() >> 63) != 0);
  }
}

}  // namespace

NearestInstance random_nearest(std::int64_t rows, std::int64_t keys, std::int64_t dimension, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  NearestInstance out{BitVectors(rows, dimension), BitVectors(keys, dimension)};
  fill(random, out.a);
  fill(random, out.b);
  return out;
}

NearestInstance planted_nearest(std::int64_t rows, std::int64_t keys, std::int64_t dimension, std::int64_t distance,
                                std::uint64_t seed) {
  NearestInstance out = random_nearest(rows, keys, dimension, seed);
  if (distance < 0 || distance > dimension) {
    throw Error(ErrorCode::invalid_argument,
                "distance: expected 0 to " + std::to_string(dimension) + ", got " + std::to_string(distance));
  }
  if (keys == 0 && rows > 1) throw Error(ErrorCode::invalid_argument, "keys: expected at least 1, got 0");
  std::mt19937_64 random(seed ^ 0x5deece66dU);
  std::vector<std::int64_t> places(static_cast<std::size_t>(dimension));
  std::iota(places.begin(), places.end(), 0);
  for (std::int64_t i = 1; i < rows; i += 2) {
    const std::int64_t j = below(random, keys);
    for (std::int64_t k = 0; k < distance; ++k) {  // the first `distance` of a random order
      std::swap(places[static_cast<std::size_t>(k)],
                places[static_cast<std::size_t>(k + below(random, dimension - k))]);
    }
    for (std::int64_t l = 0; l < dimension; ++l) out.a.set(i, l, out.b.get(j, l));
    for (std::int64_t k = 0; k < distance; ++k) {
      const std::int64_t l = places[static_cast<std::size_t>(k)];
      out.a.set(i, l, !out.a.get(i, l));
    }
  }
  return out;
}

}  // namespace polyattn::lab
