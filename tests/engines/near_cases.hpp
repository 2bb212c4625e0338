#pragma once

/// Heads for sums over near keys.

#include "engines/exact/near_rows.hpp"

#include "base/checked.hpp"
#include "engines/heads.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace polyattn::engines::test {

using polyattn::test::Random;

/// Clouds, clusters, lattices with ties, and points on a line, on axes of very different units.
inline std::vector<double> draw_points(Random& random, std::int64_t n, std::int64_t d, int kind) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const double along = random.unit();
    const double cluster = static_cast<double>(random.integer(0, 4));
    for (std::int64_t l = 0; l < d; ++l) {
      const double unit = std::pow(100.0, static_cast<double>(l % 3) - 1.0);
      const double x = kind == 0   ? random.unit()
                       : kind == 1 ? cluster * std::sin(cluster + static_cast<double>(l)) + 0.01 * random.unit()
                       : kind == 2 ? static_cast<double>(random.integer(0, 12)) / 12.0
                                   : along * (1.0 + static_cast<double>(l));
      out.push_back(unit * (x + (random.chance(0.01) ? 30.0 * random.unit() : 0.0)));
    }
  }
  return out;
}

struct Drawn {
  Head head;
  NearGoal goal;
};

inline Drawn draw_near(std::uint64_t seed) {
  Random random(seed);
  Drawn out;
  Head& head = out.head;
  head.d = random.integer(1, 6);
  head.d_v = random.integer(0, 3);
  head.n_kv = random.integer(1, 1200);
  head.n_q = random.integer(1, 150);
  const int kind = static_cast<int>(random.integer(0, 3));
  head.k = draw_points(random, head.n_kv, head.d, kind);
  if (random.chance(0.4)) {
    head.n_kv = std::max<std::int64_t>(head.n_kv, 2);
    head.k = draw_points(random, head.n_kv, head.d, kind);
    head.n_q = head.n_kv;
    head.q = head.k;
    head.mask.exclude_self = true;
  } else {
    head.q = draw_points(random, head.n_q, head.d, random.chance(0.5) ? kind : 0);
  }
  const double offset = random.chance(0.2) ? 1e3 : 0.0;
  for (std::int64_t i = 0; i < head.n_kv * head.d_v; ++i) {
    head.v.push_back(offset + random.unit());
  }
  head.score.kind = ScoreKind::gaussian;
  const double width = std::pow(10.0, -3.0 * random.unit());
  for (std::int64_t l = 0; l < head.d; ++l) {
    head.score.bandwidth.push_back(width * std::pow(100.0, static_cast<double>(l % 3) - 1.0) * (0.5 + random.unit()));
  }
  if (random.chance(0.3)) {
    const double scale = random.chance(0.3) ? 300.0 : 3.0;
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(random.chance(0.1) && j > 1 ? -kInfinity : scale * (2.0 * random.unit() - 1.0));
    }
  }
  head.storage = random.chance(0.2) ? DType::float32 : DType::float64;
  out.goal.ratio = random.chance(0.8) ? std::pow(10.0, -7.0 * random.unit()) : kAnyRatio;
  if (random.chance(0.3)) {
    out.goal.mass = std::pow(10.0, -6.0 * random.unit());
  }
  return out;
}

}  // namespace polyattn::engines::test
