#pragma once

/// Inputs of the benchmarks: the same numbers everywhere, whatever the standard library.

#include <cstdint>
#include <random>
#include <vector>

namespace polyattn::bench {

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}
  /// Uniform on [0, 1), 53 bits.
  double uniform() { return static_cast<double>(bits_() >> 11) * 0x1p-53; }
  /// Standard normal (Box and Muller).
  double normal();

 private:
  std::mt19937_64 bits_;
};

/// [n, d] of independent entries, standard normal. T is float or double.
template <class T>
std::vector<T> normal_tokens(std::int64_t n, std::int64_t d, std::uint64_t seed);

/// The nearest bfloat16 and float16 of a number within their range, as bits.
std::uint16_t to_bfloat16(float x);
std::uint16_t to_float16(float x);

/// [n, d] of independent entries, uniform on [low, high]. T is float or double.
template <class T>
std::vector<T> uniform_tokens(std::int64_t n, std::int64_t d, double low, double high, std::uint64_t seed);

/// What the entries of keys are drawn from: mean and standard deviation.
struct Spread {
  double mean = 0.0;
  double deviation = 1.0;
};

/// Values that depend on the keys: V_c = sin(frequency * z_(c mod d) * (1 + c div d)) + 0.1 * noise, where z is the
/// standardised key, (k - mean) / deviation. [n, d_v]. T is float or double.
template <class T>
std::vector<T> values_of_keys(const std::vector<T>& keys, std::int64_t d, std::int64_t d_v, const Spread& spread,
                              double frequency, std::uint64_t seed);

/// `count` indices below n, independent and uniform.
std::vector<std::int64_t> random_rows(std::int64_t count, std::int64_t n, std::uint64_t seed);

}  // namespace polyattn::bench
