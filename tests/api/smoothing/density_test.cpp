// Kernel density estimates: closed forms, then the definition in binary128, then what is hard.

#include "api/smoothing/cloud.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

const double kRootTwoPi = std::sqrt(2.0 * std::numbers::pi);

/// 2 pi to 113 bits.
Quad two_pi() { return static_cast<Quad>(0x1.921fb54442d18p+2) + static_cast<Quad>(0x1.1a62633145c07p-52); }

Quad log_normaliser(const Cloud& cloud) {
  Quad total = 0;
  Quad largest = static_cast<Quad>(-kInfinity);
  for (std::int64_t j = 0; j < cloud.n(); ++j) {
    const double w = cloud.log_weights ? cloud.log_weights->values[static_cast<std::size_t>(j)] : 0.0;
    largest = std::max(largest, static_cast<Quad>(w));
  }
  for (std::int64_t j = 0; j < cloud.n(); ++j) {
    const double w = cloud.log_weights ? cloud.log_weights->values[static_cast<std::size_t>(j)] : 0.0;
    total += w == -kInfinity ? Quad(0) : exp_of(static_cast<Quad>(w) - largest);
  }
  Quad all = largest + log_of(total);
  for (const double h : cloud.bandwidth) {
    all += log_of(static_cast<Quad>(h)) + log_of(two_pi()) / 2;
  }
  return all;
}

/// Every query against the definition, and the tolerance; returns the worst clearance.
double judge_densities(const Cloud& cloud, const DensityOptions& options, const DensityResult& result) {
  const std::vector<double> density = values_of(result.density);
  const std::vector<double> bounds = values_of(result.bounds);
  const Quad normaliser = log_normaliser(cloud);
  double worst = 0.0;
  for (std::size_t i = 0; i < density.size(); ++i) {
    const TrueRow row = true_row(cloud, cloud.queries.row(0, 0, static_cast<std::int64_t>(i)));
    const Quad logarithm = row.lse - normaliser;
    const Quad truth = options.log ? logarithm : exp_of(logarithm);
    // exp turns what the oracle rounded in the logarithm into a relative error
    const double doubt =
        (static_cast<double>(magnitude(row.lse)) + 1000.0) * (options.log ? 1.0 : static_cast<double>(truth) + 1e-300);
    const double measured = distance(density[i], truth, doubt);
    const double of_row = clearance(measured, bounds[i]);
    EXPECT_LE(of_row, 1.0) << "query " << i << ": " << density[i];
    EXPECT_LE(bounds[i], result.largest_bound);
    if (options.log || options.tolerance_kind != DensityTolerance::relative) {
      EXPECT_LE(bounds[i], result.tolerance);
    } else if (truth > static_cast<Quad>(0x1p-1000)) {
      EXPECT_LE(measured, options.tolerance * static_cast<double>(truth)) << "query " << i;
    }
    worst = std::max(worst, of_row);
  }
  return worst;
}

TEST(Density, OnePointIsTheKernel) {
  Cloud cloud;
  cloud.points = matrix_of(DType::float64, 2, {1.0, -2.0});
  cloud.values = matrix_of(DType::float64, 1, {0.0});
  cloud.queries = matrix_of(DType::float64, 2, {1.0, -2.0, 1.5, -2.0, 1.0, 1.0});
  cloud.bandwidth = {0.5, 3.0};
  const DensityResult result = density(cloud.points.view(), cloud.queries.view(), cloud.density_options());
  const std::vector<double> f = values_of(result.density);
  const double peak = 1.0 / (kRootTwoPi * kRootTwoPi * 1.5);
  EXPECT_NEAR(f[0], peak, 0x1p-50);
  EXPECT_NEAR(f[1], peak * std::exp(-0.5), 0x1p-50);
  EXPECT_NEAR(f[2], peak * std::exp(-0.5), 0x1p-50);
  EXPECT_LE(judge_densities(cloud, cloud.density_options(), result), 1.0);
  EXPECT_NEAR(result.log_normaliser, std::log(kRootTwoPi * kRootTwoPi * 1.5), 1e-14);
}

/// On a lattice much finer than the bandwidth sums are integrals, up to an error that vanishes faster than any power.
TEST(Density, IntegratesToOne) {
  Random random(8);
  Cloud cloud = random_cloud({.n = 50, .d = 2}, random);
  cloud.bandwidth = {0.2, 0.1};
  std::vector<double> queries;
  const double step = 0.05;
  for (int a = -40; a <= 60; ++a) {
    for (int b = -40; b <= 60; ++b) {
      queries.insert(queries.end(), {a * step, b * step});
    }
  }
  cloud.queries = matrix_of(DType::float64, 2, queries);
  for (const bool log : {false, true}) {
    DensityOptions options = cloud.density_options();
    options.log = log;
    options.tolerance_kind = DensityTolerance::relative;
    options.tolerance = 1e-6;
    double sum = 0.0;
    for (const double f : values_of(density(cloud.points.view(), cloud.queries.view(), options).density)) {
      sum += log ? std::exp(f) : f;
    }
    // Poisson: the lattice's error is about 2 exp(-2 (pi H / step)^2), 5e-9 here... for H = 2 step 2 exp(-79).
    EXPECT_NEAR(sum * step * step, 1.0, 2e-6);
  }
}

TEST(Density, EveryBoundHolds) {
  Random random(31);
  double worst = 0.0;
  for (int trial = 0; trial < 60; ++trial) {
    CloudShape shape;
    shape.n = random.integer(1, 120);
    shape.d = 1 + trial % 4;
    shape.m = random.integer(1, 30);
    shape.dtype = trial % 3 == 0 ? DType::float32 : DType::float64;
    shape.extent = random.chance(0.3) ? random.log_uniform(1e-12, 1e12) : 1.0;
    Cloud cloud = random_cloud(shape, random);
    if (trial % 2 == 1) {
      std::vector<double> weights;
      for (std::int64_t j = 0; j < shape.n; ++j) {
        weights.push_back(j > 0 && random.chance(0.2) ? -kInfinity : random.uniform(-300.0, 300.0));
      }
      cloud.log_weights = matrix_of(DType::float64, 1, weights);
    }
    DensityOptions options = cloud.density_options();
    options.log = trial % 5 == 0;
    options.tolerance_kind =
        std::array{DensityTolerance::of_peak, DensityTolerance::relative}[static_cast<std::size_t>(trial / 2 % 2)];
    options.tolerance = random.log_uniform(1e-8, 0.5);
    const bool themselves = trial % 7 == 0;
    if (themselves) {
      cloud.queries = cloud.points;
    }
    const DensityResult result = themselves ? density(cloud.points.view(), options)
                                            : density(cloud.points.view(), cloud.queries.view(), options);
    worst = std::max(worst, judge_densities(cloud, options, result));
    if (!options.log) {
      options.tolerance_kind = DensityTolerance::absolute;
      const std::vector<double> f = values_of(result.density);
      options.tolerance *= *std::max_element(f.begin(), f.end());
      if (options.tolerance > 0x1p-900 && options.tolerance < 0x1p900) {
        judge_densities(cloud, options, density(cloud.points.view(), cloud.queries.view(), options));
      }
    }
    ASSERT_FALSE(HasFailure()) << "trial " << trial;
  }
  std::printf("worst-clearance (measured / certified), densities: %.3f\n", worst);
}

TEST(Density, OfPeakIsAShareOfTheLargestDensity) {
  Random random(9);
  Cloud cloud = random_cloud({.n = 200, .d = 2, .m = 300}, random);
  DensityOptions options = cloud.density_options();
  options.tolerance = 1e-3;
  const DensityResult result = density(cloud.points.view(), cloud.queries.view(), options);
  const std::vector<double> f = values_of(density(cloud.points.view(), options).density);
  const double largest = *std::max_element(f.begin(), f.end());
  EXPECT_LE(result.tolerance, 1e-3 * largest * 1.001);
  EXPECT_GE(result.tolerance, 1e-3 * largest * 0.3) << "64 of 200 points know better than that";
}

TEST(Density, FarOutItUnderflowsAndTheLogarithmDoesNot) {
  const Stored x = matrix_of(DType::float64, 1, {0.0, 1.0});
  const Stored q = matrix_of(DType::float64, 1, {60.0, -1e4, 39.5});
  DensityOptions options;
  options.bandwidth = {1.0};
  for (const auto kind : {DensityTolerance::of_peak, DensityTolerance::relative}) {
    options.tolerance_kind = kind;
    const DensityResult result = density(x.view(), q.view(), options);
    const std::vector<double> f = values_of(result.density);
    EXPECT_EQ(f[0], 0.0);
    EXPECT_EQ(f[1], 0.0);
    EXPECT_GT(f[2], 0.0) << "subnormal";
    EXPECT_LE(result.largest_bound, 0x1p-1070);
    EXPECT_GT(result.largest_bound, 0.0) << "the truth is not 0";
  }
  options.log = true;
  const std::vector<double> f = values_of(density(x.view(), q.view(), options).density);
  EXPECT_NEAR(f[0], -0.5 * 59.0 * 59.0 - std::log(2.0 * kRootTwoPi), 1e-4);
  EXPECT_NEAR(f[1], -0.5e8 - std::log(2.0 * kRootTwoPi), 1e-4);
}

TEST(Density, BeyondTheRangeOfNumbers) {
  // 300 axes of bandwidth 1e-3: the density of the point itself is about 10^780.
  const std::vector<double> point(300, 0.25);
  const Stored x = matrix_of(DType::float64, 300, point);
  DensityOptions options;
  options.bandwidth = {1e-3};
  options.tolerance_kind = DensityTolerance::relative;
  const DensityResult large = density(x.view(), options);
  EXPECT_EQ(values_of(large.density)[0], kInfinity);
  EXPECT_EQ(values_of(large.bounds)[0], kInfinity);
  options.log = true;
  EXPECT_NEAR(values_of(density(x.view(), options).density)[0], 300.0 * (std::log(1e3) - std::log(kRootTwoPi)), 1e-4);
  options.log = false;
  options.tolerance_kind = DensityTolerance::absolute;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "normaliser", "relative"},
                         [&] { density(x.view(), options); }));
  options.bandwidth = {1e3};  // and here it is 10^-1020
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance"}, [&] { density(x.view(), options); }));
}

/// With many axes the normaliser is what is not known: nothing that attention could be asked for reaches this.
TEST(Density, TheNormaliserCounts) {
  Cloud cloud;
  cloud.points = matrix_of(DType::float64, 200, std::vector<double>(200, 0.25));
  cloud.queries = cloud.points;
  cloud.values = matrix_of(DType::float64, 1, {0.0});
  for (int l = 0; l < 200; ++l) {
    cloud.bandwidth.push_back(0.3 + 0.001 * l);
  }
  DensityOptions options = cloud.density_options();
  options.tolerance_kind = DensityTolerance::relative;
  options.tolerance = 1e-9;
  const DensityResult result = density(cloud.points.view(), options);
  EXPECT_LE(judge_densities(cloud, options, result), 1.0);
  const double f = values_of(result.density)[0];
  EXPECT_GT(result.largest_bound, 200 * 0x1p-53 * f);
  options.tolerance_kind = DensityTolerance::absolute;
  options.tolerance = 1e-14 * f;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "1 of 1 queries"},
                         [&] { density(cloud.points.view(), options); }));
}

TEST(Density, ThroughPolynomials) {
  Random random(5);
  Cloud cloud = random_cloud({.n = 6000, .d = 2, .m = 3000}, random);
  cloud.bandwidth = {0.8, 1.1};
  DensityOptions options = cloud.density_options();
  options.engine = Engine::polynomial;  // the grid would be cheaper
  options.tolerance = 1e-3;
  const DensityResult result = density(cloud.points.view(), cloud.queries.view(), options);
  EXPECT_EQ(result.report.heads[0].engine, Engine::polynomial) << result.report.heads[0].why;
  EXPECT_GT(result.report.heads[0].rows_polynomial, 2700) << "the degree was chosen for the denominators";
  const std::vector<double> f = values_of(result.density);
  const std::vector<double> bounds = values_of(result.bounds);
  const Quad normaliser = log_normaliser(cloud);
  for (std::size_t i = 0; i < f.size(); i += 150) {
    const TrueRow row = true_row(cloud, cloud.queries.row(0, 0, static_cast<std::int64_t>(i)));
    EXPECT_LE(distance(f[i], exp_of(row.lse - normaliser), 1.0), bounds[i]);
  }
  const PlanReport plan = plan_density(cloud.points.view(), cloud.queries.view(), options);
  EXPECT_EQ(plan.heads[0].engine, Engine::polynomial);
  EXPECT_EQ(plan.heads[0].statistics.queries, 3000);
}

TEST(Density, NoQueries) {
  const Stored x = matrix_of(DType::float64, 2, {1.0, 2.0, 1.5, 2.0});
  DensityOptions options;
  options.bandwidth = {1.0};
  const DensityResult result =
      density(x.view(), ConstView{nullptr, DType::float64, {1, 1, 0, 2}, {0, 0, 2, 1}}, options);
  EXPECT_EQ(result.density.shape(), (Shape{1, 1, 0, 1}));
  EXPECT_EQ(result.largest_bound, 0.0);
}

TEST(Density, Refusals) {
  const Stored x = matrix_of(DType::float64, 2, {1.0, 2.0, 1.5, 2.0});
  DensityOptions good;
  good.bandwidth = {1.0, 2.0};
  const auto refuses = [&](const DensityOptions& options, std::initializer_list<std::string> parts) {
    return fails_with(ErrorCode::invalid_argument, parts, [&] { density(x.view(), options); });
  };
  for (const double bad : {0.0, -1.0, kInfinity, std::nan("")}) {
    DensityOptions options = good;
    options.tolerance = bad;
    EXPECT_TRUE(refuses(options, {"tolerance", "positive"}));
    options = good;
    options.bandwidth[1] = bad;
    EXPECT_TRUE(refuses(options, {"bandwidth", "positive"}));
  }
  DensityOptions options = good;
  options.log = true;
  options.tolerance_kind = DensityTolerance::absolute;
  EXPECT_TRUE(refuses(options, {"tolerance_kind", "absolute"}));
  options = good;
  options.tolerance_kind = DensityTolerance::relative;
  options.tolerance = 1e-17;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "normaliser"}, [&] { density(x.view(), options); }));
  const Stored weights = matrix_of(DType::float64, 1, {1000.0, 1000.0});
  options = good;
  options.log_weights = weights.view();
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "weights"}, [&] { density(x.view(), options); }));
  options.tolerance_kind = DensityTolerance::relative;
  EXPECT_GT(values_of(density(x.view(), options).density)[0], 0.0);
}

}  // namespace
}  // namespace polyattn::test
