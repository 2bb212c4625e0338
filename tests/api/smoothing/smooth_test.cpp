// Regression and its standard errors: closed forms, then the definition in binary128, then what is hard.

#include "api/smoothing/cloud.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace polyattn::test {
namespace {

/// measured / certified, largest so far.
struct Clearances {
  double output = 0.0;
  double lse = 0.0;
  double variance = 0.0;
  double error = 0.0;
  void show(const char* what) const {
    std::printf(
        "worst-clearance (measured / certified), %s: output %.3f, log-sum-exp %.3f, variance %.3f, "
        "standard error %.3f\n",
        what, output, lse, variance, error);
  }
};

double largest_value(const Cloud& cloud) {
  double largest = 0.0;
  for (const double v : cloud.values.values) {
    largest = std::max(largest, std::fabs(v));
  }
  return largest;
}

/// Every row against the definition. `themselves`: the queries are the points.
void judge_rows(const Cloud& cloud, const SmoothOptions& options, const SmoothResult& result, Clearances& worst) {
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const std::vector<double> lse = values_of(result.lse.value());
  const std::vector<double> lse_bound = values_of(result.lse_bound.value());
  const auto columns = static_cast<std::size_t>(cloud.columns());
  const double size = largest_value(cloud);
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const TrueRow truth = true_row(cloud, cloud.queries.row(0, 0, at), options.leave_one_out ? at : -1);
    worst.lse = std::max(worst.lse, clearance(distance(lse[i], truth.lse, std::fabs(lse[i]) + 1.0), lse_bound[i]));
    EXPECT_LE(clearance(distance(lse[i], truth.lse, std::fabs(lse[i]) + 1.0), lse_bound[i]), 1.0) << "row " << i;
    for (std::size_t c = 0; c < columns; ++c) {
      const double of_output = clearance(distance(output[i * columns + c], truth.output[c], size), bounds[i]);
      EXPECT_LE(of_output, 1.0) << "row " << i << ", column " << c;
      worst.output = std::max(worst.output, of_output);
    }
    EXPECT_LE(bounds[i], std::max(result.report.heads[0].tolerance, result.report.heads[0].certificate.bound()));
  }
}

void judge_standard_errors(const Cloud& cloud, const SmoothOptions& options, const SmoothResult& result,
                           Clearances& worst) {
  const LeaveOneOut& residuals = result.residuals.value();
  const TrueResiduals truth = true_residuals(cloud, cloud.bandwidth);
  ASSERT_EQ(residuals.scored, truth.scored);
  ASSERT_EQ(residuals.unscored, cloud.n() - truth.scored);
  const double size = largest_value(cloud);
  for (std::size_t c = 0; c < truth.variance.size(); ++c) {
    const double of_variance =
        clearance(distance(residuals.variance[c], truth.variance[c], size * size), residuals.variance_bound[c]);
    EXPECT_LE(of_variance, 1.0) << "column " << c;
    worst.variance = std::max(worst.variance, of_variance);
  }
  const std::vector<double> errors = values_of(result.standard_error.value());
  const std::vector<double> bounds = values_of(result.standard_error_bounds.value());
  const std::size_t columns = truth.variance.size();
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const TrueRow row = true_row(cloud, cloud.queries.row(0, 0, at), options.leave_one_out ? at : -1);
    for (std::size_t c = 0; c < columns; ++c) {
      const Quad expected = root(truth.variance[c]) * exp_of(row.squared / 2 - row.lse);
      const double of_error = clearance(distance(errors[i * columns + c], expected, size), bounds[i]);
      EXPECT_LE(of_error, 1.0) << "row " << i << ", column " << c;
      worst.error = std::max(worst.error, of_error);
    }
  }
}

SmoothOptions all_of(const Cloud& cloud) {
  SmoothOptions options = cloud.smooth_options();
  options.want_row_bounds = options.want_lse = true;
  return options;
}

TEST(Smooth, TwoPoints) {
  Cloud cloud;
  cloud.points = matrix_of(DType::float64, 1, {0.0, 1.0});
  cloud.values = matrix_of(DType::float64, 1, {2.0, 5.0});
  cloud.queries = matrix_of(DType::float64, 1, {0.5, 0.0});
  cloud.bandwidth = {1.0};
  SmoothOptions options = all_of(cloud);
  options.standard_error = true;
  const SmoothResult result = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(*result.row_bounds);
  // Halfway both weigh the same; at the first point they weigh 1 and exp(-1/2).
  EXPECT_LE(std::fabs(output[0] - 3.5), bounds[0]);
  EXPECT_LE(std::fabs(output[1] - (2.0 + 5.0 * std::exp(-0.5)) / (1.0 + std::exp(-0.5))), bounds[1] + 0x1p-50);
  // Each is answered by the other, so residuals are 3 and -3; sqrt(sum w^2) / sum w is sqrt(1/2) halfway.
  EXPECT_LE(std::fabs(result.residuals->variance[0] - 9.0), result.residuals->variance_bound[0]);
  EXPECT_EQ(result.residuals->scored, 2);
  const std::vector<double> errors = values_of(*result.standard_error);
  const std::vector<double> error_bounds = values_of(*result.standard_error_bounds);
  EXPECT_LE(std::fabs(errors[0] - 3.0 * std::sqrt(0.5)), error_bounds[0] + 0x1p-50);
  EXPECT_LE(std::fabs(errors[1] - 3.0 * std::sqrt(1.0 + std::exp(-1.0)) / (1.0 + std::exp(-0.5))),
            error_bounds[1] + 0x1p-50);
  EXPECT_LE(error_bounds[0], 3.0 * 1e-3);
  EXPECT_EQ(result.blind, 0);
}

TEST(Smooth, ConstantValuesStay) {
  Random random(1);
  Cloud cloud = random_cloud({.n = 60, .d = 3}, random);
  cloud.values = matrix_of(DType::float64, 1, std::vector<double>(60, 0.1));
  SmoothOptions options = all_of(cloud);
  options.standard_error = true;
  const SmoothResult result = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  for (const double t : values_of(result.output)) {
    EXPECT_EQ(t, 0.1);
  }
  EXPECT_LE(result.residuals->variance[0], result.residuals->variance_bound[0]) << "the truth is 0";
  const std::vector<double> errors = values_of(*result.standard_error);
  const std::vector<double> bounds = values_of(*result.standard_error_bounds);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    EXPECT_LE(errors[i], bounds[i]) << "the truth is 0";
    EXPECT_LE(bounds[i], 1e-12);
  }
}

TEST(Smooth, LatticeOfOddValuesIsOdd) {
  std::vector<double> points;
  std::vector<double> values;
  for (int a = -6; a <= 6; ++a) {
    for (int b = -6; b <= 6; ++b) {
      points.insert(points.end(), {0.25 * a, 0.5 * b});
      values.push_back(a * a * a - 2.0 * b);
    }
  }
  const Stored x = matrix_of(DType::float64, 2, points);
  const Stored y = matrix_of(DType::float64, 1, values);
  const Stored q = matrix_of(DType::float64, 2, {0.0, 0.0, 0.3, 0.7, -0.3, -0.7});
  for (const double tolerance : {0.0, 1e-3}) {
    SmoothOptions options;
    options.bandwidth = {0.4, 0.3};
    options.tolerance.value = tolerance;
    options.want_row_bounds = true;
    const SmoothResult result = smooth(x.view(), y.view(), q.view(), options);
    const std::vector<double> output = values_of(result.output);
    const std::vector<double> bounds = values_of(*result.row_bounds);
    EXPECT_LE(std::fabs(output[0]), bounds[0]);
    EXPECT_LE(std::fabs(output[1] + output[2]), bounds[1] + bounds[2]);
    EXPECT_GT(std::fabs(output[1]), 0.1);
  }
}

TEST(Smooth, EveryBoundHolds) {
  Random random(20);
  Clearances worst;
  for (int trial = 0; trial < 48; ++trial) {
    CloudShape shape;
    shape.n = random.integer(2, 120);
    shape.d = 1 + trial % 4;
    shape.columns = random.integer(1, 3);
    shape.m = random.integer(1, 30);
    shape.dtype = trial % 3 == 0 ? DType::float32 : DType::float64;
    shape.extent = random.chance(0.2) ? random.log_uniform(1e-12, 1e12) : 1.0;
    Cloud cloud = random_cloud(shape, random);
    const bool themselves = trial % 2 == 0;
    SmoothOptions options = all_of(cloud);
    options.tolerance.value = std::array{0.0, 1e-2, 1e-5, 1e-9}[static_cast<std::size_t>(random.integer(0, 3))];
    options.output_dtype = options.tolerance.value > 1e-6 ? std::nullopt : std::optional(DType::float64);
    options.standard_error = trial % 4 < 3;
    options.leave_one_out = themselves && trial % 3 == 1;
    if (!options.standard_error) {
      std::vector<double> weights;
      for (std::int64_t j = 0; j < shape.n; ++j) {
        weights.push_back(j > 0 && random.chance(0.2) ? -kInfinity : random.uniform(-300.0, 300.0));
      }
      cloud.log_weights = matrix_of(DType::float64, 1, weights);
      options.log_weights = cloud.log_weights->view();
    }
    if (themselves) {
      cloud.queries = cloud.points;
    }
    const SmoothResult result = themselves
                                    ? smooth(cloud.points.view(), cloud.values.view(), options)
                                    : smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
    judge_rows(cloud, options, result, worst);
    if (options.standard_error) {
      judge_standard_errors(cloud, options, result, worst);
    }
    ASSERT_FALSE(HasFailure()) << "trial " << trial;
  }
  worst.show("smoothing");
}

/// Two clusters a million bandwidths apart, copies of one point, a point alone, and queries far from all.
TEST(Smooth, FarAndEqualPoints) {
  Clearances worst;
  for (const DType dtype : {DType::float32, DType::float64}) {
    Random random(3);
    std::vector<double> points;
    std::vector<double> values;
    for (int j = 0; j < 30; ++j) {
      const double centre = j < 14 ? 0.0 : j < 29 ? 1e5 : 1e3;
      const bool copy = j % 3 == 0;
      points.insert(points.end(), {centre + (copy ? 0.0 : random.normal()), copy ? 0.0 : random.normal()});
      values.push_back(random.normal());
    }
    Cloud cloud;
    cloud.points = matrix_of(dtype, 2, points);
    cloud.values = matrix_of(dtype, 1, values);
    cloud.queries = matrix_of(dtype, 2, {0.0, 0.0, 1e5, 0.0, 500.0, 0.0, 5e4, 1.0, 1e3, 0.0, -1e5, 1e5});
    cloud.bandwidth = {0.1, 0.2};
    SmoothOptions options = all_of(cloud);
    options.standard_error = true;
    options.tolerance = {1e-2};
    const SmoothResult result = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
    judge_rows(cloud, options, result, worst);
    judge_standard_errors(cloud, options, result, worst);
    EXPECT_GE(result.residuals->unscored, 1) << "the point alone sees no other";
  }
  worst.show("far points");
}

TEST(Smooth, OnePoint) {
  const Stored x = matrix_of(DType::float64, 2, {1.0, 2.0});
  const Stored y = matrix_of(DType::float64, 2, {3.0, -7.0});
  const Stored q = matrix_of(DType::float64, 2, {1.0, 2.0, 1e6, -1e6});
  SmoothOptions options;
  options.bandwidth = {0.01};
  EXPECT_EQ(values_of(smooth(x.view(), y.view(), q.view(), options).output), (std::vector<double>{3, -7, 3, -7}));
}

TEST(Smooth, NoQueries) {
  const Stored x = matrix_of(DType::float64, 2, {1.0, 2.0, 1.5, 2.0});
  const Stored y = matrix_of(DType::float64, 1, {3.0, 4.0});
  SmoothOptions options;
  options.bandwidth = {1.0};
  options.standard_error = options.want_row_bounds = options.want_lse = true;
  const SmoothResult result =
      smooth(x.view(), y.view(), ConstView{nullptr, DType::float64, {1, 1, 0, 2}, {0, 0, 2, 1}}, options);
  EXPECT_EQ(result.output.shape(), (Shape{1, 1, 0, 1}));
  EXPECT_EQ(result.standard_error->elements(), 0);
  EXPECT_EQ(result.residuals->scored, 2);
}

TEST(Smooth, WhoSeesNobodyIsCounted) {
  const Stored x = matrix_of(DType::float64, 1, {0.0, 1.0, 2.0});
  const Stored y = matrix_of(DType::float64, 1, {3.0, 4.0, 5.0});
  const Stored weights = matrix_of(DType::float64, 1, {-kInfinity, 0.5, -kInfinity});
  SmoothOptions options;
  options.bandwidth = {1.0};
  options.log_weights = weights.view();
  options.want_lse = true;
  EXPECT_EQ(smooth(x.view(), y.view(), options).blind, 0);
  options.leave_one_out = true;
  const SmoothResult result = smooth(x.view(), y.view(), options);
  EXPECT_EQ(result.blind, 1);
  EXPECT_EQ(values_of(result.output), (std::vector<double>{4.0, 0.0, 4.0}));
  EXPECT_EQ(values_of(*result.lse)[1], -kInfinity);
}

/// An output of 16 bits is no answer to take residuals from.
TEST(Smooth, ResidualsDoNotSufferFromStorage) {
  Random random(6);
  Clearances worst;
  for (const DType output : {DType::float16, DType::bfloat16, DType::float32}) {
    Cloud cloud = random_cloud({.n = 60, .d = 2, .dtype = DType::bfloat16}, random);
    cloud.queries = cloud.points;
    SmoothOptions options = all_of(cloud);
    options.leave_one_out = options.standard_error = true;
    options.output_dtype = output;
    const SmoothResult result = smooth(cloud.points.view(), cloud.values.view(), options);
    EXPECT_EQ(result.output.dtype(), output);
    EXPECT_EQ(result.residual_report.has_value(), output != DType::float32);
    judge_standard_errors(cloud, options, result, worst);
  }
}

/// Wide kernels over many points go to polynomials, whose bounds must come through as well.
TEST(Smooth, ThroughApproximateEngines) {
  Random random(5);
  Cloud cloud = random_cloud({.n = 6000, .d = 2, .m = 3000}, random);
  cloud.bandwidth = {0.8, 1.1};
  SmoothOptions options = all_of(cloud);
  options.standard_error = true;
  options.standard_error_tolerance = 1e-2;
  const SmoothResult result = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  const auto approximate = [](const HeadReport& head) { return head.rows_polynomial + head.rows_grid; };
  EXPECT_GT(approximate(result.report.heads[0]), 2700) << result.report.heads[0].why;
  EXPECT_GT(approximate(result.squared_weights_report->heads[0]), 2700);
  const std::vector<double> errors = values_of(*result.standard_error);
  const std::vector<double> bounds = values_of(*result.standard_error_bounds);
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> row_bounds = values_of(*result.row_bounds);
  const LeaveOneOut& residuals = *result.residuals;
  const double low = std::sqrt(residuals.variance[0] - residuals.variance_bound[0]);
  const double high = std::sqrt(residuals.variance[0] + residuals.variance_bound[0]);
  for (std::size_t i = 0; i < errors.size(); i += 300) {
    const TrueRow truth = true_row(cloud, cloud.queries.row(0, 0, static_cast<std::int64_t>(i)));
    EXPECT_LE(distance(output[i], truth.output[0], 2.0), row_bounds[i]);
    const auto factor = static_cast<double>(exp_of(truth.squared / 2 - truth.lse));
    EXPECT_LE(high * factor, errors[i] + bounds[i]);
    EXPECT_GE(low * factor, errors[i] - bounds[i]);
    EXPECT_LE(bounds[i], 0.02 * errors[i]);
  }
}

}  // namespace
}  // namespace polyattn::test
