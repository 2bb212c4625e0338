#pragma once

/// Passes over the queries and over one key set: extents, norms, log weights, ranges of values.

#include "engines/tuples/frame.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Norms of rows under factors for the coordinates, maxima over rows, rounded up. Infinite where they overflow.
struct SetNorms {
  double all = 0.0;  ///< |a k|_2m
  double two = 0.0;
  double four = 0.0;
  double largest = 0.0;  ///< of any coordinate
  double before = 0.0;   ///< |k|_2m, without factors
};
struct QueryNorms {
  std::vector<double> half;  ///< max |q_l|
  double norm = 0.0;         ///< max |a q|_2
  double norm_before = 0.0;
  std::vector<std::int64_t> far;
};

/// At least the p-th root of a sum of p-th powers over `dim` coordinates, as computed.
double root_above(double sum, std::int64_t dim, int power) noexcept;
/// At least 1 for 0, else the next power of two above, within 2^+-1000.
double power_of_two_above(double value) noexcept;

QueryNorms measure_queries(const HeadProblem& problem, const std::vector<double>& factors,
                           const base::Context& context);

/// The set without what passes over its data find.
TupleSet make_tuple_set(const TupleProblem& problem, std::size_t set, KeyRange seen);

/// Those passes: log weights, scales, extents and value ranges of the set, and its norms; `sets` is m.
SetNorms measure_set(const std::vector<double>& factors, int sets, const base::Context& context, TupleSet& set);

/// The pass over the values: their range.
void measure_values(const base::Context& context, TupleSet& set);

}  // namespace polyattn::engines
