// Keys appended to a prepared set: only they are summed, whatever they are, and every bound counts them.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"
#include "support/prepared.hpp"

#include <sys/mman.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

QueryDomain cube(std::int64_t dim, double half) {
  QueryDomain domain;
  domain.low = std::vector<double>(static_cast<std::size_t>(dim), -half);
  domain.high = std::vector<double>(static_cast<std::size_t>(dim), half);
  return domain;
}

/// A copy of a tensor on pages of its own, which can be taken away: reading it then ends the program.
class Pages {
 public:
  explicit Pages(const Stored& stored) : view_(stored.view()), size_(std::max<std::size_t>(stored.bytes.size(), 1)) {
    data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) {
      throw std::runtime_error("mmap");
    }
    std::memcpy(data_, stored.bytes.data(), stored.bytes.size());
    view_.data = data_;
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(data_, size_); }
  [[nodiscard]] const ConstView& view() const noexcept { return view_; }
  void take_away() {
    if (mprotect(data_, size_, PROT_NONE) != 0) {
      throw std::runtime_error("mprotect");
    }
  }

 private:
  ConstView view_;
  std::size_t size_;
  void* data_ = nullptr;
};

/// Prepared keys, borrowed, that can no longer be read once made.
struct Unreadable {
  Unreadable(const Problem& problem, const QueryDomain& domain, const Options& options)
      : k(problem.k), v(problem.v), bias(problem.bias.value_or(problem.v)), prepared(make(problem, domain, options)) {
    k.take_away();
    v.take_away();
    bias.take_away();
  }
  Prepared make(const Problem& problem, const QueryDomain& domain, const Options& options) const {
    PrepareOptions rest;
    rest.options = problem.options(with_certificates(options));
    if (problem.bias) {
      rest.options.mask.key_bias = {bias.view()};
    }
    rest.borrow = true;
    rest.query_heads = problem.q.shape[1];
    const std::array keys{k.view()};
    const std::array values{v.view()};
    return prepare(keys, values, domain, rest);
  }
  Pages k;
  Pages v;
  Pages bias;
  Prepared prepared;
};

Problem many_keys(DType dtype, std::int64_t n, std::uint64_t seed, bool biased) {
  Problem problem = random_problem(
      {.batch = 2, .heads = 2, .n_q = 11, .n_kv = n, .dim = 3, .value_dim = 2, .kv_heads = 1}, 1.5, dtype, seed);
  if (biased) {
    problem.bias = random_bias(problem, -1.0, 1.0, seed + 1);
  }
  return problem;
}

Problem with_bias(const Problem& problem, double low, double high, std::uint64_t seed) {
  Problem out = problem;
  out.bias = random_bias(problem, low, high, seed);
  return out;
}

class PreparedAppending : public testing::TestWithParam<Choice> {};

TEST_P(PreparedAppending, ManySmallPiecesAreTheWhole) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const bool biased : {false, true}) {
      const Problem problem = many_keys(dtype, 260, 90, biased);
      Prepared prepared = prepared_for(part_of(problem, 0, 150), cube(3, 1.25), forced(GetParam()));
      std::int64_t at = 150;
      for (const std::int64_t count : {1, 1, 2, 0, 3, 1, 7, 30, 1, 1, 40, 1, 22}) {
        prepared = appended(prepared, part_of(problem, at, at + count));
        at += count;
        ASSERT_EQ(prepared.keys(), at);
        EXPECT_EQ(prepared.report().heads.at(0).statistics.keys, at);
        EXPECT_TRUE(within_bounds(judge(part_of(problem, 0, at), prepared.query(problem.q.view()))));
      }
      ASSERT_EQ(at, 260);
      const Result result = prepared.query(problem.q.view());
      EXPECT_TRUE(within_bounds(judge_in_quad(problem, result)));
      EXPECT_TRUE(agree(answer_of(result), answer(problem, forced(GetParam()))));
    }
  }
}

TEST_P(PreparedAppending, NoKeysChangeNoBit) {
  const Problem problem = many_keys(DType::float64, 90, 91, true);
  const Prepared prepared = prepared_for(problem, cube(3, 1.25), forced(GetParam()));
  const Prepared same = appended(prepared, part_of(problem, 5, 5));
  EXPECT_EQ(same.keys(), 90);
  EXPECT_EQ(bits_of(same.query(problem.q.view()).output), bits_of(prepared.query(problem.q.view()).output));
}

TEST_P(PreparedAppending, SeveralThreadsMayExtendOne) {
  const Problem problem = many_keys(DType::float32, 200, 92, true);
  const Prepared prepared = prepared_for(part_of(problem, 0, 140), cube(3, 1.25), forced(GetParam()));
  const std::vector<std::byte> before = bits_of(prepared.query(problem.q.view()).output);
  const Problem rest = part_of(problem, 140, 200);
  const std::vector<std::byte> expected = bits_of(appended(prepared, rest).query(problem.q.view()).output);
  std::array<std::vector<std::byte>, 3> found;
  std::vector<std::thread> threads;
  for (auto& bits : found) {
    threads.emplace_back([&] { bits = bits_of(appended(prepared, rest).query(problem.q.view()).output); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& bits : found) {
    EXPECT_EQ(bits, expected);
  }
  EXPECT_EQ(bits_of(prepared.query(problem.q.view()).output), before);
}

TEST_P(PreparedAppending, FromAndToKeysThatNobodySees) {
  const Problem problem = many_keys(DType::float64, 120, 93, false);
  Problem hidden = with_bias(problem, 0.0, 0.0, 1);
  std::vector<double> never(hidden.bias->values.size(), -kInfinity);
  hidden.bias = store(DType::float64, hidden.bias->shape, never);
  std::vector<double> nan(problem.v.values.size(), std::nan(""));
  Problem broken = hidden;
  broken.v = store(DType::float64, problem.v.shape, nan);
  const Problem seen = with_bias(problem, -1.0, 1.0, 94);
  // Hidden keys, whatever they hold, change nothing but what may be asked of bounds.
  Prepared prepared = prepared_for(part_of(seen, 0, 60), cube(3, 1.25), forced(GetParam()));
  const Result before = prepared.query(problem.q.view());
  prepared = appended(prepared, part_of(broken, 60, 90));
  const Result after = prepared.query(problem.q.view());
  EXPECT_TRUE(agree(answer_of(before), answer_of(after)));
  EXPECT_TRUE(within_bounds(judge(part_of(seen, 0, 60), after)));
  // And from none that is seen to some.
  Prepared blind = prepared_for(part_of(hidden, 0, 60), cube(3, 1.25), forced(GetParam()));
  blind = appended(blind, part_of(hidden, 60, 63));
  blind = appended(blind, part_of(seen, 63, 90));
  EXPECT_TRUE(
      within_bounds(judge(joined(part_of(hidden, 0, 63), part_of(seen, 63, 90)), blind.query(problem.q.view()))));
}

TEST_P(PreparedAppending, WhatIsNotFiniteIsRefused) {
  const Problem problem = many_keys(DType::float64, 90, 95, true);
  const Prepared prepared = prepared_for(problem, cube(3, 1.25), forced(GetParam()));
  const auto refused = [&](const char* name, Stored Problem::*which) {
    Problem bad = part_of(problem, 0, 10);
    std::vector<double> values = (bad.*which).values;
    values.at(values.size() - 1) = std::nan("");
    bad.*which = store(DType::float64, (bad.*which).shape, values);
    return fails_with(ErrorCode::non_finite, {name}, [&] { static_cast<void>(appended(prepared, bad)); });
  };
  EXPECT_TRUE(refused("keys", &Problem::k));
  EXPECT_TRUE(refused("values", &Problem::v));
  Problem bad = part_of(problem, 0, 10);
  bad.bias = store(DType::float64, bad.bias->shape, std::vector<double>(bad.bias->values.size(), kInfinity));
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"key_bias"}, [&] { static_cast<void>(appended(prepared, bad)); }));
}

INSTANTIATE_TEST_SUITE_P(Engines, PreparedAppending, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

/// The polynomial engine in either arithmetic, with its old keys out of reach: reading one of them ends the program.
class PreparedSums : public testing::TestWithParam<Arithmetic> {
 protected:
  [[nodiscard]] static Options options(int degree = 8) { return forced({Engine::polynomial, GetParam()}, degree); }
};

TEST_P(PreparedSums, AppendingAndQueryingReadNoOldKey) {
  for (const bool biased : {false, true}) {
    const Problem problem = many_keys(DType::float32, 5000, 96, biased);
    const Unreadable old(part_of(problem, 0, 4600), cube(3, 1.25), options());
    Prepared prepared = old.prepared;
    std::vector<Problem> parts;  // borrowed too, so they must stay where they are
    parts.reserve(3);
    for (const std::int64_t end : {4601, 4700, 5000}) {
      parts.push_back(part_of(problem, prepared.keys(), end));
      prepared = appended(prepared, parts.back());
      EXPECT_TRUE(within_bounds(judge(part_of(problem, 0, end), prepared.query(problem.q.view()))));
    }
  }
}

TEST_P(PreparedSums, ExtentsMayGrow) {
  // Up to the next power of two the coordinates stay; the radius does not.
  const Problem problem = many_keys(DType::float64, 400, 97, true);
  Problem wider = part_of(problem, 300, 400);
  std::vector<double> keys = wider.k.values;
  std::transform(keys.begin(), keys.end(), keys.begin(), [](double k) { return 1.3 * k; });
  wider.k = store(DType::float64, wider.k.shape, keys);
  const Unreadable old(part_of(problem, 0, 300), cube(3, 1.25), options());
  const Prepared prepared = appended(old.prepared, wider);
  EXPECT_GT(prepared.report().heads.at(0).statistics.radius_after,
            1.1 * old.prepared.report().heads.at(0).statistics.radius_after);
  EXPECT_TRUE(within_bounds(judge_in_quad(joined(part_of(problem, 0, 300), wider), prepared.query(problem.q.view()))));
}

TEST_P(PreparedSums, BeyondTheCoordinatesAreMadeAnew) {
  const Problem problem = many_keys(DType::float64, 400, 98, true);
  Problem wider = part_of(problem, 300, 400);
  std::vector<double> keys = wider.k.values;
  std::transform(keys.begin(), keys.end(), keys.begin(), [](double k) { return 3.0 * k + 1.0; });
  wider.k = store(DType::float64, wider.k.shape, keys);
  const Prepared first = prepared_for(part_of(problem, 0, 300), cube(3, 1.25), options(12));
  const Result result = appended(first, wider).query(problem.q.view());
  EXPECT_TRUE(within_bounds(judge_in_quad(joined(part_of(problem, 0, 300), wider), result)));
}

TEST_P(PreparedSums, WeightsMayRiseAndFallWithoutEnd) {
  for (const double step : {1000.0, 0.3, 720.0, -1000.0, -0.3}) {
    const Problem problem = many_keys(DType::float64, 300, 99, false);
    Problem all = with_bias(part_of(problem, 0, 200), -0.5, 0.5, 7);
    const Unreadable old(all, cube(3, 1.25), options());
    Prepared prepared = old.prepared;
    std::vector<Problem> parts;
    parts.reserve(6);
    for (std::int64_t i = 0; i < 6; ++i) {
      const double level = step * static_cast<double>(i + 1);
      parts.push_back(with_bias(part_of(problem, 200 + 10 * i, 210 + 10 * i), level - 0.5, level + 0.5, 8));
      prepared = appended(prepared, parts.back());
      all = joined(all, parts.back());
      const Result result = prepared.query(problem.q.view());
      EXPECT_TRUE(within_bounds(judge_in_quad(all, result))) << step << ", after " << i + 1;
      EXPECT_EQ(result.report.heads.at(0).rows_exact, 0);
    }
  }
}

TEST_P(PreparedSums, ValuesMayBeWider) {
  const Problem problem = many_keys(DType::float64, 400, 100, true);
  Problem wider = part_of(problem, 300, 400);
  std::vector<double> values = wider.v.values;
  std::transform(values.begin(), values.end(), values.begin(), [](double v) { return 20.0 * v + 30.0; });
  wider.v = store(DType::float64, wider.v.shape, values);
  const Unreadable old(part_of(problem, 0, 300), cube(3, 1.25), options());
  const Prepared prepared = appended(old.prepared, wider);
  const Problem both = joined(part_of(problem, 0, 300), wider);
  const Result result = prepared.query(problem.q.view());
  EXPECT_TRUE(within_bounds(judge_in_quad(both, result)));
  EXPECT_GT(prepared.report().heads.at(0).statistics.value_range, 20.0);
  double largest = 0.0;
  for (const HeadReport& head : result.report.heads) {
    largest = std::max(largest, head.value_range);
  }
  EXPECT_EQ(largest, value_range(both));
  // What the constant answer would be off by is of all keys.
  const double expected = attend(both, with_certificates(options())).report.heads.at(1).mean_answer_error;
  EXPECT_NEAR(result.report.heads.at(1).mean_answer_error, expected, 1e-3 * expected);
}

/// Points under a narrow kernel, one in fifty of them far out, their weights e^weight.
Problem smoothing(std::int64_t n, double farthest, std::uint64_t seed, double weight) {
  const std::int64_t n_q = 8;
  Random random(seed);
  Problem problem;
  const auto points = [&](std::int64_t count, double near, double far) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < count; ++i) {
      const double stretch = random.chance(far) ? random.uniform(2.0, farthest) : near;
      out.insert(out.end(), {stretch * random.uniform(-1.0, 1.0), stretch * random.uniform(-1.0, 1.0)});
    }
    return out;
  };
  problem.q = store(DType::float64, {1, 1, n_q, 2}, points(n_q, 0.3, 0.0));
  problem.k = store(DType::float64, {1, 1, n, 2}, points(n, 1.0, 0.02));
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double* k = problem.k.row(0, 0, i);
    values.push_back(std::sin(2.0 * k[0]) * std::cos(k[1]) + (std::fabs(k[0]) > 1.0 ? 3.0 : 0.0));
  }
  problem.v = store(DType::float64, {1, 1, n, 1}, values);
  problem.score = Gaussian{{0.6}};
  std::vector<double> bias(static_cast<std::size_t>(n), weight);
  problem.bias = store(DType::float64, {1, 1, n, 1}, bias);
  return problem;
}

TEST_P(PreparedSums, FarKeysAreChargedFor) {
  // So far out that polynomials for all keys would cost more.
  const double farthest = GetParam() == Arithmetic::float32 ? 12.0 : 60.0;
  const Problem first = smoothing(30000, farthest, 101, 0.0);
  Options base;
  base.engine = Engine::polynomial;
  base.arithmetic = GetParam();
  base.tolerance = Tolerance{1e-3, ToleranceKind::absolute};
  const Unreadable old(first, cube(2, 0.3), base);
  const HeadPlan& plan = old.prepared.report().heads.at(0);
  const auto chosen =
      std::find_if(plan.candidates.begin(), plan.candidates.end(), [](const Candidate& c) { return c.chosen; });
  ASSERT_NE(chosen, plan.candidates.end());
  ASSERT_NE(chosen->reason.find("far keys left out"), std::string::npos) << chosen->reason;
  Prepared prepared = old.prepared;
  Problem all = first;
  std::vector<Problem> parts;
  parts.reserve(3);
  for (const double weight : {0.0, 0.5, 3.0}) {
    parts.push_back(smoothing(500, farthest, 102, weight));
    prepared = appended(prepared, parts.back());
    all = joined(all, parts.back());
    const Result result = prepared.query(first.q.view());
    EXPECT_EQ(result.report.heads.at(0).rows_exact, 0);
    EXPECT_TRUE(within_bounds(judge(all, result))) << weight;
  }
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, PreparedSums, testing::Values(Arithmetic::float32, Arithmetic::float64),
                         [](const auto& arithmetic) { return std::string(name_of(arithmetic.param)); });

TEST(PreparedPlan, IsMadeAnewWhereItNoLongerServes) {
  // A tolerance in the units of the values, and values that grow a thousandfold: the degree no longer suffices.
  const Problem problem = many_keys(DType::float64, 400, 103, false);
  Options options;
  options.engine = Engine::polynomial;
  options.strict = true;
  options.tolerance = Tolerance{1e-2, ToleranceKind::absolute};
  const Prepared first = prepared_for(part_of(problem, 0, 300), cube(3, 1.25), options);
  Problem larger = part_of(problem, 300, 400);
  std::vector<double> values = larger.v.values;
  std::transform(values.begin(), values.end(), values.begin(), [](double v) { return 1000.0 * v; });
  larger.v = store(DType::float64, larger.v.shape, values);
  const Prepared second = appended(first, larger);
  EXPECT_GT(second.report().heads.at(0).degree, first.report().heads.at(0).degree);
  const Result result = second.query(problem.q.view());  // strict: or it would be refused
  EXPECT_TRUE(within_bounds(judge(joined(part_of(problem, 0, 300), larger), result)));
  EXPECT_LE(largest_bound(result.report), 1e-2);
}

TEST(PreparedPlan, IsMadeAnewWhenKeysHaveDoubled) {
  // From few keys, for which exact is fastest, to many, one after the other.
  const Problem problem = random_problem({.n_q = 10, .n_kv = 6000, .dim = 3, .value_dim = 2}, 1.5, DType::float32, 104);
  Options options;
  options.tolerance.value = 1e-2;
  PrepareOptions rest;
  rest.expected_queries = 3000;
  Prepared prepared = prepared_for(part_of(problem, 0, 10), cube(3, 1.25), options, rest);
  EXPECT_EQ(prepared.report().heads.at(0).engine, Engine::exact);
  for (std::int64_t at = 10; at < 6000; at += 599) {
    prepared = appended(prepared, part_of(problem, at, std::min<std::int64_t>(at + 599, 6000)));
  }
  EXPECT_EQ(prepared.keys(), 6000);
  EXPECT_EQ(prepared.report().heads.at(0).engine, Engine::polynomial);
  EXPECT_TRUE(within_bounds(judge(problem, prepared.query(problem.q.view()))));
}

TEST(PreparedPlan, ClaimsNothingProvedOfKeysItDidNotSee) {
  const Problem problem = many_keys(DType::float64, 300, 105, false);
  const Prepared first =
      prepared_for(part_of(problem, 0, 250), cube(3, 1.25), forced({Engine::polynomial, Arithmetic::float64}));
  const Prepared more = appended(first, part_of(problem, 250, 300));
  const std::vector<Candidate>& candidates = more.report().heads.at(0).candidates;
  EXPECT_FALSE(candidates.empty());
  for (const Candidate& candidate : candidates) {
    EXPECT_EQ(candidate.a_priori_bound, kInfinity);
  }
}

TEST(PreparedDomainOfRepresentatives, GrowsLikeADeclaredOne) {
  const Problem problem = many_keys(DType::float32, 300, 106, true);
  QueryDomain domain;
  domain.representative = problem.q.view();
  for (const int threads : {1, 3}) {
    Options options = forced({Engine::polynomial, Arithmetic::float32});
    options.threads = threads;
    const Unreadable old(part_of(problem, 0, 250), domain, options);
    const Problem rest = part_of(problem, 250, 300);
    EXPECT_TRUE(within_bounds(judge(problem, appended(old.prepared, rest).query(problem.q.view()))));
  }
}

TEST(PreparedPieces, OfOtherTypesAreTakenAsTheyAre) {
  const Problem problem = many_keys(DType::float32, 300, 107, true);
  Problem half = part_of(problem, 250, 275);
  half.k = store(DType::float16, half.k.shape, half.k.values);
  half.v = store(DType::bfloat16, half.v.shape, half.v.values);
  Problem wide = part_of(problem, 275, 300);
  wide.k = store(DType::float64, wide.k.shape, wide.k.values);
  wide.v = store(DType::float64, wide.v.shape, wide.v.values);
  for (const Choice& choice : choices()) {
    Prepared prepared = prepared_for(part_of(problem, 0, 250), cube(3, 1.25), forced(choice));
    prepared = appended(appended(appended(prepared, half), half), wide);
    Problem all = part_of(problem, 0, 250);
    all.k = store(DType::float64, all.k.shape, all.k.values);
    all.v = store(DType::float64, all.v.shape, all.v.values);
    all = joined(joined(joined(all, half), half), wide);
    EXPECT_TRUE(within_bounds(judge(all, prepared.query(problem.q.view())))) << choice.name();
  }
}

}  // namespace
}  // namespace polyattn::test
