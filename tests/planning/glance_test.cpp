#include "planning/glance.hpp"

#include "engines/polynomial_head.hpp"
#include "planning/decide.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using planning::CostModel;
using planning::Glance;
using planning::Request;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Request request_of(double tolerance) {
  Request request;
  request.tolerance = {tolerance, ToleranceKind::of_value_range};
  request.output = DType::float64;
  return request;
}

Glance glance_at(const engines::HeadProblem& problem, const Request& request) {
  return planning::glance(problem, request, CostModel({}, 1), static_cast<double>(problem.n_q()),
                          planning::score_pairs(problem));
}

// Nothing is read: there is nothing to be read.
TEST(Glance, SizesAloneSayThatAFewRowsAreNotWorthIt) {
  for (const std::int64_t rows : {1, 16}) {
    engines::HeadProblem problem;
    problem.queries.rows = rows;
    problem.keys.rows = problem.values.rows = 1000;
    problem.queries.columns = problem.keys.columns = 4;
    problem.values.columns = 4;
    EXPECT_FALSE(glance_at(problem, request_of(1e-3)).worth) << rows;
  }
}

TEST(Glance, WideScoresAreNotWorthASearchAndNarrowOnesAre) {
  for (const std::int64_t dim : {2, 8}) {
    for (const double spread : {10.0, 1e3}) {
      const HeadData head = random_head(1, 3000, 3000, dim, 2, spread);
      const Glance seen = glance_at(head.problem(), request_of(1e-3));
      EXPECT_FALSE(seen.worth) << dim << " " << spread;
    }
    const HeadData head = random_head(1, 8000, 8000, dim, 2, 0.2);
    const Glance seen = glance_at(head.problem(), request_of(1e-3));
    EXPECT_TRUE(seen.worth) << dim;
    EXPECT_GE(seen.degree, 0);
    EXPECT_LT(seen.seconds, seen.exact_seconds);
  }
}

// What a search would find is not given up for a glance: the degree it says is not above the one that is needed.
TEST(Glance, DoesNotAskForMoreThanTheSearch) {
  for (const std::int64_t dim : {2, 5, 16}) {
    for (const double spread : {0.1, 0.3, 0.6}) {
      for (const double tolerance : {1e-2, 1e-4, 1e-6}) {
        const HeadData head = random_head(2, 4000, 4000, dim, 3, spread);
        Request request = request_of(tolerance);
        request.full_report = true;
        base::MemoryMeter memory;
        const HeadPlan plan = planning::decide(head.problem(), request, {1, &memory, nullptr}).plan;
        const Glance seen = glance_at(head.problem(), request);
        for (const Candidate& candidate : plan.candidates) {
          if (candidate.engine == Engine::polynomial && candidate.degree >= 0 && candidate.fallback_share == 0.0) {
            EXPECT_LE(seen.degree, candidate.degree) << dim << " " << spread << " " << tolerance;
            if (candidate.seconds + seen.search_seconds < 0.5 * plan.exact_seconds) {
              EXPECT_TRUE(seen.worth) << dim << " " << spread << " " << tolerance;
            }
          }
        }
      }
    }
  }
}

/// How far above the tolerance at which degree 2 might do a search begins to be worth it.
double margin_of_degree_2(const HeadData& head) {
  double least = 0.0;
  for (double tolerance = 1e-7; tolerance < 1e-4; tolerance *= 1.02) {
    const Glance seen = glance_at(head.problem(), request_of(tolerance));
    least = seen.degree == 2 && least == 0.0 ? tolerance : least;
    if (seen.worth) {
      return seen.degree == 2 ? tolerance / least : kNaN;
    }
  }
  return kNaN;
}

// Degree 3 would be dearer than exact here, and searching takes more than a few per cent.
TEST(Glance, ASearchThatWouldHalveTheTimeIsTakenWithLessSurety) {
  const double halves = margin_of_degree_2(random_head(5, 2000, 4096, 64, 1, 0.045));
  const double less = margin_of_degree_2(random_head(5, 430, 8192, 64, 1, 0.045));
  EXPECT_GT(halves, 2.0) << "may well be in vain below";
  EXPECT_LT(halves, 0.9 * less);
}

TEST(Glance, HiddenKeysAreNotLookedAt) {
  HeadData head = random_head(3, 5000, 5000, 3, 2, 0.3);
  head.bias.assign(5000, 0.0);
  for (std::size_t j = 0; j < 5000; j += 3) {
    head.bias[j] = -kInfinity;
  }
  const Glance before = glance_at(head.problem(), request_of(1e-3));
  for (std::size_t j = 0; j < 5000; j += 3) {
    head.k[3 * j] = kNaN;
    head.v[2 * j] = kNaN;
  }
  const Glance after = glance_at(head.problem(), request_of(1e-3));
  EXPECT_EQ(before.worth, after.worth);
  EXPECT_EQ(before.degree, after.degree);
  EXPECT_EQ(before.radius, after.radius);
  EXPECT_GT(after.radius, 0.0);
  head.bias.assign(5000, -kInfinity);  // nothing to go by: a search finds out
  EXPECT_TRUE(glance_at(head.problem(), request_of(1e-3)).worth);
}

// The search itself names what is wrong.
TEST(Glance, NumbersThatAreNotFiniteAreLeftToTheSearch) {
  for (const double x : {kNaN, kInfinity}) {
    HeadData head = random_head(4, 5000, 5000, 3, 2, 0.3);
    head.k.assign(head.k.size(), x);
    EXPECT_TRUE(glance_at(head.problem(), request_of(1e-3)).worth);
  }
}

}  // namespace
}  // namespace polyattn::test
