// The draws of small_problem.hpp: inputs of every kind that matters, requests and sizes that suit them.

#include "support/small_problem.hpp"

#include "polyattn/polynomial.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace polyattn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// Under a causal mask the polynomial engine answers the last visible keys exactly, in blocks of this size (up to 8192
/// keys): a row tests its polynomial only if it sees more.
constexpr std::int64_t kCausalBlock = 128;

/// [rows, dim] points of one of the shapes that matter: where scores attain their radius, tie, cluster or stray.
std::vector<double> draw_points(Random& random, std::int64_t rows, std::int64_t dim) {
  std::vector<double> points(at(rows * dim));
  const std::int64_t kind = random.integer(0, 8);
  const double noise = random.log_uniform(1e-6, 0.3);
  std::vector<double> centres(at(3 * dim));
  for (double& c : centres) {
    c = random.uniform(-1.0, 1.0);
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t cluster = random.integer(0, 2);
    const double along = random.uniform(-1.0, 1.0);
    for (std::int64_t l = 0; l < dim; ++l) {
      double& x = points[at(row * dim + l)];
      const std::array<double, 9> choices{
          random.uniform(-1.0, 1.0),
          random.normal(),
          centres[at(cluster * dim + l)] + noise * random.normal(),
          row == 0 ? 10.0 * random.sign() : random.uniform(-1.0, 1.0),
          static_cast<double>(random.integer(-2, 2)),
          centres[at(l)],
          random.sign(),
          (along > 0.0 ? 1.0 : -1.0) * centres[at(l)],
          along * centres[at(l)],
      };
      x = choices[at(kind)];
    }
  }
  return points;
}

void scale_to_radius(SmallProblem& problem, double radius, Random& random) {
  const double largest = largest_centred_score(problem.q, problem.k, problem.dim);
  const double factor = largest > 1e-9 ? radius / largest : 1.0;  // below that it is rounding of equal points
  if (random.chance(0.12)) {
    const double bandwidth = std::sqrt(1.0 / factor);
    std::vector<double> axes(random.chance(0.4) ? at(problem.dim) : 1U, bandwidth);
    for (double& h : axes) {
      h *= axes.size() == 1 ? 1.0 : random.uniform(1.0, 3.0);
    }
    problem.score = Gaussian{axes};
    return;
  }
  const double root = std::sqrt(static_cast<double>(problem.dim));
  const std::array<double, 5> scales{1.0, 1.0 / root, 1.0 / (root * root), -0.7, random.uniform(0.1, 3.0)};
  const double scale = scales[at(random.integer(0, 4))];
  const double share = random.unit();  // of the factor that goes to the queries, the rest to the keys
  for (double& x : problem.q) {
    x *= std::pow(factor / std::abs(scale), share);
  }
  for (double& x : problem.k) {
    x *= std::pow(factor / std::abs(scale), 1.0 - share);
  }
  problem.score = Dot{scale};
}

void draw_values(SmallProblem& problem, Random& random) {
  problem.v.resize(at(problem.n_kv * problem.value_dim));
  const std::int64_t kind = random.integer(0, 7);
  const double offset = random.sign() * random.log_uniform(1.0, 1e4);
  const double amplitude = random.log_uniform(1e-3, 1e3);
  const std::int64_t hot = random.integer(0, std::max<std::int64_t>(problem.n_kv - 1, 0));
  for (std::int64_t j = 0; j < problem.n_kv; ++j) {
    for (std::int64_t c = 0; c < problem.value_dim; ++c) {
      const double key = problem.k[at(j * problem.dim + c % problem.dim)];
      const std::array<double, 8> choices{
          std::sin(3.0 * key * static_cast<double>(1 + c)),
          random.sign(),
          random.normal(),
          offset + random.uniform(-1.0, 1.0),
          j == hot ? 1.0 : 0.0,
          key,
          random.chance(0.9) ? random.sign() : 0.0,
          random.sign(),
      };
      problem.v[at(j * problem.value_dim + c)] = amplitude * choices[at(kind)];
    }
  }
  if (kind >= 6 && problem.n_q > 0) {
    for (std::int64_t c = 0; c < problem.value_dim; ++c) {
      align_values(problem, random.integer(0, problem.n_q - 1), c, problem.degree.value_or(4), amplitude);
    }
  }
  if (random.chance(0.02)) {
    std::fill(problem.v.begin(), problem.v.end(), offset);
  }
}

void draw_bias(SmallProblem& problem, Random& random) {
  if (random.chance(problem.causal == Causal::none ? 0.36 : 0.5)) {
    constexpr std::array kWidths{0.1, 1.0, 3.0, 15.0};
    const double width = kWidths[at(random.integer(0, 3))];
    const double slope = random.chance(0.3) ? random.log_uniform(1e-3, 0.5) : 0.0;
    const double hidden = random.chance(0.2) ? 0.25 : 0.0;
    const double offset = random.chance(0.2) ? random.uniform(-600.0, 600.0) : 0.0;
    for (std::int64_t j = 0; j < problem.n_kv; ++j) {
      const double b = slope > 0.0 ? slope * static_cast<double>(j) : random.uniform(-width, width);
      problem.bias.push_back(random.chance(hidden) ? -kInfinity : b + offset);
    }
  }
}

DType draw_dtype(Random& random) {
  const double which = random.unit();
  return which < 0.45   ? DType::float64
         : which < 0.85 ? DType::float32
         : which < 0.93 ? DType::float16
                        : DType::bfloat16;
}

/// Engine, arithmetic, degree and tolerance; before the sizes, which the rank limits.
void draw_request(SmallProblem& problem, Family family, Random& random) {
  const double which = random.unit();
  const double polynomial = family == Family::tight ? 0.85 : 0.72;
  problem.engine = which < polynomial ? Engine::polynomial
                   : which < 0.92     ? Engine::exact
                   : which < 0.96     ? Engine::automatic
                                      : Engine::reference;
  problem.arithmetic = random.chance(0.5) ? Arithmetic::float32 : Arithmetic::float64;
  problem.tolerance = {1e3, ToleranceKind::of_value_range};  // a bound to look at, not a demand
  if (problem.engine == Engine::reference) {
    problem.arithmetic = Arithmetic::float64;
  } else if (problem.engine == Engine::exact) {
    problem.tolerance.value = 0.0;
  } else if (problem.engine == Engine::automatic) {
    problem.arithmetic = Arithmetic::automatic;
    problem.tolerance.value = random.log_uniform(1e-7, 0.1);
  } else if (random.chance(0.7)) {
    problem.degree = static_cast<int>(random.integer(0, 14));
  } else {
    problem.tolerance.value = random.log_uniform(problem.arithmetic == Arithmetic::float32 ? 1e-4 : 1e-8, 0.3);
  }
  if (random.chance(0.45)) {
    const bool upper = random.chance(problem.engine == Engine::polynomial ? 0.2 : 0.6);
    problem.causal = upper ? Causal::upper_left : Causal::lower_right;
  }
  problem.storage = draw_dtype(random);
  // Rounding to 16 bits uses up its bound at once: nothing to climb.
  problem.output = random.chance(0.75) ? DType::float64 : family == Family::tight ? DType::float32 : draw_dtype(random);
}

double draw_radius(const SmallProblem& problem, Random& random) {
  if (random.chance(0.05)) {
    return random.log_uniform(1e-3, 12.0);
  }
  if (problem.degree && random.chance(0.15)) {
    return random.uniform(0.3, 1.0) *
           (0.02 + 0.05 * *problem.degree);  // the approximation so good that only rounding is left
  }
  // Where a degree makes sense: beyond 0.3 + degree / 2 the bounds exceed the values.
  const double limit = problem.degree ? 0.3 + 0.5 * *problem.degree : 3.0;
  return random.log_uniform(1e-3, std::min(limit, problem.arithmetic == Arithmetic::float32 ? 6.0 : 12.0));
}

void draw_sizes(SmallProblem& problem, Family family, Random& random) {
  if (family == Family::tight) {
    problem.n_q = random.integer(2, 4);
    problem.n_kv = random.integer(2, 10);
    problem.dim = random.integer(1, 3);
    problem.value_dim = 1;
    if (problem.engine == Engine::polynomial && problem.causal != Causal::none) {
      problem.causal = Causal::lower_right;
      problem.copies = kCausalBlock / problem.n_kv + random.integer(1, 3);
    }
    return;
  }
  constexpr std::array<std::int64_t, 14> kDims{1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 12, 64, 128};
  constexpr std::array<std::int64_t, 6> kValueDims{1, 1, 2, 3, 5, 17};
  problem.dim = kDims[at(random.integer(0, 13))];
  problem.value_dim = kValueDims[at(random.integer(0, 5))];
  if (problem.dim > 12 && problem.engine == Engine::polynomial) {
    problem.degree = static_cast<int>(random.integer(0, problem.dim == 64 ? 3 : 2));
    problem.value_dim = 1;
  }
  while (problem.degree && feature_rank(problem.dim, *problem.degree) > 4000) {
    --*problem.degree;
  }
  const double rank = static_cast<double>(feature_rank(problem.dim, problem.degree.value_or(4)));
  const double most = 3e6 / (rank * static_cast<double>(problem.value_dim + 1));
  problem.n_q = random.integer(1, rank > 500.0 ? 4 : 24);
  const double share = random.unit();
  problem.n_kv = 1 + static_cast<std::int64_t>(share * share * std::clamp(most, 4.0, 400.0));
  if (problem.engine == Engine::polynomial && problem.causal != Causal::none && most > 1.2 * kCausalBlock) {
    problem.n_kv = random.integer(kCausalBlock + 4, static_cast<std::int64_t>(std::min(most, 400.0)));
    if (problem.causal == Causal::upper_left && rank < 200.0) {
      problem.n_q = random.integer(kCausalBlock + 4, 200);
      problem.value_dim = 1;
    }
  }
}

}  // namespace

SmallProblem draw_small_problem(Family family, std::uint64_t seed) {
  Random random(seed * 2U + (family == Family::tight ? 1U : 0U));
  SmallProblem problem;
  draw_request(problem, family, random);
  draw_sizes(problem, family, random);
  problem.q = draw_points(random, problem.n_q, problem.dim);
  problem.k = draw_points(random, problem.n_kv, problem.dim);
  if (family == Family::broad && random.chance(0.2)) {
    const double shift = random.uniform(-5.0, 5.0);
    for (double& x : problem.k) {
      x += shift;
    }
  }
  scale_to_radius(problem, draw_radius(problem, random), random);
  draw_values(problem, random);
  draw_bias(problem, random);
  return problem;
}

}  // namespace polyattn::test
