#include "engines/polynomial_support.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

namespace polyattn::test {

namespace {

using base::usize;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct HardCase {
  HeadData head;
  int degree = 0;
};

/// A radius of the scores, the same order of magnitude for both scores.
void set_score(HeadData& head, double radius, Random& random) {
  const double width = 4.0 * static_cast<double>(head.dim);
  head.score.scale = (random.chance(0.2) ? -1.0 : 1.0) * radius / width;
  if (random.chance(0.4)) {
    head.score.kind = engines::ScoreKind::gaussian;
    for (std::int64_t l = 0; l < head.dim; ++l) {
      head.score.bandwidth.push_back(std::sqrt(width / radius) * random.log_uniform(0.5, 2.0));
    }
  }
}

void set_bias(HeadData& head, Random& random) {
  const double size = random.log_uniform(0.1, 40.0);
  const bool slope = head.mask.causal && random.chance(0.5);
  const double step = random.uniform(-5.0, 5.0);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const double bias = slope ? step * static_cast<double>(j) : random.uniform(-size, size);
    head.bias.push_back(!slope && random.chance(0.05) ? -kInfinity : bias);
  }
}

void add(std::vector<double>& data, double offset) {
  for (double& x : data) {
    x += offset;
  }
}

HardCase hard_case(Random& random, bool causal) {
  HardCase hard;
  const std::int64_t n_kv = causal ? random.integer(1, random.chance(0.3) ? 400 : 140) : random.integer(1, 40);
  const std::int64_t dim = random.integer(1, random.chance(0.2) ? 6 : 3);
  hard.degree = static_cast<int>(random.integer(0, dim > 3 || random.chance(0.7) ? 5 : 14));
  hard.head = random_head(random.bits(), random.integer(1, 6), n_kv, dim, random.integer(1, 3));
  HeadData& head = hard.head;
  set_score(head, random.log_uniform(0.01, random.chance(0.3) ? 12.0 : 3.0), random);
  if (random.chance(0.3)) {
    for (std::vector<double>* data : {&head.q, &head.k}) {
      for (double& x : *data) {
        x = random.sign();
      }
    }
  }
  if (random.chance(0.3)) {
    const double offset = random.log_uniform(0.1, 1e6);
    add(head.k, offset);
    add(head.q, random.chance(0.5) ? offset : 0.0);
  }
  if (random.chance(0.3)) {
    add(head.v, random.sign() * random.log_uniform(0.1, 1e8));
  }
  if (random.chance(0.2)) {
    for (double& x : head.v) {
      x = random.chance(0.5) ? 1.0 : 0.0;
    }
  }
  if (causal) {
    head.mask.causal = true;
    head.mask.offset = random.chance(0.5) ? 0 : random.integer(-2, n_kv);
  }
  if (random.chance(0.4)) {
    set_bias(head, random);
  }
  head.round_to_float32();
  return hard;
}

/// A small change, for the search.
void change(HardCase& hard, Random& random) {
  HeadData& head = hard.head;
  const auto any_of = [&](std::vector<double>& data) -> double& {
    return data[usize(random.integer(0, static_cast<std::int64_t>(data.size()) - 1))];
  };
  const auto nudge = [&](std::vector<double>& data) {
    double& x = any_of(data);
    if (!std::isfinite(x)) {
      return;  // a hidden key stays hidden
    }
    switch (random.integer(0, 4)) {
      case 0:
        x *= random.uniform(0.5, 2.0);
        break;
      case 1:
        x = -x;
        break;
      case 2:
        x += 0.3 * random.normal();
        break;
      case 3:
        x = any_of(data);
        break;
      default:
        x *= 1.0 + 0.01 * random.normal();
        break;
    }
  };
  const std::int64_t kind = random.integer(0, 8);
  for (std::int64_t i = random.integer(1, 4); i > 0; --i) {
    if (kind < 2) {
      nudge(head.q);
    } else if (kind < 5) {
      nudge(head.k);
    } else if (kind < 7) {
      nudge(head.v);
    } else if (kind == 7 && !head.bias.empty()) {
      nudge(head.bias);
    } else {
      const double factor = random.uniform(0.8, 1.25);
      head.score.scale *= factor;
      for (double& h : head.score.bandwidth) {
        h *= factor;
      }
    }
  }
  head.round_to_float32();
}

}  // namespace

template <class T>
double expect_certified(const HardSearch& search) {
  Random random(search.seed);
  Clearance worst;
  const auto judged = [&](const HardCase& hard, int start, int step) {
    const Clearance here =
        clearance_of<Quad>(hard.head, run_head<T>(hard.head, hard.degree), truth_of<Quad>(hard.head));
    EXPECT_LE(here.answer, 1.0) << "start " << start << ", step " << step << ", degree " << hard.degree << ", row "
                                << here.worst_row;
    EXPECT_LE(here.lse, 1.0) << "start " << start << ", step " << step << ", degree " << hard.degree;
    worst.answer = std::max(worst.answer, here.answer);
    worst.lse = std::max(worst.lse, here.lse);
    return here.answer;
  };
  for (int start = 0; start < search.starts && !testing::Test::HasFailure(); ++start) {
    HardCase best = hard_case(random, search.causal);
    double most = judged(best, start, 0);
    for (int step = 1; step <= search.steps && !testing::Test::HasFailure(); ++step) {
      HardCase next = best;
      change(next, random);
      const double found = judged(next, start, step);
      if (found >= most) {
        most = found;
        best = std::move(next);
      }
    }
  }
  std::printf("worst clearance: answer %.4f, log-sum-exp %.4f\n", worst.answer, worst.lse);
  return worst.answer;
}
template double expect_certified<float>(const HardSearch&);
template double expect_certified<double>(const HardSearch&);

}  // namespace polyattn::test
