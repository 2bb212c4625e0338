// Estimates of the planner against what the engine then certifies, and the a-priori bound against the truth.

#include "planning/predict.hpp"

#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial_head.hpp"
#include "planning/values.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A head as planned with one degree, and what the engine certified for it.
struct Planned {
  explicit Planned(const HeadData& data, int degree, const base::Context& context = serial_context()) : head(data) {
    const engines::HeadProblem problem = head.problem();
    frame = engines::make_frame(problem, engines::query_extent(problem, context), context);
    values = planning::value_range(problem, frame.log_weight.data(), frame.log_scale, context);
    features = engines::make_features(head.dim, degree, head.value_dim);
    table = engines::make_table(std::min(frame.radius, 300.0), degree, 2);
    sample = planning::draw_sample(problem, frame, values, 1.0, context);
  }
  [[nodiscard]] planning::Prediction predict(Arithmetic arithmetic, double tolerance) const {
    planning::ErrorSeries series(table.radii.front(), table.degree);
    return planning::predict(sample, frame, values, features.rank(), series.table(table.degree), false, arithmetic,
                             DType::float64, head.n_kv, tolerance);
  }
  [[nodiscard]] double a_priori(Arithmetic arithmetic, DType output) const {
    const auto model = arithmetic == Arithmetic::float32
                           ? engines::rounding_model<float>(table.degree, features.rank(), head.n_kv)
                           : engines::rounding_model<double>(table.degree, features.rank(), head.n_kv);
    const numerics::ExpPolynomial polynomial = numerics::chebyshev(table.radii.front(), table.degree);
    return planning::a_priori_bound(frame, values, polynomial, model, head.n_kv, output);
  }
  /// Answers and bounds of all rows, infinite where the row was refused.
  template <class T>
  void run(DType output) {
    const engines::HeadProblem problem = head.problem();
    const auto rows = usize(head.n_q);
    answers.assign(rows * usize(head.value_dim), 0.0);
    approximation.assign(rows, kInfinity);
    rounding.assign(rows, kInfinity);
    answered.assign(rows, 0);
    std::vector<float> stored(answers.size());
    engines::HeadOutputs out;
    out.output = output == DType::float32 ? base::RowSink{stored.data(), output, head.value_dim, 1}
                                          : base::RowSink{answers.data(), output, head.value_dim, 1};
    out.approximation = approximation.data();
    out.rounding = rounding.data();
    engines::MomentTotals totals = engines::make_totals(features, nullptr);
    engines::sum_moments<T>(problem, frame, values, features, 0, serial_context(), totals);
    const auto moments = engines::prepare_moments<T>(frame, values, features, table, totals, nullptr);
    engines::evaluate_rows<T>(problem, frame, values, moments, {}, out, answered, serial_context());
    if (output == DType::float32) {
      std::copy(stored.begin(), stored.end(), answers.begin());
    }
  }
  void run(Arithmetic arithmetic, DType output) {
    arithmetic == Arithmetic::float32 ? run<float>(output) : run<double>(output);
  }
  [[nodiscard]] double largest_bound() const {
    double largest = 0.0;
    for (std::size_t i = 0; i < rounding.size(); ++i) {
      largest = std::max(largest, approximation[i] + rounding[i]);
    }
    return largest;
  }

  HeadData head;
  engines::Frame frame;
  engines::ValueRange values;
  engines::FeatureList features;
  engines::PolynomialTable table;
  planning::Sample sample;
  std::vector<double> answers;
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<std::uint8_t> answered;
};

constexpr Arithmetic kArithmetics[] = {Arithmetic::float32, Arithmetic::float64};

// With so few rows and keys the sample is the head: what is left is how `predict` simplifies the columns.
TEST(Predict, EstimatesTheCertificateOfASmallHead) {
  for (const Arithmetic arithmetic : kArithmetics) {
    for (const int degree : {2, 5, 9}) {
      for (const double spread : {0.3, 0.8}) {
        Planned planned(random_head(1, 30, 400, 2, 2, spread), degree);
        planned.run(arithmetic, DType::float64);
        const planning::Prediction prediction = planned.predict(arithmetic, kInfinity);
        EXPECT_EQ(prediction.failing_share, 0.0);
        // Beyond the range of the values answers are far from the estimated ones, and bounds of no use.
        const double least = 0.5 * std::min(planned.largest_bound(), planned.values.range());
        EXPECT_GE(prediction.bound, least) << "degree " << degree << ", spread " << spread;
        EXPECT_LE(prediction.bound, 5.0 * planned.largest_bound()) << "degree " << degree << ", spread " << spread;
      }
    }
  }
}

TEST(Predict, EstimatesTheShareOfRowsThatFail) {
  for (const Arithmetic arithmetic : kArithmetics) {
    Planned planned(random_head(2, 4000, 3000, 2, 1, 0.8), 5);
    planned.run(arithmetic, DType::float64);
    std::vector<double> bounds;
    for (std::int64_t i = 0; i < 4000; ++i) {
      bounds.push_back(planned.approximation[usize(i)] + planned.rounding[usize(i)]);
    }
    std::sort(bounds.begin(), bounds.end());
    const auto share = [&](double tolerance) { return planned.predict(arithmetic, tolerance).failing_share; };
    EXPECT_EQ(share(3.0 * bounds.back()), 0.0);
    EXPECT_LE(share(1.5 * bounds[3600]), 0.3) << "a tenth fails";
    EXPECT_GE(share(0.7 * bounds[400]), 0.7) << "nine tenths fail";
    EXPECT_EQ(share(0.0), 1.0);
    EXPECT_EQ(share(std::numeric_limits<double>::quiet_NaN()), 1.0);
  }
}

// Where second moments bound the error, the sample says how values go with them: with so few keys it is right about
// every row. Rows that only pass by that count by halves.
TEST(Predict, RowsNearTheToleranceCountByHalves) {
  for (const bool skewed : {false, true}) {
    HeadData head = random_head(7, 600, 400, 3, 1, 0.2);
    for (std::size_t j = 0; skewed && j < 400; ++j) {
      head.v[j] = head.k[3 * j] * head.k[3 * j] + head.k[3 * j + 1] * head.k[3 * j + 1];  // goes with large scores
    }
    Planned planned(head, 2);
    planned.run(Arithmetic::float64, DType::float64);
    std::vector<double> bounds;
    for (std::size_t i = 0; i < 600; ++i) {
      bounds.push_back(planned.approximation[i] + planned.rounding[i]);
    }
    std::sort(bounds.begin(), bounds.end());
    const auto share = [&](double tolerance) { return planned.predict(Arithmetic::float64, tolerance).failing_share; };
    EXPECT_LE(share(1.02 * bounds.back()), 0.5);
    EXPECT_GT(share(1.02 * bounds.back()), 0.0);
    EXPECT_EQ(share(0.98 * bounds.front()), 1.0);
    const auto met = planned.predict(Arithmetic::float64, 1.02 * bounds.back());
    EXPECT_NEAR(met.bound, bounds.back(), 0.1 * bounds.back());
  }
}

TEST(Predict, HigherDegreesDoBetterUntilRoundingCounts) {
  const HeadData head = random_head(3, 500, 600, 2, 1, 0.6);
  double last = kInfinity;
  for (const int degree : {0, 2, 4, 6, 8}) {
    const double bound = Planned(head, degree).predict(Arithmetic::float64, kInfinity).bound;
    EXPECT_LT(bound, last) << degree;
    last = bound;
  }
  const Planned high(head, 20);
  EXPECT_GT(high.predict(Arithmetic::float32, kInfinity).bound,
            100.0 * high.predict(Arithmetic::float64, kInfinity).bound);
}

TEST(DrawSample, HoldsTheFarthestRowsAndSomeOfEveryRadius) {
  HeadData head = random_head(4, 5000, 800, 2, 1, 0.2);
  head.q[usize(2 * 4242)] = 30.0;
  const Planned planned(head, 2);
  const planning::Sample& sample = planned.sample;
  EXPECT_EQ(sample.queries, 5000);
  EXPECT_GE(static_cast<int>(sample.rows.size()), 9 * planning::kSampledRows);
  double share = 0.0;
  for (std::size_t i = 0; i < sample.rows.size(); ++i) {
    share += sample.rows[i].share;
    EXPECT_TRUE(i == 0 || sample.rows[i - 1].radius.radius <= sample.rows[i].radius.radius);
  }
  EXPECT_NEAR(share, 1.0, 1e-12);
  EXPECT_NEAR(sample.rows.front().share, 0.5 / planning::kSampledRows, 1e-3);
  EXPECT_NEAR(sample.rows.back().share, 0.002 / planning::kSampledRows, 1e-4);
  double largest = 0.0;
  for (const planning::SampledRow& row : sample.rows) {
    largest = std::max(largest, row.radius.radius);
    ASSERT_EQ(static_cast<int>(row.moments.size()), planning::kMaxPlannedDegree + 1);
    ASSERT_NEAR(row.moments[0], 1.0, 1e-12) << "per unit of weight";
    ASSERT_GE(row.moments[2], 0.0);
    ASSERT_LE(row.moments[4], std::pow(row.radius.radius, 4));
  }
  EXPECT_EQ(largest, sample.served_radius);
  const planning::Sample most =
      planning::draw_sample(head.problem(), planned.frame, planned.values, 0.99, serial_context());
  EXPECT_GT(largest, 10.0 * most.served_radius) << "the outlying query is known, and need not decide for all others";
}

TEST(DrawSample, WeighsAsTheHeadDoes) {
  HeadData head = random_head(5, 10, 100000, 1, 1, 0.1);
  const Planned planned(head, 2);
  double weight = 0.0;
  for (const double w : planned.frame.log_weight) {
    weight += std::exp(w - planned.frame.log_scale);
  }
  EXPECT_NEAR(planned.sample.weight / weight, 1.0, 0.02);
  EXPECT_NEAR(planned.sample.deviation[0], 1.0, 0.15);
}

TEST(DrawSample, DoesNotDependOnThreads) {
  const HeadData head = random_head(6, 9000, 2000, 3, 2, 0.5);
  const Planned serial(head, 3);
  base::MemoryMeter memory;
  const Planned parallel(head, 3, {4, &memory, nullptr});
  EXPECT_EQ(parallel.sample.weight, serial.sample.weight);
  EXPECT_EQ(parallel.sample.served_radius, serial.sample.served_radius);
  EXPECT_EQ(parallel.sample.deviation, serial.sample.deviation);
  ASSERT_EQ(parallel.sample.rows.size(), serial.sample.rows.size());
  for (std::size_t i = 0; i < serial.sample.rows.size(); ++i) {
    EXPECT_EQ(parallel.sample.rows[i].moments, serial.sample.rows[i].moments);
    EXPECT_EQ(parallel.sample.rows[i].radius.radius, serial.sample.rows[i].radius.radius);
  }
}

TEST(DrawSample, WithoutRowsOrVisibleKeysItIsEmpty) {
  HeadData head = random_head(7, 5, 9, 2, 1);
  head.bias.assign(9, -kInfinity);
  EXPECT_TRUE(Planned(head, 2).sample.rows.empty());
  EXPECT_TRUE(Planned(random_head(7, 0, 9, 2, 1), 2).sample.rows.empty());
}

/// T by the definition, in long double.
long double answer_of(const HeadData& head, std::int64_t i, std::int64_t c) {
  long double denominator = 0.0L;
  long double sum = 0.0L;
  long double largest = -static_cast<long double>(kInfinity);
  std::vector<long double> scores;
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    long double s = head.bias.empty() ? 0.0L : static_cast<long double>(head.bias[usize(j)]);
    for (std::int64_t l = 0; l < head.dim; ++l) {
      s += static_cast<long double>(head.score.scale) * static_cast<long double>(head.q[usize(i * head.dim + l)]) *
           static_cast<long double>(head.k[usize(j * head.dim + l)]);
    }
    scores.push_back(s);
    largest = std::max(largest, s);
  }
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const long double w = std::exp(scores[usize(j)] - largest);
    denominator += w;
    sum += w * static_cast<long double>(head.v[usize(j * head.value_dim + c)]);
  }
  return sum / denominator;
}

// The bound that `plan` prints holds for every row that is answered, a float32 output included.
TEST(APrioriBound, HoldsForEveryAnsweredRow) {
  Random random(8);
  double worst = 0.0;
  for (int trial = 0; trial < 300; ++trial) {
    const int degree = static_cast<int>(random.integer(0, 9));
    HeadData head =
        random_head(random.bits(), 6, random.integer(1, 40), random.integer(1, 3), 1, random.log_uniform(0.05, 1.0));
    if (random.chance(0.3)) {
      for (double& x : head.k) {
        x = random.sign();
      }
    }
    if (random.chance(0.3)) {
      for (double& x : head.v) {
        x += 1000.0;
      }
    }
    for (std::int64_t j = 0; random.chance(0.02) && j < head.n_kv; ++j) {
      head.bias.push_back(random.uniform(-30.0, 30.0));
    }
    head.bias.resize(head.bias.empty() ? 0 : usize(head.n_kv), 0.0);
    for (const Arithmetic arithmetic : kArithmetics) {
      for (const DType output : {DType::float32, DType::float64}) {
        Planned planned(head, degree);
        planned.run(arithmetic, output);
        const double bound = planned.a_priori(arithmetic, output);
        for (std::int64_t i = 0; i < head.n_q; ++i) {
          if (planned.answered[usize(i)] != 0) {
            const auto error = static_cast<double>(
                std::fabs(static_cast<long double>(planned.answers[usize(i)]) - answer_of(head, i, 0)));
            ASSERT_LE(error, bound) << "trial " << trial << ", degree " << degree;
            worst = std::max(worst, bound > 0.0 ? error / bound : 0.0);
          }
        }
      }
    }
  }
  std::printf("worst clearance: %.4f\n", worst);
}

// Keys so far from the origin that their mean is only known to some digits.
TEST(APrioriBound, KnowsThatTheCentreIsRounded) {
  for (const double offset : {1e6, 1e12, 1e14}) {
    HeadData head = random_head(9, 20, 3000, 1, 1, 0.5);
    Random random(10);
    for (std::int64_t j = 0; j < 3000; ++j) {
      head.k[usize(j)] = offset + (j % 2 == 0 ? 1.0 : -1.0);
      head.v[usize(j)] = j % 2 == 0 ? 1.0 : 0.0;
    }
    Planned planned(head, 1);
    planned.run(Arithmetic::float64, DType::float64);
    const double bound = planned.a_priori(Arithmetic::float64, DType::float64);
    for (std::int64_t i = 0; i < 20; ++i) {
      // Two kinds of keys: the answer is a logistic function of the query, the offset falls out.
      const long double q = 2.0L * static_cast<long double>(head.q[usize(i)]);
      const long double truth = 1.0L / (1.0L + std::exp(-q));
      if (planned.answered[usize(i)] != 0) {
        EXPECT_LE(std::fabs(static_cast<long double>(planned.answers[usize(i)]) - truth),
                  static_cast<long double>(bound))
            << offset;
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
