#pragma once

/// Brute force for nearest neighbours, and oracles with a flaw.

#include "lab/nearest.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <random>
#include <vector>

namespace polyattn::lab::test {

inline std::vector<std::int64_t> nearest_distances(const BitVectors& a, const BitVectors& b) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < a.count(); ++i) {
    std::int64_t least = a.dimension() + 1;
    for (std::int64_t j = 0; j < b.count(); ++j) least = std::min(least, hamming_distance(a[i], b[j]));
    out.push_back(least);
  }
  return out;
}

/// Every index is one of a key within the ratio of the nearest. In long double ratio * distance is exact.
inline void expect_within_ratio(const BitVectors& a, const BitVectors& b, double ratio, const Nearest& got) {
  const std::vector<std::int64_t> least = nearest_distances(a, b);
  ASSERT_EQ(got.index.size(), least.size());
  for (std::int64_t i = 0; i < a.count(); ++i) {
    const std::int64_t j = got.index[static_cast<std::size_t>(i)];
    ASSERT_TRUE(j >= 0 && j < b.count()) << "row " << i << ": index " << j;
    const std::int64_t distance = hamming_distance(a[i], b[j]);
    const std::int64_t nearest = least[static_cast<std::size_t>(i)];
    ASSERT_LE(static_cast<long double>(distance), static_cast<long double>(ratio) * static_cast<long double>(nearest))
        << "row " << i << ": distance " << distance << ", nearest " << nearest;
  }
}

enum class Flaw { against, random };

/// The library's answers, wrong by `error`: towards the other side of 3/8, or up or down at random.
inline Order2Oracle flawed_oracle(double error, Flaw flaw, double claimed) {
  return [error, flaw, claimed, oracle = engine_oracle(),
          random = std::mt19937_64(5)](const Order2Instance& instance) mutable {
    OracleAnswer answer = oracle(instance);
    for (double& u : answer.output) {
      const bool down = flaw == Flaw::against ? u >= 0.375 : (random() & 1) != 0;
      u += down ? -error : error;
    }
    answer.absolute += claimed;
    return answer;
  };
}

}  // namespace polyattn::lab::test
