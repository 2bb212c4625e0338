#include "support/small_problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <istream>
#include <ostream>
#include <sstream>
#include <stdexcept>

namespace polyattn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<double> repeated(const std::vector<double>& pattern, std::int64_t copies) {
  std::vector<double> all;
  for (std::int64_t i = 0; i < copies; ++i) {
    all.insert(all.end(), pattern.begin(), pattern.end());
  }
  return all;
}

double row_radius(const SmallProblem& problem, std::int64_t row) {
  const std::vector<double> q_mean = mean_of(problem.q, problem.dim);
  const std::vector<double> k_mean = mean_of(problem.k, problem.dim);
  double query = 0.0;
  double furthest = 0.0;
  for (std::int64_t l = 0; l < problem.dim; ++l) {
    query = std::hypot(query, problem.q[at(row * problem.dim + l)] - q_mean[at(l)]);
  }
  for (std::int64_t j = 0; j < problem.n_kv; ++j) {
    double key = 0.0;
    for (std::int64_t l = 0; l < problem.dim; ++l) {
      key = std::hypot(key, problem.k[at(j * problem.dim + l)] - k_mean[at(l)]);
    }
    furthest = std::max(furthest, key);
  }
  return query * furthest;
}

/// A 16-bit float would overflow.
bool needs_wide_exponent(const SmallProblem& problem) {
  const auto large = [](double x) { return std::abs(x) > 6e4; };
  return std::any_of(problem.q.begin(), problem.q.end(), large) ||
         std::any_of(problem.k.begin(), problem.k.end(), large) ||
         std::any_of(problem.v.begin(), problem.v.end(), large);
}

DType wide_enough(DType dtype, const SmallProblem& problem) {
  return dtype == DType::float16 && needs_wide_exponent(problem) ? DType::bfloat16 : dtype;
}

double scale_of(const SmallProblem& problem) {
  const auto* dot = std::get_if<Dot>(&problem.score);
  return dot != nullptr ? dot->scale.value_or(1.0) : 1.0;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Genome& genome) {
  out << (genome.family == Family::broad ? "broad " : "tight ") << genome.seed;
  for (const std::uint64_t move : genome.moves) {
    out << ' ' << move;
  }
  return out;
}

std::optional<Genome> parse_genome(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string family;
  if (!(words >> family)) {
    return std::nullopt;
  }
  Genome genome;
  genome.family = family == "broad" ? Family::broad : Family::tight;
  if ((family != "broad" && family != "tight") || !(words >> genome.seed)) {
    throw std::runtime_error("not a genome: " + line);
  }
  for (std::uint64_t next = 0; words >> next;) {
    genome.moves.push_back(next);
  }
  if (!words.eof()) {
    throw std::runtime_error("not a genome: " + line);
  }
  return genome;
}

Problem SmallProblem::stored() const {
  Problem problem;
  const DType dtype = wide_enough(storage, *this);
  problem.q = store(dtype, {1, 1, n_q, dim}, q);
  problem.k = store(dtype, {1, 1, n_kv * copies, dim}, repeated(k, copies));
  problem.v = store(dtype, {1, 1, n_kv * copies, value_dim}, repeated(v, copies));
  if (!bias.empty()) {
    problem.bias = store(DType::float64, {1, 1, n_kv * copies, 1}, repeated(bias, copies));
  }
  problem.score = score;
  problem.causal = causal;
  return problem;
}

Options SmallProblem::options() const {
  Options options;
  options.engine = engine;
  options.arithmetic = arithmetic;
  options.degree = engine == Engine::polynomial ? degree : std::nullopt;
  options.strict = engine == Engine::polynomial;
  options.tolerance = tolerance;
  options.output_dtype = wide_enough(output, *this);
  options.want_lse = true;
  options.want_row_bounds = true;
  options.threads = 1;
  return options;
}

std::vector<double> mean_of(const std::vector<double>& points, std::int64_t dim) {
  std::vector<double> mean(at(dim), 0.0);
  for (std::size_t e = 0; e < points.size(); ++e) {
    mean[e % at(dim)] += points[e] * static_cast<double>(dim) / static_cast<double>(points.size());
  }
  return mean;
}

double largest_centred_score(const std::vector<double>& q, const std::vector<double>& k, std::int64_t dim) {
  const std::vector<double> q_mean = mean_of(q, dim);
  const std::vector<double> k_mean = mean_of(k, dim);
  double largest = 0.0;
  for (std::size_t i = 0; i < q.size(); i += at(dim)) {
    for (std::size_t j = 0; j < k.size(); j += at(dim)) {
      double sum = 0.0;
      for (std::size_t l = 0; l < at(dim); ++l) {
        sum += (q[i + l] - q_mean[l]) * (k[j + l] - k_mean[l]);
      }
      largest = std::max(largest, std::abs(sum));
    }
  }
  return largest;
}

double chebyshev_error(double x, double radius, int degree) {
  const double half = 0.5 * radius;
  const double angle = std::acos(std::clamp(radius > 0.0 ? x / radius : 0.0, -1.0, 1.0));
  double error = 0.0;
  for (int k = degree + 1; k <= degree + 40; ++k) {
    // I_k(R) = sum_m (R/2)^(2m+k) / (m! (m+k)!)
    double term = std::exp(k * std::log(half) - std::lgamma(k + 1.0));
    double bessel = 0.0;
    for (int m = 1; m <= 60; ++m) {
      bessel += term;
      term *= half * half / (m * static_cast<double>(m + k));
    }
    error -= 2.0 * bessel * std::cos(k * angle);
  }
  return error;
}

void align_values(SmallProblem& problem, std::int64_t row, std::int64_t column, int degree, double amplitude) {
  const std::vector<double> q_mean = mean_of(problem.q, problem.dim);
  const std::vector<double> k_mean = mean_of(problem.k, problem.dim);
  const double scale = scale_of(problem);
  const double radius = std::abs(scale) * row_radius(problem, row);
  for (std::int64_t j = 0; j < problem.n_kv; ++j) {
    double s = 0.0;
    for (std::int64_t l = 0; l < problem.dim; ++l) {
      s +=
          (problem.q[at(row * problem.dim + l)] - q_mean[at(l)]) * (problem.k[at(j * problem.dim + l)] - k_mean[at(l)]);
    }
    problem.v[at(j * problem.value_dim + column)] =
        chebyshev_error(scale * s, radius, degree) >= 0.0 ? amplitude : -amplitude;
  }
}

SmallProblem grown(const Genome& genome) {
  SmallProblem problem = draw_small_problem(genome.family, genome.seed);
  for (const std::uint64_t seed : genome.moves) {
    move(problem, seed);
  }
  return problem;
}

}  // namespace polyattn::test
