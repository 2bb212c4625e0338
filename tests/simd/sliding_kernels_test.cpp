// Sums that slide along: what the kernels say they do, with the same bits on every instruction set.

#include "engines/tuples/sliding_features.hpp"
#include "numerics/monomials.hpp"
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
    x = random.uniform(-1.0, 1.0);
  }
  return out;
}

TEST(SlidingKernels, FeaturesAreTheMonomialsInTheirOrder) {
  Random random(1);
  for (const int dim : {1, 2, 3, 7, 16}) {
    for (const int degree : {0, 1, 2, 3, 5}) {
      if (dim == 16 && degree > 3) {
        continue;
      }
      const std::vector<double> z = draw(dim, random);
      engines::SlidingFeatures features = engines::make_sliding_features(dim, degree, z.data());
      const numerics::Monomials list = numerics::monomials(dim, degree);
      const std::int64_t tokens = 11;
      const std::vector<double> x = draw(dim * tokens, random);
      for (const simd::KernelTable* table : simd::available()) {
        features.kernels = &table->sliding;
        for (const bool weighted : {false, true}) {
          std::vector<double> out(static_cast<std::size_t>(tokens * features.stride() + simd::kSlidingLanes),
                                  std::nan(""));
          engines::expand_tokens(features, x.data(), tokens, tokens, weighted, out.data());
          for (std::int64_t token = 0; token < tokens; ++token) {
            std::vector<double> latest(static_cast<std::size_t>(degree) + 1, 1.0);
            std::vector<std::ptrdiff_t> next(static_cast<std::size_t>(degree) + 1, 0);
            const double* row = out.data() + token * features.stride();
            EXPECT_EQ(row[0], weighted ? features.weights[0] : 1.0);
            for (const numerics::MonomialStep& step : list.steps) {
              const std::size_t t = step.degree;
              // The engines' own order multiplies by the last variable, this one by the first: the same up to rounding.
              latest[t] = latest[t - 1] * x[static_cast<std::size_t>(step.variable * tokens + token)];
              const std::ptrdiff_t at = features.starts[t] + next[t]++;
              const double factor = weighted ? features.weights[static_cast<std::size_t>(at)] : 1.0;
              EXPECT_NEAR(row[at], latest[t] * factor, 1e-14 * std::fabs(latest[t] * factor)) << table->name;
            }
            for (std::size_t t = 0; t <= static_cast<std::size_t>(degree); ++t) {
              for (std::ptrdiff_t f = features.starts[t] + features.counts[t]; f < features.starts[t + 1]; ++f) {
                EXPECT_EQ(row[f], 0.0) << table->name;
              }
            }
          }
        }
      }
    }
  }
}

struct Slid {
  std::vector<std::vector<double>> sums;
  std::vector<double> out;
};

/// `sets` sets of 0 to 3 events before each of `rows` rows.
Slid slide(const simd::KernelTable& table, int sets, std::ptrdiff_t columns, std::ptrdiff_t vectors,
           std::ptrdiff_t rows) {
  Random random(static_cast<std::uint64_t>(sets + 10 * columns));
  const std::ptrdiff_t stride = vectors * simd::kSlidingLanes;
  Slid slid;
  std::vector<std::vector<std::ptrdiff_t>> first;
  std::vector<std::vector<double>> features;
  std::vector<std::vector<double>> values;
  simd::SlidingBlock block{};
  for (int s = 0; s < sets; ++s) {
    first.push_back({0});
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      first.back().push_back(first.back().back() + random.integer(0, 3));
    }
    features.push_back(draw(first.back().back() * stride + 1, random));
    values.push_back(draw(first.back().back() * columns + 1, random));
    slid.sums.push_back(draw(columns * stride, random));
  }
  for (std::size_t s = 0; s < first.size(); ++s) {
    block.sets[s] = {first[s].data(), features[s].data(), values[s].data(), slid.sums[s].data()};
  }
  const std::vector<double> query = draw(rows * stride, random);
  std::vector<double> partial(static_cast<std::size_t>(columns * rows * simd::kSlidingLanes), std::nan(""));
  slid.out.assign(static_cast<std::size_t>(columns * rows), std::nan(""));
  block.count = sets;
  block.rows = rows;
  block.stride = stride;
  block.columns = columns;
  block.feature_end = stride;
  block.column_end = columns;
  block.query = query.data();
  block.partial = partial.data();
  block.out = slid.out.data();
  block.ld = rows;
  table.sliding.slide(block);
  return slid;
}

TEST(SlidingKernels, TheSameBitsOnEveryInstructionSet) {
  for (int sets = 1; sets <= simd::kSlidingSets; ++sets) {
    for (const std::ptrdiff_t columns : {1, 2, 3, 5}) {
      for (const std::ptrdiff_t vectors : {1, 2, 3, 4, 7, 9}) {
        const Slid expected = slide(simd::kScalarKernels, sets, columns, vectors, 13);
        for (const double x : expected.out) {
          EXPECT_TRUE(std::isfinite(x));
        }
        for (const simd::KernelTable* table : simd::available()) {
          const Slid found = slide(*table, sets, columns, vectors, 13);
          EXPECT_EQ(found.sums, expected.sums) << table->name;
          EXPECT_EQ(found.out, expected.out) << table->name << " sets " << sets << " columns " << columns;
        }
      }
    }
  }
}

TEST(SlidingKernels, RowsAreReadOffTheProductAfterTheirEvents) {
  // Two sets whose sums are counters: row i sees i + 1 events of the first and 2 (i + 1) of the second.
  const std::ptrdiff_t rows = 5;
  const std::vector<double> ones(static_cast<std::size_t>(2 * rows * simd::kSlidingLanes), 1.0);
  std::vector<double> query(ones.begin(), ones.begin() + rows * simd::kSlidingLanes);
  std::vector<std::ptrdiff_t> single{0, 1, 2, 3, 4, 5};
  std::vector<std::ptrdiff_t> twice{0, 2, 4, 6, 8, 10};
  for (const simd::KernelTable* table : simd::available()) {
    std::vector<double> a(static_cast<std::size_t>(simd::kSlidingLanes), 0.0);
    std::vector<double> b = a;
    std::vector<double> partial(static_cast<std::size_t>(rows * simd::kSlidingLanes));
    std::vector<double> out(static_cast<std::size_t>(rows));
    simd::SlidingBlock block{};
    block.sets[0] = {single.data(), ones.data(), ones.data(), a.data()};
    block.sets[1] = {twice.data(), ones.data(), ones.data(), b.data()};
    block.count = 2;
    block.rows = rows;
    block.stride = simd::kSlidingLanes;
    block.columns = 1;
    block.feature_end = simd::kSlidingLanes;
    block.column_end = 1;
    block.query = query.data();
    block.partial = partial.data();
    block.out = out.data();
    block.ld = rows;
    table->sliding.slide(block);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto n = static_cast<double>(i + 1);
      EXPECT_EQ(out[i], 8.0 * n * 2.0 * n) << table->name;
    }
  }
}

}  // namespace
}  // namespace polyattn::test
