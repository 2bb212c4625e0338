#pragma once

/// A few rows of a head, to guess from before anything is measured.

#include "engines/problem.hpp"
#include "polyattn/dtype.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::planning {

struct SomeRows {
  std::vector<std::int64_t> index;
  std::vector<double> data;  ///< [index.size()][columns]
};

/// At most `most` of so many rows, evenly spaced.
std::vector<std::int64_t> spaced(std::int64_t rows, std::int64_t most);
SomeRows load(const base::Rows& rows, std::vector<std::int64_t> index);
/// At most `most` evenly spaced keys less those that are hidden, which are not read, whatever they hold.
std::vector<std::int64_t> visible_keys(const engines::HeadProblem& problem, std::int64_t most);

/// Lowest and highest per column, and the largest norm, of a few rows.
struct Extremes {
  std::vector<double> low;
  std::vector<double> high;
  double norm = 0.0;
};
Extremes extremes_of(const SomeRows& rows, std::size_t columns);
/// Largest high - low; 0 without rows.
double range_of(const Extremes& values);

/// The bound of exact in float32 if all rows, keys and values were like those.
double likely_float32_bound(const engines::HeadProblem& problem, DType output, const SomeRows& queries,
                            const SomeRows& keys, const Extremes& values);

}  // namespace polyattn::planning
