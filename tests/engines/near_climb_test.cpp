// Certificates of sums over near keys against a search that climbs measured / certified, over keys, queries, values,
// bandwidths, biases and goals.

#include "engines/near_cases.hpp"

#include <array>
#include <cstdio>
#include <utility>

namespace polyattn::engines::test {
namespace {

using base::usize;

/// A place with many keys. Keys of one place weigh the same, so a block of them weighs what it is bounded by.
struct Site {
  std::vector<double> x;
  double value = 0.0;
  double bias = 0.0;
  std::int64_t keys = 1;
};

struct Trial {
  std::vector<Site> sites;
  std::vector<double> queries;  // [rows][d]
  std::vector<double> bandwidth;
  double jitter = 0.0;        ///< how far keys of a site lie apart
  double origin = 0.0;        ///< added to all coordinates: bits that float32 lacks
  double unit = 1.0;          ///< of coordinates and bandwidths
  double mean = 0.0;          ///< added to all values
  bool biased = false;        ///< whether biases are given
  bool exclude_self = false;  ///< queries are the keys
  bool rounding = false;      ///< next to nothing may be left out: a climb of what rounding costs
  DType storage = DType::float64;
  NearGoal goal;
};

NearGoal draw_goal(Random& random) {
  NearGoal goal;
  goal.ratio = random.chance(0.2) ? kAnyRatio : random.log_uniform(1e-8, 2.0);
  goal.mass = goal.ratio == kAnyRatio || random.chance(0.2) ? random.log_uniform(1e-8, 10.0) : kInfinity;
  return goal;
}

Trial draw(Random& random) {
  Trial trial;
  const std::int64_t d = random.integer(1, random.chance(0.3) ? 8 : 3);
  const double spread = random.log_uniform(0.1, 30.0);
  const auto place = [&] {
    std::vector<double> x;
    for (std::int64_t l = 0; l < d; ++l) {
      x.push_back(spread * random.uniform(-1.0, 1.0));
    }
    return x;
  };
  trial.biased = random.chance(0.4);
  for (std::int64_t s = random.integer(2, 5); s > 0; --s) {
    trial.sites.push_back({place(), random.sign(), random.uniform(-3.0, 3.0),
                           random.chance(0.5) ? 128 * random.integer(1, 2) : random.integer(1, 200)});
  }
  for (std::int64_t i = random.chance(0.5) ? 1 : random.integer(2, 6); i > 0; --i) {
    const std::vector<double> x = random.chance(0.5) ? place() : trial.sites[0].x;
    trial.queries.insert(trial.queries.end(), x.begin(), x.end());
  }
  for (std::int64_t l = 0; l < d; ++l) {
    trial.bandwidth.push_back(random.log_uniform(0.3, 3.0));
  }
  trial.origin = random.chance(0.6) ? 0.0 : random.log_uniform(1.0, 1e5);
  trial.mean = random.chance(0.7) ? 0.0 : random.log_uniform(1.0, 1e3);
  trial.exclude_self = random.chance(0.1);
  trial.storage = random.chance(0.2) ? DType::float32 : DType::float64;
  trial.unit = random.chance(0.9) ? 1.0 : random.log_uniform(1e-25, 1e25);
  trial.rounding = random.chance(0.3);
  // Boxes of thousands of bandwidths cost float32 the most.
  trial.jitter = random.chance(0.5) ? 0.0 : random.log_uniform(1e-6, trial.rounding ? 1e4 : 1.0);
  trial.goal = draw_goal(random);
  return trial;
}

Head head_of(const Trial& trial) {
  Head head;
  head.d = static_cast<std::int64_t>(trial.bandwidth.size());
  head.d_v = 1;
  head.n_kv = 0;
  Random random(1);
  for (const Site& site : trial.sites) {
    for (std::int64_t j = 0; j < site.keys; ++j) {
      for (const double x : site.x) {
        head.k.push_back(trial.unit * (trial.origin + x + (j == 0 ? 0.0 : trial.jitter * random.unit())));
      }
      head.v.push_back(trial.mean + site.value);
      if (trial.biased) {
        head.bias.push_back(site.bias);
      }
    }
    head.n_kv += site.keys;
  }
  head.mask.exclude_self = trial.exclude_self;
  head.q = trial.exclude_self ? head.k : trial.queries;
  head.n_q = static_cast<std::int64_t>(head.q.size()) / head.d;
  for (double& x : head.q) {
    x = trial.exclude_self ? x : trial.unit * (trial.origin + x);
  }
  head.score.kind = ScoreKind::gaussian;
  for (const double h : trial.bandwidth) {
    head.score.bandwidth.push_back(trial.unit * h);
  }
  head.storage = trial.storage;
  return head;
}

void change(Random& random, Trial& trial) {
  const auto nudge = [&](double& x) {
    x = random.chance(0.5) ? x * random.log_uniform(0.7, 1.4) : x + 0.3 * random.normal();
  };
  const auto any = [&](std::vector<double>& list) -> double& {
    return list[usize(random.integer(0, static_cast<std::int64_t>(list.size()) - 1))];
  };
  Site& site = trial.sites[usize(random.integer(0, static_cast<std::int64_t>(trial.sites.size()) - 1))];
  switch (random.integer(0, 10)) {
    case 0:
      return nudge(any(site.x));
    case 1:
      return nudge(any(trial.queries));
    case 2:
      site.value = random.chance(0.7) ? -site.value : random.uniform(-1.0, 1.0);
      return;
    case 3:
      return nudge(site.bias);
    case 4:
      site.keys = random.chance(0.5) ? 128 : random.integer(1, 300);
      return;
    case 5:
      any(trial.bandwidth) *= random.log_uniform(0.7, 1.4);
      return;
    case 6:
      trial.goal.ratio *= trial.goal.ratio == kAnyRatio ? 1.0 : random.log_uniform(0.5, 2.0);
      trial.goal.mass *= random.log_uniform(0.5, 2.0);
      return;
    case 7:
      trial.jitter = random.chance(0.3) ? 0.0 : trial.jitter * random.log_uniform(0.3, 3.0);
      return;
    case 8:
      trial.origin = random.chance(0.2) ? 0.0 : trial.origin * random.log_uniform(0.7, 1.4);
      return;
    case 9:
      trial.goal = draw_goal(random);
      return;
    default:
      std::copy_n(site.x.begin(), site.x.size(), trial.queries.begin());  // a row at the place itself
  }
}

struct Found {
  double output = 0.0;    ///< largest measured / certified
  double lse = 0.0;       ///< and of the log-sum-exp
  double rounding = 0.0;  ///< and of either where next to nothing may be left out
  std::int64_t rows = 0;
  std::int64_t known = 0;
  std::int64_t left_out = 0;
};

/// Rows of a trial that are looked at: the truth of all costs too much where all keys are rows.
constexpr std::int64_t kRows = 6;

template <class T>
Answer answer_near(const HeadProblem& problem, const Head& head, const NearGoal& goal) {
  const base::Context context{1, nullptr, nullptr};
  const auto [low, high] = std::minmax_element(head.v.begin(), head.v.end());
  const NearKeys keys = near_keys(problem, *high - *low, context);
  const NearTiles tiles = near_tiles(problem, keys, context);
  const PackedKeys<T> packed = pack_near<T>(problem, keys, context);
  return collect(head.n_q, head.d_v, DType::float64,
                 [&](const HeadOutputs& out) { near_rows(problem, keys, packed, tiles, goal, 0, 1, out, context); });
}

/// Largest measured / certified of a trial; above 1 refutes the bound.
template <class T>
double closeness(const Trial& trial, Found& found) {
  Head head = head_of(trial);
  if (head.storage == DType::float32) {  // the range is that of the values as stored
    for (double& v : head.v) {
      v = static_cast<double>(static_cast<float>(v));
    }
  }
  const Prepared prepared(head);
  HeadProblem problem = prepared.problem;
  if (trial.exclude_self) {
    problem.queries = problem.keys;
  }
  const Answer got = answer_near<T>(problem, head, trial.rounding ? NearGoal{1e-30, kInfinity} : trial.goal);
  double worst = 0.0;
  for (std::int64_t i = 0; i < head.n_q; i += (head.n_q + kRows - 1) / kRows) {
    const auto row = usize(i);
    const Truth t = truth(head, prepared, i);
    if (t.empty) {
      continue;
    }
    // Where all values are the same the bound is 0, but sums in long double round.
    const long double oracle = static_cast<long double>(head.n_kv + 4) * 0x1p-63L * t.weighted_size[0];
    const long double error = std::fabs(static_cast<long double>(got.output[row]) - t.output[0]) - oracle;
    const double output = ratio(std::max(error, 0.0L), got.approximation[row] + got.rounding[row]);
    const double lse = ratio(std::fabs(static_cast<long double>(got.lse[row]) - t.lse), got.lse_bound[row]);
    worst = std::max({worst, output, lse});
    ++found.rows;
    found.known += got.lse_bound[row] < kInfinity ? 1 : 0;
    if (trial.rounding) {
      found.rounding = std::max({found.rounding, output, lse});
    } else {
      found.left_out += got.approximation[row] > 0.0 ? 1 : 0;
      found.output = std::max(found.output, output);
      found.lse = std::max(found.lse, lse);
    }
  }
  return worst;
}

template <class T>
class NearClimb : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(NearClimb, Arithmetics);

TYPED_TEST(NearClimb, TowardsABrokenBoundFindsNone) {
  Found found;
  for (std::uint64_t climb = 1; climb <= 40; ++climb) {
    Random random(climb);
    Trial best = draw(random);
    double closest = closeness<TypeParam>(best, found);
    ASSERT_LE(closest, 1.0) << "climb " << climb;
    for (int step = 0; step < 90; ++step) {
      Trial next = best;
      change(random, next);
      const double here = closeness<TypeParam>(next, found);
      ASSERT_LE(here, 1.0) << "climb " << climb << " step " << step;
      if (here >= closest) {
        closest = here;
        best = std::move(next);
      }
    }
  }
  std::printf("[ clearance] near, climbed: output %.9f, log-sum-exp %.9f, rounding alone %.3f\n", found.output,
              found.lse, found.rounding);
  std::printf("[ clearance] of %lld rows %lld left keys out, %lld have a finite bound\n",
              static_cast<long long>(found.rows), static_cast<long long>(found.left_out),
              static_cast<long long>(found.known));
  EXPECT_GT(found.left_out, found.rows / 10);
  EXPECT_GT(found.known, found.rows / 2);
  // Not about the bounds: a search that finds nothing better than half of them is broken and tests nothing.
  EXPECT_GT(found.output, 0.5);
  EXPECT_GT(found.lse, 0.5);
}

}  // namespace
}  // namespace polyattn::engines::test
