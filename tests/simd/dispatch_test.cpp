#include "simd/dispatch.hpp"

#include "support/expect_error.hpp"
#include "support/forced_isa.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace polyattn::test {
namespace {

TEST(Dispatch, ScalarIsAlwaysThereAndLast) {
  const auto& tables = simd::available();
  ASSERT_FALSE(tables.empty());
  EXPECT_STREQ(tables.back()->name, "scalar");
  std::set<std::string> names;
  for (const simd::KernelTable* table : tables) {
    EXPECT_TRUE(names.insert(table->name).second) << "named once";
  }
}

TEST(Dispatch, EveryTableIsComplete) {
  for (const simd::KernelTable* table : simd::available()) {
    const auto complete = [&](const auto& exact, const auto& polynomial) {
      EXPECT_NE(exact.absorb, nullptr) << table->name;
      EXPECT_NE(exact.flush, nullptr) << table->name;
      EXPECT_NE(exact.divide, nullptr) << table->name;
      EXPECT_NE(polynomial.moments, nullptr) << table->name;
      EXPECT_NE(polynomial.weigh, nullptr) << table->name;
      EXPECT_NE(polynomial.evaluate, nullptr) << table->name;
      EXPECT_NE(polynomial.finish, nullptr) << table->name;
    };
    complete(table->exact32, table->polynomial32);
    complete(table->exact64, table->polynomial64);
  }
}

TEST(Dispatch, TheEnvironmentForcesATableAtEveryCall) {
  ForcedIsa isa;
  for (int round = 0; round < 2; ++round) {
    for (const simd::KernelTable* table : simd::available()) {
      isa.set(table->name);
      EXPECT_EQ(&simd::kernels(), table);
    }
  }
  isa.unset();
  EXPECT_EQ(&simd::kernels(), simd::available().front());
  isa.set("");
  EXPECT_EQ(&simd::kernels(), simd::available().front());
}

TEST(Dispatch, UnknownNamesAreRefusedWithTheKnownOnes) {
  ForcedIsa isa;
  for (const char* name : {"sse9", "AVX2", "scalar ", "avx2,scalar"}) {
    isa.set(name);
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"POLYATTN_ISA", "scalar", name}, [] { simd::kernels(); }))
        << name;
  }
}

}  // namespace
}  // namespace polyattn::test
