#include "polynomial/inputs.hpp"

#include "support/data.hpp"

#include <cmath>
#include <cstddef>

namespace polyattn::bench::polynomial {

namespace {

constexpr double kVarianceOfUnit = 1.0 / 12.0;  // of the uniform distribution on an interval of length 1
constexpr std::int64_t kClusters = 20;
constexpr double kClusterDeviation = 0.03;
constexpr std::uint64_t kCentreSeed = 4;

template <class T>
std::vector<T> clustered_tokens(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  const std::vector<double> centres = uniform_tokens<double>(kClusters, d, 0.0, 1.0, kCentreSeed);
  Random random(seed);
  std::vector<T> tokens;
  tokens.reserve(static_cast<std::size_t>(n * d));
  for (std::int64_t i = 0; i < n; ++i) {
    const auto cluster = static_cast<std::int64_t>(random.uniform() * static_cast<double>(kClusters));
    for (std::int64_t axis = 0; axis < d; ++axis) {
      const double centre = centres[static_cast<std::size_t>(cluster * d + axis)];
      tokens.push_back(static_cast<T>(centre + kClusterDeviation * random.normal()));
    }
  }
  return tokens;
}

template <class T>
std::vector<T> tokens(const Setting& setting, std::uint64_t seed) {
  const std::int64_t rows = setting.heads * setting.n;
  switch (setting.cloud) {
    case Cloud::cube:
      return uniform_tokens<T>(rows, setting.d, -1.0, 1.0, seed);
    case Cloud::unit_cube:
      return uniform_tokens<T>(rows, setting.d, 0.0, 1.0, seed);
    case Cloud::clusters:
      return clustered_tokens<T>(rows, setting.d, seed);
    case Cloud::normal:
      break;
  }
  return normal_tokens<T>(rows, setting.d, seed);
}

Spread spread_of(Cloud cloud) {
  switch (cloud) {
    case Cloud::cube:
      return {0.0, 1.0 / std::sqrt(3.0)};
    case Cloud::unit_cube:
      return {0.5, std::sqrt(kVarianceOfUnit)};
    case Cloud::clusters:
      return {0.5, std::sqrt(kVarianceOfUnit + kClusterDeviation * kClusterDeviation)};
    case Cloud::normal:
      break;
  }
  return {0.0, 1.0};
}

Score score_of(const Setting& setting) {
  const bool gaussian = setting.cloud == Cloud::unit_cube || setting.cloud == Cloud::clusters;
  return gaussian ? gaussian_of(setting.d, setting.steepness) : Dot{setting.steepness};
}

/// Strides of the first rows of every head.
Shape strides_of(const Setting& setting, std::int64_t columns) {
  return {setting.heads * setting.n * columns, setting.n * columns, columns, 1};
}

}  // namespace

/// exp(-|x - y|^2 / h^2) is the Gaussian score of bandwidth h / sqrt(2), and h^2 = d / L.
Score gaussian_of(std::int64_t d, double steepness) {
  return Gaussian{{std::sqrt(static_cast<double>(d) / (2.0 * steepness))}};
}

template <class T>
Inputs<T>::Inputs(const Setting& setting)
    : setting_(setting),
      q_(tokens<T>(setting, 1)),
      k_(tokens<T>(setting, 2)),
      v_(values_of_keys(k_, setting.d, setting.d_v, spread_of(setting.cloud), setting.frequency, 3)),
      output_(v_.size()) {}

template <class T>
Problem Inputs<T>::problem(std::int64_t rows, std::int64_t keys, Engine engine) const {
  const auto first = [&](const std::vector<T>& data, std::int64_t count, std::int64_t columns) {
    return ConstView{data.data(), dtype_of<T>(), {1, setting_.heads, count, columns}, strides_of(setting_, columns)};
  };
  Problem problem{first(q_, rows, setting_.d), first(k_, keys, setting_.d), first(v_, keys, setting_.d_v), {}};
  problem.options.score = score_of(setting_);
  problem.options.tolerance = {setting_.tolerance, ToleranceKind::of_value_range};
  problem.options.engine = engine;
  problem.options.threads = 1;
  return problem;
}

template <class T>
View Inputs<T>::output(std::int64_t rows) {
  return {output_.data(), dtype_of<T>(), {1, setting_.heads, rows, setting_.d_v}, strides_of(setting_, setting_.d_v)};
}

template class Inputs<float>;
template class Inputs<double>;

}  // namespace polyattn::bench::polynomial
