// The certificate is never wrong: measured error <= bound in every row of tens of thousands of small problems, random
// and found by a search that climbs towards the bound. Results are judged in long double, and in binary128 where the
// answer is close to its bound.

#include "support/census.hpp"
#include "support/sanitized.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

namespace polyattn::test {
namespace {

void expect_no_failure(const Census& census) {
  for (std::size_t i = 0; i < census.failures.size() && i < 20; ++i) {
    ADD_FAILURE() << census.failures[i];
  }
  EXPECT_TRUE(census.failures.empty()) << census.failures.size() << " failures";
  EXPECT_LE(census.worst, 1.0);
  EXPECT_LE(census.worst_lse, 1.0);
}

TEST(Certificate, HoldsOverRandomAndAdversarialProblems) {
  Census random = survey(1, 10000 / kShare);
  const Census climbed = search(1, 800 / kShare, 30);
  expect_no_failure(random);
  expect_no_failure(climbed);
  std::cout << "random: " << summary(random) << '\n'
            << "climbed: " << summary(climbed) << '\n'
            << "closest calls:\n"
            << closest_calls(climbed, 5);
  Census all = std::move(random);
  all.add(climbed);
  std::cout << summary(all) << '\n';
  EXPECT_GE(all.problems, 20000 / kShare);
  EXPECT_GE(all.polynomial, 10000 / kShare);
  EXPECT_GE(2 * all.polynomial_masked, all.polynomial);
  EXPECT_GE(3 * all.polynomial_float32, all.polynomial);
  EXPECT_GE(3 * all.polynomial_float64, all.polynomial);
  EXPECT_GE(2 * all.polynomial_rows_sharp, all.polynomial_rows);
  EXPECT_LE(median(all.looseness), 1000.0);
  EXPECT_LE(median(all.polynomial_looseness), 1000.0);
}

TEST(Certificate, HoldsOnTheClosestCallsOnRecord) {
  const Census census = replay(POLYATTN_TEST_DATA "/../certificate/regressions.txt");
  expect_no_failure(census);
  EXPECT_GT(census.problems, 0);
  std::cout << "on record: " << summary(census) << '\n';
}

// The judge and the search stand on these.

TEST(Judge, ChebyshevErrorIsTheErrorOfTheTruncatedSeries) {
  for (const double radius : {0.01, 1.0, 3.0}) {
    for (const int degree : {0, 1, 4, 7}) {
      // At x = R every T_k is 1: minus the sum of the dropped coefficients, which is the largest error.
      const double largest = -chebyshev_error(radius, radius, degree);
      EXPECT_GT(largest, 0.0);
      EXPECT_LE(std::abs(chebyshev_error(-radius, radius, degree)), largest);
      EXPECT_LE(std::abs(chebyshev_error(0.3 * radius, radius, degree)), largest);
    }
  }
  // Degree 0: I_0(R) - exp(x).
  EXPECT_NEAR(chebyshev_error(0.5, 1.0, 0), 1.2660658777520084 - std::exp(0.5), 1e-14);
}

TEST(Judge, LongDoubleAndBinary128Agree) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SmallProblem small = draw_small_problem(Family::broad, seed);
    small.n_q = std::min<std::int64_t>(small.n_q, 3);
    small.q.resize(static_cast<std::size_t>(small.n_q * small.dim));
    const Problem problem = small.stored();
    const Truth<long double> narrow = truth_of<long double>(problem);
    const Truth<Quad> wide = truth_of<Quad>(problem);
    for (std::size_t e = 0; e < narrow.output.size(); ++e) {
      const auto difference = static_cast<double>(Quad(narrow.output[e]) - wide.output[e]);
      EXPECT_LE(std::abs(difference), narrow.doubt[e] + wide.doubt[e]) << seed;
    }
    for (std::size_t row = 0; row < narrow.lse.size(); ++row) {
      if (wide.lse[row] == Quad(-kInfinity)) {
        EXPECT_EQ(narrow.lse[row], static_cast<long double>(-kInfinity));
        continue;
      }
      const auto difference = static_cast<double>(Quad(narrow.lse[row]) - wide.lse[row]);
      EXPECT_LE(std::abs(difference), narrow.lse_doubt[row] + wide.lse_doubt[row]) << seed;
    }
  }
}

TEST(Judge, ClearanceNeverForgives) {
  EXPECT_EQ(clearance(0.0, 0.0), 0.0);
  EXPECT_EQ(clearance(1.0, 2.0), 0.5);
  EXPECT_GT(clearance(1.0, 0.0), 1.0);
  EXPECT_GT(clearance(std::nan(""), 1.0), 1.0);
  EXPECT_GT(clearance(1.0, std::nan("")), 1.0);
  EXPECT_GT(clearance(0.0, std::nan("")), 1.0);
  EXPECT_GT(clearance(kInfinity, kInfinity), 1.0);
}

TEST(Genomes, AreReadAsTheyAreWritten) {
  const Genome genome{Family::tight, 17, {3, 8, 19}};
  std::ostringstream text;
  text << genome;
  EXPECT_EQ(text.str(), "tight 17 3 8 19");
  const Genome again = parse_genome(text.str() + "  # 0.93").value();
  EXPECT_EQ(again.family, genome.family);
  EXPECT_EQ(again.seed, genome.seed);
  EXPECT_EQ(again.moves, genome.moves);
  EXPECT_FALSE(parse_genome("# a comment").has_value());
  EXPECT_THROW(parse_genome("loose 17"), std::runtime_error);
  EXPECT_THROW(parse_genome("tight 17 x"), std::runtime_error);
}

}  // namespace
}  // namespace polyattn::test
