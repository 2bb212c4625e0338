#pragma once

/// Small attention problems drawn from a seed, and moves that change them: the search space of the certificate tests.
///
/// A problem is a genome, a family and a seed followed by the seeds of the moves that were made. Replaying it needs
/// nothing of the library, so a genome means the same inputs for every version of it.

#include "support/problem.hpp"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::test {

enum class Family : std::uint8_t {
  broad,  ///< everything: up to 24 x 400, 1 to 128 dimensions, radii 1e-3 to 12, all key and value distributions
  tight,  ///< tiny, on corners, where the bounds are nearly attained; starting points of the search
};

struct Genome {
  Family family = Family::broad;
  std::uint64_t seed = 0;
  std::vector<std::uint64_t> moves;
};

std::ostream& operator<<(std::ostream& out, const Genome& genome);
/// One line "broad|tight seed [move...]"; nothing for an empty line or a comment (#). Throws std::runtime_error.
std::optional<Genome> parse_genome(const std::string& line);

/// One head, row-major, before rounding to storage, and what is asked of the library.
struct SmallProblem {
  std::int64_t n_q = 0;
  std::int64_t n_kv = 0;    ///< of the pattern that is written out below
  std::int64_t copies = 1;  ///< of the pattern: the head has n_kv * copies keys
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> bias;  ///< empty: none
  Score score = Dot{1.0};
  Causal causal = Causal::none;
  DType storage = DType::float64;
  DType output = DType::float64;
  Engine engine = Engine::polynomial;
  Arithmetic arithmetic = Arithmetic::float64;
  std::optional<int> degree;
  Tolerance tolerance;

  [[nodiscard]] Problem stored() const;
  /// With row bounds and log-sum-exp, one thread, strict for the polynomial engine.
  [[nodiscard]] Options options() const;
};

SmallProblem grown(const Genome& genome);
SmallProblem draw_small_problem(Family family, std::uint64_t seed);
void move(SmallProblem& problem, std::uint64_t seed);

/// Of the rows of [rows, dim] points.
std::vector<double> mean_of(const std::vector<double>& points, std::int64_t dim);
/// Largest |<q - mean q, k - mean k>| of points [n][dim], or 0.
double largest_centred_score(const std::vector<double>& q, const std::vector<double>& k, std::int64_t dim);
/// The error sum_{k > degree} -2 I_k(radius) T_k(x / radius) of the truncated Chebyshev series of exp at |x| <= radius,
/// from the series of the Bessel functions: no cancellation however small it is.
double chebyshev_error(double x, double radius, int degree);
/// Sets column `column` of the values to +-amplitude by the sign of the error that each key's weight has in row `row`:
/// the values for which the errors of the weights add up.
void align_values(SmallProblem& problem, std::int64_t row, std::int64_t column, int degree, double amplitude);

}  // namespace polyattn::test
