#include "lab/hamming_gap.hpp"

#include "polyattn/error.hpp"

#include <cmath>
#include <string>

namespace polyattn::lab {

HammingGap gap_at(std::int64_t near, double ratio) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  if (near < 0 || near > most) {
    throw Error(ErrorCode::invalid_argument, "near: expected a distance of 0 to 2^40, got " + std::to_string(near));
  }
  if (!(ratio >= 1.0 && ratio <= 0x1p20)) {
    throw Error(ErrorCode::invalid_argument, "ratio: expected 1 to 2^20, got " + std::to_string(ratio));
  }
  const auto t = static_cast<double>(near);
  const double product = ratio * t;
  double whole = std::floor(product);
  if (whole == product && std::fma(ratio, t, -product) < 0.0) whole -= 1.0;  // it was rounded up to a whole number
  return {near, static_cast<std::int64_t>(whole) + 1};
}

}  // namespace polyattn::lab
