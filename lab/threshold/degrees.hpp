#pragma once

/// The least degree of a polynomial close to exp against the formula for it ([AS23] Lemma 2.1).

#include <vector>

namespace polyattn::lab {

struct DegreeRow {
  double length = 0.0;     ///< the lemma's B: exp on [0, B]
  double tolerance = 0.0;  ///< the lemma's eps, absolute
  int degree = 0;  ///< least of a truncated Chebyshev series; the least of all is less by one at most here and there
  double formula = 0.0;  ///< max{B, ln(1/eps)/ln(max(e, ln(1/eps)/B))}

  [[nodiscard]] double ratio() const noexcept { return degree / formula; }
};

/// For B = 1, 2, 4, ..., 256 and eps = 1e-1, ..., 1e-60. With x = B/2 + y, |y| <= B/2, an absolute error of eps on
/// [0, B] is one of eps exp(-B/2) on [-B/2, B/2].
std::vector<DegreeRow> degree_table();

/// Largest and smallest ratio.
struct RatioRange {
  double low = 0.0;
  double high = 0.0;
};
RatioRange ratio_range(const std::vector<DegreeRow>& rows);

}  // namespace polyattn::lab
