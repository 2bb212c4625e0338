// Conversions of 16-bit storage, exhaustively over its bit patterns.

#include "base/rows.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace polyattn::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// One of the two formats.
struct Format {
  const char* name;
  int fraction_bits;
  int bias;
  double (*decode)(std::uint16_t) noexcept;
  std::uint16_t (*encode)(double) noexcept;

  [[nodiscard]] std::uint16_t infinity() const {
    return static_cast<std::uint16_t>(0x7fffU >> fraction_bits << fraction_bits);
  }
  [[nodiscard]] bool is_nan(std::uint16_t bits) const { return (bits & 0x7fffU) > infinity(); }
  /// By the definition of the format, infinity standing for the power of two it replaces.
  [[nodiscard]] double value(std::uint16_t bits) const {
    const int exponent = (bits & 0x7fff) >> fraction_bits;
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const double magnitude = exponent == 0
                                 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                 : std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
  }
};

const Format kFormats[] = {{"float16", 10, 15, base::half_to_double, base::double_to_half},
                           {"bfloat16", 7, 127, base::bfloat_to_double, base::double_to_bfloat}};

std::uint16_t negative(std::uint16_t bits) { return static_cast<std::uint16_t>(bits | 0x8000U); }

TEST(Half, EveryPatternDecodesByDefinitionAndRoundTrips) {
  for (const Format& format : kFormats) {
    for (unsigned pattern = 0; pattern <= 0xffffU; ++pattern) {
      const auto bits = static_cast<std::uint16_t>(pattern);
      const double value = format.decode(bits);
      if (format.is_nan(bits)) {
        ASSERT_TRUE(std::isnan(value)) << format.name << " " << pattern;
        ASSERT_TRUE(format.is_nan(format.encode(value))) << format.name << " " << pattern;
        continue;
      }
      const bool infinite = (bits & 0x7fffU) == format.infinity();
      ASSERT_EQ(value, infinite ? std::copysign(kInfinity, format.value(bits)) : format.value(bits))
          << format.name << " " << pattern;
      ASSERT_EQ(std::signbit(value), (bits & 0x8000U) != 0U) << "also of zero";
      ASSERT_EQ(format.encode(value), bits) << format.name << " " << pattern;
    }
  }
}

// Between two neighbours the nearer one, at their middle the even one: with monotony that is the whole function.
TEST(Half, RoundsToTheNearestNeighbourTiesToEven) {
  for (const Format& format : kFormats) {
    for (std::uint16_t below = 0; below < format.infinity(); ++below) {
      const auto above = static_cast<std::uint16_t>(below + 1);
      const double middle = 0.5 * (format.value(below) + format.value(above));  // exact
      const std::uint16_t even = below % 2 == 0 ? below : above;
      ASSERT_EQ(format.encode(middle), even) << format.name << " " << below;
      ASSERT_EQ(format.encode(std::nextafter(middle, 0.0)), below) << format.name << " " << below;
      ASSERT_EQ(format.encode(std::nextafter(middle, kInfinity)), above) << format.name << " " << below;
      ASSERT_EQ(format.encode(-middle), negative(even)) << format.name << " " << below;
      ASSERT_EQ(format.encode(std::nextafter(-middle, 0.0)), negative(below)) << format.name << " " << below;
      ASSERT_EQ(format.encode(std::nextafter(-middle, -kInfinity)), negative(above)) << format.name << " " << below;
    }
  }
}

TEST(Half, RandomNumbersGoToTheNearerNeighbour) {
  Random random(1);
  for (const Format& format : kFormats) {
    const double most = format.value(static_cast<std::uint16_t>(format.infinity() - 1));
    for (int i = 0; i < 20000; ++i) {
      const double x = random.sign() * random.log_uniform(format.value(1) / 4, most);
      const std::uint16_t bits = format.encode(x);
      const auto magnitude = static_cast<std::uint16_t>(bits & 0x7fffU);
      const double error = std::fabs(format.value(magnitude) - std::fabs(x));
      if (magnitude > 0) {
        ASSERT_LE(error, std::fabs(format.value(static_cast<std::uint16_t>(magnitude - 1)) - std::fabs(x)));
      }
      ASSERT_LE(error, std::fabs(format.value(static_cast<std::uint16_t>(magnitude + 1)) - std::fabs(x)));
      ASSERT_EQ(std::signbit(x), (bits & 0x8000U) != 0U);
    }
  }
}

TEST(Half, ExtremesOfDouble) {
  for (const Format& format : kFormats) {
    const std::uint16_t infinity = format.infinity();
    for (const double large : {std::numeric_limits<double>::max(), 0x1p128, kInfinity}) {
      EXPECT_EQ(format.encode(large), infinity) << format.name;
      EXPECT_EQ(format.encode(-large), negative(infinity)) << format.name;
    }
    for (const double small :
         {std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::min(), 0x1p-200}) {
      EXPECT_EQ(format.encode(small), 0U) << format.name;
      EXPECT_EQ(format.encode(-small), 0x8000U) << format.name;
    }
    EXPECT_TRUE(format.is_nan(format.encode(std::nan("")))) << format.name;
    EXPECT_TRUE(format.is_nan(format.encode(-std::nan("")))) << format.name;
  }
  EXPECT_EQ(base::double_to_half(65504.0), 0x7bffU);
  EXPECT_EQ(base::double_to_half(65520.0), 0x7c00U) << "halfway to 2^16, and 2^16 is even";
  EXPECT_EQ(base::double_to_half(std::nextafter(65520.0, 0.0)), 0x7bffU);
}

TEST(Half, UnitRoundoffIsHalfTheSpacingAtOne) {
  for (const DType type : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    const double u = base::unit_roundoff(type);
    double stored[1] = {0.0};
    std::uint64_t bytes = 0;
    const base::RowSink sink{&bytes, type, 1, 1};
    const base::Rows rows{{{&bytes, type, 0, 1, 1, 1}}, 1, 1};
    const auto rounded = [&](double x) {
      base::store_row(sink, 0, &x, 1);
      base::load_rows(rows, 0, 1, stored, 1);
      return stored[0];
    };
    EXPECT_EQ(rounded(1.0 + 2.0 * u), 1.0 + 2.0 * u) << name_of(type);
    EXPECT_EQ(rounded(1.0 + u), 1.0) << name_of(type);
    EXPECT_EQ(rounded(1.0 - u), 1.0 - u) << name_of(type);
  }
}

}  // namespace
}  // namespace polyattn::test
