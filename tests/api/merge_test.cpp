// Merging answers over disjoint sets of keys: closed forms, attention over all keys at once, and bounds against what
// the parts allow at worst, judged in binary128.

#include "polyattn/merge.hpp"

#include "api/merge_parts.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"
#include "support/quad.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kLowest = std::numeric_limits<double>::lowest();

Quad absolute(Quad x) { return x < 0 ? -x : x; }

/// What the parts say if every log-sum-exp is moved by shift[p] and every output by move[p].
struct ExactRow {
  std::vector<Quad> output;
  Quad lse = 0;
};

ExactRow exact_row(const std::vector<Part>& parts, const std::vector<double>& shift, const std::vector<double>& move) {
  Quad largest = static_cast<Quad>(-kInfinity);
  std::vector<Quad> lse;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    lse.push_back(static_cast<Quad>(parts[p].lse.values[0]) + static_cast<Quad>(shift[p]));
    largest = std::max(largest, lse.back());
  }
  ExactRow row;
  row.output.resize(parts[0].output.values.size(), Quad(0));
  Quad total = 0;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Quad weight = exp_of(lse[p] - largest);
    total += weight;
    for (std::size_t c = 0; c < row.output.size(); ++c) {
      row.output[c] += weight * (static_cast<Quad>(parts[p].output.values[c]) + static_cast<Quad>(move[p]));
    }
  }
  for (Quad& t : row.output) {
    t /= total;
  }
  row.lse = largest + log_of(total);
  return row;
}

/// measured / certified, the larger of output and log-sum-exp kept apart. Binary128 rounds a few times per part, a
/// relative 2^-112 of the largest numbers, which is taken off in favour of the bound.
struct Clearance {
  double output = 0.0;
  double lse = 0.0;
  void include(const MergedRow& row, const ExactRow& exact, std::size_t parts) {
    const double few = 16.0 * static_cast<double>(parts + 4) * 0x1p-112;
    Quad size = 0;
    for (const Quad t : exact.output) {
      size = std::max(size, absolute(t));
    }
    for (std::size_t c = 0; c < exact.output.size(); ++c) {
      const auto error = static_cast<double>(absolute(static_cast<Quad>(row.output[c]) - exact.output[c]));
      output = std::max(output, clearance(std::max(0.0, error - few * static_cast<double>(size)), row.bound));
    }
    const auto error = static_cast<double>(absolute(static_cast<Quad>(row.lse) - exact.lse));
    const double lse_size = static_cast<double>(absolute(exact.lse)) + 1.0;
    lse = std::max(lse, clearance(std::max(0.0, error - few * lse_size), row.lse_bound));
  }
  void show(const char* what) const {
    std::printf("worst-clearance (measured / certified), %s: output %.3f, log-sum-exp %.3f\n", what, output, lse);
  }
};

TEST(Merge, ClosedForms) {
  const MergedRow even = merged_row({part_of(5.0, {1.0, -8.0}), part_of(5.0, {3.0, 8.0})});
  EXPECT_EQ(even.output, (std::vector<double>{2.0, 0.0}));
  EXPECT_LE(std::abs(even.lse - (5.0 + std::log(2.0))), even.lse_bound);
  const MergedRow odds = merged_row({part_of(std::log(3.0), {4.0}), part_of(0.0, {8.0})});
  EXPECT_LE(std::abs(odds.output[0] - 5.0), odds.bound + 0x1p-51);  // log 3 is rounded
  EXPECT_LE(std::abs(odds.lse - std::log(4.0)), odds.lse_bound + 0x1p-51);
  const MergedRow far = merged_row({part_of(1e300, {4.0}), part_of(-1e300, {8.0}), part_of(kLowest, {9.0})});
  EXPECT_EQ(far.output[0], 4.0);
  EXPECT_EQ(far.lse, 1e300);
  EXPECT_LE(far.bound, 1e-300);
  EXPECT_LE(far.lse_bound, 1e-15);
  const MergedRow many = merged_row(std::vector<Part>(1000, part_of(-1e4, {0.1, 7.0})));
  EXPECT_EQ(many.output, (std::vector<double>{0.1, 7.0})) << "equal parts: their hull is a point";
  EXPECT_LE(std::abs(many.lse - (-1e4 + std::log(1000.0))), many.lse_bound);
}

TEST(Merge, OnePartIsItself) {
  const MergedRow row = merged_row({part_of(-700.25, {0.1, -0.3, 1e-310}, 0.125, 0.25)});
  EXPECT_EQ(row.output, (std::vector<double>{0.1, -0.3, 1e-310}));
  EXPECT_EQ(row.lse, -700.25);
  EXPECT_EQ(row.bound, 0.125);
  EXPECT_GE(row.lse_bound, 0.25);
  EXPECT_LE(row.lse_bound, 0.25 * (1.0 + 1e-14));
  EXPECT_EQ(merged_row({part_of(3.0, {1.0})}).lse_bound, 0.0);
}

/// One row of random parts, from harmless to hostile.
std::vector<Part> random_parts(Random& random, bool exact) {
  const std::int64_t count = random.integer(1, 7);
  const std::int64_t columns = random.integer(1, 3);
  const double base = random.chance(0.2) ? random.sign() * random.log_uniform(1e2, 1e300) : random.uniform(-5.0, 5.0);
  const double spread = random.chance(0.5) ? random.log_uniform(1e-12, 5.0) : random.log_uniform(1.0, 800.0);
  const double size = random.log_uniform(1e-200, 1e200);
  std::vector<Part> parts;
  for (std::int64_t p = 0; p < count; ++p) {
    const bool beside = random.chance(0.1);  // a row whose weight is subnormal or nothing
    const double lse = base - (random.chance(0.2) ? 0.0
                               : beside           ? random.uniform(700.0, 760.0)
                                                  : random.uniform(0, spread));
    std::vector<double> output;
    for (std::int64_t c = 0; c < columns; ++c) {
      output.push_back(size * (random.chance(0.1) ? 1.0 : random.uniform(-1.0, 1.0)));
    }
    const double bound = exact || random.chance(0.2) ? 0.0 : size * random.log_uniform(1e-17, 10.0);
    const double lse_bound =
        exact || random.chance(0.2) ? 0.0 : random.log_uniform(1e-17, random.chance(0.5) ? 1e-3 : 5.0);
    parts.push_back(part_of(lse, output, bound, lse_bound));
  }
  return parts;
}

TEST(Merge, RoundingIsWithinItsBound) {
  Random random(31);
  Clearance worst;
  Clearance narrowed;
  for (int trial = 0; trial < 20000; ++trial) {
    const std::vector<Part> parts = random_parts(random, true);
    const std::vector<double> zeros(parts.size(), 0.0);
    const ExactRow exact = exact_row(parts, zeros, zeros);
    worst.include(merged_row(parts), exact, parts.size());
    ASSERT_LE(worst.output, 1.0) << trial;
    ASSERT_LE(worst.lse, 1.0) << trial;
    const MergedRow narrow =
        merged_row(parts, {.output_dtype = DType::float32});  // whose rounding is part of the bound
    if (std::all_of(narrow.output.begin(), narrow.output.end(), [](double t) { return std::isfinite(t); })) {
      narrowed.include(narrow, exact, parts.size());
      ASSERT_LE(narrowed.output, 1.0) << trial;
    } else {
      EXPECT_EQ(narrow.bound, kInfinity) << "beyond the range of float32";
    }
  }
  narrowed.show("rounding to float32");
  worst.show("rounding");
  EXPECT_GT(worst.output, 0.2);
  EXPECT_GT(worst.lse, 0.05);
  EXPECT_GT(narrowed.output, 0.9);
}

// Parts at the ends of their bounds, in all combinations: no other choice of truth is farther away.
TEST(Merge, BoundsHoldForTheWorstPartsAllow) {
  Random random(32);
  Clearance worst;
  Clearance small;
  for (int trial = 0; trial < 3000; ++trial) {
    const std::vector<Part> parts = random_parts(random, false);
    const MergedRow row = merged_row(parts);
    double largest_lse_bound = 0.0;
    Clearance mine;
    for (std::size_t signs = 0; signs < (std::size_t{1} << parts.size()); ++signs) {
      for (const double direction : {-1.0, 1.0}) {
        std::vector<double> shift;
        std::vector<double> move;
        for (std::size_t p = 0; p < parts.size(); ++p) {
          const double l = parts[p].lse_bound->values[0];
          largest_lse_bound = std::max(largest_lse_bound, l);
          shift.push_back((signs >> p & 1U) != 0 ? l : -l);
          move.push_back(direction * parts[p].row_bounds->values[0]);
        }
        mine.include(row, exact_row(parts, shift, move), parts.size());
      }
    }
    ASSERT_LE(mine.output, 1.0) << trial;
    ASSERT_LE(mine.lse, 1.0) << trial;
    worst.output = std::max(worst.output, mine.output);
    worst.lse = std::max(worst.lse, mine.lse);
    if (largest_lse_bound < 1e-3 && row.lse_bound > 1e-9 && parts.size() > 1 && std::abs(row.lse) < 100.0) {
      small.output = std::max(small.output, mine.output);
      small.lse = std::max(small.lse, mine.lse);
      // In log-sum-exps the bound is the sharp one, up to rounding and second order.
      EXPECT_GT(mine.lse, 0.99) << trial;
    }
  }
  worst.show("worst parts");
  small.show("worst parts, small bounds");
  EXPECT_GT(small.output, 0.9);
}

/// Rows [first, last) of the keys, values and biases.
Problem key_range(const Problem& problem, std::int64_t first, std::int64_t last) {
  const auto cut = [&](const Stored& stored) {
    Shape shape = stored.shape;
    shape[2] = last - first;
    std::vector<double> values;
    for (std::int64_t b = 0; b < shape[0]; ++b) {
      for (std::int64_t h = 0; h < shape[1]; ++h) {
        const double* rows = stored.row(b, h, first);
        values.insert(values.end(), rows, rows + shape[2] * shape[3]);
      }
    }
    return store(stored.dtype, shape, values);
  };
  Problem part = problem;
  part.k = cut(problem.k);
  part.v = cut(problem.v);
  part.bias = cut(*problem.bias);
  return part;
}

class MergeEngines : public testing::TestWithParam<Choice> {};

TEST_P(MergeEngines, PartsOfTheKeysGiveAttentionOverAllKeys) {
  double worst = 0.0;
  double worst_lse = 0.0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const DType dtype = seed % 2 == 0 ? DType::float32 : DType::float64;
    Problem problem = random_problem({.batch = 2, .heads = 2, .n_q = 19, .n_kv = 120, .dim = 3, .value_dim = 2},
                                     GetParam().engine == Engine::polynomial ? 1.0 : 6.0, dtype, seed);
    problem.bias = random_bias(problem, -3.0, 3.0, seed);
    std::fill_n(problem.bias->values.begin(), 40, -kInfinity);  // the first head sees nothing of the first keys
    problem.bias = store(problem.bias->dtype, problem.bias->shape, problem.bias->values);
    Options options = forced(GetParam());
    options.want_lse = options.want_row_bounds = true;
    std::vector<Result> results;
    for (const auto& [first, last] : {std::pair{0, 33}, {33, 34}, {34, 34}, {34, 119}, {119, 120}}) {
      results.push_back(attend(key_range(problem, first, last), options));
    }
    std::vector<Partial> parts;
    for (const Result& result : results) {
      parts.push_back(partial(result));
    }
    const Merged merged = merge(parts);
    EXPECT_EQ(merged.output.dtype(), dtype);
    const Truth<Quad> truth = truth_of<Quad>(problem);
    const std::vector<double> output = values_of(merged.output);
    const std::vector<double> bounds = values_of(merged.row_bounds);
    const std::vector<double> lse = values_of(merged.lse);
    const std::vector<double> lse_bounds = values_of(merged.lse_bound);
    for (std::size_t e = 0; e < output.size(); ++e) {
      const auto error = static_cast<double>(absolute(static_cast<Quad>(output[e]) - truth.output[e]));
      worst = std::max(worst, clearance(std::max(0.0, error - truth.doubt[e]), bounds[e / 2]));
    }
    for (std::size_t row = 0; row < lse.size(); ++row) {
      const auto error = static_cast<double>(absolute(static_cast<Quad>(lse[row]) - truth.lse[row]));
      worst_lse = std::max(worst_lse, clearance(std::max(0.0, error - truth.lse_doubt[row]), lse_bounds[row]));
    }
    // No worse than attention in one piece by more than a constant: the bound is not vacuous.
    const Result whole = attend(problem, options);
    const std::vector<double> at_once = values_of(*whole.row_bounds);
    EXPECT_LE(*std::max_element(bounds.begin(), bounds.end()),
              8.0 * *std::max_element(at_once.begin(), at_once.end()) + 1e-12);
  }
  std::printf("worst-clearance (measured / certified), %s: output %.3f, log-sum-exp %.3f\n", GetParam().name().c_str(),
              worst, worst_lse);
  EXPECT_LE(worst, 1.0);
  EXPECT_LE(worst_lse, 1.0);
}

INSTANTIATE_TEST_SUITE_P(Engines, MergeEngines, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(Merge, PartByPartAgreesWithAllAtOnce) {
  Random random(33);
  for (int trial = 0; trial < 500; ++trial) {
    const std::vector<Part> parts = random_parts(random, false);
    const MergedRow at_once = merged_row(parts);
    Merged running = merge(std::vector{parts[0].view()});
    for (std::size_t p = 1; p < parts.size(); ++p) {
      running = merge(std::vector{partial(running), parts[p].view()});
    }
    const double bound = values_of(running.row_bounds)[0];
    for (std::size_t c = 0; c < at_once.output.size(); ++c) {
      EXPECT_LE(std::abs(values_of(running.output)[c] - at_once.output[c]), bound + at_once.bound);
    }
    EXPECT_LE(std::abs(values_of(running.lse)[0] - at_once.lse), values_of(running.lse_bound)[0] + at_once.lse_bound);
  }
}

}  // namespace
}  // namespace polyattn::test
