// The kernels' 2^x on its whole domain: every float32 from -125 to 0 against the C library's float64 exp2, a dense
// sample of float64 with all boundaries against binary128, each on every instruction set this processor has. The
// numbers go through `absorb`, so that what is tested is what the exact engine runs: eight keys that are unit vectors
// make the scores of 48 queries arbitrary, a running maximum of 0 leaves them as they are, and eight value columns that
// are unit vectors return each weight alone.

#include "base/parallel.hpp"
#include "simd/dispatch.hpp"
#include "support/quad.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <type_traits>
#include <vector>

namespace polyattn::test {
namespace {

constexpr std::size_t kLanes = simd::kTile;
constexpr std::size_t kKeys = simd::kRowGroup;
constexpr std::size_t kBatch = kKeys * kLanes;

template <class T>
const simd::ExactKernels<T>& kernels_of(const simd::KernelTable& table) {
  if constexpr (std::is_same_v<T, float>) {
    return table.exact32;
  } else {
    return table.exact64;
  }
}

template <class T>
using Batch = std::array<T, kBatch>;

/// Weights of scores x <= 0 relative to a maximum of 0.
template <class T>
class Weights {
 public:
  Weights() : values_(kKeys * simd::kKeyBlock, T(0)), scratch_(kLanes * simd::kKeyBlock, T(0)) {
    for (std::size_t r = 0; r < kKeys; ++r) {
      keys_[r * kKeys + r] = T(1);    // [dim][8]
      values_[r * kKeys + r] = T(1);  // [key][8]
    }
  }

  const Batch<T>& operator()(const simd::KernelTable& table, const Batch<T>& x) {
    max_.fill(T(0));
    excess_.fill(-std::numeric_limits<T>::infinity());
    sum_.fill(T(0));
    weights_.fill(T(0));
    const simd::ExactBlock<T> block{keys_.data(), values_.data(), bias_.data(), T(0), 0, 1};
    const simd::ExactTile<T> tile{.dim = kKeys,
                                  .value_dim = kKeys,
                                  .lanes = kLanes,
                                  .score = simd::TileScore::dot,
                                  .queries = x.data(),
                                  .factors = nullptr,
                                  .cap = {},
                                  .mask = nullptr,
                                  .guarded = false,
                                  .skip_far = false,
                                  .scratch = scratch_.data()};
    kernels_of<T>(table).absorb(block, tile, {max_.data(), excess_.data(), sum_.data(), weights_.data()});
    return weights_;
  }

 private:
  alignas(64) std::array<T, kKeys * kKeys> keys_{};
  alignas(64) std::array<T, kKeys> bias_{};
  alignas(64) std::array<T, kLanes> max_{};
  alignas(64) std::array<T, kLanes> excess_{};
  alignas(64) std::array<T, kLanes> sum_{};
  alignas(64) Batch<T> weights_{};
  std::vector<T> values_;
  std::vector<T> scratch_;
};

/// The largest errors met, and where.
struct Worst {
  double relative = 0.0;
  double ulps = 0.0;
  double at = 0.0;
  std::int64_t different = 0;  ///< numbers on which instruction sets disagree
  std::int64_t looked_at = 0;

  void add(const Worst& other) {
    at = other.relative > relative ? other.at : at;
    relative = std::max(relative, other.relative);
    ulps = std::max(ulps, other.ulps);
    different += other.different;
    looked_at += other.looked_at;
  }
};

/// 2^x and the error of `computed`, both scaled by one power of two so that nothing underflows: in float64 for float,
/// in binary128 for double.
double error_of(float computed, float x, double& exact) {
  exact = std::exp2(static_cast<double>(x));
  return std::abs(static_cast<double>(computed) - exact);
}
double error_of(double computed, double x, double& exact) {
  // 2^(x - n) = exp((x - n) ln 2) for the whole number n next to x.
  const double n = std::nearbyint(x);
  const Quad ln2 = static_cast<Quad>(0x1.62e42fefa39efp-1) + static_cast<Quad>(0x1.abc9e3b39803fp-56) +
                   static_cast<Quad>(0x1.7b57a079a1934p-111);
  const Quad scaled = exp_of(static_cast<Quad>(x - n) * ln2);
  exact = static_cast<double>(scaled);
  return std::abs(static_cast<double>(static_cast<Quad>(std::ldexp(computed, -static_cast<int>(n))) - scaled));
}

/// Runs x on every instruction set and judges the first's answers.
template <class T>
void judge(Weights<T>& weights, const Batch<T>& x, Worst& worst) {
  const auto& tables = simd::available();
  const Batch<T> first = weights(*tables.front(), x);
  for (std::size_t t = 1; t < tables.size(); ++t) {
    const Batch<T>& other = weights(*tables[t], x);
    for (std::size_t i = 0; i < kBatch; ++i) {
      worst.different += first[i] == other[i] ? 0 : 1;  // never zeros, never NaN: the errors below would be 1
    }
  }
  for (std::size_t i = 0; i < kBatch; ++i) {
    double exact = 0.0;
    const double error = error_of(first[i], x[i], exact);
    const double relative = error / exact;
    if (!(relative <= worst.relative)) {
      worst.relative = relative;
      worst.at = static_cast<double>(x[i]);
    }
    const double ulp = std::ldexp(1.0, std::ilogb(exact) + 1 - std::numeric_limits<T>::digits);
    worst.ulps = std::max(worst.ulps, error / ulp);
  }
  worst.looked_at += static_cast<std::int64_t>(kBatch);
}

template <class T>
void report(const Worst& worst, double certified) {
  std::printf(
      "2^x in %s: %lld numbers on %zu instruction sets, largest error %.4f units in the last place,\n"
      "  relative %.4f u at %a\n"
      "worst-clearance (measured / certified): %.4f\n",
      std::is_same_v<T, float> ? "float32" : "float64", static_cast<long long>(worst.looked_at),
      simd::available().size(), worst.ulps,
      worst.relative / static_cast<double>(std::numeric_limits<T>::epsilon()) * 2.0, worst.at,
      worst.relative / certified);
}

base::Context all_threads() { return {base::hardware_threads(), nullptr, nullptr}; }

TEST(Exp2Sweep, EveryFloat32InItsDomain) {
  constexpr std::uint32_t kLast = std::bit_cast<std::uint32_t>(125.0F);
  constexpr std::uint32_t kChunk = 1U << 20U;
  std::vector<Worst> found(kLast / kChunk + 1);
  base::parallel_for(all_threads(), static_cast<std::int64_t>(found.size()), [&](std::int64_t item, int) {
    Weights<float> weights;
    Batch<float> x{};
    Worst worst;  // not shared with other threads while it grows
    const std::uint32_t begin = static_cast<std::uint32_t>(item) * kChunk;
    const std::uint32_t end = std::min(begin + kChunk - 1U, kLast);
    for (std::uint32_t first = begin; first <= end; first += kBatch) {
      for (std::uint32_t i = 0; i < kBatch; ++i) {
        x[i] = -std::bit_cast<float>(std::min(first + i, end));
      }
      judge(weights, x, worst);
    }
    found[static_cast<std::size_t>(item)] = worst;
  });
  Worst worst;
  for (const Worst& each : found) {
    worst.add(each);
  }
  report<float>(worst, simd::kExp2MaxRelF32);
  EXPECT_GE(worst.looked_at, std::int64_t{kLast} + 1);
  EXPECT_EQ(worst.different, 0);
  EXPECT_LE(worst.relative + 0x1p-51, simd::kExp2MaxRelF32);  // exp2 in float64 is off by one unit or so
  EXPECT_GT(worst.relative, 0.9 * simd::kExp2MaxRelF32);
  EXPECT_LE(worst.ulps, 1.0) << "faithfully rounded";
}

TEST(Exp2Sweep, Float64DenselyAndAtEveryBoundary) {
  constexpr std::int64_t kItems = 1024;
  std::vector<Worst> found(kItems);
  base::parallel_for(all_threads(), kItems, [&](std::int64_t item, int) {
    Weights<double> weights;
    Batch<double> x{};
    Worst worst;
    Random random(static_cast<std::uint64_t>(item));
    // Around -item, -item + 1/2 and their neighbours: the ends of the range of the polynomial, the exact powers.
    const double whole = static_cast<double>(std::min<std::int64_t>(item, 1021));
    for (std::size_t i = 0; i < kBatch; ++i) {
      double near = whole - (i % 2 == 0 ? 0.0 : 0.5);
      for (std::size_t step = 0; step < i / 4; ++step) {
        near = std::nextafter(near, i % 4 < 2 ? 0.0 : 2000.0);
      }
      x[i] = -std::clamp(near, 0.0, 1021.0);
    }
    judge(weights, x, worst);
    for (int round = 0; round < 40; ++round) {
      for (double& each : x) {
        switch (random.integer(0, 3)) {
          case 0:
            each = -random.uniform(0.0, 1021.0);
            break;
          case 1:
            each = -random.uniform(0.0, 1.0);
            break;
          case 2:  // near half integers, where the error is largest
            each = -(static_cast<double>(random.integer(0, 1020)) + random.uniform(0.47, 0.53));
            break;
          default:
            each = -random.log_uniform(1e-310, 1021.0);
        }
      }
      judge(weights, x, worst);
    }
    found[static_cast<std::size_t>(item)] = worst;
  });
  Worst worst;
  for (const Worst& each : found) {
    worst.add(each);
  }
  report<double>(worst, simd::kExp2MaxRelF64);
  EXPECT_EQ(worst.different, 0);
  EXPECT_LE(worst.relative, simd::kExp2MaxRelF64);
  EXPECT_GT(worst.relative, 0.9 * simd::kExp2MaxRelF64);
  EXPECT_LE(worst.ulps, 1.0) << "faithfully rounded";
}

template <class T>
void expect_zero_below(T flush) {
  Weights<T> weights;
  Random random(9);
  Batch<T> x{};
  for (T& each : x) {
    each = -static_cast<T>(std::ldexp(-static_cast<double>(flush), static_cast<int>(random.integer(0, 100))) *
                           random.uniform(1.0, 1.9));
  }
  x[0] = std::nextafter(flush, -std::numeric_limits<T>::infinity());
  x[1] = std::numeric_limits<T>::lowest();
  x[2] = flush;
  for (const simd::KernelTable* table : simd::available()) {
    const Batch<T>& p = weights(*table, x);
    for (std::size_t i = 0; i < kBatch; ++i) {
      EXPECT_EQ(p[i], x[i] < flush ? T(0) : std::exp2(x[i])) << table->name << ' ' << x[i];
    }
  }
}

TEST(Exp2Sweep, BelowTheDomainIsZero) {
  expect_zero_below(-125.0F);
  expect_zero_below(-1021.0);
}

}  // namespace
}  // namespace polyattn::test
