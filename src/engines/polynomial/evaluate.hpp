#pragma once

/// Query side of Algorithm 1 of [AS23]: rows of T~ from the moments, each with its certificate. U_1 is never formed.

#include "base/parallel.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/row_certificate.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::engines {

/// When a row counts as answered.
struct Acceptance {
  double tolerance = std::numeric_limits<double>::infinity();  ///< on approximation + rounding
  double lse_tolerance = std::numeric_limits<double>::infinity();
  double density_tolerance = std::numeric_limits<double>::infinity();
  bool density_absolute = false;
};

/// Parts of the certificate that depend on the polynomial and the keys, not on the row.
struct EntryBounds {
  double tiny = 0.0;         ///< underflow of numerator and denominator
  double moment_loss = 0.0;  ///< and of the moment the polynomial is matched to
};

/// Everything fixed before rows are answered; shared by calls and threads.
template <class T>
struct PreparedMoments {
  FeatureList features;
  PolynomialTable table;
  RoundingModel rounding;
  KeySideBounds bounds;
  base::Buffer<T> scaled;
  double key_count = 0.0;
  std::vector<std::vector<EntryBounds>> entry_bounds;  ///< [radius][q]
  std::vector<double> class_lost;                      ///< [radius] mass that underflowing weights may have changed
  std::vector<double> class_slack;                     ///< [radius] largest slack
  std::vector<double> flat_errors;                     ///< [q][radius] of the table's entries, for quick access
  std::vector<double> flat_coefficients;               ///< [radius][(degree + 1) / 2 + 1][degree + 1]
};

template <class T>
PreparedMoments<T> prepare_moments(const Frame& frame, const ValueRange& values, const FeatureList& features,
                                   const PolynomialTable& table, const MomentTotals& totals, base::MemoryMeter* memory);

/// The underflow terms of every polynomial and what underflowing weights may change, as certify_row computes them for a
/// row: from table, features and rounding, the number of keys, and of the bounds z_sum, largest_absolute, weight_high.
template <class T>
void bound_entries(PreparedMoments<T>& moments);

struct EvaluationSummary {
  std::int64_t answered = 0;
  double smallest_denominator = std::numeric_limits<double>::infinity();  ///< D_low / W over answered rows
};

/// Answers the rows of `problem` whose certificate meets `acceptance`; answered[row] says which. Rows not answered are
/// left untouched. With `targets`, row i of the problem is row targets[i] of `out` and `answered`.
template <class T>
EvaluationSummary evaluate_rows(const HeadProblem& problem, const Frame& frame, const ValueRange& values,
                                const PreparedMoments<T>& moments, const Acceptance& acceptance, const HeadOutputs& out,
                                std::vector<std::uint8_t>& answered, const base::Context& context,
                                const std::int64_t* targets = nullptr);

/// Rows evaluated together: more where there are few columns, a multiple of 64.
std::int64_t evaluation_block(std::int64_t columns) noexcept;

}  // namespace polyattn::engines
