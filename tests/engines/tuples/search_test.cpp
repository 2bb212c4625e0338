// Searches for a broken bound: small problems drawn at random and made worse step by step.

#include "support/random.hpp"
#include "support/tuple_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Trial {
  TupleCase head;
  TupleAsk ask;
};

/// Values of one kind or another: of either sign, of one sign, nearly all the same, of large mean.
void draw_values(Random& random, TupleCase::Set& set) {
  const auto kind = random.integer(0, 3);
  const double mean = kind == 0 ? 0.0 : kind == 1 ? 1.0 : random.sign() * random.log_uniform(1.0, 1e4);
  for (double& v : set.values) {
    v = mean + (kind == 3 ? 1e-3 : 1.0) * random.uniform(-1.0, 1.0);
  }
}

Trial draw(std::uint64_t seed) {
  Random random(seed);
  Trial trial;
  const auto sets = static_cast<std::size_t>(random.integer(1, 4));
  TupleCase& head = trial.head;
  const std::int64_t most = sets == 1 ? 12 : sets == 2 ? 7 : sets == 3 ? 4 : 3;
  head = uniform_case(seed, sets, random.integer(1, 4), most, random.integer(1, 4), random.integer(1, 2), 1.0);
  head.scale = random.sign() * random.log_uniform(0.05, 8.0);
  for (TupleCase::Set& set : head.sets) {
    set.size = random.integer(1, most);
    draw_values(random, set);
    const bool biased = random.chance(0.3);
    const double spread = random.chance(0.2) ? 300.0 : 3.0;
    for (std::int64_t j = 0; biased && j < set.size; ++j) {
      set.bias.push_back(j > 0 && random.chance(0.1) ? -kInfinity : random.uniform(-spread, spread));
    }
    if (random.chance(0.3)) {
      set.mask.causal = random.chance(0.7);
      set.mask.window = random.chance(0.4) ? random.integer(1, 4) : 0;
      set.mask.offset = random.integer(0, 3);
    }
  }
  head.single = random.chance(0.3);
  trial.ask.choice = {static_cast<int>(random.integer(0, 9)), random.chance(0.4), random.chance(0.4)};
  trial.ask.with_lse = random.chance(0.5);
  return trial;
}

/// Measured / certified of the worst row; -1 if none was answered.
double examine(Trial& trial) {
  const TupleRun run = run_tuples(trial.head, trial.ask);
  return run.summary.answered == 0 ? -1.0 : worst_ratio(trial.head, run, brute_force(trial.head));
}

/// Changes one number, or one row to another's opposite.
void change(Random& random, TupleCase& head) {
  const auto set = static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(head.sets.size()) - 1));
  std::vector<double>* numbers = nullptr;
  switch (random.integer(0, 3)) {
    case 0:
      numbers = &head.queries;
      break;
    case 1:
      numbers = &head.sets[set].keys;
      break;
    case 2:
      numbers = &head.sets[set].values;
      break;
    default:
      head.scale *= random.log_uniform(0.7, 1.4);
      return;
  }
  double& x = (*numbers)[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(numbers->size()) - 1))];
  switch (random.integer(0, 3)) {
    case 0:
      x = -x;
      break;
    case 1:
      x *= random.log_uniform(0.5, 2.0);
      break;
    case 2:
      x = random.chance(0.5) ? 1.0 : 0.0;
      break;
    default:
      x += 0.3 * random.normal();
      break;
  }
}

TEST(TupleSearch, RandomProblemsKeepTheirBounds) {
  int answered = 0;
  double worst = 0.0;
  for (std::uint64_t seed = 1; seed <= 4000; ++seed) {
    Trial trial = draw(seed);
    const double ratio = examine(trial);
    answered += ratio >= 0.0 ? 1 : 0;
    worst = std::max(worst, ratio);
    ASSERT_LE(ratio, 1.0) << "seed " << seed;
  }
  std::printf("worst-clearance: tuples by polynomials, %d of 4000 random problems answered: %.4f\n", answered, worst);
  EXPECT_GT(answered, 3000);
  EXPECT_GT(worst, 0.5);  // a bound that nothing comes near is none that was tested
}

TEST(TupleSearch, ClimbingTowardsABrokenBoundFindsNone) {
  double worst = 0.0;
  int steps = 0;
  for (std::uint64_t climb = 1; climb <= 60; ++climb) {
    Random random(climb + 5000);
    Trial best = draw(climb + 9000);
    double ratio = examine(best);
    for (int step = 0; step < 60; ++step) {
      Trial next = best;
      change(random, next.head);
      const double here = examine(next);
      ++steps;
      ASSERT_LE(here, 1.0) << "climb " << climb << " step " << step;
      if (here >= ratio) {
        best = next;
        ratio = here;
      }
    }
    worst = std::max(worst, ratio);
  }
  std::printf("worst-clearance: tuples by polynomials, %d problems of a search: %.4f\n", steps, worst);
  EXPECT_GT(worst, 0.8);
}

}  // namespace
}  // namespace polyattn::test
