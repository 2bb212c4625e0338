#pragma once

/// How far polynomials really are from exact, estimated: a few rows, the farthest among them, answered by every degree
/// and by exact against a part of the keys. Decides which degree a sampled guarantee tries first, never what it says.

#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/moments.hpp"
#include "engines/polynomial/table.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::planning {

struct PilotRow {
  engines::RowRadius radius;
  /// [degree + 1][columns + 1]: sum w s^t (v_c - mu_c) / W, and in the last column sum w s^t / W.
  std::vector<double> sums;
  std::vector<double> answer;  ///< exact, against the same keys, per column
};

struct Pilot {
  int degree = 0;          ///< highest the sums allow
  double weight = 0.0;     ///< W of the keys that were looked at, each for as many as it stands for
  double deviation = 0.0;  ///< largest over the columns of the mean of |v - mu|
  std::vector<PilotRow> rows;
};

/// Cost: some 2,000 rows ranked by radius, then 24 of them times `keys` keys times (dim + (degree + 1)(columns + 1)).
/// Causal rows look at keys they see.
Pilot fly_pilot(const engines::HeadProblem& problem, const engines::Frame& frame, const engines::ValueRange& values,
                int degree, std::int64_t keys, const base::Context& context);

/// Keys a pilot looks at: an eighth, within limits. The same for every tolerance.
std::int64_t pilot_keys(const engines::HeadProblem& problem) noexcept;

struct PilotError {
  double largest = 0.0;  ///< over the rows whose denominator is proved positive
  double refused = 0.0;  ///< share of the others
};

/// `table` is of a degree up to the pilot's.
PilotError pilot_error(const Pilot& pilot, const engines::HeadProblem& problem, const engines::Frame& frame,
                       const engines::ValueRange& values, const engines::PolynomialTable& table, std::int64_t rank,
                       Arithmetic arithmetic, DType output);

}  // namespace polyattn::planning
