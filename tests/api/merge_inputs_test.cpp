// Merging, seen from its inputs: parts without keys or bounds, any storage and strides, empty shapes, misuse, numbers
// that are not finite.

#include "polyattn/merge.hpp"

#include "api/merge_parts.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool same_bits(const Merged& a, const Merged& b) {
  return bits_of(a.output) == bits_of(b.output) && bits_of(a.lse) == bits_of(b.lse) &&
         bits_of(a.row_bounds) == bits_of(b.row_bounds) && bits_of(a.lse_bound) == bits_of(b.lse_bound);
}

TEST(MergeInputs, PartsThatSeeNoKeyAreNotRead) {
  const Part a = part_of(0.5, {1.0, 2.0}, 0.25, 0.125);
  const Part b = part_of(0.0, {3.0, 4.0}, 0.5, 0.25);
  Part hidden = part_of(-kInfinity, {kNan, kInfinity}, kNan);
  EXPECT_TRUE(same_bits(merge(views({hidden, a, hidden, b})), merge(views({a, b}))));
  const MergedRow nothing = merged_row({hidden, hidden});
  EXPECT_EQ(nothing.output, (std::vector<double>{0.0, 0.0}));
  EXPECT_EQ(nothing.lse, -kInfinity);
  EXPECT_EQ(nothing.bound, 0.0);
  EXPECT_EQ(nothing.lse_bound, 0.0);
  // -inf of which nothing is known: scores may have been beyond the range of the arithmetic.
  hidden.lse_bound = store(DType::float64, {1, 1, 1, 1}, {kInfinity});
  const MergedRow unknown = merged_row({a, hidden});
  EXPECT_EQ(unknown.output, (std::vector<double>{1.0, 2.0}));
  EXPECT_EQ(unknown.bound, kInfinity);
  EXPECT_EQ(unknown.lse_bound, kInfinity);
  EXPECT_EQ(merged_row({hidden}).bound, kInfinity);
  hidden.lse_bound.reset();
  EXPECT_TRUE(same_bits(merge(views({a, hidden})), merge(views({a}))));
}

TEST(MergeInputs, BoundsThatAreMissingAreInfinite) {
  const Part a = part_of(0.5, {1.0, 2.0}, 0.25, 0.125);
  Part b = part_of(0.0, {3.0, 4.0}, 0.5, 0.25);
  b.lse_bound.reset();
  MergedRow row = merged_row({a, b});
  EXPECT_EQ(row.lse_bound, kInfinity);
  const double farthest = std::max(row.output[0] - 1.0 + 0.25, 3.0 - row.output[0] + 0.5);
  EXPECT_GE(row.bound, farthest) << "whatever the weights";
  EXPECT_LE(row.bound, farthest * (1.0 + 1e-14));
  b.lse_bound = store(DType::float64, {1, 1, 1, 1}, {kNan});
  EXPECT_TRUE(same_bits(merge(views({a, b})), merge(views({a, Part{b.output, b.lse, b.row_bounds, std::nullopt}}))));
  b.lse_bound = store(DType::float64, {1, 1, 1, 1}, {0.25});
  b.row_bounds.reset();
  row = merged_row({a, b});
  EXPECT_EQ(row.bound, kInfinity);
  EXPECT_LT(row.lse_bound, 0.25);
}

TEST(MergeInputs, SixteenBitPartsAreChargedTheirStorage) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const double unit = dtype == DType::float16 ? 0x1p-11 : 0x1p-8;
    // What attend rounds to 1 may have been anything up to half a unit above.
    const MergedRow row = merged_row({part_of(0.0, {1.0}, 0.0, 0.0, dtype)});
    EXPECT_GE(row.bound, unit);
    EXPECT_LE(row.bound, unit * 1.001);
    const Part narrow = part_of(0.0, {1.0}, 0.0, 0.0, dtype);
    EXPECT_EQ(merge(std::vector{narrow.view()}).output.dtype(), DType::float32);
    const Merged stored = merge(views({part_of(0.0, {1.0}), part_of(0.0, {1.0 + unit})}), {.output_dtype = dtype});
    EXPECT_EQ(stored.output.dtype(), dtype);
    EXPECT_LE(values_of(stored.row_bounds)[0], 1e-14) << "storage of the merged output is apart, as attend has it";
  }
}

TEST(MergeInputs, AnyStridesAndStorage) {
  Random random(34);
  const Shape shape{2, 3, 300, 4};  // more than one block of rows
  const Shape per_row{2, 3, 300, 1};
  std::vector<Part> plain;
  std::vector<std::vector<double>> memory;
  std::vector<Partial> odd;
  for (int p = 0; p < 3; ++p) {
    std::vector<double> output(2 * 3 * 300 * 4);
    std::vector<double> lse(2 * 3 * 300);
    std::generate(output.begin(), output.end(), [&] { return static_cast<double>(random.integer(-64, 64)) / 8.0; });
    std::generate(lse.begin(), lse.end(), [&] { return random.chance(0.1) ? -kInfinity : random.uniform(-2.0, 2.0); });
    plain.push_back({store(DType::float64, shape, output), store(DType::float64, per_row, lse),
                     store(DType::float64, per_row, std::vector<double>(lse.size(), 0.125)),
                     store(DType::float64, per_row, std::vector<double>(lse.size(), 0.0625))});
    // [batch, sequence, heads, dim] with the sequence backwards; bounds are one number with strides 0.
    memory.emplace_back(output.size());
    const Shape strides{3 * 300 * 4, 4, -3 * 4, 1};
    const View target{memory.back().data() + 299 * 3 * 4, DType::float64, shape, strides};
    for (std::int64_t b = 0; b < 2; ++b) {
      for (std::int64_t h = 0; h < 3; ++h) {
        for (std::int64_t i = 0; i < 300; ++i) {
          for (std::int64_t c = 0; c < 4; ++c) {
            write_element(target, {b, h, i, c}, plain.back().output.row(b, h, i)[c]);
          }
        }
      }
    }
    odd.push_back({target, plain.back().lse.view(), std::nullopt, std::nullopt});
  }
  static constexpr double kBound = 0.125;
  static constexpr float kLseBound = 0.0625F;
  for (Partial& part : odd) {
    part.row_bounds = ConstView{&kBound, DType::float64, per_row, {0, 0, 0, 0}};
    part.lse_bound = ConstView{&kLseBound, DType::float32, per_row, {0, 0, 0, 0}};
  }
  const Merged expected = merge(views(plain));
  EXPECT_TRUE(same_bits(merge(odd), expected));
  for (const int threads : {1, 2, 5}) {
    EXPECT_TRUE(same_bits(merge(odd, {.threads = threads}), expected));
  }
  std::fesetround(FE_UPWARD);
  const Merged upward = merge(odd);
  EXPECT_EQ(std::fegetround(), FE_UPWARD);
  std::fesetround(FE_TONEAREST);
  EXPECT_TRUE(same_bits(upward, expected));
  // Multiples of 1/8 up to 8 are exact in every type; 16-bit bounds differ by what storage may have cost.
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32}) {
    std::vector<Part> stored = plain;
    for (Part& part : stored) {
      part.output = store(dtype, shape, part.output.values);
    }
    const Merged found = merge(views(stored), {.output_dtype = DType::float64});
    EXPECT_EQ(bits_of(found.output), bits_of(expected.output));
    EXPECT_EQ(bits_of(found.lse), bits_of(expected.lse));
  }
}

TEST(MergeInputs, EmptyShapes) {
  for (const Shape& shape : {Shape{0, 2, 3, 4}, Shape{1, 0, 3, 4}, Shape{1, 2, 0, 4}}) {
    const Partial part{{nullptr, DType::float32, shape, {}},
                       {nullptr, DType::float64, {shape[0], shape[1], shape[2], 1}, {}},
                       std::nullopt,
                       std::nullopt};
    EXPECT_EQ(merge(std::vector{part, part}).output.shape(), shape);
  }
  const double lse = 2.0;
  const Partial no_columns{{nullptr, DType::float32, {1, 1, 1, 0}, {}}, matrix(&lse, 1, 1), std::nullopt, std::nullopt};
  const Merged merged = merge(std::vector{no_columns, no_columns});
  EXPECT_DOUBLE_EQ(merged.lse.as<double>()[0], 2.0 + std::log(2.0));
  EXPECT_EQ(merged.row_bounds.as<double>()[0], 0.0);
}

TEST(MergeInputs, MisuseIsNamed) {
  const auto refused = [](ErrorCode code, const std::vector<std::string>& words, const std::vector<Partial>& parts,
                          const MergeOptions& options = {}) {
    const std::string first = words.front();
    const std::string second = words.back();
    return fails_with(code, {first, second}, [&] { merge(parts, options); });
  };
  const Part good = part_of(0.0, {1.0, 2.0});
  const auto invalid = ErrorCode::invalid_argument;
  EXPECT_TRUE(refused(invalid, {"parts:", "at least one"}, {}));
  Partial bad = good.view();
  bad.output.shape[3] = 1;
  EXPECT_TRUE(refused(invalid, {"parts[1].output: expected shape [1, 1, 1, 2]", "[1, 1, 1, 1]"}, {good.view(), bad}));
  bad = good.view();
  bad.lse.shape[2] = 2;
  EXPECT_TRUE(refused(invalid, {"parts[0].lse: expected shape [1, 1, 1, 1]", "[1, 1, 2, 1]"}, {bad}));
  bad = good.view();
  bad.lse.data = nullptr;
  EXPECT_TRUE(refused(invalid, {"parts[1].lse", "null"}, {good.view(), bad}));
  bad = good.view();
  bad.row_bounds->shape[3] = 2;
  EXPECT_TRUE(refused(invalid, {"parts[1].row_bounds", "[1, 1, 1, 2]"}, {good.view(), bad}));
  bad = good.view();
  bad.lse_bound->shape[0] = 2;
  EXPECT_TRUE(refused(invalid, {"parts[0].lse_bound", "[2, 1, 1, 1]"}, {bad}));
  EXPECT_TRUE(refused(invalid, {"parts[1].row_bounds", "-1 at batch 0, head 0, row 0"},
                      {good.view(), part_of(0.0, {1.0, 2.0}, -1.0).view()}));
  EXPECT_TRUE(refused(invalid, {"parts[0].lse_bound", "-0.5"}, {part_of(0.0, {1.0}, 0.0, -0.5).view()}));
  EXPECT_TRUE(refused(invalid, {"output_dtype", "known"}, {good.view()}, {.output_dtype = static_cast<DType>(9)}));
  EXPECT_TRUE(refused(invalid, {"threads", "-1"}, {good.view()}, {.threads = -1}));
  const Part nan_lse = part_of(kNan, {1.0, 2.0});
  const Part infinite_lse = part_of(kInfinity, {1.0, 2.0});
  const Part nan_output = part_of(0.0, {1.0, kNan});
  const auto non_finite = ErrorCode::non_finite;
  EXPECT_TRUE(refused(non_finite, {"parts[1].lse", "NaN at batch 0, head 0, row 0"}, {good.view(), nan_lse.view()}));
  EXPECT_TRUE(refused(non_finite, {"parts[0].lse", "infinity"}, {infinite_lse.view()}));
  EXPECT_TRUE(refused(non_finite, {"parts[1].output", "NaN at batch 0, head 0, row 0, column 1"},
                      {good.view(), nan_output.view()}));
  const Problem problem = random_problem({}, 1.0, DType::float32, 1);
  const Result without = attend(problem);
  EXPECT_TRUE(fails_with(invalid, {"result", "want_lse"}, [&] { partial(without); }));
}

TEST(MergeInputs, NonFinitePartsPropagateOnRequest) {
  const MergeOptions options{.non_finite = NonFinite::propagate};
  const Part good = part_of(0.0, {1.0, 2.0});
  for (const double lse : {kNan, kInfinity}) {
    const MergedRow row = merged_row({good, part_of(lse, {1.0, 2.0})}, options);
    EXPECT_TRUE(std::isnan(row.output[0]) && std::isnan(row.output[1]) && std::isnan(row.lse));
    EXPECT_EQ(row.bound, kInfinity);
    EXPECT_EQ(row.lse_bound, kInfinity);
  }
  const MergedRow row = merged_row({good, part_of(-1.0, {kInfinity, kNan})}, options);
  EXPECT_EQ(row.output[0], kInfinity);
  EXPECT_TRUE(std::isnan(row.output[1]));
  EXPECT_EQ(row.bound, kInfinity);
  EXPECT_LT(row.lse_bound, 1e-14);
}

}  // namespace
}  // namespace polyattn::test
