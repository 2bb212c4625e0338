// Keys prepared once, for query sets that come later.

#include "support/prepared.hpp"
#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

Problem base_problem(std::int64_t kv_heads = 2) {
  Problem problem =
      random_problem({.batch = 2, .heads = 2, .n_q = 25, .n_kv = 90, .dim = 3, .value_dim = 2, .kv_heads = kv_heads},
                     1.5, DType::float64, 81);
  problem.bias = random_bias(problem, -1.0, 1.0, 82);
  return problem;
}

/// The box and the ball that hold every query of `random_problem` at radius 1.5.
QueryDomain box() {
  QueryDomain domain;
  domain.low = std::vector<double>(3, -1.25);
  domain.high = std::vector<double>(3, 1.25);
  return domain;
}
QueryDomain ball() {
  QueryDomain domain;
  domain.centre = std::vector<double>(3, 0.0);
  domain.radius = 2.2;
  return domain;
}
QueryDomain representative(const Problem& problem) {
  QueryDomain domain;
  domain.representative = problem.q.view();
  return domain;
}

/// Not strict: rows outside the domain may have to go to exact.
Options relaxed(const Choice& choice, int degree = 8) {
  Options options = forced(choice, degree);
  options.strict = false;
  return options;
}

class PreparedKeys : public testing::TestWithParam<Choice> {};

TEST_P(PreparedKeys, QueryIsAttendWithinTheCertificates) {
  for (const std::int64_t kv_heads : {2, 1}) {
    const Problem problem = base_problem(kv_heads);
    for (const QueryDomain& domain : {box(), ball(), representative(problem)}) {
      const Prepared prepared = prepared_for(problem, domain, forced(GetParam()));
      EXPECT_EQ(prepared.keys(), 90);
      const Result result = prepared.query(problem.q.view());
      EXPECT_TRUE(within_bounds(judge(problem, result)));
      EXPECT_TRUE(agree(answer_of(result), answer(problem, forced(GetParam()))));
      for (const HeadReport& head : result.report.heads) {
        EXPECT_EQ(head.engine, GetParam().engine);
      }
    }
  }
}

TEST_P(PreparedKeys, PlanOfAQuerySetIsQuery) {
  const Problem problem = base_problem();
  const Prepared prepared = prepared_for(problem, box(), forced(GetParam()));
  const Plan made = prepared.plan(problem.q.view());
  EXPECT_EQ(bits_of(made.execute().output), bits_of(prepared.query(problem.q.view()).output));
  EXPECT_EQ(made.report().heads.size(), 4U);
}

TEST_P(PreparedKeys, QueriesDoNotInfluenceEachOther) {
  // Centres and radii are fixed by the domain, so a row's bits do not depend on its neighbours, with any engine.
  const Problem problem = base_problem();
  const Prepared prepared = prepared_for(problem, box(), forced(GetParam()));
  const std::vector<double> whole = values_of(prepared.query(problem.q.view()).output);
  ConstView tail = problem.q.view();
  tail.data = static_cast<const std::byte*>(tail.data) + 11 * 3 * 8;
  tail.shape[2] = 14;
  const std::vector<double> part = values_of(prepared.query(tail).output);
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t e = 0; e < 14 * 2; ++e) {
      EXPECT_EQ(part[head * 28 + e], whole[head * 50 + 22 + e]);
    }
  }
}

TEST_P(PreparedKeys, OutliveTheBuffersTheyWereMadeFrom) {
  const Problem problem = base_problem();
  std::optional<Problem> source = problem;
  const Prepared prepared = prepared_for(*source, representative(*source), forced(GetParam()));
  const std::vector<std::byte> expected = bits_of(prepared.query(problem.q.view()).output);
  for (Stored* stored : {&source->q, &source->k, &source->v, &source->bias.value()}) {
    std::fill(stored->bytes.begin(), stored->bytes.end(), std::byte{0xff});
  }
  source.reset();
  EXPECT_EQ(bits_of(prepared.query(problem.q.view()).output), expected);
}

TEST_P(PreparedKeys, BorrowedKeysGiveTheSameBits) {
  const Problem problem = base_problem();
  PrepareOptions borrowing;
  borrowing.borrow = true;
  EXPECT_EQ(bits_of(prepared_for(problem, box(), forced(GetParam()), borrowing).query(problem.q.view()).output),
            bits_of(prepared_for(problem, box(), forced(GetParam())).query(problem.q.view()).output));
}

TEST_P(PreparedKeys, QueryIntoWritesWhatQueryReturns) {
  const Problem problem = base_problem();
  const Prepared prepared = prepared_for(problem, box(), forced(GetParam()));
  Tensor output(DType::float64, {2, 2, 25, 2});
  Destinations out;
  out.output = output.view();
  prepared.query_into(out, problem.q.view());
  EXPECT_EQ(bits_of(output), bits_of(prepared.query(problem.q.view()).output));
}

TEST_P(PreparedKeys, AppendIsPreparingTheWhole) {
  for (const bool biased : {true, false}) {
    Problem problem = base_problem();
    if (!biased) {
      problem.bias.reset();
    }
    const Prepared first = prepared_for(part_of(problem, 0, 37), box(), relaxed(GetParam()));
    const std::vector<std::byte> before = bits_of(first.query(problem.q.view()).output);
    const Prepared second = appended(first, part_of(problem, 37, 60));
    const Prepared whole = appended(second, part_of(problem, 60, 90));
    EXPECT_EQ(first.keys(), 37);
    EXPECT_EQ(second.keys(), 60);
    EXPECT_EQ(whole.keys(), 90);
    const Result result = whole.query(problem.q.view());
    EXPECT_TRUE(within_bounds(judge(problem, result)));
    EXPECT_TRUE(
        agree(answer_of(result), answer_of(prepared_for(problem, box(), relaxed(GetParam())).query(problem.q.view()))));
    EXPECT_TRUE(within_bounds(judge(part_of(problem, 0, 60), second.query(problem.q.view()))));
    EXPECT_EQ(bits_of(first.query(problem.q.view()).output), before) << "append changed the original";
  }
}

TEST_P(PreparedKeys, AppendedKeysFarAway) {
  // Keys far from those the centre was chosen for: the answer stays within its bounds.
  const Problem near = base_problem();
  Problem far = near;
  std::vector<double> keys = near.k.values;
  for (double& k : keys) {
    k = 4.0 * k + 6.0;
  }
  far.k = store(DType::float64, far.k.shape, keys);
  const Prepared first = prepared_for(part_of(near, 0, 90), box(), relaxed(GetParam()));
  const Result result = appended(first, part_of(far, 0, 90)).query(near.q.view());
  const Problem both = joined(near, far);
  EXPECT_TRUE(within_bounds(judge(both, result)));
}

TEST_P(PreparedKeys, IsThreadSafe) {
  const Problem problem = base_problem();
  const Prepared prepared = prepared_for(problem, box(), forced(GetParam()));
  const std::vector<std::byte> expected = bits_of(prepared.query(problem.q.view()).output);
  std::array<std::vector<std::byte>, 3> found;
  std::vector<std::thread> threads;
  for (auto& bits : found) {
    threads.emplace_back([&] { bits = bits_of(prepared.query(problem.q.view()).output); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const auto& bits : found) {
    EXPECT_EQ(bits, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, PreparedKeys, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(PreparedDomain, RowsOutsideAreAnsweredByExact) {
  Problem problem = base_problem();
  std::vector<double> queries = problem.q.values;
  for (std::size_t l = 0; l < 3; ++l) {
    queries[4 * 3 + l] = 1.3;   // just outside the box
    queries[7 * 3 + l] = 50.0;  // far outside
  }
  problem.q = store(DType::float64, problem.q.shape, queries);
  Options options = relaxed({Engine::polynomial, Arithmetic::float64});
  options.want_row_engine = true;
  const Result result = prepared_for(problem, box(), options).query(problem.q.view());
  EXPECT_TRUE(within_bounds(judge(problem, result)));
  for (std::size_t row = 0; row < result.row_engine.size(); ++row) {
    EXPECT_EQ(result.row_engine[row], row == 4 || row == 7 ? Engine::exact : Engine::polynomial) << row;
  }
  EXPECT_EQ(result.report.heads.at(0).rows_exact, 2);
}

TEST(PreparedDomain, OrAfterPreparingAgainIfAllowed) {
  Problem problem = base_problem();
  std::vector<double> queries = problem.q.values;
  queries[4 * 3] = 1.5;
  problem.q = store(DType::float64, problem.q.shape, queries);
  PrepareOptions again;
  again.outside = OutsideDomain::reprepare;
  const Prepared prepared = prepared_for(problem, box(), relaxed({Engine::polynomial, Arithmetic::float64}), again);
  const Result result = prepared.query(problem.q.view());
  EXPECT_TRUE(within_bounds(judge(problem, result)));
  EXPECT_EQ(result.report.heads.at(0).rows_exact, 0);
}

TEST(PreparedDomain, StrictRefusesRowsOutside) {
  Problem problem = base_problem();
  std::vector<double> queries = problem.q.values;
  queries[4 * 3] = 50.0;
  problem.q = store(DType::float64, problem.q.shape, queries);
  const Prepared prepared = prepared_for(problem, box(), forced({Engine::polynomial, Arithmetic::float64}));
  EXPECT_TRUE(
      fails_with(ErrorCode::not_reachable, {"domain"}, [&] { static_cast<void>(prepared.query(problem.q.view())); }));
}

TEST(PreparedDomain, ThatMeansNothingIsRefused) {
  const Problem problem = base_problem();
  const auto refused = [&](const QueryDomain& domain, std::initializer_list<std::string> parts) {
    return fails_with(ErrorCode::invalid_argument, parts, [&] {
      prepared_for(problem, domain, forced({Engine::polynomial, Arithmetic::float64}));
    });
  };
  EXPECT_TRUE(refused({}, {"domain"}));
  QueryDomain domain = box();
  domain.low[1] = 2.0;  // above high
  EXPECT_TRUE(refused(domain, {"domain", "low"}));
  domain = box();
  domain.low.pop_back();
  EXPECT_TRUE(refused(domain, {"domain", "2", "3"}));
  domain = box();
  domain.high[0] = std::nan("");
  EXPECT_TRUE(refused(domain, {"domain"}));
  domain = ball();
  domain.radius = -1.0;
  EXPECT_TRUE(refused(domain, {"radius", "-1"}));
  domain = ball();
  domain.centre.push_back(0.0);
  EXPECT_TRUE(refused(domain, {"centre", "4", "3"}));
}

TEST(PreparedAppend, MustFit) {
  const Problem problem = base_problem();
  const Prepared prepared = prepared_for(problem, box(), forced({Engine::exact, Arithmetic::float64}));
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  const std::array narrow{tensor(problem.k.values.data(), {2, 2, 90, 2})};
  const std::array biases{problem.bias->view()};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"dim", "2", "3"},
                         [&] { static_cast<void>(prepared.append(narrow, values, biases)); }));
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"bias"}, [&] { static_cast<void>(prepared.append(keys, values)); }));
  Problem unbiased = problem;
  unbiased.bias.reset();
  const Prepared without = prepared_for(unbiased, box(), forced({Engine::exact, Arithmetic::float64}));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"bias"},
                         [&] { static_cast<void>(without.append(keys, values, biases)); }));
}

TEST(PreparedReport, PlansForTheDomain) {
  const Problem problem = random_problem({.n_q = 10, .n_kv = 3000, .dim = 3, .value_dim = 2}, 1.5, DType::float32, 83);
  PrepareOptions options;
  options.expected_queries = 3000;
  Options base;
  base.tolerance.value = 1e-2;
  const Prepared prepared = prepared_for(problem, box(), base, options);
  ASSERT_EQ(prepared.report().heads.size(), 1U);
  const HeadPlan& head = prepared.report().heads[0];
  EXPECT_EQ(head.engine, Engine::polynomial) << head.why;
  const Result result = prepared.query(problem.q.view());
  EXPECT_LE(result.report.heads.at(0).certificate.bound(), 1e-2);
  EXPECT_TRUE(within_bounds(judge(problem, result)));
}

}  // namespace
}  // namespace polyattn::test
