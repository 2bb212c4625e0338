// What is known of a head of tuples before a degree is chosen: radius, hull, predictions, memory.

#include "engines/tuples/frame.hpp"

#include "engines/tuples/polynomial.hpp"
#include "engines/tuples/rescaling.hpp"
#include "polyattn/error.hpp"
#include "support/random.hpp"
#include "support/tuple_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

namespace polyattn::test {
namespace {

engines::TupleFrame frame_of(TupleCase& head) { return engines::make_tuple_frame(head.problem(), {}); }

/// Largest |score| over all tuples, without biases.
double largest_score(const TupleCase& head) {
  double largest = 0.0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    for (std::int64_t j = 0; j < head.sets[0].size; ++j) {
      for (std::int64_t k = 0; k < head.sets[1].size; ++k) {
        double score = 0.0;
        for (std::int64_t l = 0; l < head.dim; ++l) {
          const auto at = [&](std::int64_t row) { return static_cast<std::size_t>(row * head.dim + l); };
          score += head.queries[at(i)] * head.sets[0].keys[at(j)] * head.sets[1].keys[at(k)];
        }
        largest = std::max(largest, std::fabs(head.scale * score));
      }
    }
  }
  return largest;
}

TEST(TupleFrame, TheRadiusBoundsEveryScore) {
  Random random(1);
  for (int round = 0; round < 60; ++round) {
    TupleCase head = uniform_case(static_cast<std::uint64_t>(round), 2, 8, 8, 4, 1, random.uniform(-2.0, 2.0));
    for (std::size_t l = 0; l < 4; ++l) {
      const double factors[3] = {random.log_uniform(1e-6, 1e6), random.log_uniform(1e-6, 1e6),
                                 random.log_uniform(1e-6, 1e6)};
      for (std::size_t i = 0; i < 8; ++i) {
        head.queries[4 * i + l] *= factors[0];
        head.sets[0].keys[4 * i + l] *= factors[1];
        head.sets[1].keys[4 * i + l] *= factors[2];
      }
    }
    const engines::TupleFrame frame = frame_of(head);
    EXPECT_LE(largest_score(head), frame.frame.radius) << "round " << round;
    EXPECT_LE(largest_score(head), frame.frame.radius_before) << "round " << round;
  }
}

TEST(TupleFrame, RescalingUndoesWhatTheCoordinatesWereScaledBy) {
  TupleCase head = uniform_case(2, 2, 50, 50, 8, 1, 1.0);
  const double radius = frame_of(head).frame.radius;
  for (std::size_t l = 0; l < 8; ++l) {
    const double factor = std::ldexp(1.0, static_cast<int>(3 * l));
    for (std::size_t i = 0; i < 50; ++i) {
      head.queries[8 * i + l] *= factor;
      head.sets[0].keys[8 * i + l] /= factor * factor;
      head.sets[1].keys[8 * i + l] *= factor;
    }
  }
  const engines::TupleFrame frame = frame_of(head);
  EXPECT_NEAR(frame.frame.radius, radius, 0.02 * radius);  // factors come from a sample
  EXPECT_GT(frame.frame.radius_before, 100.0 * radius);
}

TEST(TupleFrame, FactorsHaveTheProductOne) {
  TupleCase head = uniform_case(3, 3, 30, 30, 5, 1, 1.0);
  const engines::TupleProblem problem = head.problem();
  const engines::Rescaling found = engines::rescale(problem, {{0, 30}, {0, 30}, {0, 30}});
  for (std::size_t l = 0; l < 5; ++l) {
    const double product = found.query[l] * found.keys[0][l] * found.keys[1][l] * found.keys[2][l];
    EXPECT_NEAR(product, 1.0, 1e-13);
    EXPECT_GE(found.slack * product, 1.0);
  }
}

TEST(TupleFrame, TheHullHoldsEveryProductOfValues) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    TupleCase head = uniform_case(seed, 2, 3, 9, 2, 2, 1.0);
    for (std::size_t c = 0; c < 2; ++c) {
      for (std::size_t j = 0; j < 9; ++j) {
        head.sets[0].values[2 * j + c] += static_cast<double>(seed % 5) - 2.0;
      }
    }
    const engines::TupleFrame frame = frame_of(head);
    for (std::size_t c = 0; c < 2; ++c) {
      double low = std::numeric_limits<double>::infinity();
      double high = -low;
      for (std::size_t j = 0; j < 9; ++j) {
        for (std::size_t k = 0; k < 9; ++k) {
          const long double product = static_cast<long double>(head.sets[0].values[2 * j + c]) *
                                      static_cast<long double>(head.sets[1].values[2 * k + c]);
          EXPECT_LE(static_cast<long double>(frame.values.low[c]), product);
          EXPECT_GE(static_cast<long double>(frame.values.high[c]), product);
          low = std::min(low, static_cast<double>(product));
          high = std::max(high, static_cast<double>(product));
        }
      }
      EXPECT_NEAR(frame.values.low[c], low, 1e-15 * 9);  // the corners are attained
      EXPECT_NEAR(frame.values.high[c], high, 1e-15 * 9);
    }
  }
}

TEST(TupleFrame, TheFirstNumberThatIsNotFiniteIsNamed) {
  const auto message = [](TupleCase& head) -> std::string {
    try {
      frame_of(head);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  TupleCase head = uniform_case(4, 2, 5, 6, 3, 2, 1.0);
  TupleCase bad = head;
  bad.queries[7] = std::nan("");
  EXPECT_NE(message(bad).find("row 2, column 1"), std::string::npos) << message(bad);
  bad = head;
  bad.sets[1].keys[16] = std::numeric_limits<double>::infinity();
  EXPECT_NE(message(bad).find("keys[1]"), std::string::npos) << message(bad);
  EXPECT_NE(message(bad).find("row 5, column 1"), std::string::npos) << message(bad);
  bad = head;
  bad.sets[0].bias = {0.0, -std::numeric_limits<double>::infinity(), 0.0, 0.0, 0.0, 0.0};
  bad.sets[0].values[2] = std::nan("");  // hidden
  EXPECT_EQ(message(bad), "");
  bad.sets[0].values[7] = std::nan("");
  EXPECT_NE(message(bad).find("row 3, column 1"), std::string::npos) << message(bad);
}

TEST(TuplePrediction, IsNearWhatIsFound) {
  for (const std::size_t sets : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
    for (const int degree : {1, 2, 4}) {
      for (const bool single : {false, true}) {
        TupleCase head = uniform_case(sets, sets, 600, 600, 4, 2, 0.5);
        TupleAsk ask;
        ask.choice = {degree, single, false};
        ask.predict = true;
        ask.with_lse = false;
        const TupleRun run = run_tuples(head, ask);
        double bound = 0.0;
        for (std::size_t i = 0; i < run.answered.size(); ++i) {
          bound = std::max(bound, run.approximation[i] + run.rounding[i]);
        }
        EXPECT_LT(run.prediction.bound, 1.6 * bound);
        EXPECT_GT(run.prediction.bound, bound / 1.6);
        EXPECT_EQ(run.prediction.served, 1.0);
        EXPECT_GE(run.prediction.a_priori, bound);
      }
    }
  }
}

TEST(TuplePrediction, BoundsBeforeAnyRowHoldWhereThereAreSome) {
  int some = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    for (const int degree : {2, 4, 6}) {
      TupleCase head = uniform_case(seed, 2, 30, 8, 3, 2, 0.2 * static_cast<double>(seed % 5));
      TupleAsk ask;
      ask.choice = {degree, seed % 2 == 1, false};
      ask.predict = true;
      const TupleRun run = run_tuples(head, ask);
      for (std::size_t i = 0; i < run.answered.size(); ++i) {
        EXPECT_LE(run.approximation[i] + run.rounding[i], run.prediction.a_priori);
      }
      some += std::isfinite(run.prediction.a_priori) ? 1 : 0;
    }
  }
  EXPECT_GT(some, 60);
}

TEST(TuplePrediction, MemoryIsLinearAndAsSaid) {
  for (const bool causal : {false, true}) {
    std::uint64_t before = 0;
    for (const std::int64_t n : {2000, 4000, 8000}) {
      TupleCase head = uniform_case(9, 2, n, n, 4, 2, 0.3);
      head.sets[0].mask.causal = causal;
      const engines::TupleProblem problem = head.problem();
      base::MemoryMeter meter;
      base::Context context;
      context.memory = &meter;
      const engines::TupleFrame frame = engines::make_tuple_frame(problem, context);
      const std::uint64_t own = meter.used();
      EXPECT_LE(own, static_cast<std::uint64_t>(16 * n + 4096));
      std::vector<double> output(static_cast<std::size_t>(2 * n));
      std::vector<std::uint8_t> answered(static_cast<std::size_t>(n));
      engines::HeadOutputs out;
      out.output = {output.data(), DType::float64, 2, 1};
      const engines::TupleChoice choice{4, false, false};
      engines::polynomial_tuples(problem, frame, choice, {}, out, answered, context);
      const std::uint64_t beside = meter.peak() - own;
      EXPECT_LE(beside, static_cast<std::uint64_t>(engines::tuple_bytes(problem, choice, 1)));
      if (before != 0) {
        EXPECT_LE(beside, before + 4096);  // of the moments, whatever n
      }
      before = beside;
    }
  }
}

}  // namespace
}  // namespace polyattn::test
