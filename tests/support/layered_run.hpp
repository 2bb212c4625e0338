#pragma once

/// A head run through the polynomial engine with its features in layers of other coordinates
/// (engines/polynomial/layers.hpp).

#include "engines/polynomial/layers.hpp"
#include "support/polynomial_run.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// Second moments of centred rows in the metric, row-major.
std::vector<double> second_moments(const std::vector<double>& rows, std::int64_t dim, const std::vector<double>& centre,
                                   const std::vector<double>& factor);
engines::HeadMaps identity_maps(const engines::Frame& frame);
/// Those that balance the second moments of queries and keys; the identity where there are none.
engines::HeadMaps balanced_maps(const HeadData& head, const engines::Frame& frame);

/// `frame` leaves no key out. Log-sum-exp is not offered: `lse` and `lse_bound` stay empty.
template <class T>
PolynomialRun run_layers(const HeadData& head, const engines::Frame& frame, const engines::ValueRange& values,
                         const engines::HeadMaps& maps, const engines::LayerShape& shape);

}  // namespace polyattn::test
