// Packed binary vectors against bits one at a time.

#include "lab/bits.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <random>

namespace polyattn::lab {
namespace {

TEST(Bits, ProductsAndDistancesAreThoseOfTheBits) {
  std::mt19937_64 random(7);
  for (const std::int64_t dimension : {0, 1, 63, 64, 65, 200}) {
    BitVectors vectors(3, dimension);
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t bit = 0; bit < dimension; ++bit) vectors.set(i, bit, random() % 2 == 0);
    }
    std::int64_t pairs = 0;
    std::int64_t triples = 0;
    std::int64_t distance = 0;
    for (std::int64_t bit = 0; bit < dimension; ++bit) {
      const bool a = vectors.get(0, bit);
      const bool b = vectors.get(1, bit);
      pairs += a && b ? 1 : 0;
      triples += a && b && vectors.get(2, bit) ? 1 : 0;
      distance += a != b ? 1 : 0;
    }
    EXPECT_EQ(inner_product(vectors[0], vectors[1]), pairs) << dimension;
    EXPECT_EQ(inner_product(vectors[0], vectors[1], vectors[2]), triples) << dimension;
    EXPECT_EQ(hamming_distance(vectors[0], vectors[1]), distance) << dimension;
  }
}

TEST(Bits, ABitCanBeTakenBack) {
  BitVectors vectors(2, 70);
  vectors.set(1, 69, true);
  EXPECT_TRUE(vectors.get(1, 69));
  EXPECT_EQ(inner_product(vectors[1], vectors[1]), 1);
  vectors.set(1, 69, false);
  EXPECT_EQ(inner_product(vectors[1], vectors[1]), 0);
}

TEST(Bits, NegativeSizesAreRefused) {
  EXPECT_THROW(BitVectors(-1, 3), Error);
  EXPECT_THROW(BitVectors(3, -1), Error);
}

}  // namespace
}  // namespace polyattn::lab
