#include "polynomial/regret_problems.hpp"

#include "support/data.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <sstream>

namespace polyattn::bench::polynomial {

namespace {

constexpr std::size_t kProblems = 243;
constexpr std::int64_t kKeys[] = {64, 256, 1024, 2048, 4096, 8192, 16384, 65536, 131072};
constexpr std::int64_t kDims[] = {2, 3, 5, 8, 16, 32, 64, 128};
constexpr std::int64_t kValueDims[] = {1, 16, 64};
constexpr double kTolerances[] = {1e-2, 1e-3, 1e-4, 1e-6};
/// About the largest score after centring.
constexpr double kRadii[] = {0.05, 0.3, 1.0, 3.0, 10.0, 100.0};
constexpr Cloud kClouds[] = {Cloud::cube, Cloud::cube, Cloud::unit_cube, Cloud::normal};
constexpr const char* kCloudNames[] = {"cube", "unit", "normal", "clusters"};
constexpr std::int64_t kLeastQueries = 64;
/// Multiply-adds of exact, an exponential counted as 12: about 0.03 s on one core, or 0.2 s where a polynomial is
/// likely to be so much faster that exact is called once only.
constexpr double kMostWork = 2.5e9;
constexpr double kMostWorkCalledOnce = 2e10;
constexpr double kLikelyRadius = 1.0;
constexpr std::int64_t kLikelyDim = 8;

// The same of the problems in few dimensions.
constexpr std::size_t kLowProblems = 126;
constexpr std::int64_t kLowKeys[] = {1024, 2048, 4096, 16384, 65536, 131072, 262144};
constexpr std::int64_t kLowDims[] = {1, 2, 3, 4};
constexpr std::int64_t kLowValueDims[] = {1, 1, 4, 16};
constexpr double kLowTolerances[] = {1e-2, 1e-3, 1e-4, 1e-6};
/// L of Gaussian scores, largest score of dot products.
constexpr double kSteepness[] = {1.0, 10.0, 100.0, 1'000.0, 10'000.0};
constexpr double kLargest[] = {1.0, 5.0, 20.0, 80.0};
constexpr Cloud kLowClouds[] = {Cloud::unit_cube, Cloud::unit_cube, Cloud::clusters, Cloud::cube};

template <class T, std::size_t N>
T pick(Random& random, const T (&list)[N]) {
  return list[static_cast<std::size_t>(random.uniform() * static_cast<double>(N))];
}

/// Of the dot product the scale, of the Gaussian score L, for scores of about this size.
double steepness_of(Cloud cloud, double radius, std::int64_t d) {
  switch (cloud) {
    case Cloud::cube:
      return radius / static_cast<double>(d);
    case Cloud::unit_cube:
    case Cloud::clusters:
      return 2.0 * radius;
    case Cloud::normal:
      break;
  }
  return radius / (2.0 * static_cast<double>(d));
}

std::int64_t queries_of(const Setting& setting, bool likely) {
  const double work = static_cast<double>(setting.n) * static_cast<double>(setting.d + setting.d_v + 12);
  return std::min(
      setting.n, std::max(kLeastQueries, static_cast<std::int64_t>((likely ? kMostWorkCalledOnce : kMostWork) / work)));
}

std::string name_of(const char* group, std::size_t index, const RegretProblem& problem, char letter, double steepness) {
  const Setting& setting = problem.setting;
  std::ostringstream name;
  name << group << "/" << index << "/n" << setting.n << "_q" << problem.queries << "_d" << setting.d << "_v"
       << setting.d_v << "_" << letter << steepness << "_tol" << setting.tolerance << "_"
       << kCloudNames[static_cast<std::size_t>(setting.cloud)];
  if (problem.causal) name << "_causal";
  if (problem.float64) name << "_float64";
  return name.str();
}

}  // namespace

std::vector<RegretProblem> regret_problems() {
  Random random(7);
  std::vector<RegretProblem> problems;
  for (std::size_t i = 0; i < kProblems; ++i) {
    RegretProblem problem;
    Setting& setting = problem.setting;
    setting.n = kKeys[i % std::size(kKeys)];
    setting.d = pick(random, kDims);
    setting.d_v = pick(random, kValueDims);
    setting.cloud = pick(random, kClouds);
    setting.tolerance = pick(random, kTolerances);
    const double radius = pick(random, kRadii);
    setting.steepness = steepness_of(setting.cloud, radius, setting.d);
    problem.causal = random.uniform() < 1.0 / 3.0;
    problem.float64 = random.uniform() < 1.0 / 4.0;
    problem.queries = queries_of(setting, radius <= kLikelyRadius && setting.d <= kLikelyDim);
    problem.name = name_of("regret", i, problem, 'R', radius);
    problems.push_back(std::move(problem));
  }
  return problems;
}

std::vector<RegretProblem> low_dimensional_problems() {
  Random random(8);
  std::vector<RegretProblem> problems;
  for (std::size_t i = 0; i < kLowProblems; ++i) {
    RegretProblem problem;
    Setting& setting = problem.setting;
    setting.n = kLowKeys[i % std::size(kLowKeys)];
    setting.d = pick(random, kLowDims);
    setting.d_v = pick(random, kLowValueDims);
    setting.cloud = pick(random, kLowClouds);
    setting.tolerance = pick(random, kLowTolerances);
    const bool dot = setting.cloud == Cloud::cube;
    const double steepness = pick(random, kSteepness);
    const double largest = pick(random, kLargest);
    setting.steepness = dot ? largest / static_cast<double>(setting.d) : steepness;
    problem.float64 = random.uniform() < 1.0 / 2.0;
    problem.queries = queries_of(setting, true);
    problem.name = name_of("grid_regret", i, problem, dot ? 'S' : 'L', dot ? largest : steepness);
    problems.push_back(std::move(problem));
  }
  return problems;
}

}  // namespace polyattn::bench::polynomial
