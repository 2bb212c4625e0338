#include "numerics/monomials.hpp"

#include "numerics/rounding.hpp"
#include "polyattn/polynomial.hpp"
#include "simd/monomial_lists.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::Monomials;

/// Every monomial as a list of variables, at the index the steps and offsets give it.
std::vector<VariableList> decoded(const Monomials& list) {
  std::vector<VariableList> features(static_cast<std::size_t>(list.rank()));
  std::vector<VariableList> latest(static_cast<std::size_t>(list.degree) + 1);
  std::vector<std::ptrdiff_t> next(list.offsets);
  for (const numerics::MonomialStep& step : list.steps) {
    const std::size_t t = step.degree;
    latest[t] = latest[t - 1];
    latest[t].push_back(step.variable);
    features[static_cast<std::size_t>(next[t]++)] = latest[t];
  }
  return features;
}

TEST(Monomials, AreAllOfThemInLexicographicOrderWithinADegree) {
  for (int dim = 1; dim <= 5; ++dim) {
    for (int degree = 0; degree <= 6; ++degree) {
      const Monomials list = numerics::monomials(dim, degree);
      EXPECT_EQ(decoded(list), monomials_up_to(dim, degree)) << "dim " << dim << ", degree " << degree;
    }
  }
}

TEST(Monomials, RankAndOffsetsAreBinomials) {
  for (const int dim : {1, 2, 3, 8, 17, 64, 256}) {
    for (int degree = 0; feature_rank(dim, degree) <= 40000 && degree <= 64; ++degree) {
      const Monomials list = numerics::monomials(dim, degree);
      ASSERT_EQ(list.dim, dim);
      ASSERT_EQ(list.degree, degree);
      ASSERT_EQ(list.rank(), feature_rank(dim, degree)) << dim << " " << degree;
      ASSERT_EQ(static_cast<std::ptrdiff_t>(list.steps.size()), list.rank() - 1);
      ASSERT_EQ(static_cast<int>(list.offsets.size()), degree + 2);
      EXPECT_EQ(list.offsets[0], 0);
      for (int t = 0; t <= degree; ++t) {
        EXPECT_EQ(list.offsets[static_cast<std::size_t>(t) + 1], feature_rank(dim, t)) << "a lower degree is a prefix";
      }
    }
  }
}

// What the kernels rely on to keep one group a degree: the parent of a step is the latest visited monomial one degree
// lower.
TEST(Monomials, AStepExtendsTheLatestMonomialBelowByALaterVariable) {
  const Monomials list = numerics::monomials(5, 6);
  std::vector<int> last_variable(7, 0);
  int depth = 0;
  for (const numerics::MonomialStep& step : list.steps) {
    ASSERT_LE(static_cast<int>(step.degree), depth + 1) << "depth first: down one degree at a time";
    ASSERT_GE(static_cast<int>(step.variable), last_variable[step.degree - 1U]);
    depth = step.degree;
    last_variable[step.degree] = step.variable;
  }
}

std::vector<double> weights_of(const Monomials& list, const std::vector<double>& z) {
  std::vector<double> weights(static_cast<std::size_t>(list.rank()), -1.0);
  numerics::multinomial_weights(list, z.data(), weights.data());
  return weights;
}

TEST(Monomials, WeightsAreMultinomialCoefficientsTimesPowers) {
  Random random(5);
  for (const int dim : {1, 2, 4}) {
    const int degree = dim == 1 ? 30 : 9;
    std::vector<double> z;
    for (int l = 0; l < dim; ++l) {
      z.push_back(random.sign() * random.log_uniform(1e-3, 1e3));
    }
    const Monomials list = numerics::monomials(dim, degree);
    const std::vector<double> weights = weights_of(list, z);
    const std::vector<VariableList> features = decoded(list);
    for (std::size_t f = 0; f < features.size(); ++f) {
      long double expected = 1.0L;
      int run = 0;
      for (std::size_t i = 0; i < features[f].size(); ++i) {
        run = i > 0 && features[f][i] == features[f][i - 1] ? run + 1 : 1;
        expected *= static_cast<long double>(i + 1) / run *
                    static_cast<long double>(z[static_cast<std::size_t>(features[f][i])]);
      }
      const auto t = static_cast<double>(features[f].size());
      const auto error = static_cast<double>(std::fabs(static_cast<long double>(weights[f]) - expected));
      ASSERT_LE(error, (numerics::gamma(3.0 * t, numerics::kU64) + 1e-17) * static_cast<double>(std::fabs(expected)))
          << "feature " << f << " of degree " << t;
    }
  }
}

// sum over |alpha| = t of (t!/alpha!) z^alpha = (sum z)^t.
TEST(Monomials, WeightsOfADegreeSumToThePowerOfTheSum) {
  Random random(6);
  for (int trial = 0; trial < 20; ++trial) {
    const int dim = static_cast<int>(random.integer(1, 6));
    const int degree = static_cast<int>(random.integer(0, 6));
    std::vector<double> z;
    long double sum = 0.0L;
    long double absolute = 0.0L;
    for (int l = 0; l < dim; ++l) {
      z.push_back(random.uniform(-2.0, 2.0));
      sum += static_cast<long double>(z.back());
      absolute += static_cast<long double>(std::fabs(z.back()));
    }
    const Monomials list = numerics::monomials(dim, degree);
    const std::vector<double> weights = weights_of(list, z);
    for (int t = 0; t <= degree; ++t) {
      long double total = 0.0L;
      for (auto f = list.offsets[static_cast<std::size_t>(t)]; f < list.offsets[static_cast<std::size_t>(t) + 1]; ++f) {
        total += static_cast<long double>(weights[static_cast<std::size_t>(f)]);
      }
      const auto allowed =
          (numerics::gamma(3.0 * t, numerics::kU64) + 1e-16) * static_cast<double>(std::pow(absolute, t));
      ASSERT_LE(static_cast<double>(std::fabs(total - std::pow(sum, t))), allowed) << "dim " << dim << ", degree " << t;
    }
  }
}

TEST(Monomials, ZeroCoordinatesHaveZeroWeight) {
  const Monomials list = numerics::monomials(2, 3);
  const std::vector<double> weights = weights_of(list, {2.0, 0.0});
  const std::vector<double> expected = {1, 2, 0, 4, 0, 0, 8, 0, 0, 0};
  EXPECT_EQ(weights, expected);
}

}  // namespace
}  // namespace polyattn::test
