// NaN and infinity: named where they stand, or propagated; hidden keys are never read; progress and cancelling.

#include "base/checked.hpp"
#include "engines/heads.hpp"
#include "polyattn/error.hpp"

#include <functional>

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactNonFinite : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactNonFinite, Arithmetics);

void expect_non_finite(const std::function<void()>& run, const std::vector<std::string>& words) {
  try {
    run();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::non_finite);
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << " in: " << error.what();
    }
  }
}

TYPED_TEST(ExactNonFinite, FirstPositionIsNamed) {
  const Head good = random_head(1, 300, 300, 5, 3);
  for (const int threads : {1, 5}) {
    Head head = good;
    head.v[170 * 3 + 1] = kNan;
    expect_non_finite([&] { exact<TypeParam>(head, threads); }, {"values:", "NaN", "row 170", "column 1"});
    head.k[299 * 5] = -kInfinity;
    head.k[250 * 5 + 4] = kInfinity;
    expect_non_finite([&] { exact<TypeParam>(head, threads); }, {"keys:", "infinity", "row 250", "column 4"});
    head = good;
    head.q[299 * 5] = kNan;
    head.q[3 * 5 + 2] = kInfinity;
    expect_non_finite([&] { exact<TypeParam>(head, threads); }, {"q:", "infinity", "row 3", "column 2"});
    head = good;
    head.bias.assign(300, 0.0);
    head.bias[5] = kInfinity;
    expect_non_finite([&] { exact<TypeParam>(head, threads); }, {"key_bias", "infinity", "key 5"});
    head.bias[5] = kNan;
    expect_non_finite([&] { exact<TypeParam>(head, threads); }, {"key_bias", "NaN"});
  }
}

TYPED_TEST(ExactNonFinite, HiddenKeysAreNeverRead) {
  Head head = random_head(2, 20, 400, 3, 9);
  head.bias.assign(400, 0.0);
  Clearance clearance;
  for (std::size_t j = 0; j < 400; ++j) {
    if (j % 5 == 2 || (j >= 128 && j < 256)) {
      head.bias[j] = -kInfinity;
      std::fill_n(head.k.begin() + static_cast<std::ptrdiff_t>(3 * j), 3, j % 2 == 0 ? kNan : kInfinity);
      std::fill_n(head.v.begin() + static_cast<std::ptrdiff_t>(9 * j), 9, kNan);
    }
  }
  judge(head, exact<TypeParam>(head), clearance, "hidden keys");
  std::fill(head.bias.begin(), head.bias.end(), -kInfinity);
  judge(head, exact<TypeParam>(head), clearance, "all keys hidden");
}

/// NaN where the reference has NaN, the same infinities, and numbers within the two bounds where those are finite.
template <class T>
void expect_like_reference(const Head& head) {
  const Answer a = exact<T>(head);
  const Answer b = reference(head);
  ASSERT_EQ(a.output.size(), b.output.size());
  for (std::size_t i = 0; i < a.output.size(); ++i) {
    EXPECT_EQ(std::isnan(a.output[i]), std::isnan(b.output[i])) << i << ": " << a.output[i] << " and " << b.output[i];
    if (std::isinf(a.output[i]) || std::isinf(b.output[i])) {
      EXPECT_EQ(a.output[i], b.output[i]) << i;
    } else if (!std::isnan(a.output[i])) {
      EXPECT_NEAR(a.output[i], b.output[i], 1e-4) << i;  // no bound is claimed beside values that are not finite
    }
    if (!std::isfinite(b.output[i])) {
      EXPECT_EQ(a.rounding[i / static_cast<std::size_t>(head.d_v)], kInfinity);
    }
  }
  for (std::size_t i = 0; i < a.lse.size(); ++i) {
    EXPECT_EQ(std::isnan(a.lse[i]), std::isnan(b.lse[i])) << i;
  }
}

TYPED_TEST(ExactNonFinite, Propagates) {
  for (const bool causal : {false, true}) {
    Head good = random_head(3, 60, 300, 3, 10, 0.5);
    good.non_finite = NonFinite::propagate;
    good.mask = {causal, 200};
    for (const std::int64_t key : {0, 130, 210, 255, 299}) {
      for (const double bad : {kNan, kInfinity, -kInfinity}) {
        Head head = good;
        head.v[base::usize(key * 10 + 9)] = bad;
        expect_like_reference<TypeParam>(head);
        head.v[base::usize(key * 10 + 2)] = bad;
        expect_like_reference<TypeParam>(head);
        head = good;
        head.k[base::usize(key * 3 + 1)] = bad;
        expect_like_reference<TypeParam>(head);
        head = good;
        head.q[0] = bad;
        head.q[base::usize(3 * 47)] = bad;
        expect_like_reference<TypeParam>(head);
        head = gaussian(good, {1.0, 2.0});
        head.k[base::usize(key * 3 + 1)] = bad;
        head.q[5] = bad;
        expect_like_reference<TypeParam>(head);
      }
    }
    Head head = good;
    head.bias.assign(300, 0.0);
    head.bias[150] = kNan;
    expect_like_reference<TypeParam>(head);
  }
}

// Which rows share a tile must not decide whether a row sees a NaN of a key hidden from it.
TYPED_TEST(ExactNonFinite, CausalRowsDoNotSeeLaterNaN) {
  Head head = random_head(4, 48, 48, 2, 9);
  head.non_finite = NonFinite::propagate;
  head.mask = {true, 0};
  head.v[40 * 9 + 3] = kNan;
  head.v[44 * 9 + 8] = kInfinity;
  const Answer answer = exact<TypeParam>(head);
  for (std::size_t i = 0; i < 48; ++i) {
    EXPECT_EQ(std::isnan(answer.output[i * 9 + 3]), i >= 40) << i;
    EXPECT_EQ(std::isinf(answer.output[i * 9 + 8]), i >= 44) << i;
    EXPECT_TRUE(std::isfinite(answer.output[i * 9]));
  }
}

TEST(ExactFloat32, OverflowHasNoBoundAndNoNaN) {
  for (const double size : {1e15, 1e19, 1e30, 1e38}) {
    Head head = random_head(5, 4, 100, 3, 2, size);
    const Answer answer = exact<float>(head);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(size < 1e17 || answer.rounding[i] == kInfinity);
    }
  }
  Head head = random_head(6, 4, 100, 3, 2);
  head.k[17] = 1e300;  // beyond float32
  EXPECT_EQ(exact<float>(head).rounding[0], kInfinity);
  EXPECT_LT(exact<double>(head).rounding[0], kInfinity);
}

TEST(ExactFloat64, ScoresBeyondTheRangeAreAnError) {
  Head head = random_head(7, 4, 100, 3, 2, 1e200);
  expect_non_finite([&] { exact<double>(head); }, {"row", "beyond the range of float64"});
  head = gaussian(random_head(8, 4, 100, 3, 2), {1e-200});
  expect_non_finite([&] { exact<double>(head); }, {"beyond the range of float64"});
}

TEST(ExactRows, ReportsProgressAndStops) {
  const Head head = random_head(9, 1000, 3000, 8, 8);
  const Prepared prepared(head);
  const double total = exact_work(visible_pairs(prepared.problem, RowList{}), head.d, head.d_v);
  double last = 0.0;
  base::ProgressMeter meter([&](double done) { return last = done, true; }, total);
  base::MemoryMeter memory;
  const base::Context context{2, &memory, &meter};
  collect(head.n_q, head.d_v, DType::float32, [&](const HeadOutputs& out) {
    exact_rows<float>(prepared.problem, pack_keys<float>(prepared.problem, context), RowList{}, out, context);
  });
  EXPECT_NEAR(last, 1.0, 1e-12);
  EXPECT_LE(memory.peak(), static_cast<std::uint64_t>(exact_bytes(head.n_q, 3000, 8, 8, 2, 4)));
  EXPECT_GE(2 * memory.peak(), static_cast<std::uint64_t>(exact_bytes(head.n_q, 3000, 8, 8, 2, 4)));

  int calls = 0;
  base::ProgressMeter stop([&](double) { return ++calls < 3; }, total);
  const base::Context stopping{2, nullptr, &stop};
  try {
    collect(head.n_q, head.d_v, DType::float32, [&](const HeadOutputs& out) {
      exact_rows<float>(prepared.problem, pack_keys<float>(prepared.problem, stopping), RowList{}, out, stopping);
    });
    FAIL() << "not cancelled";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::cancelled);
  }
}

TEST(ExactRows, FewRowsTakeLittleMemory) {
  for (const std::int64_t rows : {1, 3, 5, 192}) {
    for (const int threads : {1, 3}) {
      const Head head = random_head(19, rows, 20000, 8, 8);
      const Prepared prepared(head);
      base::MemoryMeter memory;
      collect(head.n_q, head.d_v, DType::float32, [&](const HeadOutputs& out) {
        exact_head<float>(prepared.problem, RowList{}, out, {threads, &memory, nullptr});
      });
      EXPECT_LE(memory.peak(), static_cast<std::uint64_t>(exact_bytes(head.n_q, 20000, 8, 8, threads, 4))) << rows;
      EXPECT_LT(3 * exact_bytes(head.n_q, 20000, 8, 8, threads, 4), exact_bytes(1000, 20000, 8, 8, threads, 4));
    }
  }
}

TEST(ExactRows, MemoryLimitRefuses) {
  const Head head = random_head(10, 10, 1000, 8, 8);
  const Prepared prepared(head);
  base::MemoryMeter memory(20000);
  try {
    pack_keys<float>(prepared.problem, {1, &memory, nullptr});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
