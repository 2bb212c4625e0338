#include "lab/instances.hpp"

#include "polyattn/error.hpp"

#include <random>
#include <string>

namespace polyattn::lab {

ThreeOv random_three_ov(std::int64_t count, std::int64_t dimension, double ones, std::uint64_t seed) {
  if (!(ones >= 0.0 && ones <= 1.0)) {
    throw Error(ErrorCode::invalid_argument, "ones: expected a probability from 0 to 1, got " + std::to_string(ones));
  }
  ThreeOv instance{{BitVectors(count, dimension), BitVectors(count, dimension), BitVectors(count, dimension)}};
  std::mt19937_64 random(seed);
  for (BitVectors& set : instance.sets) {
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t l = 0; l < dimension; ++l) {
        const double uniform = static_cast<double>(random() >> 11U) * 0x1p-53;
        set.set(i, l, uniform < ones);
      }
    }
  }
  return instance;
}

}  // namespace polyattn::lab
