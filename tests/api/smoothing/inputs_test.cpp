// What smoothing refuses, and what it owes its caller: progress, cancelling, memory, threads, plans.

#include "api/smoothing/cloud.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

Cloud some_cloud(std::int64_t n = 40) {
  Random random(77);
  return random_cloud({.n = n, .d = 2, .columns = 2, .m = n / 2}, random);
}

TEST(SmoothInputs, Shapes) {
  const Cloud cloud = some_cloud();
  const SmoothOptions options = cloud.smooth_options();
  const auto refuses = [&](const ConstView& points, const ConstView& values, const ConstView& queries,
                           std::initializer_list<std::string> parts) {
    return fails_with(ErrorCode::invalid_argument, parts, [&] { smooth(points, values, queries, options); });
  };
  const ConstView x = cloud.points.view();
  const ConstView y = cloud.values.view();
  const ConstView q = cloud.queries.view();
  ConstView bad = x;
  bad.shape[1] = 2;
  bad.shape[2] = 20;
  EXPECT_TRUE(refuses(bad, y, q, {"points", "[1, 1, rows, d]", "[1, 2, 20, 2]"}));
  bad = q;
  bad.shape[0] = 0;
  EXPECT_TRUE(refuses(x, y, bad, {"queries", "[1, 1, rows, d]"}));
  bad = q;
  bad.shape[3] = 1;
  EXPECT_TRUE(refuses(x, y, bad, {"points and queries", "columns", "2 and 1"}));
  bad = y;
  bad.shape[2] = 39;
  EXPECT_TRUE(refuses(x, bad, q, {"points and values", "rows", "40 and 39"}));
  bad = y;
  bad.shape[3] = 0;
  EXPECT_TRUE(refuses(x, bad, q, {"values", "columns", "got 0"}));
  bad = x;
  bad.data = nullptr;
  EXPECT_TRUE(refuses(bad, y, q, {"points"}));
  bad = x;
  bad.shape[2] = 0;
  EXPECT_TRUE(refuses(bad, y, q, {"points", "at least one"}));
}

TEST(SmoothInputs, Options) {
  const Cloud cloud = some_cloud();
  const SmoothOptions good = cloud.smooth_options();
  const auto refuses = [&](const SmoothOptions& options, std::initializer_list<std::string> parts,
                           ErrorCode code = ErrorCode::invalid_argument) {
    return fails_with(code, parts, [&] { smooth(cloud.points.view(), cloud.values.view(), options); });
  };
  SmoothOptions options = good;
  options.bandwidth = {};
  EXPECT_TRUE(refuses(options, {"bandwidth", "one per axis (2)", "got 0"}));
  options.bandwidth = {1.0, 2.0, 3.0};
  EXPECT_TRUE(refuses(options, {"bandwidth", "one per axis (2)", "got 3"}));
  for (const double bad : {0.0, -1.0, kInfinity, std::nan(""), 1e-160, 1e160}) {
    options.bandwidth = {1.0, bad};
    EXPECT_TRUE(refuses(options, {"bandwidth", "positive"}));
  }
  options = good;
  options.tolerance.value = -1.0;
  EXPECT_TRUE(refuses(options, {"tolerance"}));
  options = good;
  options.threads = -2;
  EXPECT_TRUE(refuses(options, {"threads"}));
  options = good;
  options.standard_error = true;
  for (const double bad : {0.0, -1.0, kInfinity, std::nan("")}) {
    options.standard_error_tolerance = bad;
    EXPECT_TRUE(refuses(options, {"standard_error_tolerance", "positive"}));
  }
  options = good;
  options.standard_error = true;
  options.bandwidth = {1e-6};
  EXPECT_TRUE(refuses(options, {"bandwidth", "none does"}));
  options = good;
  options.leave_one_out = true;
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"leave_one_out", "queries"},
                         [&] { smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"leave_one_out", "queries"}, [&] {
    plan_smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  }));
  options.engine = Engine::polynomial;
  EXPECT_TRUE(refuses(options, {"exclude_self", "polynomial"}, ErrorCode::unsupported));
  const Stored one = matrix_of(DType::float64, 1, {1.0});
  for (const bool error : {false, true}) {
    SmoothOptions alone;
    alone.bandwidth = {1.0};
    alone.leave_one_out = !error;
    alone.standard_error = error;
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"points", "at least two", "got 1"},
                           [&] { smooth(one.view(), one.view(), alone); }));
  }
}

TEST(SmoothInputs, Weights) {
  const Cloud cloud = some_cloud();
  const auto refuses = [&](const Stored& weights, ErrorCode code, std::initializer_list<std::string> parts) {
    SmoothOptions options = cloud.smooth_options();
    options.log_weights = weights.view();
    return fails_with(code, parts, [&] { smooth(cloud.points.view(), cloud.values.view(), options); });
  };
  std::vector<double> weights(40, 0.5);
  weights[7] = std::nan("");
  EXPECT_TRUE(refuses(matrix_of(DType::float64, 1, weights), ErrorCode::non_finite, {"log_weights", "NaN at row 7"}));
  weights[7] = kInfinity;
  EXPECT_TRUE(
      refuses(matrix_of(DType::float64, 1, weights), ErrorCode::non_finite, {"log_weights", "infinity at row 7"}));
  weights.pop_back();
  EXPECT_TRUE(refuses(matrix_of(DType::float64, 1, weights), ErrorCode::invalid_argument, {"log_weights", "39"}));
  weights.assign(40, -kInfinity);
  EXPECT_TRUE(
      refuses(matrix_of(DType::float64, 1, weights), ErrorCode::invalid_argument, {"log_weights", "at least one"}));
  weights[3] = 0.0;
  const Stored one = matrix_of(DType::float64, 1, weights);
  SmoothOptions options = cloud.smooth_options();
  options.log_weights = one.view();
  options.standard_error = true;
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"standard_error", "log_weights"},
                         [&] { smooth(cloud.points.view(), cloud.values.view(), options); }));
}

TEST(SmoothInputs, NotFinite) {
  const Cloud good = some_cloud();
  const auto refuses = [](const Cloud& cloud, std::initializer_list<std::string> parts) {
    return fails_with(ErrorCode::non_finite, parts, [&] {
      smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), cloud.smooth_options());
    });
  };
  Cloud bad = good;
  write_element({bad.points.bytes.data(), DType::float64, bad.points.shape, contiguous_strides(bad.points.shape)},
                {0, 0, 33, 1}, std::nan(""));
  EXPECT_TRUE(refuses(bad, {"points", "NaN at row 33, column 1"}));
  std::vector<double> weights(40, 0.0);
  weights[33] = -kInfinity;
  bad.log_weights = matrix_of(DType::float32, 1, weights);
  EXPECT_NO_THROW(smooth(bad.points.view(), bad.values.view(), bad.queries.view(), bad.smooth_options()))
      << "a point of weight 0 is not read";
  bad = good;
  write_element({bad.values.bytes.data(), DType::float64, bad.values.shape, contiguous_strides(bad.values.shape)},
                {0, 0, 2, 0}, -kInfinity);
  EXPECT_TRUE(refuses(bad, {"values", "infinity at row 2, column 0"}));
  bad = good;
  write_element({bad.queries.bytes.data(), DType::float64, bad.queries.shape, contiguous_strides(bad.queries.shape)},
                {0, 0, 19, 1}, kInfinity);
  EXPECT_TRUE(refuses(bad, {"queries", "infinity at row 19, column 1"}));
}

TEST(SmoothInputs, AnyStridesAndStorage) {
  const Cloud cloud = some_cloud();
  const std::vector<double> expected =
      values_of(smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), cloud.smooth_options()).output);
  // Columns first, and rows in reverse.
  std::vector<double> turned(80);
  for (std::int64_t j = 0; j < 40; ++j) {
    for (std::int64_t l = 0; l < 2; ++l) {
      turned[static_cast<std::size_t>(l * 40 + 39 - j)] = cloud.points.row(0, 0, j)[l];
    }
  }
  const ConstView points{turned.data() + 39, DType::float64, {1, 1, 40, 2}, {0, 0, -1, 40}};
  EXPECT_EQ(values_of(smooth(points, cloud.values.view(), cloud.queries.view(), cloud.smooth_options()).output),
            expected);
}

TEST(SmoothResources, ProgressRisesAndMayCancel) {
  const Cloud cloud = some_cloud(600);
  SmoothOptions options = cloud.smooth_options();
  options.standard_error = true;
  options.threads = 1;
  std::vector<double> seen;
  options.progress = [&](double done) {
    seen.push_back(done);
    return true;
  };
  smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  ASSERT_GE(seen.size(), 3U);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_GE(seen[i], i == 0 ? 0.0 : seen[i - 1]);
    EXPECT_LE(seen[i], 1.0);
  }
  EXPECT_GT(seen.back(), 0.99);
  EXPECT_LT(seen.front(), 0.5);
  for (const std::size_t after : {std::size_t{0}, seen.size() - 1}) {
    std::size_t calls = 0;
    options.progress = [&](double) { return calls++ < after; };
    EXPECT_TRUE(fails_with(ErrorCode::cancelled, {},
                           [&] { smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options); }));
  }
  DensityOptions of_density = cloud.density_options();
  of_density.progress = [](double) { return false; };
  EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { density(cloud.points.view(), of_density); }));
  BandwidthOptions of_bandwidth;
  of_bandwidth.factors = {0.5, 1.0};
  seen.clear();
  of_bandwidth.threads = 1;
  of_bandwidth.progress = [&](double done) {
    seen.push_back(done);
    return done < 0.5;
  };
  EXPECT_TRUE(fails_with(ErrorCode::cancelled, {},
                         [&] { select_bandwidth(cloud.points.view(), cloud.values.view(), of_bandwidth); }));
  EXPECT_GE(seen.back(), 0.5);
  EXPECT_LT(seen.front(), 0.5);
}

TEST(SmoothResources, MemoryIsLimitedAndCounted) {
  const Cloud cloud = some_cloud(400);
  SmoothOptions options = cloud.smooth_options();
  options.standard_error = true;
  const SmoothResult free = smooth(cloud.points.view(), cloud.values.view(), options);
  EXPECT_GT(free.peak_bytes, 400U * 8U * 4U) << "answers of leaving one out, their bounds, log-sum-exp";
  options.max_memory = 64;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory"},
                         [&] { smooth(cloud.points.view(), cloud.values.view(), options); }));
  options.standard_error = false;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory", "64"},
                         [&] { smooth(cloud.points.view(), cloud.values.view(), options); }));
  options.standard_error = true;
  options.max_memory = 2 * free.peak_bytes;
  const SmoothResult limited = smooth(cloud.points.view(), cloud.values.view(), options);
  EXPECT_LE(limited.peak_bytes, options.max_memory);
  EXPECT_EQ(bits_of(*limited.standard_error), bits_of(*free.standard_error));
  DensityOptions of_density = cloud.density_options();
  of_density.max_memory = 64;
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"memory"}, [&] { density(cloud.points.view(), of_density); }));
}

TEST(SmoothResources, TheSameBitsForAnyNumberOfThreads) {
  const Cloud cloud = some_cloud(500);
  SmoothOptions options = cloud.smooth_options();
  options.standard_error = true;
  options.threads = 1;
  const SmoothResult one = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  options.threads = 5;
  const SmoothResult five = smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  EXPECT_EQ(bits_of(one.output), bits_of(five.output));
  EXPECT_EQ(bits_of(*one.standard_error), bits_of(*five.standard_error));
  EXPECT_EQ(bits_of(*one.standard_error_bounds), bits_of(*five.standard_error_bounds));
}

TEST(SmoothPlan, SaysWhatEveryPartWouldTake) {
  const Cloud cloud = some_cloud(400);
  SmoothOptions options = cloud.smooth_options();
  const SmoothPlan alone = plan_smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  EXPECT_FALSE(alone.leave_one_out || alone.squared_weights);
  EXPECT_EQ(alone.predicted_seconds, alone.smoothing.predicted_seconds);
  EXPECT_EQ(alone.smoothing.heads[0].statistics.queries, 200);
  EXPECT_GT(alone.smoothing.heads[0].mean_answer_error, 0.0);
  options.standard_error = true;
  const SmoothPlan all = plan_smooth(cloud.points.view(), cloud.values.view(), cloud.queries.view(), options);
  ASSERT_TRUE(all.leave_one_out && all.squared_weights);
  EXPECT_EQ(all.leave_one_out->heads[0].statistics.queries, 400);
  EXPECT_EQ(all.squared_weights->heads[0].statistics.value_dim, 0);
  EXPECT_GT(all.predicted_seconds, alone.predicted_seconds);
  options.leave_one_out = true;
  const SmoothPlan shared = plan_smooth(cloud.points.view(), cloud.values.view(), options);
  EXPECT_FALSE(shared.leave_one_out) << "the regression is that already";
  EXPECT_TRUE(shared.squared_weights);
}

}  // namespace
}  // namespace polyattn::test
