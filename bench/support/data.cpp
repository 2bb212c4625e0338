#include "support/data.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace polyattn::bench {

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

template <class T>
std::vector<T> normal_tokens(std::int64_t n, std::int64_t d, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> tokens(static_cast<std::size_t>(n * d));
  for (T& entry : tokens) entry = static_cast<T>(random.normal());
  return tokens;
}

template std::vector<float> normal_tokens<float>(std::int64_t, std::int64_t, std::uint64_t);
template std::vector<double> normal_tokens<double>(std::int64_t, std::int64_t, std::uint64_t);

std::uint16_t to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  // Half of the last place that stays, a little less before an even one: ties to even.
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

std::uint16_t to_float16(float x) {
  if (x == 0.0F) return std::signbit(x) ? 0x8000U : 0U;
  const int exponent = std::max(std::ilogb(x), -14);
  // 11 bits before the point, fewer for subnormals; a carry to 2048 moves on to the next exponent by itself.
  const auto significand = static_cast<int>(std::nearbyint(std::ldexp(std::abs(x), 10 - exponent)));
  const int magnitude = (exponent + 15) * 1024 + significand - 1024;
  return static_cast<std::uint16_t>(magnitude + (std::signbit(x) ? 0x8000 : 0));
}

template <class T>
std::vector<T> uniform_tokens(std::int64_t n, std::int64_t d, double low, double high, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> tokens(static_cast<std::size_t>(n * d));
  for (T& entry : tokens) entry = static_cast<T>((high - low) * random.uniform() + low);
  return tokens;
}

template std::vector<float> uniform_tokens<float>(std::int64_t, std::int64_t, double, double, std::uint64_t);
template std::vector<double> uniform_tokens<double>(std::int64_t, std::int64_t, double, double, std::uint64_t);

template <class T>
std::vector<T> values_of_keys(const std::vector<T>& keys, std::int64_t d, std::int64_t d_v, const Spread& spread,
                              double frequency, std::uint64_t seed) {
  Random random(seed);
  const std::int64_t n = static_cast<std::int64_t>(keys.size()) / d;
  std::vector<T> values;
  values.reserve(static_cast<std::size_t>(n * d_v));
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t c = 0; c < d_v; ++c) {
      const auto key = static_cast<double>(keys[static_cast<std::size_t>(j * d + c % d)]);
      const double z = (key - spread.mean) / spread.deviation;
      const std::int64_t times = 1 + c / d;
      values.push_back(static_cast<T>(std::sin(frequency * z * static_cast<double>(times)) + 0.1 * random.normal()));
    }
  }
  return values;
}

template std::vector<float> values_of_keys<float>(const std::vector<float>&, std::int64_t, std::int64_t, const Spread&,
                                                  double, std::uint64_t);
template std::vector<double> values_of_keys<double>(const std::vector<double>&, std::int64_t, std::int64_t,
                                                    const Spread&, double, std::uint64_t);

std::vector<std::int64_t> random_rows(std::int64_t count, std::int64_t n, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  for (std::int64_t& row : rows) row = static_cast<std::int64_t>(random.uniform() * static_cast<double>(n));
  return rows;
}

}  // namespace polyattn::bench
