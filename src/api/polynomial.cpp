#include "polyattn/polynomial.hpp"

#include "base/float_environment.hpp"
#include "numerics/exp_polynomial.hpp"
#include "numerics/rank.hpp"

namespace polyattn {

ExpPolynomial exp_polynomial(double radius, int degree, int moment) {
  const base::FloatEnvironment environment;
  return numerics::moment_matched(radius, degree, moment);
}

ExpPolynomial exp_polynomial_for(double radius, double tolerance, bool relative) {
  const base::FloatEnvironment environment;
  return numerics::lowest_degree(radius, tolerance, relative);
}

std::int64_t feature_rank(std::int64_t dim, int degree) noexcept { return numerics::feature_rank(dim, degree); }

std::int64_t papers_rank(std::int64_t dim, int degree, int order) noexcept {
  return numerics::papers_rank(dim, degree, order);
}

}  // namespace polyattn
