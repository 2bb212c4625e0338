// Keys summed exactly: closed forms, and certificates of rows whose keys are partly in moments and partly exact, judged
// by the definition in binary128.

#include "engines/polynomial/key_shells.hpp"
#include "engines/polynomial/outlying_part.hpp"
#include "engines/polynomial_support.hpp"
#include "planning/values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The head with the keys `apart` summed exactly.
PolynomialSetup setup_apart(const engines::HeadProblem& problem, int degree, std::vector<std::int64_t> apart,
                            bool spread = false, const base::Context& context = serial_context()) {
  PolynomialSetup setup;
  const engines::QueryExtent extent = engines::query_extent(problem, context);
  const engines::Frame whole = engines::make_frame(problem, extent, context);
  setup.values = planning::value_range(problem, whole.log_weight.data(), whole.log_scale, context);
  setup.frame = engines::set_apart(problem, whole, extent, std::move(apart), context);
  setup.features = engines::make_features(problem.dim(), degree, problem.value_dim(), spread);
  setup.table = engines::make_table(std::min(setup.frame.radius, 300.0), degree);
  return setup;
}

/// Visible keys of a head, the first `most` of some order.
std::vector<std::int64_t> some_visible(const HeadData& head, std::int64_t most, Random& random) {
  std::vector<std::int64_t> keys;
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    if (head.bias.empty() || head.bias[usize(j)] != -kInfinity) {
      keys.push_back(j);
    }
  }
  for (std::size_t i = keys.size(); i > 1; --i) {
    std::swap(keys[i - 1], keys[usize(random.integer(0, static_cast<std::int64_t>(i) - 1))]);
  }
  keys.resize(std::min(keys.size() - 1, usize(most)));
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::int64_t useful_rows(const PolynomialRun& run, double bound) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < run.answered.size(); ++i) {
    count += run.answered[i] != 0 && run.bound(static_cast<std::int64_t>(i)) < bound ? 1 : 0;
  }
  return count;
}

/// Bulk near 0, keys `far` times as far out at the front, with values at the ends of the range only there.
HeadData head_with_sinks(std::uint64_t seed, std::int64_t sinks, std::int64_t n_q, std::int64_t n_kv, std::int64_t dim,
                         std::int64_t value_dim, double far) {
  HeadData head = random_head(seed, n_q, n_kv, dim, value_dim, 0.5);
  for (std::int64_t j = 0; j < sinks; ++j) {
    for (std::int64_t l = 0; l < dim; ++l) {
      head.k[usize(j * dim + l)] *= far;
    }
    for (std::int64_t c = 0; c < value_dim; ++c) {
      head.v[usize(j * value_dim + c)] = j % 2 == 0 ? 7.0 : -7.0;
    }
  }
  return head;
}

std::vector<std::int64_t> first_keys(std::int64_t count) {
  std::vector<std::int64_t> keys(usize(count));
  std::iota(keys.begin(), keys.end(), std::int64_t{0});
  return keys;
}

template <class T>
void expect_one_key_against_many() {
  // m keys at 0 with value 0, one at 40 with value 1: T = 1 / (1 + m exp(-40 q)).
  constexpr std::int64_t kMany = 1000;
  HeadData head;
  head.n_q = 65;
  head.n_kv = kMany + 1;
  head.k.assign(usize(head.n_kv), 0.0);
  head.v.assign(usize(head.n_kv), 0.0);
  head.k[500] = 40.0;
  head.v[500] = 1.0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    head.q.push_back(-0.5 + static_cast<double>(i) / 64.0);
  }
  const PolynomialRun run = run_polynomial<T>(head.problem(), setup_apart(head.problem(), 2, {500}));
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const long double truth =
        1.0L / (1.0L + static_cast<long double>(kMany) * std::exp(-40.0L * static_cast<long double>(head.q[usize(i)])));
    ASSERT_EQ(run.answered[usize(i)], 1) << i;
    EXPECT_LE(std::fabs(static_cast<double>(static_cast<long double>(run.output[usize(i)]) - truth)), run.bound(i));
    EXPECT_LE(run.bound(i), sizeof(T) == sizeof(float) ? 1e-4 : 1e-12) << i;
    const double lse = static_cast<double>(
        std::log(static_cast<long double>(kMany) + std::exp(40.0L * static_cast<long double>(head.q[usize(i)]))));
    EXPECT_LE(std::fabs(run.lse[usize(i)] - lse), run.lse_bound[usize(i)] + 1e-14) << i;
  }
}

TEST(PolynomialOutlying, OneKeyAgainstMany) {
  expect_one_key_against_many<float>();
  expect_one_key_against_many<double>();
}

TEST(PolynomialOutlying, TheOthersDecideRadiusAndCentre) {
  const HeadData head = head_with_sinks(3, 8, 100, 600, 3, 2, 20.0);
  const engines::HeadProblem problem = head.problem();
  const engines::QueryExtent extent = engines::query_extent(problem, serial_context());
  const engines::Frame whole = engines::make_frame(problem, extent, serial_context());
  const engines::Frame frame = engines::set_apart(problem, whole, extent, first_keys(8), serial_context());
  HeadData bulk = head;
  bulk.k.erase(bulk.k.begin(), bulk.k.begin() + 24);
  bulk.v.erase(bulk.v.begin(), bulk.v.begin() + 16);
  bulk.n_kv -= 8;
  const engines::Frame alone = engines::make_frame(bulk.problem(), extent, serial_context());
  EXPECT_NEAR(frame.radius, alone.radius, 1e-9);
  EXPECT_LT(frame.radius, 0.3 * whole.radius);
  for (std::size_t l = 0; l < 3; ++l) {
    EXPECT_NEAR(frame.key_centre[l], alone.key_centre[l], 1e-9);
    EXPECT_EQ(frame.key_centre[l], frame.outlying->frame.key_centre[l]);
  }
  EXPECT_EQ(frame.visible_keys, 600);
  EXPECT_EQ(frame.outlying->count(), 8);
  EXPECT_EQ(frame.log_scale, frame.outlying->exponent * 0x1.62e42fefa39efp-1);
  EXPECT_GE(frame.outlying->frame.radius, frame.radius);
  EXPECT_LT(frame.outlying->frame.key_norm, 1.3 * whole.key_norm);
}

template <class T>
void expect_certified(const HeadData& head, const PolynomialSetup& setup, const char* what, std::uint64_t seed,
                      std::int64_t* useful) {
  const HeadTruth<Quad> truth = truth_of<Quad>(head);
  for (const bool want_lse : {true, false}) {
    const PolynomialRun run = run_polynomial<T>(head.problem(), setup, want_lse);
    const Clearance clearance = clearance_of(head, run, truth);
    EXPECT_LE(clearance.answer, 1.0) << what << " " << seed << ", row " << clearance.worst_row;
    if (want_lse) {
      EXPECT_LE(clearance.lse, 1.0) << what << " " << seed;
    }
    *useful += useful_rows(run, 0.1 * setup.values.range());
  }
}

TEST(PolynomialOutlying, AnySetOfKeysIsCertified) {
  std::int64_t useful = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Random random(seed);
    const std::int64_t dim = random.integer(1, 6);
    HeadData head =
        random_head(seed, 70, random.integer(20, 400), dim, random.integer(1, 12), random.uniform(0.1, 0.9));
    if (random.chance(0.5)) {
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        head.bias.push_back(random.chance(0.1) ? -kInfinity : random.uniform(-4.0, 4.0));
      }
    }
    if (random.chance(0.3)) {
      head.score.kind = engines::ScoreKind::gaussian;
      head.score.bandwidth.assign(usize(dim), random.uniform(0.7, 3.0));
    }
    const std::vector<std::int64_t> apart = some_visible(head, random.integer(1, head.n_kv), random);
    const int degree = static_cast<int>(random.integer(0, dim <= 3 ? 12 : 6));
    const PolynomialSetup setup = setup_apart(head.problem(), degree, apart, random.chance(0.3));
    expect_certified<float>(head, setup, "float32", seed, &useful);
    expect_certified<double>(head, setup, "float64", seed, &useful);
  }
  EXPECT_GT(useful, 2000);
}

TEST(PolynomialOutlying, SinksAreCertifiedWhateverTheyWeigh) {
  std::int64_t useful = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    Random random(seed);
    const std::int64_t sinks = random.integer(1, 20);
    HeadData head =
        head_with_sinks(seed, sinks, 66, 300, random.integer(1, 4), random.integer(1, 3), random.uniform(2.0, 40.0));
    // Queries off the origin give sinks weights of any size; biases as well.
    for (std::int64_t i = 0; i < head.n_q; ++i) {
      head.q[usize(i * head.dim)] += random.uniform(-0.01, 0.01) + (seed % 3 == 0 ? 3.0 : 0.0);
    }
    if (seed % 2 == 0) {
      head.bias.assign(usize(head.n_kv), 0.0);
      for (std::int64_t j = 0; j < sinks; ++j) {
        head.bias[usize(j)] = std::array{-800.0, -60.0, 0.0, 60.0, 700.0}[usize(random.integer(0, 4))];
      }
    }
    for (std::int64_t j = 1; j < sinks && seed % 4 == 1; ++j) {  // duplicates
      std::copy_n(head.k.begin(), head.dim, head.k.begin() + j * head.dim);
    }
    const PolynomialSetup setup = setup_apart(head.problem(), 8, first_keys(sinks));
    expect_certified<float>(head, setup, "float32", seed, &useful);
    expect_certified<double>(head, setup, "float64", seed, &useful);
  }
  EXPECT_GT(useful, 2000);
}

TEST(PolynomialOutlying, AllKeysButOneMayBeApart) {
  std::int64_t useful = 0;
  for (const std::int64_t keep : {0, 299, 150}) {
    const HeadData head = random_head(11, 64, 300, 3, 2);
    std::vector<std::int64_t> apart = first_keys(300);
    apart.erase(apart.begin() + keep);
    expect_certified<float>(head, setup_apart(head.problem(), 3, apart), "float32", 11, &useful);
    expect_certified<double>(head, setup_apart(head.problem(), 3, apart), "float64", 11, &useful);
  }
  EXPECT_EQ(useful, 3 * 2 * 2 * 64);
}

TEST(PolynomialOutlying, ManyKeysFillATile) {
  std::int64_t useful = 0;
  const HeadData head = random_head(5, 40, engines::kMostOutlying + 100, 2, 3);
  const PolynomialSetup setup = setup_apart(head.problem(), 10, first_keys(engines::kMostOutlying));
  expect_certified<float>(head, setup, "float32", 5, &useful);
  expect_certified<double>(head, setup, "float64", 5, &useful);
  EXPECT_EQ(useful, 2 * 2 * 40);
}

TEST(PolynomialOutlying, FarKeysMayBeLeftOutBeside) {
  std::int64_t charged = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    HeadData head = head_with_sinks(seed, 3, 50, 200, 2, 2, 3.0);
    head.q.assign(head.k.begin() + 6, head.k.begin() + 6 + 100);
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth.assign(2, 0.6);
    const engines::HeadProblem problem = head.problem();
    const engines::QueryExtent extent = engines::query_extent(problem, serial_context());
    const HeadTruth<Quad> truth = truth_of<Quad>(head);
    const std::size_t shells =
        engines::key_shells(problem, setup_apart(problem, 12, first_keys(3)).frame, serial_context()).shells.size();
    for (std::size_t first = 1; first <= shells; ++first) {
      PolynomialSetup setup = setup_apart(problem, 12, first_keys(3));
      const engines::KeyShells keys = engines::key_shells(problem, setup.frame, serial_context());
      engines::leave_out(setup.frame, extent, keys, first);
      engines::hide_far_keys(setup.frame, keys);
      setup.table = engines::make_table(setup.frame.radius, 12);
      for (const PolynomialRun& run : {run_polynomial<float>(problem, setup), run_polynomial<double>(problem, setup)}) {
        const Clearance clearance = clearance_of(head, run, truth);
        EXPECT_LE(clearance.answer, 1.0) << seed << ", " << first;
        EXPECT_LE(clearance.lse, 1.0) << seed << ", " << first;
        charged += first < shells ? useful_rows(run, 1.0) : 0;
      }
    }
  }
  EXPECT_GT(charged, 200);
}

TEST(PolynomialOutlying, ThreadsAndOtherRowsChangeNoBit) {
  const HeadData head = head_with_sinks(9, 30, 500, 1200, 4, 3, 15.0);
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = setup_apart(problem, 6, first_keys(30));
  const PolynomialRun one = run_polynomial<float>(problem, setup, false);
  base::MemoryMeter meter;
  const base::Context many{3, &meter, nullptr};
  const PolynomialSetup again = setup_apart(problem, 6, first_keys(30), false, many);
  EXPECT_EQ(again.frame.key_centre, setup.frame.key_centre);
  EXPECT_EQ(again.frame.radius, setup.frame.radius);
  const PolynomialRun three = run_polynomial<float>(problem, again, false, {}, many);
  EXPECT_EQ(one.output, three.output);
  EXPECT_EQ(one.approximation, three.approximation);
  EXPECT_EQ(one.rounding, three.rounding);
  engines::HeadProblem shifted = problem;  // the same rows at other places of their blocks
  shifted.queries.pieces.front().data = head.q.data() + 17 * head.dim;
  shifted.queries.pieces.front().count = shifted.queries.rows = 400;
  const PolynomialRun part = run_polynomial<float>(shifted, setup, false);
  for (std::size_t i = 0; i < 400; ++i) {
    EXPECT_EQ(part.output[3 * i], one.output[3 * (i + 17)]);
    EXPECT_EQ(part.rounding[i], one.rounding[i + 17]);
  }
}

TEST(PolynomialOutlying, RowsOfWhichNothingIsProvedAreRefused) {
  HeadData head = head_with_sinks(4, 2, 64, 100, 2, 1, 1.0);
  for (const double far : {1e9, 1e25, 1e200}) {
    head.k[0] = far;
    const PolynomialSetup setup = setup_apart(head.problem(), 4, first_keys(2));
    const PolynomialRun single = run_polynomial<float>(head.problem(), setup);
    EXPECT_EQ(useful_rows(single, kInfinity), 0) << far;
    const PolynomialRun wide = run_polynomial<double>(head.problem(), setup);
    EXPECT_EQ(useful_rows(wide, 0.1) > 0, far == 1e9) << far;
  }
  const PolynomialSetup setup = setup_apart(random_head(4, 64, 100, 2, 1).problem(), 4, first_keys(2));
  const engines::OutlyingBounds bounds = engines::outlying_bounds<float>(*setup.frame.outlying, setup.values);
  EXPECT_EQ(bounds.at(1.001 * bounds.top), nullptr);
  EXPECT_EQ(bounds.at(std::numeric_limits<double>::quiet_NaN()), nullptr);
  double last = kInfinity;
  for (double norm = bounds.top; norm > 1e-9; norm *= 0.7) {
    ASSERT_NE(bounds.at(norm), nullptr);
    EXPECT_LE(bounds.at(norm)->answer_error, last);
    last = bounds.at(norm)->answer_error;
  }
}

TEST(PolynomialOutlying, SumsOverThemAreRounded) {
  // Scores of 0 and one weight, so that nothing else is rounded; sums of values that climb and come back.
  std::int64_t useful = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    HeadData head = random_head(seed, 4, engines::kMostOutlying + 1, 1, 1);
    Random random(seed);
    std::fill(head.q.begin(), head.q.end(), 0.0);
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.v[usize(j)] = (2 * j < head.n_kv ? 1.0 : -1.0) * random.uniform(0.9, 1.0);
    }
    head.bias.assign(usize(head.n_kv), seed % 2 == 0 ? 0.0 : random.uniform(-0.6, 0.0));
    const PolynomialSetup setup = setup_apart(head.problem(), 0, first_keys(engines::kMostOutlying));
    expect_certified<float>(head, setup, "sums", seed, &useful);
  }
  EXPECT_EQ(useful, 2 * 4 * 10);
}

TEST(PolynomialOutlying, RoundingTheirCoordinatesMovesScoresThatMuch) {
  // Keys of next to no mass, so that the kernel's own rounding counts for nothing.
  HeadData head = head_with_sinks(8, 2, 32, 100, 2, 1, 400.0);
  head.bias.assign(100, 0.0);
  head.bias[0] = head.bias[1] = -3000.0;
  const PolynomialSetup setup = setup_apart(head.problem(), 6, first_keys(2));
  const PolynomialRun run = run_polynomial<float>(head.problem(), setup, false);
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    double square = 0.0;
    for (std::int64_t l = 0; l < 2; ++l) {
      const double away = head.q[usize(2 * i + l)] - setup.frame.query_centre[usize(l)];
      square += away * away;
    }
    const double reach = std::sqrt(square) * setup.frame.outlying->frame.key_norm;
    ASSERT_EQ(run.answered[usize(i)], 1);
    EXPECT_GE(run.rounding[usize(i)], 0.5 * 2.0 * 0x1p-24 * reach * setup.values.range()) << i;
    EXPECT_GE(engines::widest_score(setup.frame.outlying.get(), 0.0, std::sqrt(square)), reach);
    EXPECT_EQ(engines::widest_score(setup.frame.outlying.get(), 1e9, 0.0), 1e9);
  }
}

/// Climbs measured / certified among heads with outlying keys.
template <class T>
double worst_of_search(std::uint64_t seed, int steps) {
  Random random(seed);
  const std::int64_t sinks = random.integer(1, 3);
  HeadData best = head_with_sinks(seed, sinks, 8, 24, random.integer(1, 3), 1, random.uniform(2.0, 20.0));
  const int degree = static_cast<int>(random.integer(1, 8));
  double worst = 0.0;
  for (int step = 0; step < steps; ++step) {
    HeadData next = best;
    std::vector<double>& data = *std::array{&next.q, &next.k, &next.v}[usize(random.integer(0, 2))];
    double& x = data[usize(random.integer(0, static_cast<std::int64_t>(data.size()) - 1))];
    x = random.chance(0.3) ? -x : x * random.uniform(0.3, 2.0) + 0.1 * random.normal();
    const PolynomialRun run = run_polynomial<T>(next.problem(), setup_apart(next.problem(), degree, first_keys(sinks)));
    const Clearance clearance = clearance_of(next, run, truth_of<Quad>(next));
    EXPECT_LE(clearance.answer, 1.0) << seed << " " << step;
    EXPECT_LE(clearance.lse, 1.0) << seed << " " << step;
    if (clearance.answer >= worst) {
      worst = clearance.answer;
      best = next;
    }
  }
  return worst;
}

TEST(PolynomialOutlying, ASearchFindsNoBrokenBound) {
  double worst = 0.0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    worst = std::max(worst, worst_of_search<float>(seed, 250));
    worst = std::max(worst, worst_of_search<double>(seed, 250));
  }
  EXPECT_GT(worst, 0.1);  // it gets near
  RecordProperty("worst", std::to_string(worst));
}

}  // namespace
}  // namespace polyattn::test
