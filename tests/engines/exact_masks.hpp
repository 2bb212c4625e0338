#pragma once

/// What the tests of masks in the exact engine share: heads under every mask, and their answers.

#include "base/checked.hpp"
#include "engines/heads.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace polyattn::engines::test {

/// By whichever way suits the number of rows.
template <class T>
Answer answer(const Head& head, int threads = 1) {
  const Prepared prepared(head);
  return collect(head.n_q, head.d_v, head.output, [&](const HeadOutputs& out) {
    exact_head<T>(prepared.problem, RowList{}, out, base::Context{threads, nullptr, nullptr});
  });
}

/// The first rows of a head.
inline Head first_rows(Head head, std::int64_t rows) {
  head.n_q = rows;
  head.q.resize(base::usize(rows * head.d));
  head.additive.resize(head.additive.empty() ? 0 : base::usize(rows * head.n_kv));
  head.boolean.resize(head.boolean.empty() ? 0 : base::usize(rows * head.n_kv));
  return head;
}

/// fl(scale log2 e) = 1: scores are whole in log2 units.
inline double whole_scale() {
  double scale = 0x1.62e42fefa39efp-1;
  while (scale * simd::kLog2E < 1.0) {
    scale = std::nextafter(scale, 1.0);
  }
  while (scale * simd::kLog2E > 1.0) {
    scale = std::nextafter(scale, 0.0);
  }
  return scale;
}

/// Kinds of masks: none, causal, window, exclude_self, boolean, additive, all of them.
inline constexpr int kKinds = 7;
inline Head masked(Head head, int kind, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const bool all = kind == 6;
  head.mask.causal = kind == 1 || all;
  head.mask.offset = head.n_kv / 2;
  head.mask.window = kind == 2 || all ? std::max<std::int64_t>(1, head.n_kv / 3) : 0;
  head.mask.exclude_self = kind == 3 || all;
  if (kind == 4 || all) {
    for (std::int64_t e = 0; e < head.n_q * head.n_kv; ++e) {
      head.boolean.push_back(random() % 4 == 0 ? 0 : 1);
    }
  }
  if (kind == 5 || all) {
    head.additive = normal(random, head.n_q * head.n_kv, 5.0);
    for (std::size_t e = 0; e < head.additive.size(); e += 1 + random() % 7) {
      head.additive[e] = random() % 2 == 0 ? -kInfinity : -1e30;
    }
  }
  return head;
}

}  // namespace polyattn::engines::test
