// Certificates of the exact engine under masks and soft-capping, against a search that climbs measured / certified.

#include "engines/exact_masks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace polyattn::engines::test {
namespace {

using base::usize;

template <class T>
class ExactMasksSearch : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactMasksSearch, Arithmetics);

Head drawn(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto integer = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  constexpr std::array spreads{0.01, 0.5, 3.0};
  Head head = random_head(seed, integer(1, 4), integer(1, 12), integer(1, 6), 1, spreads.at(random() % 3));
  for (double& v : head.v) {
    v = random() % 2 == 0 ? 1.0 : -1.0;
  }
  head.storage = random() % 2 == 0 ? DType::float32 : DType::float64;
  head.soft_cap = std::array{0.0, 0.0, 0.1, 2.0, 30.0}.at(random() % 5);
  if (random() % 3 == 0) {
    head.bias = normal(random, head.n_kv, 3.0);
  }
  if (random() % 3 == 0) {
    head = gaussian(head, random() % 2 == 0 ? std::vector<double>{1.0} : std::vector<double>{0.5, 2.0});
  }
  head = masked(head, static_cast<int>(integer(0, kKinds - 1)), seed);
  for (double& m : head.additive) {
    m = m == -1e30 ? 0.7 : m;
  }
  return head;
}

void move(Head& head, std::mt19937_64& random) {
  const auto any = [&](std::vector<double>& list) -> double& { return list[random() % list.size()]; };
  const auto nudge = [&](double& x) {
    std::normal_distribution<double> draw;
    x = random() % 2 == 0 ? x * std::exp(0.2 * draw(random)) : x + 0.1 * draw(random);
  };
  const auto scale = [&](std::vector<double>& list) {
    const double factor = std::array{0.8, 1.25, -1.0}.at(random() % 3);
    for (double& x : list) {
      x *= factor;
    }
  };
  switch (random() % 9) {
    case 0:
      return nudge(any(head.q));
    case 1:
      return nudge(any(head.k));
    case 2:
      return scale(head.q);
    case 3:
      return scale(head.k);
    case 4:
      return head.soft_cap > 0.0 ? nudge(head.soft_cap) : nudge(any(head.k));
    case 5:
      return head.bias.empty() ? nudge(any(head.q)) : nudge(any(head.bias));
    case 6:
      if (!head.boolean.empty()) {
        head.boolean[random() % head.boolean.size()] ^= 1;
      }
      return head.additive.empty() ? nudge(any(head.k)) : nudge(any(head.additive));
    default:
      any(head.v) *= -1.0;
  }
}

/// Largest measured / certified of a head's rows; above 1 refutes a bound.
template <class T>
double closeness(const Head& head, Clearance& clearance) {
  const Prepared prepared(head);
  const Answer got = answer<T>(head);
  double worst = 0.0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const Truth t = truth(head, prepared, i);
    if (t.empty) {
      continue;
    }
    const auto row = usize(i);
    const long double error = std::fabs(static_cast<long double>(got.output[row]) - t.output[0]);
    const double output = ratio(error, got.rounding[row] + got.storage[row]);
    const double relative = ratio(error, got.relative[row] * static_cast<double>(t.weighted_size[0]));
    const double lse = ratio(std::fabs(static_cast<long double>(got.lse[row]) - t.lse), got.lse_bound[row]);
    ++clearance.rows;
    clearance.known += got.rounding[row] < kInfinity ? 1 : 0;
    clearance.output = std::max(clearance.output, output);
    clearance.relative = std::max(clearance.relative, relative);
    clearance.lse = std::max(clearance.lse, lse);
    worst = std::max({worst, output, relative, lse});
  }
  return worst;
}

TYPED_TEST(ExactMasksSearch, CertificatesUnderASearchThatClimbs) {
  Clearance clearance;
  for (std::uint64_t seed = 1; seed <= 800; ++seed) {
    Head best = drawn(seed);
    std::mt19937_64 random(seed);
    double closest = closeness<TypeParam>(best, clearance);
    for (int step = 0; step < 150 && closest <= 1.0; ++step) {
      Head next = best;
      move(next, random);
      if (next.soft_cap < 0.0) {
        continue;
      }
      const double found = closeness<TypeParam>(next, clearance);
      if (found >= closest) {
        closest = found;
        best = std::move(next);
      }
    }
    ASSERT_LE(closest, 1.0) << "seed " << seed;
  }
  clearance.print("masks, climbed");
}

}  // namespace
}  // namespace polyattn::engines::test
