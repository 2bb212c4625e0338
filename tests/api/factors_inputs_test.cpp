// Factors: sizes, layouts and numbers at the edge of what they can be, and how they are refused.

#include "polyattn/factors.hpp"

#include "api/factors_support.hpp"
#include "base/float_environment.hpp"
#include "support/expect_error.hpp"
#include "support/float_settings.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

PairProblem small() {
  PairProblem p{.n = 5, .m = 4, .d = 3};
  Random random(21);
  p.fill(random, 0.7, 0.7);
  return p;
}

FactorOptions plain() {
  FactorOptions options;
  options.score = Dot{1.0};
  options.tolerance = 1e-3;
  return options;
}

bool same_bits(const Factors& one, const Factors& other) {
  for (std::size_t f = 0; f < 2; ++f) {
    if (one.u[f].shape() != other.u[f].shape() ||
        std::memcmp(one.u[f].data(), other.u[f].data(), one.u[f].bytes()) != 0)
      return false;
  }
  return true;
}

TEST(FactorInputs, EmptySides) {
  for (const auto& [n, m] : {std::pair<std::int64_t, std::int64_t>{0, 3}, {3, 0}, {0, 0}}) {
    PairProblem p{.n = n, .m = m, .d = 2};
    Random random(1);
    p.fill(random, 1.0, 1.0);
    const Factors result = make(p, plain());
    EXPECT_EQ(result.degree, 0);
    EXPECT_EQ(result.u[0].shape(), (Shape{1, 1, n, 1}));
    EXPECT_EQ(result.u[1].shape(), (Shape{1, 1, m, 1}));
  }
  const PairProblem no_batch{.n = 2, .m = 2, .d = 2, .batch = 0};
  EXPECT_TRUE(make(no_batch, plain()).heads.empty());
  PairProblem no_heads{.n = 2, .m = 2, .d = 2, .heads = 0};
  no_heads.k.assign(4, 1.0);
  const Factors result = make(no_heads, plain());
  EXPECT_EQ(result.u[1].shape(), (Shape{1, 1, 2, 1}));
  EXPECT_EQ(result.u[1].as<double>()[1], 0.0);
}

TEST(FactorInputs, StridesAndStorageTypes) {
  const PairProblem p = small();
  const Factors expected = make(p, plain());
  // Columns first, backwards, and a hole after each element.
  std::vector<double> q(index(2 * p.n * p.d), std::nan(""));
  for (std::int64_t i = 0; i < p.n; ++i) {
    for (std::int64_t l = 0; l < p.d; ++l) q[index(2 * ((p.n - 1 - i) + l * p.n))] = p.q[index(i * p.d + l)];
  }
  const ConstView view{q.data() + 2 * (p.n - 1), DType::float64, {1, 1, p.n, p.d}, {0, 0, -2, 2 * p.n}};
  const std::array<ConstView, 1> keys{p.k_view()};
  EXPECT_TRUE(same_bits(factors(view, keys, plain()), expected));

  // The same row again and again: one query, and rank 1.
  const ConstView repeated{p.q.data(), DType::float64, {1, 1, 7, p.d}, {0, 0, 0, 1}};
  EXPECT_EQ(factors(repeated, keys, plain()).rank, 1);

  PairProblem rounded = p;
  std::vector<float> single(p.k.begin(), p.k.end());
  for (std::size_t k = 0; k < single.size(); ++k) rounded.k[k] = static_cast<double>(single[k]);
  const std::array<ConstView, 1> singles{matrix(static_cast<const float*>(single.data()), p.m, p.d)};
  const Factors result = factors(p.q_view(), singles, plain());
  EXPECT_TRUE(same_bits(result, make(rounded, plain())));
  judge(rounded, plain(), result);
}

TEST(FactorInputs, BitsDependOnNeitherThreadsNorSettings) {
  PairProblem p{.n = 200, .m = 150, .d = 3, .heads = 2};
  Random random(22);
  p.fill(random, 0.7, 0.7);
  for (const ScoreRange range : {ScoreRange::bounded, ScoreRange::scanned}) {
    FactorOptions options = plain();
    options.range = range;
    options.threads = 1;
    const Factors one = make(p, options);
    options.threads = 3;
    const Factors three = make(p, options);
    EXPECT_TRUE(same_bits(one, three));
    EXPECT_EQ(one.bound(), three.bound());
#if defined(POLYATTN_TEST_FLUSHING)
    const auto before = base::FloatControl::read();
    base::FloatControl::write(before | kFlush | kUpward);
    const Factors upward = make(p, options);
    base::FloatControl::write(before);
    EXPECT_TRUE(same_bits(one, upward));
    EXPECT_EQ(one.bound(), upward.bound());
#endif
  }
}

TEST(FactorInputs, SinglePrecisionFactors) {
  const PairProblem p = small();
  FactorOptions options = plain();
  options.dtype = DType::float32;
  const Factors result = make(p, options);
  EXPECT_EQ(result.u[0].dtype(), DType::float32);
  EXPECT_GT(result.heads.front().rounding, 1e-8);
  judge(p, options, result);
  options.tolerance = 1e-8;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance: 1e-08 is not reachable", "float32"},
                         [&] { make(p, options); }));
}

TEST(FactorInputs, WhatNoDegreeReaches) {
  const PairProblem p = small();
  FactorOptions options = plain();
  options.tolerance = 1e-17;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable,
                         {"tolerance: 1e-17 is not reachable", "batch 0, head 0", "no degree up to 64", "float64",
                          "best proved relative error"},
                         [&] { make(p, options); }));
  options.tolerance = 1e-3;
  options.degree = 1;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"degree 1", "best proved"}, [&] { make(p, options); }));
  options.degree.reset();
  options.score = Dot{30.0};
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance: 0.001 is not reachable", "scores lie in [-"},
                         [&] { make(p, options); }));
}

// exp(row) and exp(column) beyond the range: refused, or done without centring where that keeps them inside.
TEST(FactorInputs, EntriesBeyondTheRange) {
  PairProblem p{.n = 2, .m = 2, .d = 1, .q = {0.0, 1.0}, .k = {60.0, 60.5}};
  FactorOptions options = plain();
  options.score = Gaussian{{1.0}};
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"not reachable", "range of the dtype"}, [&] { make(p, options); }));
  p.k = {20.0, 20.5};
  judge(p, options, make(p, options));  // exp(-200) is within float64
  options.dtype = DType::float32;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"range of the dtype"}, [&] { make(p, options); }));

  // Keys on a line through the origin at a right angle to most queries.
  PairProblem wide{.n = 2, .m = 2, .d = 1, .q = {1e-3, 2e-3}, .k = {-1e3, 1e3}};
  judge(wide, plain(), make(wide, plain()));
}

TEST(FactorInputs, HugeAndTinyNumbers) {
  PairProblem p{.n = 2, .m = 2, .d = 1, .q = {1e-80, -1e-80}, .k = {1e80, -1e80}};
  judge(p, plain(), make(p, plain()));
  p.q = {5e-324, -5e-324};
  p.k = {1.0, -1.0};
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"not reachable"}, [&] { make(p, plain()); }));
  p.q = {1e-90, -2e-91};
  judge(p, plain(), make(p, plain()));
  p.q = {1.7e308, -1.7e308};
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"not reachable"}, [&] { make(p, plain()); }));
  FactorOptions options = plain();
  options.score = Dot{0.0};
  p.q = {1.0, 2.0};
  const Factors ones = make(p, options);
  EXPECT_EQ(ones.rank, 1);
  EXPECT_EQ(ones.u[0].as<double>()[0] * ones.u[1].as<double>()[0], 1.0);
}

TEST(FactorInputs, NonFiniteNumbersAreNamed) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    PairProblem p = small();
    p.q[4] = bad;
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q: ", "row 1, column 1"}, [&] { make(p, plain()); }));
    p = small();
    p.k[11] = bad;
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"keys: ", "row 3, column 2"}, [&] { make(p, plain()); }));
  }
}

TEST(FactorInputs, WrongArguments) {
  const PairProblem p = small();
  const auto refused = [&](const FactorOptions& options, const std::string& what) {
    return fails_with(ErrorCode::invalid_argument, {what}, [&] { make(p, options); });
  };
  for (const double bad : {0.0, -1.0, 1.0, 2.0, std::nan(""), HUGE_VAL}) {
    FactorOptions options = plain();
    options.tolerance = bad;
    EXPECT_TRUE(refused(options, "tolerance: expected a number between 0 and 1"));
  }
  FactorOptions options;
  EXPECT_TRUE(refused(options, "tolerance: expected a tolerance or a degree"));
  for (const int degree : {-1, 65}) {
    options.degree = degree;
    EXPECT_TRUE(refused(options, "degree: expected 0 to 64"));
  }
  options = plain();
  options.dtype = DType::bfloat16;
  EXPECT_TRUE(refused(options, "dtype: expected float64 or float32, got bfloat16"));
  options = plain();
  options.threads = -1;
  EXPECT_TRUE(refused(options, "threads: expected"));
  options = plain();
  options.score = Dot{std::nan("")};
  EXPECT_TRUE(refused(options, "scale: expected"));
  options.score = Gaussian{{1.0, 2.0}};
  EXPECT_TRUE(refused(options, "bandwidth: expected"));

  const std::array<ConstView, 1> narrow{matrix(p.k.data(), 3, 2)};
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"q and keys", "dim"}, [&] { factors(p.q_view(), narrow, plain()); }));
  const std::array<ConstView, 2> two{p.k_view(), narrow.front()};
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"q and keys[1]", "dim"}, [&] { factors(p.q_view(), two, plain()); }));
}

TEST(FactorInputs, MemoryIsRefusedAhead) {
  const PairProblem p = small();
  FactorOptions options = plain();
  const Factors result = make(p, options);
  EXPECT_GE(result.peak_bytes, result.u[0].bytes() + result.u[1].bytes());
  options.max_memory = result.peak_bytes;
  EXPECT_TRUE(same_bits(make(p, options), result));
  options.max_memory = result.u[0].bytes() + result.u[1].bytes() - 1;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory,
                         {"max_memory", "rank " + std::to_string(result.rank), std::to_string(options.max_memory)},
                         [&] { make(p, options); }));
  options.max_memory = 10;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {}, [&] { make(p, options); }));
  // A rank beyond any memory.
  PairProblem wide{.n = 3, .m = 3, .d = 2000};
  Random random(1);
  wide.fill(random, 1e-3, 1e-3);
  options = plain();
  options.tolerance.reset();
  options.degree = 40;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"rank beyond 2^63"}, [&] { make(wide, options); }));
}

TEST(FactorInputs, CanBeCancelled) {
  const PairProblem p = small();
  FactorOptions options = plain();
  options.progress = [](double) { return false; };
  EXPECT_TRUE(fails_with(ErrorCode::cancelled, {"cancelled"}, [&] { make(p, options); }));
  double last = 0.0;
  options.progress = [&](double done) {
    last = done;
    return true;
  };
  make(p, options);
  EXPECT_EQ(last, 1.0);
}

}  // namespace
}  // namespace polyattn::test
