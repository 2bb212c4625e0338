#include "base/rows.hpp"

#include "support/random.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using base::Rows;

constexpr DType kTypes[] = {DType::float16, DType::bfloat16, DType::float32, DType::float64};

/// Memory for any view: `elements` numbers that every type stores exactly, a different one in each place.
struct Memory {
  DType type;
  std::vector<std::byte> bytes;
  explicit Memory(DType dtype, std::int64_t elements = 256) : type(dtype), bytes(size_of(dtype) * usize(elements)) {
    for (std::int64_t i = 0; i < elements; ++i) {
      store(i, at(i));
    }
  }
  static std::size_t usize(std::int64_t i) { return static_cast<std::size_t>(i); }
  /// 8 bits of significand at most.
  static double at(std::int64_t element) { return static_cast<double>(element % 256 - 100) * 0.125; }
  void store(std::int64_t element, double value) {
    std::byte* target = bytes.data() + usize(element) * size_of(type);
    const auto put = [&](auto stored) { std::memcpy(target, &stored, sizeof stored); };
    switch (type) {
      case DType::float16:
        put(base::double_to_half(value));
        break;
      case DType::bfloat16:
        put(base::double_to_bfloat(value));
        break;
      case DType::float32:
        put(static_cast<float>(value));
        break;
      case DType::float64:
        put(value);
        break;
    }
  }
  [[nodiscard]] const std::byte* element(std::int64_t i) const { return bytes.data() + usize(i) * size_of(type); }
};

struct Layout {
  std::int64_t origin;  ///< element of batch 0, head 0, row 0, column 0
  Shape shape;
  Shape strides;
};
const Layout kLayouts[] = {
    {0, {2, 3, 4, 5}, {60, 20, 5, 1}},        // contiguous
    {0, {2, 4, 3, 5}, {60, 5, 20, 1}},        // [batch, sequence, heads, dim]
    {0, {2, 3, 4, 5}, {60, 20, 1, 4}},        // transposed matrices
    {119, {2, 3, 4, 5}, {-60, -20, -5, -1}},  // backwards
    {15, {2, 3, 4, 5}, {60, 20, -5, 1}},      // rows backwards
    {0, {2, 3, 4, 5}, {0, 0, 5, 1}},          // heads share their rows
    {7, {2, 3, 4, 5}, {1, 0, 0, 0}},          // one number for all
    {0, {1, 1, 4, 5}, {0, 0, 50, 9}},         // gaps
};

template <class T>
void expect_loaded(const Memory& memory, const Layout& layout) {
  const ConstView view{memory.element(layout.origin), memory.type, layout.shape, layout.strides};
  for (std::int64_t batch = 0; batch < layout.shape[0]; ++batch) {
    for (std::int64_t head = 0; head < layout.shape[1]; ++head) {
      const Rows rows = base::head_rows(view, batch, head);
      ASSERT_EQ(rows.rows, layout.shape[2]);
      ASSERT_EQ(rows.columns, layout.shape[3]);
      constexpr std::int64_t kLd = 7;
      std::vector<T> out(static_cast<std::size_t>(rows.rows * kLd), T(-77));
      base::load_rows(rows, 1, rows.rows - 1, out.data(), kLd);
      for (std::int64_t r = 0; r < rows.rows; ++r) {
        for (std::int64_t c = 0; c < kLd; ++c) {
          const std::int64_t place = layout.origin + batch * layout.strides[0] + head * layout.strides[1] +
                                     (r + 1) * layout.strides[2] + c * layout.strides[3];
          const double expected = r + 1 < rows.rows && c < rows.columns ? Memory::at(place) : -77.0;
          ASSERT_EQ(static_cast<double>(out[static_cast<std::size_t>(r * kLd + c)]), expected)
              << name_of(memory.type) << " row " << r << " column " << c;
        }
      }
    }
  }
}

TEST(Rows, EveryTypeAndLayoutIsReadInItsLogicalOrder) {
  for (const DType type : kTypes) {
    const Memory memory(type);
    for (const Layout& layout : kLayouts) {
      expect_loaded<float>(memory, layout);
      expect_loaded<double>(memory, layout);
    }
  }
}

TEST(Rows, SinksWriteWhereHeadRowsRead) {
  for (const DType type : kTypes) {
    for (const Layout& layout : kLayouts) {
      if (layout.strides[2] == 0 || layout.strides[0] == 0) {
        continue;  // an output whose elements share memory
      }
      Memory memory(type);
      const std::vector<std::byte> before = memory.bytes;
      const View view{memory.bytes.data() + static_cast<std::size_t>(layout.origin) * size_of(type), type, layout.shape,
                      layout.strides};
      const std::int64_t batch = layout.shape[0] - 1;
      const std::int64_t head = layout.shape[1] - 1;
      const double values[5] = {1.0, -2.0, 3.5, 0.0, -0.25};
      base::store_row(base::head_sink(view, batch, head), 2, values, 5);
      double back[5] = {};
      base::load_rows(base::head_rows(view, batch, head), 2, 1, back, 5);
      int changed = 0;
      for (std::size_t i = 0; i < before.size() / size_of(type); ++i) {
        changed +=
            std::memcmp(&before[i * size_of(type)], &memory.bytes[i * size_of(type)], size_of(type)) != 0 ? 1 : 0;
      }
      for (int c = 0; c < 5; ++c) {
        EXPECT_EQ(back[c], values[c]) << name_of(type);
      }
      EXPECT_LE(changed, 5) << "nothing else is touched";
    }
  }
}

// Pieces of different types, strides and lengths (an empty one too), every window across their borders.
TEST(Rows, PiecesJoin) {
  const Memory halves(DType::float16);
  const Memory floats(DType::float32);
  const Memory doubles(DType::float64);
  const auto rows_of = [](const Memory& memory, std::int64_t origin, std::int64_t count, std::int64_t row_stride,
                          std::int64_t column_stride) {
    return base::head_rows({memory.element(origin), memory.type, {1, 1, count, 3}, {0, 0, row_stride, column_stride}},
                           0, 0);
  };
  Rows all = rows_of(halves, 0, 2, 3, 1);
  const Rows parts[] = {rows_of(floats, 40, 0, 3, 1), rows_of(floats, 40, 3, -5, 2), rows_of(doubles, 9, 1, 0, -1),
                        rows_of(halves, 100, 2, 1, 20)};
  std::vector<std::vector<double>> expected;
  const auto expect = [&](const Rows& rows) {
    for (std::int64_t r = 0; r < rows.rows; ++r) {
      expected.emplace_back(3, 0.0);
      base::load_rows(rows, r, 1, expected.back().data(), 3);
    }
  };
  expect(all);
  for (const Rows& part : parts) {
    base::append_rows(all, part);
    expect(part);
  }
  Rows twice = all;  // pieces of pieces
  base::append_rows(twice, all);
  const std::size_t n = expected.size();
  for (std::size_t i = 0; i < n; ++i) {
    expected.push_back(expected[i]);
  }
  ASSERT_EQ(all.rows, 8);
  ASSERT_EQ(twice.rows, 16);
  for (std::int64_t first = 0; first <= twice.rows; ++first) {
    for (std::int64_t count = 0; first + count <= twice.rows; ++count) {
      std::vector<float> out(static_cast<std::size_t>(3 * count + 1), -77.0F);
      base::load_rows(twice, first, count, out.data(), 3);
      for (std::int64_t i = 0; i < 3 * count; ++i) {
        ASSERT_EQ(static_cast<double>(out[static_cast<std::size_t>(i)]),
                  expected[static_cast<std::size_t>(first + i / 3)][static_cast<std::size_t>(i % 3)])
            << "window " << first << " + " << count;
      }
      ASSERT_EQ(out.back(), -77.0F);
    }
  }
}

TEST(Rows, FloatArithmeticRoundsFloat64ToNearest) {
  Random random(3);
  std::vector<double> values = {1.0 + 0x1p-24, 1.0 + 0x1.8p-24 + 0x1p-52, 0x1p-149,       0x1p-150, 0x1.8p-150,
                                -0x1p-151,     0x1.fffffefp127,           0x1.ffffffp127, 1e300,    -0.0};
  for (int i = 0; i < 1000; ++i) {
    values.push_back(random.sign() * random.log_uniform(1e-46, 1e38));
  }
  const auto n = static_cast<std::int64_t>(values.size());
  const Rows rows = base::head_rows(matrix(values.data(), n, 1), 0, 0);
  std::vector<float> out(values.size());
  base::load_rows(rows, 0, n, out.data(), 1);
  EXPECT_EQ(out[0], 1.0F) << "tie to even";
  EXPECT_EQ(out[1], 1.0F + 0x1p-23F);
  EXPECT_EQ(out[3], 0.0F) << "tie to even among subnormal numbers";
  EXPECT_EQ(out[4], 0x1p-149F);
  EXPECT_EQ(out[6], std::numeric_limits<float>::max());
  EXPECT_EQ(out[7], std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[8], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::signbit(out[9]));
  for (std::size_t i = 10; i < values.size(); ++i) {
    const float here = out[i];
    for (const float neighbour : {std::nextafter(here, -INFINITY), std::nextafter(here, INFINITY)}) {
      ASSERT_LE(std::fabs(static_cast<double>(here) - values[i]),
                std::fabs(static_cast<double>(neighbour) - values[i]));
    }
  }
}

TEST(Rows, NonFiniteNumbersArriveAsTheyAre) {
  for (const DType type : kTypes) {
    Memory memory(type, 4);
    memory.store(0, std::numeric_limits<double>::infinity());
    memory.store(1, -std::numeric_limits<double>::infinity());
    memory.store(2, std::nan(""));
    const Rows rows{{{memory.bytes.data(), type, 0, 1, 4, 1}}, 1, 3};
    float out[3] = {};
    base::load_rows(rows, 0, 1, out, 3);
    EXPECT_EQ(out[0], std::numeric_limits<float>::infinity()) << name_of(type);
    EXPECT_EQ(out[1], -std::numeric_limits<float>::infinity()) << name_of(type);
    EXPECT_TRUE(std::isnan(out[2])) << name_of(type);
  }
}

TEST(Rows, StoredFloat32IsRoundedOnce) {
  const double values[3] = {1.0 + 0x1p-24, 1.0 + 0x1p-24 + 0x1p-52, 0x1.8p-150};
  float out[3] = {};
  base::store_row({out, DType::float32, 3, 1}, 0, values, 3);
  EXPECT_EQ(out[0], 1.0F);
  EXPECT_EQ(out[1], 1.0F + 0x1p-23F);
  EXPECT_EQ(out[2], 0x1p-149F);
}

TEST(Rows, FitsFloat32UnlessAPieceIsWider) {
  const Memory floats(DType::float32);
  const Memory doubles(DType::float64);
  Rows rows = base::head_rows({floats.element(0), DType::float32, {1, 1, 2, 3}, {0, 0, 3, 1}}, 0, 0);
  EXPECT_TRUE(base::fits_float32(rows));
  EXPECT_TRUE(base::fits_float32(Rows{}));
  base::append_rows(rows, base::head_rows({floats.element(0), DType::bfloat16, {1, 1, 2, 3}, {0, 0, 3, 1}}, 0, 0));
  EXPECT_TRUE(base::fits_float32(rows));
  base::append_rows(rows, base::head_rows({doubles.element(0), DType::float64, {1, 1, 2, 3}, {0, 0, 3, 1}}, 0, 0));
  EXPECT_FALSE(base::fits_float32(rows));
}

TEST(Rows, AnEmptyViewHasNoMemory) {
  const ConstView view{nullptr, DType::float32, {0, 3, 0, 4}, {12, 4, 4, 1}};
  const Rows rows = base::head_rows(view, 0, 2);
  EXPECT_EQ(rows.rows, 0);
  base::load_rows(rows, 0, 0, static_cast<float*>(nullptr), 4);
}

}  // namespace
}  // namespace polyattn::test
