#pragma once

/// What is fixed of a stream before its first token: where queries, keys and values lie, hence the coordinates, the
/// radius of the scores, the features and the polynomials; and the error that follows from all this alone.
///
/// docs/theory.md, section on streams, has statement and proof. Cost: rank numbers, and a table of polynomials.

#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/moments.hpp"
#include "engines/polynomial/table.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::engines {

/// |x_l - centre_l| <= half_l on every axis and |x - centre| <= radius, as computed.
struct StreamRegion {
  std::vector<double> centre;
  std::vector<double> half;  ///< at most `radius` each
  double radius = std::numeric_limits<double>::infinity();

  /// The first condition that a row breaks, as "expected" and "got"; empty strings if it is inside.
  struct Complaint {
    std::string expected{};
    std::string got{};
  };
  [[nodiscard]] bool contains(const double* row) const noexcept;
  [[nodiscard]] Complaint complaint(const double* row) const;
};

/// Magnitudes of coordinates and values beyond this are refused: no sum or square of theirs overflows.
inline constexpr double kStreamLargest = 1e150;
/// The same for the terms of a log weight: a weight relative to a power of two near the largest is still exp of a small
/// number as computed.
inline constexpr double kStreamLargestWeight = 0x1p40;

struct StreamDeclaration {
  HeadScore score;
  std::int64_t value_dim = 0;
  StreamRegion queries;
  StreamRegion keys;
  std::vector<double> value_low;  ///< one a column, or empty: not declared
  std::vector<double> value_high;
  bool single_output = false;  ///< answers are stored in float32
};

struct StreamModel {
  StreamDeclaration declared;
  HeadProblem shape;  ///< score and widths, no data
  Frame frame;        ///< `weight_error` is left 0: it grows with the stream
  numerics::Monomials features;
  std::vector<std::uint16_t> last;  ///< last variable of every feature below the highest degree
  std::int64_t padded = 0;          ///< rank, rounded up to whole lanes
  std::vector<double> weights;      ///< multinomial, one a feature
  PolynomialTable table;

  [[nodiscard]] std::int64_t dim() const noexcept { return frame.dim(); }
  [[nodiscard]] std::int64_t columns() const noexcept { return declared.value_dim + 1; }
  [[nodiscard]] std::int64_t rank() const noexcept { return features.rank(); }
};

/// The frame of a declaration; its `radius` bounds every score. Throws nothing: a radius that is too large is infinite.
Frame stream_frame(const StreamDeclaration& declared);

/// The model of one degree. The rank must fit memory.
StreamModel make_stream_model(const StreamDeclaration& declared, int degree);

/// What a bound before the first token may count on.
struct StreamPromise {
  double additions = 0.0;  ///< tokens summed
  double bias = 0.0;       ///< largest |bias|
};

/// Rounding of sums over `additions` tokens of weight `weight` together, whose log weights are made of terms that sum
/// to `terms` at most. `smallest` is such that what certify_row makes of it bounds what the sums of weights lose by
/// underflow; columns of values lose at most max(1, sum w |v - mu|) times as much.
RoundingModel stream_rounding(const Frame& frame, int degree, std::int64_t rank, double additions, double terms,
                              double weight) noexcept;

/// At least the bound that any answer in the domain will carry. Without a declared range of values it is a share of the
/// range that is seen, eight roundings of the values themselves apart.
double stream_bound(const StreamDeclaration& declared, const Frame& frame, const PolynomialTable& table,
                    std::int64_t rank, const StreamPromise& promise) noexcept;

/// out[feature] = x^alpha for all `rank` features: one product each.
void expand_features(const StreamModel& model, const double* x, double* out) noexcept;

}  // namespace polyattn::engines
