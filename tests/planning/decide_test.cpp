#include "planning/decide.hpp"

#include "engines/polynomial_head.hpp"
#include "polyattn/polynomial.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

using planning::HeadDecision;
using planning::Request;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Request request_of(double tolerance, ToleranceKind kind = ToleranceKind::of_value_range) {
  Request request;
  request.tolerance = {tolerance, kind};
  return request;
}

HeadDecision decide(const HeadData& head, const Request& request, int threads = 1,
                    std::uint64_t limit = std::numeric_limits<std::uint64_t>::max()) {
  base::MemoryMeter memory(limit);
  return planning::decide(head.problem(), request, {threads, &memory, nullptr});
}

/// Exactly one candidate is chosen, it is the plan's, and every one says why.
void expect_consistent(const HeadDecision& decision) {
  const HeadPlan& plan = decision.plan;
  int chosen = 0;
  for (const Candidate& candidate : plan.candidates) {
    EXPECT_FALSE(candidate.reason.empty()) << name_of(candidate.engine) << " " << name_of(candidate.arithmetic);
    if (candidate.chosen) {
      ++chosen;
      EXPECT_TRUE(candidate.usable);
      EXPECT_EQ(candidate.engine, plan.engine);
      EXPECT_EQ(candidate.arithmetic, plan.arithmetic);
      EXPECT_EQ(candidate.degree, plan.degree);
      EXPECT_EQ(candidate.rank, plan.rank);
      EXPECT_EQ(candidate.seconds, plan.predicted_seconds);
    }
  }
  EXPECT_EQ(chosen, 1);
  EXPECT_FALSE(plan.why.empty());
  EXPECT_EQ(decision.polynomial != nullptr, plan.engine == Engine::polynomial && plan.statistics_known);
}

/// Long and smooth: what the polynomial engine is for.
HeadData smooth_head(std::int64_t n = 40000) { return random_head(1, n, n, 2, 2, 0.3); }

TEST(AbsoluteTolerance, IsScaledByTheRange) {
  EXPECT_EQ(planning::absolute_tolerance({0.25, ToleranceKind::absolute}, 8.0), 0.25);
  EXPECT_EQ(planning::absolute_tolerance({0.25, ToleranceKind::of_value_range}, 8.0), 2.0);
  EXPECT_EQ(planning::absolute_tolerance({0.25, ToleranceKind::of_value_range}, 0.0), 0.0);
  EXPECT_EQ(planning::absolute_tolerance({0.0, ToleranceKind::of_value_range}, 8.0), 0.0);
}

// Of two dimensions: without the name a grid might be taken.
TEST(Decide, SmallRadiusAndManyTokensMakePolynomialsCheap) {
  const HeadData head = smooth_head();
  for (const double tolerance : {1e-2, 1e-4, 1e-8}) {
    Request request = request_of(tolerance);
    request.output = DType::float64;  // float32 alone would cost more than 1e-8
    request.engine = Engine::polynomial;
    const HeadDecision decision = decide(head, request);
    expect_consistent(decision);
    ASSERT_EQ(decision.plan.engine, Engine::polynomial) << decision.plan.why;
    EXPECT_EQ(decision.plan.arithmetic, tolerance < 1e-6 ? Arithmetic::float64 : Arithmetic::float32);
    EXPECT_EQ(decision.plan.rank, feature_rank(2, decision.plan.degree));
    EXPECT_LT(decision.plan.predicted_seconds, 0.5 * decision.plan.exact_seconds);
    EXPECT_LE(decision.plan.predicted_bound, decision.plan.tolerance);
    EXPECT_EQ(decision.polynomial->table.degree, decision.plan.degree);
  }
}

TEST(Decide, CausalMasksToo) {
  HeadData head = smooth_head();
  head.mask.causal = true;
  const HeadDecision decision = decide(head, request_of(1e-3));
  expect_consistent(decision);
  EXPECT_EQ(decision.plan.engine, Engine::polynomial) << decision.plan.why;
}

TEST(Decide, AHugeRadiusGoesToExact) {
  for (const double spread : {10.0, 100.0, 1e8}) {
    const HeadData head = random_head(2, 4000, 4000, 8, 2, spread);
    Request request = request_of(1e-3);
    EXPECT_FALSE(decide(head, request).plan.statistics_known) << "a glance is enough";
    request.full_report = true;
    const HeadDecision decision = decide(head, request);
    expect_consistent(decision);
    EXPECT_EQ(decision.plan.engine, Engine::exact) << spread;
    EXPECT_GT(decision.plan.statistics.radius_after, 100.0);
  }
}

// Scores beyond the range of float64: a decision, or a clear error, and nothing else.
TEST(Decide, ExtremeNumbersDoNotConfuseIt) {
  for (const double size : {1e150, 1e200, 1.7e308}) {
    for (const double scale : {1.0, 0.0, 1e-300, -1e300}) {
      HeadData head = random_head(3, 700, 900, 2, 1);
      for (std::vector<double>* data : {&head.q, &head.k}) {
        for (double& x : *data) {
          x = std::clamp(x, -1.0, 1.0) * size;
        }
      }
      head.score.scale = scale;
      for (const Engine engine : {Engine::automatic, Engine::polynomial}) {
        Request request = request_of(1e-3);
        request.engine = engine;
        request.full_report = true;
        try {
          expect_consistent(decide(head, request));
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::non_finite) << error.what();
        }
      }
    }
  }
}

TEST(Decide, SmallProblemsGoToExactWithoutStatistics) {
  const HeadData head = random_head(4, 30, 30, 2, 2, 0.1);
  const HeadDecision decision = decide(head, request_of(1e-2));
  expect_consistent(decision);
  EXPECT_EQ(decision.plan.engine, Engine::exact);
  EXPECT_FALSE(decision.plan.statistics_known);
}

// Wide scores, or so many coordinates that no degree pays: seen at a glance, before any pass over the data.
TEST(Decide, WhatAGlanceRulesOutGoesToExactWithoutStatistics) {
  for (const HeadData& head : {random_head(9, 3000, 3000, 2, 1, 30.0), random_head(9, 1024, 1024, 128, 64, 0.4)}) {
    const HeadDecision decision = decide(head, request_of(1e-4));
    expect_consistent(decision);
    EXPECT_EQ(decision.plan.engine, Engine::exact);
    EXPECT_FALSE(decision.plan.statistics_known) << decision.plan.why;
  }
}

// plan() looks at everything, attend only at what it needs: the choice is the same.
TEST(Decide, AFullReportDoesNotChangeTheChoice) {
  for (const std::int64_t dim : {2, 8, 64}) {
    for (const std::int64_t n : {300, 1500, 5000}) {
      for (const double spread : {0.05, 0.3, 2.0}) {
        const HeadData head = random_head(10, n, n, dim, 2, spread / std::sqrt(static_cast<double>(dim)));
        Request request = request_of(1e-3);
        const HeadDecision brief = decide(head, request);
        request.full_report = true;
        const HeadDecision full = decide(head, request);
        EXPECT_EQ(brief.plan.engine, full.plan.engine) << dim << " " << n << " " << spread;
        EXPECT_EQ(brief.plan.degree, full.plan.degree);
        if (brief.plan.engine == Engine::polynomial) {
          EXPECT_EQ(brief.plan.arithmetic, full.plan.arithmetic);
        }
      }
    }
  }
}

TEST(Decide, AFullReportNamesEveryEngine) {
  for (const std::int64_t n : {20, 20000}) {
    Request request = request_of(1e-3);
    request.full_report = true;
    const HeadDecision decision = decide(smooth_head(n), request);
    expect_consistent(decision);
    EXPECT_TRUE(decision.plan.statistics_known);
    std::set<std::pair<Engine, Arithmetic>> seen;
    for (const Candidate& candidate : decision.plan.candidates) {
      seen.insert({candidate.engine, candidate.arithmetic});
    }
    for (const Engine engine : {Engine::exact, Engine::polynomial}) {
      EXPECT_TRUE(seen.count({engine, Arithmetic::float32})) << name_of(engine);
      EXPECT_TRUE(seen.count({engine, Arithmetic::float64})) << name_of(engine);
    }
    for (const Engine engine : {Engine::grid, Engine::clustered}) {
      EXPECT_TRUE(std::any_of(seen.begin(), seen.end(), [&](const auto& c) { return c.first == engine; }))
          << name_of(engine);
    }
  }
}

TEST(Decide, WhatOnlyExactCanDoGoesToExact) {
  const HeadData head = smooth_head(10000);
  Request request = request_of(1e-3);
  request.want_row_max = true;
  EXPECT_EQ(decide(head, request).plan.engine, Engine::exact);
  request = request_of(0.0);
  EXPECT_EQ(decide(head, request).plan.engine, Engine::exact);
  EXPECT_EQ(decide(head, request).plan.arithmetic, Arithmetic::float32);
  request.native_float32 = false;
  EXPECT_EQ(decide(head, request).plan.arithmetic, Arithmetic::float64);
  engines::HeadProblem problem = head.problem();
  problem.non_finite = NonFinite::propagate;
  base::MemoryMeter memory;
  EXPECT_EQ(planning::decide(problem, request_of(1e-3), {1, &memory, nullptr}).plan.engine, Engine::exact);
}

TEST(Decide, ForcedEnginesDegreesAndArithmetics) {
  const HeadData head = smooth_head(3000);
  for (const Engine engine : {Engine::reference, Engine::exact, Engine::polynomial, Engine::grid}) {
    Request request = request_of(1e-3);
    request.engine = engine;
    const HeadDecision decision = decide(head, request);
    expect_consistent(decision);
    EXPECT_EQ(decision.plan.engine, engine);
  }
  for (const int degree : {0, 1, 7, 30}) {
    for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
      Request request = request_of(1e-3);
      request.engine = Engine::polynomial;
      request.degree = degree;
      request.arithmetic = arithmetic;
      const HeadDecision decision = decide(head, request);
      expect_consistent(decision);
      EXPECT_EQ(decision.plan.degree, degree);
      EXPECT_EQ(decision.plan.rank, feature_rank(2, degree));
      EXPECT_EQ(decision.plan.arithmetic, arithmetic);
      ASSERT_NE(decision.polynomial, nullptr);
      EXPECT_EQ(decision.polynomial->features.degree(), degree);
    }
  }
}

TEST(Decide, EnginesThatAreNotThereCannotBeForced) {
  Request request = request_of(1e-3);
  request.engine = Engine::clustered;
  EXPECT_TRUE(
      fails_with(ErrorCode::not_reachable, {"engine", "clustered"}, [&] { decide(smooth_head(100), request); }));
}

TEST(Decide, HeadsWithoutAnythingToDo) {
  HeadData hidden = smooth_head(200);
  hidden.bias.assign(200, -kInfinity);
  for (const Engine engine : {Engine::automatic, Engine::exact, Engine::polynomial}) {
    for (const HeadData& head :
         {hidden, random_head(5, 0, 10, 2, 1), random_head(5, 10, 0, 2, 1), random_head(5, 0, 0, 2, 1)}) {
      Request request = request_of(1e-3);
      request.engine = engine;
      const HeadDecision decision = decide(head, request);
      if (engine != Engine::automatic) {
        EXPECT_EQ(decision.plan.engine, engine);
      }
      EXPECT_FALSE(decision.plan.why.empty());
    }
  }
}

TEST(Decide, ValuesThatDoNotVary) {
  HeadData head = smooth_head(20000);
  std::fill(head.v.begin(), head.v.end(), 3.0);
  const HeadDecision decision = decide(head, request_of(1e-3));
  expect_consistent(decision);
  EXPECT_EQ(decision.plan.engine, Engine::exact) << "a range of 0 asks for an exact answer";
  EXPECT_EQ(decision.plan.tolerance, 0.0);
}

TEST(Decide, AMemoryLimitIsRespected) {
  const HeadData head = random_head(6, 20000, 20000, 8, 4, 0.3);
  const HeadDecision free = decide(head, request_of(1e-5));
  ASSERT_EQ(free.plan.engine, Engine::polynomial);
  // The frame itself needs a number per key; the moments of that degree no longer fit.
  const HeadDecision tight =
      decide(head, request_of(1e-5), 1, static_cast<std::uint64_t>(0.7 * free.plan.predicted_bytes));
  EXPECT_TRUE(tight.plan.engine != Engine::polynomial || tight.plan.predicted_bytes < free.plan.predicted_bytes);
}

TEST(Decide, StatisticsAreThoseOfTheInput) {
  HeadData head = smooth_head(10000);
  head.q[77] = -40.0;
  head.k[5] = 60.0;
  head.v[3] = 21.0;
  head.v[4] = -20.0;
  head.bias.assign(10000, 0.0);
  head.bias[9] = -kInfinity;
  Request request = request_of(1e-3);
  request.full_report = true;
  const InputStatistics s = decide(head, request).plan.statistics;
  EXPECT_EQ(s.queries, 10000);
  EXPECT_EQ(s.keys, 10000);
  EXPECT_EQ(s.visible_keys, 9999);
  EXPECT_EQ(s.dim, 2);
  EXPECT_EQ(s.value_dim, 2);
  EXPECT_EQ(s.max_abs_query, 40.0);
  EXPECT_EQ(s.max_abs_key, 60.0);
  EXPECT_EQ(s.max_abs_value, 21.0);
  EXPECT_LE(s.value_range, 41.0);
  EXPECT_GT(s.value_range, 20.0);
}

// What is decided and estimated is the same for any number of threads; only seconds are shared out.
TEST(Decide, DoesNotDependOnThreads) {
  const HeadData heads[] = {smooth_head(30),
                            smooth_head(700),
                            smooth_head(3000),
                            smooth_head(9000),
                            random_head(7, 6000, 6000, 3, 1, 1.0),
                            random_head(8, 5000, 5000, 5, 2, 0.7)};
  for (const HeadData& head : heads) {
    for (const double tolerance : {1e-2, 1e-6}) {
      Request request = request_of(tolerance);
      request.full_report = true;
      const HeadDecision serial = decide(head, request);
      for (const int threads : {2, 5, 64}) {
        const HeadDecision other = decide(head, request, threads);
        EXPECT_EQ(other.plan.engine, serial.plan.engine);
        EXPECT_EQ(other.plan.arithmetic, serial.plan.arithmetic);
        EXPECT_EQ(other.plan.degree, serial.plan.degree);
        EXPECT_EQ(other.plan.predicted_bound, serial.plan.predicted_bound);
        EXPECT_EQ(other.plan.statistics.radius_after, serial.plan.statistics.radius_after);
        ASSERT_EQ(other.plan.candidates.size(), serial.plan.candidates.size());
        for (std::size_t i = 0; i < serial.plan.candidates.size(); ++i) {
          const Candidate& a = serial.plan.candidates[i];
          const Candidate& b = other.plan.candidates[i];
          EXPECT_EQ(a.degree, b.degree);
          EXPECT_EQ(a.usable, b.usable);
          EXPECT_EQ(a.fallback_share, b.fallback_share);
          EXPECT_EQ(a.predicted_bound, b.predicted_bound);
          EXPECT_EQ(a.a_priori_bound, b.a_priori_bound);
        }
      }
    }
  }
}

TEST(Decide, ADomainStandsForItsQueries) {
  const HeadData head = smooth_head(5000);
  const engines::HeadProblem problem = head.problem();
  base::MemoryMeter memory;
  const base::Context context{1, &memory, nullptr};
  planning::Domain domain;
  domain.extent = engines::query_extent(problem, context);
  domain.expected_queries = 1e6;
  const HeadDecision many = planning::decide(problem, request_of(1e-3), context, &domain);
  expect_consistent(many);
  EXPECT_EQ(many.plan.engine, Engine::polynomial);
  EXPECT_GT(many.plan.exact_seconds, 100.0 * decide(head, request_of(1e-3)).plan.exact_seconds);
}

}  // namespace
}  // namespace polyattn::test
