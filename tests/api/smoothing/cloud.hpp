#pragma once

/// Points to smooth, and smoothing by its definition in the widest arithmetic at hand.

#include "polyattn/smoothing.hpp"
#include "support/problem.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::test {

struct Cloud {
  Stored points;
  Stored values;
  Stored queries;
  std::vector<double> bandwidth;  ///< one for each axis
  std::optional<Stored> log_weights;

  [[nodiscard]] std::int64_t n() const { return points.shape[2]; }
  [[nodiscard]] std::int64_t d() const { return points.shape[3]; }
  [[nodiscard]] std::int64_t columns() const { return values.shape[3]; }
  [[nodiscard]] std::int64_t m() const { return queries.shape[2]; }
  [[nodiscard]] SmoothOptions smooth_options() const;
  [[nodiscard]] DensityOptions density_options() const;
};

/// A matrix [1, 1, rows, columns].
Stored matrix_of(DType dtype, std::int64_t columns, const std::vector<double>& entries);

struct CloudShape {
  std::int64_t n = 100;
  std::int64_t d = 2;
  std::int64_t columns = 1;
  std::int64_t m = 40;
  DType dtype = DType::float64;
  double extent = 1.0;
};
/// Points from the unit cube, scaled, values a smooth function of them with some noise, queries in a cube a little
/// larger, a bandwidth of some 0.05 to 0.4 of the extent for each axis.
Cloud random_cloud(const CloudShape& shape, Random& random);

/// A query answered by the definition. Its own rounding is a relative 2^-90 of what it adds up, or less.
struct TrueRow {
  std::vector<Quad> output;
  Quad lse = 0;      ///< log sum w; -infinity where nothing is seen
  Quad squared = 0;  ///< log sum w^2
};
inline constexpr double kOracle = 0x1p-90;

/// @param left_out  index of a point that is not seen, or -1
TrueRow true_row(const Cloud& cloud, const double* query, std::int64_t left_out = -1);

/// Leaving one out by the definition: mean squared residuals over the points scored, those whose log of the total
/// weight is at least `least`; column by column.
struct TrueResiduals {
  std::vector<Quad> variance;
  std::int64_t scored = 0;
};
TrueResiduals true_residuals(const Cloud& cloud, const std::vector<double>& bandwidth, double least = -708.0);

Quad magnitude(Quad x);
Quad root(Quad x);
/// |computed - truth| less what the oracle may have rounded, for truths of at most `size`.
double distance(double computed, Quad truth, double size);

}  // namespace polyattn::test
