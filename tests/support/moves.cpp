// The moves of the search in small_problem.hpp.

#include "support/small_problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace polyattn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

double& any_of(std::vector<double>& values, Random& random) {
  return values[at(random.integer(0, static_cast<std::int64_t>(values.size()) - 1))];
}

void nudge(double& x, Random& random) {
  x = random.chance(0.5) ? x * std::exp(0.3 * random.normal()) : x + random.log_uniform(1e-3, 1.0) * random.normal();
}

/// Row `to` becomes row `from` or its negative.
void copy_row(std::vector<double>& points, std::int64_t dim, Random& random) {
  const std::int64_t rows = static_cast<std::int64_t>(points.size()) / dim;
  const std::int64_t from = random.integer(0, rows - 1);
  const std::int64_t to = random.integer(0, rows - 1);
  const double sign = random.sign();
  for (std::int64_t l = 0; l < dim; ++l) {
    points[at(to * dim + l)] = sign * points[at(from * dim + l)];
  }
}

void scale_all(std::vector<double>& points, Random& random) {
  const double factor = std::exp(0.3 * random.normal());
  for (double& x : points) {
    x *= factor;
  }
}

/// Query `row` becomes a multiple of the key furthest along it: its score reaches the Cauchy-Schwarz bound.
void point_at_key(SmallProblem& problem, Random& random) {
  const std::int64_t row = random.integer(0, problem.n_q - 1);
  const std::int64_t key = random.integer(0, problem.n_kv - 1);
  double query_norm = 0.0;
  double key_norm = 0.0;
  for (std::int64_t l = 0; l < problem.dim; ++l) {
    query_norm = std::hypot(query_norm, problem.q[at(row * problem.dim + l)]);
    key_norm = std::hypot(key_norm, problem.k[at(key * problem.dim + l)]);
  }
  const double factor = random.sign() * (key_norm > 0.0 ? query_norm / key_norm : 1.0);
  for (std::int64_t l = 0; l < problem.dim; ++l) {
    problem.q[at(row * problem.dim + l)] = factor * problem.k[at(key * problem.dim + l)];
  }
}

void move_bias(SmallProblem& problem, Random& random) {
  if (problem.bias.empty()) {
    problem.bias.assign(at(problem.n_kv), 0.0);
  }
  double& b = any_of(problem.bias, random);
  b = b == -kInfinity ? 0.0 : b + random.normal();
}

void move_values(SmallProblem& problem, Random& random) {
  double amplitude = 0.0;
  for (const double v : problem.v) {
    amplitude = std::max(amplitude, std::abs(v));
  }
  switch (random.integer(0, 3)) {
    case 0:
      any_of(problem.v, random) *= -1.0;
      break;
    case 1:
      any_of(problem.v, random) = amplitude * random.sign();
      break;
    case 2:
      nudge(any_of(problem.v, random), random);
      break;
    default: {
      const auto likely = static_cast<int>(random.integer(0, 14));
      align_values(problem, random.integer(0, problem.n_q - 1), random.integer(0, problem.value_dim - 1),
                   problem.degree.value_or(likely), amplitude);
    }
  }
}

}  // namespace

void move(SmallProblem& problem, std::uint64_t seed) {
  Random random(seed);
  switch (random.integer(0, 11)) {
    case 0:
      nudge(any_of(problem.q, random), random);
      break;
    case 1:
      nudge(any_of(problem.k, random), random);
      break;
    case 2:
      copy_row(problem.k, problem.dim, random);
      break;
    case 3:
      copy_row(problem.q, problem.dim, random);
      break;
    case 4:
      scale_all(problem.q, random);
      break;
    case 5:
      scale_all(problem.k, random);
      break;
    case 6:
      point_at_key(problem, random);
      break;
    case 7:
      move_bias(problem, random);
      break;
    case 8:
      if (problem.degree) {
        problem.degree = std::clamp(*problem.degree + (random.chance(0.5) ? 1 : -1), 0, 14);
      }
      break;
    default:
      move_values(problem, random);
  }
}

}  // namespace polyattn::test
