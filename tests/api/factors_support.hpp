#pragma once

/// Judging factors: their exact product against exp of the stated scores, both in the widest type there is.

#include "polyattn/factors.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <variant>
#include <vector>

namespace polyattn::test {

inline std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Queries [batch, heads, n, d] and keys [batch, key_heads, m, d].
struct PairProblem {
  std::int64_t n = 0;
  std::int64_t m = 0;
  std::int64_t d = 1;
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t key_heads = 1;
  std::vector<double> q{};
  std::vector<double> k{};

  [[nodiscard]] ConstView q_view() const { return tensor(q.data(), {batch, heads, n, d}); }
  [[nodiscard]] ConstView k_view() const { return tensor(k.data(), {batch, key_heads, m, d}); }
  void fill(Random& random, double q_size, double k_size, double q_offset = 0.0, double k_offset = 0.0) {
    q.resize(index(batch * heads * n * d));
    k.resize(index(batch * key_heads * m * d));
    for (double& value : q) value = q_offset + q_size * random.normal();
    for (double& value : k) value = k_offset + k_size * random.normal();
  }
};

inline Factors make(const PairProblem& p, const FactorOptions& options) {
  const std::array<ConstView, 1> keys{p.k_view()};
  return factors(p.q_view(), keys, options);
}

/// The score as the options state it, of numbers as they are stored.
inline Quad stated_score(const Score& score, const double* q, const double* k, std::int64_t d) {
  Quad sum = 0;
  if (const auto* dot = std::get_if<Dot>(&score)) {
    for (std::int64_t l = 0; l < d; ++l) sum += static_cast<Quad>(q[l]) * static_cast<Quad>(k[l]);
    return sum * static_cast<Quad>(dot->scale.value_or(1.0 / std::sqrt(static_cast<double>(d))));
  }
  const std::vector<double>& bandwidth = std::get<Gaussian>(score).bandwidth;
  for (std::int64_t l = 0; l < d; ++l) {
    const Quad h = static_cast<Quad>(bandwidth.size() == 1 ? bandwidth[0] : bandwidth[index(l)]);
    const Quad away = (static_cast<Quad>(q[l]) - static_cast<Quad>(k[l])) / h;
    sum -= away * away / 2;
  }
  return sum;
}

inline double element(const Tensor& tensor, std::int64_t at) {
  return tensor.dtype() == DType::float64 ? tensor.as<double>()[at] : static_cast<double>(tensor.as<float>()[at]);
}

/// Largest relative error over its bound; everything the report claims is checked on the way.
struct Clearance {
  double product = 0.0;      ///< U_1 U_2^T taken exactly, against bound()
  double dot_product = 0.0;  ///< taken in float64, against bound() + dot_product
  double majorant = 0.0;
};

inline Clearance judge(const PairProblem& p, const FactorOptions& options, const Factors& result) {
  const Quad half = static_cast<Quad>(kUnitRoundoff<Quad>);
  Clearance worst;
  EXPECT_EQ(result.u.size(), 2U);
  EXPECT_EQ(result.u[0].shape(), (Shape{p.batch, p.heads, p.n, result.rank}));
  EXPECT_EQ(result.u[1].shape(), (Shape{p.batch, p.key_heads, p.m, result.rank}));
  EXPECT_EQ(result.heads.size(), index(p.batch * p.heads));
  for (const FactorHead& head : result.heads) {
    EXPECT_LE(head.bound(), options.tolerance.value_or(1.0));
    const std::int64_t key_head = head.batch * p.key_heads + head.head / (p.heads / p.key_heads);
    for (std::int64_t i = 0; i < p.n; ++i) {
      const std::int64_t row = (head.batch * p.heads + head.head) * p.n + i;
      for (std::int64_t j = 0; j < p.m; ++j) {
        const std::int64_t column = key_head * p.m + j;
        Quad exact = 0;
        Quad majorant = 0;
        double computed = 0.0;
        for (std::int64_t f = 0; f < result.rank; ++f) {
          const double one = element(result.u[0], row * result.rank + f);
          const double other = element(result.u[1], column * result.rank + f);
          const Quad term = static_cast<Quad>(one) * static_cast<Quad>(other);
          exact += term;
          majorant += term < 0 ? -term : term;
          computed += one * other;
        }
        const Quad score = stated_score(options.score, &p.q[index(row * p.d)], &p.k[index(column * p.d)], p.d);
        const Quad inverse = exp_of(-score);
        const auto size = static_cast<double>(majorant * inverse);
        const double slack = static_cast<double>(half) * (4.0 * static_cast<double>(result.rank) * size +
                                                          64.0 * static_cast<double>(p.d) * (1.0 + head.radius_before));
        const double relative = std::fabs(static_cast<double>(exact * inverse - 1));
        const double rounded = std::fabs(static_cast<double>(static_cast<Quad>(computed) * inverse - 1));
        EXPECT_LE(relative, head.bound() + slack) << "row " << i << ", key " << j;
        EXPECT_LE(rounded, head.bound() + head.dot_product + slack) << "row " << i << ", key " << j;
        EXPECT_LE(size, head.majorant * (1.0 + 1e-15) + slack) << "row " << i << ", key " << j;
        EXPECT_GT(exact, 0) << "row " << i << ", key " << j;
        worst.product = std::max(worst.product, (relative - slack) / head.bound());
        worst.dot_product = std::max(worst.dot_product, (rounded - slack) / (head.bound() + head.dot_product));
        worst.majorant = std::max(worst.majorant, size / head.majorant);
      }
    }
  }
  return worst;
}

}  // namespace polyattn::test
