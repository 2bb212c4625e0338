// A row's bits depend on its query, the keys, values, biases and its visible prefix, and on nothing else.

#include "engines/exact_bits.hpp"
#include "simd/dispatch.hpp"

#include <numeric>

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactBits : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactBits, Arithmetics);

/// Small problems of every kind: scores, masks, biases, remainders.
std::vector<Head> zoo(std::int64_t scale) {
  std::vector<Head> heads;
  std::uint64_t seed = 1;
  for (const std::int64_t d_v : {0, 1, 3, 8, 13}) {
    Head head = random_head(seed++, 60 * scale, 140 * scale, 5, d_v, 2.0);
    heads.push_back(head);
    heads.push_back(gaussian(head, {0.4}));
    heads.push_back(gaussian(head, {0.5, 1.0, 3.0}));
    head.mask = {true, 80 * scale};
    std::mt19937_64 random(seed++);
    head.bias = normal(random, head.n_kv, 5.0);
    head.bias[0] = -kInfinity;
    head.bias[70] = -kInfinity;
    heads.push_back(head);
    heads.push_back(gaussian(head, {1.0, 0.2}));
    head.mask = {true, -3};
    head.storage = DType::float32;
    head.output = DType::float32;
    heads.push_back(head);
  }
  return heads;
}

TYPED_TEST(ExactBits, SameForEveryInstructionSet) {
  for (const Head& head : zoo(1)) {
    const Answer first = exact<TypeParam>(head);
    for (const simd::KernelTable* table : simd::available()) {
      const ForcedIsa forced(table->name);
      expect_same(first, exact<TypeParam>(head), table->name);
    }
  }
}

TYPED_TEST(ExactBits, SameForAnyThreads) {
  for (const Head& head : zoo(4)) {
    const Answer one = exact<TypeParam>(head, 1);
    expect_same(one, exact<TypeParam>(head, 2), "2 threads");
    expect_same(one, exact<TypeParam>(head, 5), "5 threads");
  }
}

TYPED_TEST(ExactBits, SameAloneOrInCompany) {
  for (const Head& head : zoo(3)) {
    expect_same_alone_or_in_company(head.n_q, 3, [&](int threads, const RowList& list, std::int64_t rows) {
      return exact<TypeParam>(head, threads, list, rows);
    });
  }
}

TYPED_TEST(ExactBits, SameInAnotherStorage) {
  // The numbers are float16 numbers, so every type holds them.
  Head head = random_head(77, 50, 300, 6, 5);
  for (auto* numbers : {&head.q, &head.k, &head.v}) {
    for (double& x : *numbers) {
      x = std::round(x * 64) / 64;
    }
  }
  head.storage = DType::float64;
  const Answer wide = exact<TypeParam>(head);
  for (const DType type : {DType::float32, DType::float16}) {
    head.storage = type;
    head.gaps = !head.gaps;
    const Answer narrow = exact<TypeParam>(head);
    EXPECT_EQ(wide.output, narrow.output);
    EXPECT_EQ(wide.lse, narrow.lse);
  }
}

TYPED_TEST(ExactBits, LaterKeysDoNotTouchCausalRows) {
  Head head = random_head(78, 64, 400, 4, 9);
  head.mask = {true, 100};
  const Answer before = exact<TypeParam>(head);
  std::mt19937_64 random(5);
  for (std::int64_t j = 164; j < head.n_kv; ++j) {  // seen by no row
    for (std::int64_t l = 0; l < 4; ++l) {
      head.k[static_cast<std::size_t>(j * 4 + l)] = 0.25 * head.k[static_cast<std::size_t>(j * 4 + l)];
    }
  }
  const Answer after = exact<TypeParam>(head);
  EXPECT_EQ(before.output, after.output);
  EXPECT_EQ(before.lse, after.lse);
}

// Sums of small whole numbers are exact, so the answer is the correctly rounded quotient.
TYPED_TEST(ExactBits, WholeNumbersAreExact) {
  for (const std::int64_t n : {1, 5, 128, 300, 2500}) {
    Head head = random_head(79, 50, n, 3, 10);
    std::fill(head.q.begin(), head.q.end(), 0.0);
    std::int64_t next = 1;
    for (double& v : head.v) {
      v = static_cast<double>(next = next * 75 % 1021) - 500;
    }
    const Answer answer = exact<TypeParam>(head);
    for (std::size_t c = 0; c < 10; ++c) {
      double sum = 0.0;
      for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {
        sum += head.v[j * 10 + c];
      }
      for (std::size_t i = 0; i < 50; ++i) {
        ASSERT_EQ(answer.output[i * 10 + c], sum / static_cast<double>(n) + 0.0);
      }
    }
  }
  // Biases that are whole in log2 units up to rounding make weights 2^b: two keys, 1 and 2^-k.
  Head head = random_head(80, 3, 2, 2, 1);
  std::fill(head.q.begin(), head.q.end(), 0.0);
  head.v = {1.0, 0.0};
  head.bias = {0.0, -0.0};
  EXPECT_EQ(exact<TypeParam>(head).output[0], 0.5);
}

TYPED_TEST(ExactBits, EqualValuesAreReturned) {
  Head head = random_head(81, 20, 700, 3, 5, 3.0);
  std::vector<double> value = {0.1, -3e30, 1e-42, 7.0, -0.3};
  for (double& v : value) {
    v = static_cast<double>(static_cast<float>(v));
  }
  for (std::size_t j = 0; j < 700; ++j) {
    std::copy(value.begin(), value.end(), head.v.begin() + static_cast<std::ptrdiff_t>(5 * j));
  }
  const Answer answer = exact<TypeParam>(head);
  for (std::size_t i = 0; i < answer.output.size(); ++i) {
    EXPECT_EQ(answer.output[i], value[i % 5]);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
