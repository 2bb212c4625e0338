// The exact engine against long double within its certificate: shapes around block boundaries, masks, biases, storage.

#include "engines/heads.hpp"
#include "simd/dispatch.hpp"

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactShapes : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactShapes, Arithmetics);

constexpr const char* name_of_type(float) { return "float32"; }
constexpr const char* name_of_type(double) { return "float64"; }

/// Numbers T holds exactly, or not, by turns.
template <class T>
DType storage_of(std::uint64_t seed) {
  constexpr DType types[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};
  return types[seed % 4];
}

TYPED_TEST(ExactShapes, KeysAroundBlockBoundaries) {
  Clearance clearance;
  std::uint64_t seed = 1;
  for (const std::int64_t n : {0, 1, 2, 7, 8, 9, 127, 128, 129, 300, 2047, 2048, 2049, 4500}) {
    for (const std::int64_t d : {1, 8}) {
      Head head = random_head(seed, 5, n, d, 3);
      head.storage = storage_of<TypeParam>(seed++);
      judge(head, exact<TypeParam>(head), clearance, "n_kv " + std::to_string(n));
    }
  }
  clearance.print(name_of_type(TypeParam(0)));
}

TYPED_TEST(ExactShapes, Dimensions) {
  Clearance clearance;
  std::uint64_t seed = 100;
  for (const std::int64_t d : {1, 2, 3, 5, 8, 17, 64, 130, 256, 300}) {
    for (const std::int64_t d_v : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 65}) {
      Head head = random_head(seed, 3, 150, d, d_v);
      head.storage = storage_of<TypeParam>(seed++);
      head.gaps = seed % 2 == 0;
      judge(head, exact<TypeParam>(head), clearance, "d " + std::to_string(d) + " d_v " + std::to_string(d_v));
      Head smooth = gaussian(head, {0.7, 1.5, 3.0});
      judge(smooth, exact<TypeParam>(smooth), clearance, "gaussian d " + std::to_string(d));
      smooth = gaussian(head, {2.0});
      judge(smooth, exact<TypeParam>(smooth), clearance, "isotropic d " + std::to_string(d));
    }
  }
  clearance.print(name_of_type(TypeParam(0)));
}

TYPED_TEST(ExactShapes, QueriesAroundTileBoundaries) {
  Clearance clearance;
  std::uint64_t seed = 300;
  for (const std::int64_t n_q : {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 95, 97, 191, 193, 400}) {
    Head head = random_head(seed, n_q, 140, 4, 9);
    head.storage = storage_of<TypeParam>(seed++);
    judge(head, exact<TypeParam>(head), clearance, "n_q " + std::to_string(n_q));
  }
  clearance.print(name_of_type(TypeParam(0)));
}

TYPED_TEST(ExactShapes, CausalMasks) {
  Clearance clearance;
  std::uint64_t seed = 400;
  for (const auto& [n_q, n_kv] :
       {std::pair{1, 1}, {60, 60}, {300, 300}, {260, 60}, {60, 260}, {130, 129}, {10, 2100}}) {
    for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{n_kv} - n_q, std::int64_t{-40}, std::int64_t{5}}) {
      Head head = random_head(seed, n_q, n_kv, 3, 10);
      head.storage = storage_of<TypeParam>(seed++);
      head.mask = {true, offset};
      judge(head, exact<TypeParam>(head), clearance, "causal " + std::to_string(offset), 3);
      std::mt19937_64 random(seed);
      head.bias = normal(random, n_kv, 3.0);
      for (std::size_t j = 0; j < head.bias.size(); j += 3) {
        head.bias[j] = -kInfinity;
      }
      judge(head, exact<TypeParam>(head), clearance, "causal, biased " + std::to_string(offset), 3);
      const Head smooth = gaussian(head, {1.0});
      judge(smooth, exact<TypeParam>(smooth), clearance, "causal gaussian " + std::to_string(offset), 7);
    }
  }
  clearance.print(name_of_type(TypeParam(0)));
}

TYPED_TEST(ExactShapes, Biases) {
  Clearance clearance;
  std::uint64_t seed = 500;
  for (const double scale : {0.0, 1.0, 1e4, 1e-30}) {
    for (const double shift : {0.0, 1e4, -1e4, 1e9, -3e30}) {
      Head head = random_head(seed, 6, 400, 5, 4);
      head.storage = storage_of<TypeParam>(seed++);
      std::mt19937_64 random(seed);
      head.bias = normal(random, head.n_kv, scale, shift);
      judge(head, exact<TypeParam>(head), clearance, "bias " + std::to_string(scale) + " + " + std::to_string(shift));
      head.mask = {true, 300};
      judge(head, exact<TypeParam>(head), clearance, "causal");
    }
  }
  // Masks by a large negative number, as many write them, and linear biases (ALiBi).
  for (const double low : {-1e9, -1e30, static_cast<double>(std::numeric_limits<float>::lowest()),
                           std::numeric_limits<double>::lowest()}) {
    Head head = random_head(seed++, 6, 600, 5, 4);
    head.bias.assign(600, 0.0);
    std::fill_n(head.bias.begin(), 200, low);
    judge(head, exact<TypeParam>(head), clearance, "mask by " + std::to_string(low));
    head.mask = {true, 150};  // every row sees masked keys only
    judge(head, exact<TypeParam>(head), clearance, "only masked by " + std::to_string(low));
  }
  for (const double slope : {0.5, 0.004, -0.5, 3.0}) {
    Head head = random_head(seed++, 40, 3000, 5, 4);
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(slope * static_cast<double>(j));
    }
    head.mask = {true, 2960};
    judge(head, exact<TypeParam>(head), clearance, "alibi", 5);
    head.mask = {true, 3};
    judge(head, exact<TypeParam>(head), clearance, "alibi, early rows", 5);
  }
  clearance.print(name_of_type(TypeParam(0)));
}

TYPED_TEST(ExactShapes, OutputStorage) {
  std::uint64_t seed = 700;
  for (const DType output : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    Clearance clearance;
    for (const double scale : {1.0, 1e-6, 1e-40, 1e4}) {
      Head head = random_head(seed++, 5, 200, 4, 9);
      for (double& v : head.v) {
        v *= scale;
      }
      head.output = output;
      const Answer answer = exact<TypeParam>(head);
      judge(head, answer, clearance, name_of(output));
      for (const double storage : answer.storage) {
        EXPECT_EQ(storage > 0.0, size_of(output) == 2);
      }
    }
    clearance.print(name_of(output));
  }
  Head head = random_head(seed, 2, 3, 1, 1);
  head.v = {1e5, 1e5, 1e5};
  head.output = DType::float16;
  EXPECT_EQ(exact<TypeParam>(head).storage[0], kInfinity);
}

TYPED_TEST(ExactShapes, EveryInstructionSet) {
  for (const simd::KernelTable* table : simd::available()) {
    const ForcedIsa forced(table->name);
    Clearance clearance;
    std::uint64_t seed = 800;
    for (const std::int64_t n : {1, 130}) {
      for (const std::int64_t d_v : {0, 3, 8, 13}) {
        Head head = random_head(seed++, 20, n, 3, d_v);
        head.mask = {true, n / 2};
        judge(head, exact<TypeParam>(head), clearance, table->name, 4);
        const Head smooth = gaussian(head, {1.0, 2.0});
        judge(smooth, exact<TypeParam>(smooth), clearance, table->name, 4);
      }
    }
    clearance.print(table->name);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
