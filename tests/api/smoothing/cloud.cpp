#include "api/smoothing/cloud.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::test {

SmoothOptions Cloud::smooth_options() const {
  SmoothOptions options;
  options.bandwidth = bandwidth;
  if (log_weights) {
    options.log_weights = log_weights->view();
  }
  options.threads = 2;
  return options;
}

DensityOptions Cloud::density_options() const {
  DensityOptions options;
  options.bandwidth = bandwidth;
  if (log_weights) {
    options.log_weights = log_weights->view();
  }
  options.threads = 2;
  return options;
}

Stored matrix_of(DType dtype, std::int64_t columns, const std::vector<double>& entries) {
  return store(dtype, {1, 1, static_cast<std::int64_t>(entries.size()) / columns, columns}, entries);
}

Cloud random_cloud(const CloudShape& shape, Random& random) {
  std::vector<double> points;
  std::vector<double> values;
  std::vector<double> queries;
  for (std::int64_t j = 0; j < shape.n; ++j) {
    double sum = 0.0;
    for (std::int64_t l = 0; l < shape.d; ++l) {
      const double x = random.unit();
      points.push_back(shape.extent * x);
      sum += x * static_cast<double>(l + 1);
    }
    for (std::int64_t c = 0; c < shape.columns; ++c) {
      values.push_back(std::sin(3.0 * sum + static_cast<double>(c)) + 0.1 * random.normal());
    }
  }
  for (std::int64_t i = 0; i < shape.m * shape.d; ++i) {
    queries.push_back(shape.extent * random.uniform(-0.1, 1.1));
  }
  Cloud cloud;
  cloud.points = matrix_of(shape.dtype, shape.d, points);
  cloud.values = matrix_of(shape.dtype, shape.columns, values);
  cloud.queries = store(shape.dtype, {1, 1, shape.m, shape.d}, queries);
  for (std::int64_t l = 0; l < shape.d; ++l) {
    cloud.bandwidth.push_back(shape.extent * random.log_uniform(0.05, 0.4));
  }
  return cloud;
}

TrueRow true_row(const Cloud& cloud, const double* query, std::int64_t left_out) {
  std::vector<Quad> scores;
  std::vector<std::int64_t> seen;
  Quad largest = 0;
  for (std::int64_t j = 0; j < cloud.n(); ++j) {
    const double weight = cloud.log_weights ? cloud.log_weights->values[static_cast<std::size_t>(j)] : 0.0;
    if (j == left_out || weight == -kInfinity) {
      continue;
    }
    auto score = static_cast<Quad>(weight);
    for (std::int64_t l = 0; l < cloud.d(); ++l) {
      const Quad apart = (static_cast<Quad>(query[l]) - static_cast<Quad>(cloud.points.row(0, 0, j)[l])) /
                         static_cast<Quad>(cloud.bandwidth[static_cast<std::size_t>(l)]);
      score -= apart * apart / 2;
    }
    largest = seen.empty() ? score : std::max(largest, score);
    scores.push_back(score);
    seen.push_back(j);
  }
  TrueRow row;
  row.output.resize(static_cast<std::size_t>(cloud.columns()), Quad(0));
  if (seen.empty()) {
    row.lse = row.squared = static_cast<Quad>(-kInfinity);
    return row;
  }
  Quad total = 0;
  Quad squares = 0;
  for (std::size_t k = 0; k < seen.size(); ++k) {
    const Quad weight = exp_of(scores[k] - largest);
    total += weight;
    squares += weight * weight;
    for (std::size_t c = 0; c < row.output.size(); ++c) {
      row.output[c] += weight * static_cast<Quad>(cloud.values.row(0, 0, seen[k])[c]);
    }
  }
  for (Quad& t : row.output) {
    t /= total;
  }
  row.lse = largest + log_of(total);
  row.squared = 2 * largest + log_of(squares);
  return row;
}

TrueResiduals true_residuals(const Cloud& cloud, const std::vector<double>& bandwidth, double least) {
  Cloud at = cloud;
  at.bandwidth = bandwidth;
  at.bandwidth.resize(static_cast<std::size_t>(cloud.d()), bandwidth.front());
  TrueResiduals all;
  all.variance.resize(static_cast<std::size_t>(cloud.columns()), Quad(0));
  for (std::int64_t i = 0; i < cloud.n(); ++i) {
    const TrueRow row = true_row(at, cloud.points.row(0, 0, i), i);
    if (!(row.lse >= static_cast<Quad>(least))) {
      continue;
    }
    ++all.scored;
    for (std::size_t c = 0; c < all.variance.size(); ++c) {
      const Quad residual = static_cast<Quad>(cloud.values.row(0, 0, i)[c]) - row.output[c];
      all.variance[c] += residual * residual;
    }
  }
  for (Quad& variance : all.variance) {
    variance /= static_cast<Quad>(static_cast<double>(all.scored));
  }
  return all;
}

Quad magnitude(Quad x) { return x < 0 ? -x : x; }

Quad root(Quad x) {
  if (!(x > 0)) {
    return Quad(0);
  }
  auto y = static_cast<Quad>(std::sqrt(static_cast<double>(x)));
  for (int step = 0; step < 3 && y > 0; ++step) {  // Newton, from 53 bits
    y = (y + x / y) / 2;
  }
  return y;
}

double distance(double computed, Quad truth, double size) {
  const auto error = static_cast<double>(magnitude(static_cast<Quad>(computed) - truth));
  return std::isnan(error) ? error : std::max(0.0, error - kOracle * size);
}

}  // namespace polyattn::test
