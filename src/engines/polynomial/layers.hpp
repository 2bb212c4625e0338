#pragma once

/// Features of a turned head (turned_head.hpp) in two layers: monomials of the strong coordinates alone up to degree g,
/// and each weak coordinate times those up to degree g_1. Scores are s = s_1 + t, strong and weak part, and
///
///     P(s) = p(s_1) + t p_1(s_1),   p and p_1 polynomials of degree g and g_1.
///
/// What the weak coordinates may do beyond first order is charged by their second moment. docs/proofs/layers.md has
/// statement and proof.

#include "base/parallel.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/turned_head.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

struct LayerShape {
  std::int64_t strong = 0;  ///< coordinates with polynomials of full degree
  int degree = 0;
  int first_degree = 0;  ///< of the strong monomials that go with a weak coordinate; at most `degree`
};

/// Number of features of both layers, C(s + g, g) + (dim - s) C(s + g_1, g_1); -1 beyond 2^40.
std::int64_t layered_rank(std::int64_t dim, const LayerShape& shape) noexcept;

/// Lists of features: of strong coordinates; of all, degree u + 1 being a weak coordinate times a strong monomial of
/// degree u; and of weak ones up to degree 2, for the weight alone.
struct LayerFeatures {
  FeatureList strong;
  FeatureList first;
  FeatureList weak;
};
LayerFeatures layer_features(std::int64_t dim, const LayerShape& shape, std::int64_t value_dim);

/// All that rows need of the keys.
template <class T>
struct PreparedLayers {
  PreparedMoments<T> strong;
  PreparedMoments<T> first;  ///< degree u + 1 of the list goes with degree u of p_1
  PreparedMoments<T> weak;
  PolynomialTable first_table;  ///< of degree g_1, for the radii of strong.table
};

/// Rows of strong radius up to `radius` are served. Cost: layered_rank (value_dim + 1) multiply-adds a key.
template <class T>
PreparedLayers<T> prepare_layers(const TurnedHead& head, const ValueRange& values, const LayerShape& shape,
                                 double radius, const base::Context& context);

/// Answers rows as evaluate_rows does; log-sum-exp is not offered: `acceptance` asks for none and `out` has no place
/// for it.
template <class T>
EvaluationSummary evaluate_layers(const TurnedHead& head, const ValueRange& values, const PreparedLayers<T>& layers,
                                  const Acceptance& acceptance, const HeadOutputs& out,
                                  std::vector<std::uint8_t>& answered, const base::Context& context);

}  // namespace polyattn::engines
