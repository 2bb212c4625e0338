// Which keys are tried as outlying, and that the planner sums them exactly where that pays and nowhere else.

#include "planning/outlying.hpp"

#include "engines/polynomial/outlying_keys.hpp"
#include "engines/polynomial_head.hpp"
#include "planning/decide.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Points of a ball, `sinks` keys of them so many times as far out, evenly spread over the head.
HeadData ball_head(std::int64_t n, std::int64_t dim, std::int64_t sinks, double far) {
  HeadData head = random_head(3, n, n, dim, 1);
  Random random(5);
  for (std::vector<double>* rows : {&head.q, &head.k}) {
    for (std::int64_t i = 0; i < n; ++i) {
      double* row = rows->data() + i * dim;
      double square = 0.0;
      for (std::int64_t l = 0; l < dim; ++l) {
        square += row[l] * row[l];
      }
      const double norm = std::pow(random.unit(), 1.0 / static_cast<double>(dim)) * 1.4 / std::sqrt(square);
      for (std::int64_t l = 0; l < dim; ++l) {
        row[l] *= norm;
      }
    }
  }
  for (std::int64_t s = 0; s < sinks; ++s) {
    const std::int64_t j = s * n / sinks;
    for (std::int64_t l = 0; l < dim; ++l) {
      head.k[usize(j * dim + l)] = (l % 2 == s % 2 ? 1.0 : -0.5) * far / std::sqrt(static_cast<double>(dim));
    }
  }
  return head;
}

std::vector<std::vector<std::int64_t>> sets_of(const HeadData& head, int threads = 1) {
  base::MemoryMeter memory;
  const base::Context context{threads, &memory, nullptr};
  const engines::HeadProblem problem = head.problem();
  const engines::Frame frame = engines::make_frame(problem, engines::query_extent(problem, context), context);
  return planning::outlying_sets(problem, frame, context);
}

/// What the decision holds is counted until it goes.
planning::HeadDecision decide(const HeadData& head, double tolerance = 1e-3, Engine engine = Engine::automatic) {
  planning::Request request;
  request.tolerance = {tolerance, ToleranceKind::of_value_range};
  request.engine = engine;
  return planning::decide(head.problem(), request, serial_context());
}

TEST(OutlyingSets, NoneWhereNoKeyLiesFarOut) {
  EXPECT_TRUE(sets_of(ball_head(20000, 3, 0, 0.0)).empty());
  EXPECT_TRUE(sets_of(random_head(1, 20000, 20000, 4, 1)).empty());
  EXPECT_TRUE(sets_of(random_head(1, 100, 100, 4, 1)).empty());
  HeadData hidden = ball_head(5000, 2, 8, 30.0);  // hidden keys count for nothing, whatever they hold
  hidden.bias.assign(5000, 0.0);
  for (std::int64_t s = 0; s < 8; ++s) {
    hidden.bias[usize(s * 5000 / 8)] = -kInfinity;
    hidden.k[usize(s * 5000 / 8 * 2)] = std::numeric_limits<double>::quiet_NaN();
  }
  EXPECT_TRUE(sets_of(hidden).empty());
}

TEST(OutlyingSets, HoldTheFarthestKeys) {
  HeadData head = ball_head(20000, 3, 8, 30.0);
  // A key that outweighs all others draws the centre to it, not the middle.
  head.bias.assign(20000, 0.0);
  for (const double bias : {0.0, 50.0}) {
    head.bias[0] = bias;
    const auto sets = sets_of(head);
    ASSERT_FALSE(sets.empty());
    EXPECT_EQ(sets.front().size(), 16U);
    for (std::int64_t s = 0; s < 8; ++s) {
      EXPECT_TRUE(std::binary_search(sets.front().begin(), sets.front().end(), s * 20000 / 8)) << s;
    }
    EXPECT_EQ(sets, sets_of(head, 2));
  }
}

TEST(OutlyingSets, AreNestedAndGrowWhileTheRestComesIn) {
  HeadData head = random_head(2, 40000, 40000, 4, 1);
  Random random(9);
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const double stretch = 1.0 / std::sqrt(random.unit() + 1e-6);  // tails like t with 2 degrees of freedom
    for (std::int64_t l = 0; l < 4; ++l) {
      head.k[usize(j * 4 + l)] *= stretch;
    }
  }
  const auto sets = sets_of(head);
  ASSERT_GE(sets.size(), 4U);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    EXPECT_TRUE(std::is_sorted(sets[i].begin(), sets[i].end()));
    EXPECT_LE(sets[i].size(), usize(engines::kMostOutlying));
    if (i > 0) {
      EXPECT_TRUE(std::includes(sets[i].begin(), sets[i].end(), sets[i - 1].begin(), sets[i - 1].end()));
    }
  }
}

TEST(Outlying, SinksAreSummedExactly) {
  const planning::HeadDecision decision = decide(ball_head(40000, 6, 8, 14.0));
  ASSERT_EQ(decision.plan.engine, Engine::polynomial) << decision.plan.why;
  ASSERT_NE(decision.polynomial->frame.outlying, nullptr) << decision.plan.why;
  EXPECT_EQ(decision.polynomial->frame.outlying->count(), 16);
  EXPECT_NE(decision.plan.why.find(", 16 outlying keys summed exactly"), std::string::npos) << decision.plan.why;
  EXPECT_LT(decision.plan.statistics.radius_after, 0.3 * decision.plan.statistics.radius_before);
  for (const Candidate& candidate : decision.plan.candidates) {
    if (candidate.chosen) {
      EXPECT_NE(candidate.reason.find(", 16 outlying keys summed exactly"), std::string::npos) << candidate.reason;
      EXPECT_EQ(candidate.a_priori_bound, kInfinity);
    }
  }
}

TEST(Outlying, NoKeyIsSetApartWithoutNeed) {
  const planning::HeadDecision plain = decide(ball_head(40000, 3, 0, 0.0), 1e-3, Engine::polynomial);
  ASSERT_EQ(plain.plan.engine, Engine::polynomial) << plain.plan.why;
  EXPECT_EQ(plain.polynomial->frame.outlying, nullptr);
  HeadData smoothing = ball_head(40000, 3, 8, 14.0);  // far keys weigh nothing and are left out
  smoothing.score.kind = engines::ScoreKind::gaussian;
  smoothing.score.bandwidth.assign(3, 1.0);
  const planning::HeadDecision left_out = decide(smoothing, 1e-3, Engine::polynomial);
  ASSERT_EQ(left_out.plan.engine, Engine::polynomial) << left_out.plan.why;
  EXPECT_EQ(left_out.polynomial->frame.outlying, nullptr);
}

TEST(Outlying, NotUnderCausalMasksNorForDomains) {
  HeadData head = ball_head(20000, 4, 8, 14.0);
  base::MemoryMeter memory;
  const base::Context context{1, &memory, nullptr};
  planning::Request request;
  request.tolerance = {1e-3, ToleranceKind::of_value_range};
  request.engine = Engine::polynomial;
  const planning::Domain domain{engines::query_extent(head.problem(), context), 20000.0};
  const planning::HeadDecision prepared = planning::decide(head.problem(), request, context, &domain);
  ASSERT_NE(prepared.polynomial, nullptr);
  EXPECT_EQ(prepared.polynomial->frame.outlying, nullptr);
  head.mask.causal = true;
  const planning::HeadDecision causal = planning::decide(head.problem(), request, context);
  ASSERT_NE(causal.polynomial, nullptr);
  EXPECT_EQ(causal.polynomial->frame.outlying, nullptr);
}

}  // namespace
}  // namespace polyattn::test
