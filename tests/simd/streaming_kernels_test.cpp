// One token in, one query out: the same bits on every instruction set, and sums that lose nothing.

#include "simd/dispatch.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <vector>

namespace polyattn::test {
namespace {

std::vector<double> draw(std::ptrdiff_t count, Random& random) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (double& x : out) {
    x = random.sign() * random.log_uniform(1e-12, 1e3);
  }
  return out;
}

struct Sums {
  std::vector<double> sums;
  std::vector<double> errors;
  std::vector<double> out;
};

Sums run(const simd::KernelTable& table, std::ptrdiff_t rank, std::ptrdiff_t columns) {
  Random random(7);
  Sums sums;
  sums.sums = draw(rank * columns, random);
  sums.errors = draw(rank * columns, random);
  sums.out.assign(static_cast<std::size_t>(columns), std::nan(""));
  for (int token = 0; token < 20; ++token) {
    const std::vector<double> features = draw(rank, random);
    const std::vector<double> values = draw(columns, random);
    table.streaming.update({features.data(), rank, values.data(), columns, token % 3 == 0 ? 0.25 : 1.0,
                            sums.sums.data(), sums.errors.data()});
  }
  const std::vector<double> weights = draw(rank, random);
  table.streaming.read({weights.data(), rank, sums.sums.data(), sums.errors.data(), columns, sums.out.data()});
  return sums;
}

TEST(StreamingKernels, TheSameBitsOnEveryInstructionSet) {
  for (const std::ptrdiff_t rank : {8, 24, 32, 40, 72, 1000}) {
    for (const std::ptrdiff_t columns : {1, 2, 5}) {
      const Sums expected = run(simd::kScalarKernels, rank, columns);
      for (const simd::KernelTable* table : simd::available()) {
        const Sums found = run(*table, rank, columns);
        EXPECT_EQ(found.sums, expected.sums) << table->name;
        EXPECT_EQ(found.errors, expected.errors) << table->name;
        EXPECT_EQ(found.out, expected.out) << table->name << " rank " << rank;
      }
    }
  }
}

TEST(StreamingKernels, SumsLoseNothing) {
  // 1 + n 2^-60 - 1: a plain sum keeps nothing of the small terms. The scale halves everything, exactly.
  for (const simd::KernelTable* table : simd::available()) {
    const std::vector<double> ones(8, 1.0);
    std::vector<double> sums(8, 0.0);
    std::vector<double> errors(8, 0.0);
    const auto add = [&](double x, double scale) {
      table->streaming.update({ones.data(), 8, &x, 1, scale, sums.data(), errors.data()});
    };
    add(1.0, 1.0);
    for (int i = 0; i < 1000; ++i) {
      add(0x1p-60, 1.0);
    }
    add(0.0, 0.5);
    add(-0.5, 1.0);
    double out = 0.0;
    const std::vector<double> first{1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    table->streaming.read({first.data(), 8, sums.data(), errors.data(), 1, &out});
    EXPECT_EQ(out, 500.0 * 0x1p-60) << table->name;
  }
}

TEST(StreamingKernels, ReadIsTheSumOfProducts) {
  // Whole numbers: every order of summation is exact.
  Random random(3);
  for (const std::ptrdiff_t rank : {8, 16, 24, 32, 56, 64, 104}) {
    std::vector<double> weights;
    std::vector<double> sums;
    std::vector<double> errors;
    double expected = 0.0;
    for (std::ptrdiff_t f = 0; f < rank; ++f) {
      weights.push_back(static_cast<double>(random.integer(-9, 9)));
      sums.push_back(static_cast<double>(random.integer(-9, 9)));
      errors.push_back(static_cast<double>(random.integer(-9, 9)));
      expected += weights.back() * (sums.back() + errors.back());
    }
    for (const simd::KernelTable* table : simd::available()) {
      double out = 0.0;
      table->streaming.read({weights.data(), rank, sums.data(), errors.data(), 1, &out});
      EXPECT_EQ(out, expected) << table->name << " rank " << rank;
    }
  }
}

}  // namespace
}  // namespace polyattn::test
