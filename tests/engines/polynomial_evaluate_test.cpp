// Rows of the polynomial engine against the definition in binary128: the error never exceeds the certificate.

#include "engines/polynomial/evaluate.hpp"

#include "engines/polynomial_support.hpp"
#include "simd/dispatch.hpp"
#include "support/expect_error.hpp"
#include "support/forced_isa.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
Clearance clearance(const HeadData& head, int degree) {
  return clearance_of<Quad>(head, run_head<T>(head, degree), truth_of<Quad>(head));
}

std::int64_t answered(const PolynomialRun& run) {
  return std::count(run.answered.begin(), run.answered.end(), std::uint8_t{1});
}

template <class T>
class PolynomialRows : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(PolynomialRows, Arithmetics);

TYPED_TEST(PolynomialRows, ErrorsStayBelowTheCertificate) { expect_certified<TypeParam>({.seed = 1, .starts = 500}); }

TYPED_TEST(PolynomialRows, ErrorsStayBelowTheCertificateUnderSearch) {
  const double worst = expect_certified<TypeParam>({.seed = 2, .starts = 8, .steps = 60});
  EXPECT_GT(worst, 0.3) << "the search gets somewhere";
}

// At full degree only rounding is left, and there the certificate must hold as well.
TYPED_TEST(PolynomialRows, RoundingAloneStaysBelowTheCertificate) {
  const int degree = std::is_same_v<TypeParam, float> ? 12 : 22;
  for (const std::int64_t keys : {1, 37, 600, 5000}) {
    HeadData head = random_head(3, 5, keys, 2, 2, 0.5);
    head.round_to_float32();
    const PolynomialRun run = run_head<TypeParam>(head, degree);
    const auto truth = truth_of<long double>(head);
    EXPECT_EQ(answered(run), 5) << keys;
    EXPECT_LE(clearance_of<long double>(head, run, truth).answer, 1.0) << keys;
    for (std::int64_t i = 0; i < 5; ++i) {
      EXPECT_LE(run.approximation[usize(i)], 0.1 * run.rounding[usize(i)]) << keys;
      EXPECT_LE(run.rounding[usize(i)], (std::is_same_v<TypeParam, float> ? 1e-3 : 1e-11)) << "and says something";
    }
  }
}

TYPED_TEST(PolynomialRows, EqualScoresGiveTheMean) {
  HeadData head = random_head(4, 4, 50, 3, 2);
  std::fill(head.k.begin(), head.k.end(), 0.7);  // one key, fifty times
  const PolynomialRun run = run_head<TypeParam>(head, 2);
  EXPECT_EQ(answered(run), 4);
  for (std::int64_t c = 0; c < 2; ++c) {
    long double mean = 0.0L;
    for (std::int64_t j = 0; j < 50; ++j) {
      mean += static_cast<long double>(head.v[usize(2 * j + c)]) / 50.0L;
    }
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_LE(std::fabs(static_cast<long double>(run.output[usize(2 * i + c)]) - mean), run.bound(i));
      EXPECT_LE(run.approximation[usize(i)], 1e-15) << "a radius of 0, but for the rounding of the centre";
    }
  }
}

TYPED_TEST(PolynomialRows, AnswersLieInTheHullOfTheValues) {
  HeadData head = random_head(5, 30, 40, 1, 1, 1.6);
  for (double& v : head.v) {
    v = v > 0.0 ? 1.0 : 0.25;
  }
  const PolynomialRun run = run_head<TypeParam>(head, 1);  // a poor polynomial: T* leaves the hull
  for (std::int64_t i = 0; i < 30; ++i) {
    if (run.answered[usize(i)] != 0) {
      EXPECT_GE(run.output[usize(i)], 0.25);
      EXPECT_LE(run.output[usize(i)], 1.0);
    }
  }
  EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0);
}

TYPED_TEST(PolynomialRows, RowsOutsideTheFrameAreLeftAlone) {
  HeadData head = random_head(6, 40, 60, 3, 2, 0.3);
  const engines::HeadProblem narrow = head.problem();
  const PolynomialSetup setup = make_setup(narrow, 3);
  head.q[usize(3 * 7 + 1)] = 50.0;
  head.q[usize(3 * 39)] = -1e30;
  const PolynomialRun run = run_polynomial<TypeParam>(head.problem(), setup);
  EXPECT_EQ(answered(run), 38);
  EXPECT_EQ(run.summary.answered, 38);
  for (const std::int64_t i : {7, 39}) {
    EXPECT_EQ(run.answered[usize(i)], 0);
    EXPECT_EQ(run.output[usize(2 * i)], 0.0) << "untouched";
    EXPECT_EQ(run.rounding[usize(i)], -1.0) << "untouched";
  }
  EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0);
}

TYPED_TEST(PolynomialRows, OnlyRowsThatMeetTheToleranceAreAnswered) {
  const HeadData head = random_head(7, 200, 80, 2, 1, 0.8);
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = make_setup(problem, 4);
  const PolynomialRun all = run_polynomial<TypeParam>(problem, setup);
  ASSERT_EQ(answered(all), 200);
  std::vector<double> sorted;
  for (std::int64_t i = 0; i < 200; ++i) {
    sorted.push_back(all.bound(i));
  }
  std::nth_element(sorted.begin(), sorted.begin() + 100, sorted.end());
  const double tolerance = sorted[100];
  engines::Acceptance acceptance;
  acceptance.tolerance = tolerance;
  const PolynomialRun some = run_polynomial<TypeParam>(problem, setup, true, acceptance);
  EXPECT_EQ(answered(some), 101);
  for (std::int64_t i = 0; i < 200; ++i) {
    ASSERT_EQ(some.answered[usize(i)] != 0, all.bound(i) <= tolerance) << i;
    if (some.answered[usize(i)] != 0) {
      ASSERT_EQ(some.output[usize(i)], all.output[usize(i)]) << "the same bits whoever else is answered";
    } else {
      ASSERT_EQ(some.rounding[usize(i)], -1.0);
    }
  }
}

TYPED_TEST(PolynomialRows, ToleranceOnDenominatorsToo) {
  const HeadData head = random_head(8, 100, 80, 2, 1, 0.8);
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = make_setup(problem, 4);
  const PolynomialRun all = run_polynomial<TypeParam>(problem, setup);
  std::vector<double> sorted = all.lse_bound;
  std::nth_element(sorted.begin(), sorted.begin() + 50, sorted.end());
  engines::Acceptance lse;
  lse.lse_tolerance = sorted[50];
  engines::Acceptance density;
  density.density_tolerance = std::expm1(sorted[50]) * (1.0 + 1e-9);
  for (const engines::Acceptance& acceptance : {lse, density}) {
    const PolynomialRun some = run_polynomial<TypeParam>(problem, setup, false, acceptance);
    for (std::int64_t i = 0; i < 100; ++i) {
      ASSERT_EQ(some.answered[usize(i)] != 0, all.lse_bound[usize(i)] <= sorted[50]) << i;
    }
  }
  engines::Acceptance absolute;
  absolute.density_absolute = true;
  absolute.density_tolerance = 1e-3;
  const PolynomialRun some = run_polynomial<TypeParam>(problem, setup, false, absolute);
  for (std::int64_t i = 0; i < 100; ++i) {
    const double bound = std::expm1(all.lse_bound[usize(i)]) * std::exp(all.lse[usize(i)]);
    if (std::fabs(bound / 1e-3 - 1.0) > 1e-6) {
      ASSERT_EQ(some.answered[usize(i)] != 0, bound <= 1e-3) << i;
    }
  }
}

TYPED_TEST(PolynomialRows, BitsDependOnNothingButTheRow) {
  using T = TypeParam;
  const HeadData head = random_head(9, 700, 900, 3, 2, 0.5);
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = make_setup(problem, 3);
  const PolynomialRun expected = run_polynomial<T>(problem, setup);
  for (const simd::KernelTable* table : simd::available()) {
    const ForcedIsa forced(table->name);
    for (const int threads : {1, 2, 5}) {
      base::MemoryMeter memory;
      const PolynomialRun run = run_polynomial<T>(problem, setup, true, {}, {threads, &memory, nullptr});
      EXPECT_EQ(run.output, expected.output) << table->name << ", " << threads << " threads";
      EXPECT_EQ(run.approximation, expected.approximation) << table->name;
      EXPECT_EQ(run.rounding, expected.rounding) << table->name;
      EXPECT_EQ(run.lse, expected.lse) << table->name;
    }
  }
  // A row alone, under the same frame.
  HeadData one = head;
  one.n_q = 1;
  one.q.assign(head.q.begin() + 3 * 555, head.q.begin() + 3 * 556);
  const PolynomialRun alone = run_polynomial<T>(one.problem(), setup);
  EXPECT_EQ(alone.output[0], expected.output[2 * 555]);
  EXPECT_EQ(alone.output[1], expected.output[2 * 555 + 1]);
  EXPECT_EQ(alone.rounding[0], expected.rounding[555]);
}

// Values up to the end of the type's range: certified rightly or not at all.
TYPED_TEST(PolynomialRows, LargeValuesAreCertifiedOrRefused) {
  const bool single = std::is_same_v<TypeParam, float>;
  for (const int degree : {0, 2, 5}) {
    for (const double size : {1e15, 1e19, 1e25, 1e37, 1e38, 3e38}) {
      HeadData head = random_head(10, 8, 60, 2, 2, 0.5);
      for (double& v : head.v) {
        v = size * std::clamp(v, -1.0, 1.0);
      }
      EXPECT_LE(clearance<TypeParam>(head, degree).answer, 1.0) << size;
    }
    for (const double size : {1e150, 1e155, 1e160, 1e200, 1e300, 1e307}) {
      HeadData head = random_head(11, 8, 60, 2, 2, 0.5);
      for (double& v : head.v) {
        v = size * std::clamp(v, -1.0, 1.0);
      }
      const PolynomialRun run = run_head<TypeParam>(head, degree);
      EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0) << size;
      EXPECT_TRUE(!single || answered(run) == 0) << "beyond float32";
    }
  }
}

// Sums that overflow by cancellation of the largest numbers, in one column of several.
TYPED_TEST(PolynomialRows, AnOverflowingColumnPoisonsTheRow) {
  const double most = std::is_same_v<TypeParam, float> ? 3e38 : 1.7e308;
  HeadData head = random_head(12, 8, 500, 2, 3, 0.5);
  for (std::int64_t j = 0; j < 500; ++j) {
    head.v[usize(3 * j + 1)] = j % 2 == 0 ? most : -most;
  }
  const PolynomialRun run = run_head<TypeParam>(head, 2);
  EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0);
}

TYPED_TEST(PolynomialRows, SmallValuesAreCertified) {
  for (const double size : {1e-20, 1e-30, 1e-38, 1e-44, 1e-160, 1e-300, 1e-320}) {
    HeadData head = random_head(13, 8, 60, 2, 2, 0.5);
    for (double& v : head.v) {
      v *= size;
    }
    EXPECT_LE(clearance<TypeParam>(head, 2).answer, 1.0) << size;
    EXPECT_LE(clearance<TypeParam>(head, 9).answer, 1.0) << size;
  }
}

// Where float64 loses the squares of keys or queries, the products of both remain.
TYPED_TEST(PolynomialRows, FarScalesAreCertified) {
  for (const int exponent : {-530, -500, -140, 100, 140, 500, 507}) {
    HeadData head;
    head.n_q = 4;
    head.n_kv = 10;
    head.dim = 40;
    for (std::int64_t i = 0; i < head.n_q * head.dim; ++i) {
      head.q.push_back(std::ldexp((i / head.dim) % 2 == 0 ? 0.9 : -0.9, exponent));
    }
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.v.push_back(static_cast<double>(j % 2));
      for (std::int64_t l = 0; l < head.dim; ++l) {
        head.k.push_back(std::ldexp(j % 2 == 0 ? 0.7 : -0.7, -exponent - 20));
      }
    }
    for (const int degree : {0, 1, 3}) {
      EXPECT_LE(clearance<TypeParam>(head, degree).answer, 1.0) << exponent << ", degree " << degree;
    }
  }
}

// Values that cancel against a huge common offset.
TYPED_TEST(PolynomialRows, OffsetsOfTheValuesAreChargedForNotLost) {
  for (const double offset : {1e3, 1e8, 1e14}) {
    HeadData head = random_head(14, 8, 60, 2, 1, 0.5);
    for (double& v : head.v) {
      v += offset;
    }
    const PolynomialRun run = run_head<TypeParam>(head, 6);
    EXPECT_EQ(answered(run), 8);
    EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).answer), 1.0) << offset;
    for (std::int64_t i = 0; i < 8; ++i) {
      EXPECT_LE(run.bound(i), 0.05 + 1e-14 * offset) << "values are centred: the offset costs float64 roundings only";
    }
  }
}

TYPED_TEST(PolynomialRows, WeightsThatUnderflowAreChargedFor) {
  HeadData head = random_head(15, 8, 100, 1, 1, 1.2);
  for (std::int64_t j = 0; j < 100; ++j) {
    head.bias.push_back(j == 0 ? 0.0 : -8.0 * static_cast<double>(j));  // e^-792 at the end
  }
  head.k[0] = -40.0;  // the heavy key far below, light ones above
  EXPECT_LE(clearance<TypeParam>(head, 8).answer, 1.0);
  EXPECT_LE(clearance<TypeParam>(head, 8).lse, 1.0);
}

TYPED_TEST(PolynomialRows, HiddenKeysMayHoldAnything) {
  HeadData head = random_head(16, 6, 40, 2, 2, 0.5);
  head.bias.assign(40, 0.0);
  for (const std::int64_t j : {0, 11, 39}) {
    head.bias[usize(j)] = -kInfinity;
  }
  const PolynomialRun expected = run_head<TypeParam>(head, 3);
  HeadData poisoned = head;
  for (const std::int64_t j : {0, 11, 39}) {
    poisoned.k[usize(2 * j)] = std::numeric_limits<double>::quiet_NaN();
    poisoned.v[usize(2 * j)] = kInfinity;
    poisoned.v[usize(2 * j + 1)] = std::numeric_limits<double>::quiet_NaN();
  }
  const PolynomialRun run = run_head<TypeParam>(poisoned, 3);
  EXPECT_EQ(answered(run), 6);
  EXPECT_EQ(run.output, expected.output);
  EXPECT_EQ(run.rounding, expected.rounding);
}

TYPED_TEST(PolynomialRows, WithoutAVisibleKeyNothingIsAnswered) {
  HeadData head = random_head(17, 3, 5, 2, 1);
  head.bias.assign(5, -kInfinity);
  EXPECT_EQ(answered(run_head<TypeParam>(head, 2)), 0);
}

TYPED_TEST(PolynomialRows, NonFiniteQueriesAreNamed) {
  HeadData head = random_head(18, 300, 5, 2, 1);
  const engines::HeadProblem problem = head.problem();
  const PolynomialSetup setup = make_setup(problem, 2);
  head.q[usize(2 * 270 + 1)] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q", "row 270", "column 1"},
                         [&] { run_polynomial<TypeParam>(head.problem(), setup); }));
}

TYPED_TEST(PolynomialRows, NoValueColumnsMeansLogSumExpOnly) {
  HeadData head = random_head(19, 9, 30, 2, 0, 0.6);
  const PolynomialRun run = run_head<TypeParam>(head, 5);
  EXPECT_EQ(answered(run), 9);
  EXPECT_LE((clearance_of<Quad>(head, run, truth_of<Quad>(head)).lse), 1.0);
}

// What is stored in a narrower type counts: as rounding in float32, apart in 16 bits, and never silently as infinity.
// (In float64: values beyond float32 never reach the storage of float32 arithmetic.)
TEST(PolynomialRowsStored, NarrowTypesArePartOfTheBound) {
  const auto largest_stored = [](DType type) { return type == DType::float16 ? 65504.0 : 3.3e38; };
  for (const DType type : {DType::float32, DType::float16, DType::bfloat16}) {
    for (const double factor : {1e-3, 0.5, 1.5, 1e3}) {
      HeadData head = random_head(20, 8, 60, 2, 1, 0.5);
      for (double& v : head.v) {
        v = factor * largest_stored(type) * (1.0 + 0.01 * std::clamp(v, -1.0, 1.0));
      }
      const engines::HeadProblem problem = head.problem();
      const PolynomialSetup setup = make_setup(problem, 9);
      std::vector<std::uint32_t> stored(8, 0U);  // room for any of them
      std::vector<double> bound(8, 0.0);
      std::vector<double> approximation(8, 0.0);
      std::vector<double> storage(8, 0.0);
      std::vector<std::uint8_t> done(8, 0);
      engines::HeadOutputs out;
      out.output = {stored.data(), type, 1, 1};
      out.rounding = bound.data();
      out.approximation = approximation.data();
      out.storage = storage.data();
      engines::MomentTotals totals = engines::make_totals(setup.features, nullptr);
      engines::sum_moments<double>(problem, setup.frame, setup.values, setup.features, 0, serial_context(), totals);
      const auto moments =
          engines::prepare_moments<double>(setup.frame, setup.values, setup.features, setup.table, totals, nullptr);
      engines::evaluate_rows<double>(problem, setup.frame, setup.values, moments, {}, out, done, serial_context());
      const auto truth = truth_of<Quad>(head);
      std::vector<double> back(8);
      base::load_rows({{{stored.data(), type, 0, 8, 1, 1}}, 8, 1}, 0, 8, back.data(), 1);
      for (std::int64_t i = 0; i < 8; ++i) {
        if (done[usize(i)] == 0) {
          continue;
        }
        const double allowed = approximation[usize(i)] + bound[usize(i)] + storage[usize(i)];
        const double error = std::fabs(back[usize(i)] - static_cast<double>(truth.answer[usize(i)]));
        EXPECT_LE(error, allowed) << name_of(type) << ", row " << i << " at " << factor;
        EXPECT_EQ(storage[usize(i)] != 0.0, type != DType::float32) << name_of(type);
      }
    }
  }
}

}  // namespace
}  // namespace polyattn::test
