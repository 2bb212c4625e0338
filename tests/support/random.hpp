#pragma once

/// Random numbers that are the same on every platform and compiler: the standard engines are, its distributions are
/// not.

#include <cmath>
#include <cstdint>

namespace polyattn::test {

/// SplitMix64 (Steele, Lea, Flood 2014): any seed is a good seed, streams of different seeds are unrelated.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t bits() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  /// In [0, 1), a multiple of 2^-53.
  double unit() noexcept { return static_cast<double>(bits() >> 11U) * 0x1p-53; }
  double uniform(double low, double high) noexcept { return low + (high - low) * unit(); }
  /// exp of a uniform number in [log low, log high).
  double log_uniform(double low, double high) noexcept { return std::exp(uniform(std::log(low), std::log(high))); }
  /// In [low, high], both included.
  std::int64_t integer(std::int64_t low, std::int64_t high) noexcept {
    const auto span = static_cast<std::uint64_t>(high - low) + 1U;
    return low + static_cast<std::int64_t>(bits() % span);
  }
  bool chance(double probability) noexcept { return unit() < probability; }
  double sign() noexcept { return chance(0.5) ? 1.0 : -1.0; }
  double normal() noexcept {
    constexpr double kTwoPi = 6.283185307179586;
    const double radius = std::sqrt(-2.0 * std::log1p(-unit()));
    return radius * std::cos(kTwoPi * unit());
  }

 private:
  std::uint64_t state_;
};

}  // namespace polyattn::test
