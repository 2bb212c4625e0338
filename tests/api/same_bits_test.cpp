// The same bits whatever the number of threads, the instruction set, and the place in the batch.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/forced_isa.hpp"
#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

/// Everything a result holds that is a number of the mathematics.
std::vector<std::byte> fingerprint(const Result& result) {
  std::vector<std::byte> all = bits_of(result.output);
  for (const auto* part : {&result.lse, &result.lse_bound, &result.row_bounds, &result.row_max}) {
    if (part->has_value()) {
      const std::vector<std::byte> bits = bits_of(part->value());
      all.insert(all.end(), bits.begin(), bits.end());
    }
  }
  return all;
}

struct Case {
  std::string name;
  Problem problem;
  int degree = 6;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const RandomShape shape{.batch = 2, .heads = 2, .n_q = 131, .n_kv = 197, .dim = 5, .value_dim = 3};
  for (const DType dtype : {DType::bfloat16, DType::float32, DType::float64}) {
    for (const Causal causal : {Causal::none, Causal::upper_left, Causal::lower_right}) {
      Problem problem = random_problem(shape, 2.0, dtype, 131);
      problem.causal = causal;
      if (causal != Causal::upper_left) {
        problem.bias = random_bias(problem, -3.0, 3.0, 132);
        problem.bias->values[5] = problem.bias->values[200] = -kInfinity;
        problem.bias = store(DType::float64, problem.bias->shape, problem.bias->values);
      }
      all.push_back({std::string(name_of(dtype)) + (causal == Causal::none ? "" : " causal"), problem, 6});
    }
  }
  Problem gaussian = random_problem(shape, 2.0, DType::float32, 133);
  gaussian.score = Gaussian{{1.0, 2.0, 3.0, 4.0, 5.0}};
  all.push_back({"gaussian", gaussian, 6});
  all.push_back(
      {"wide", random_problem({.n_q = 70, .n_kv = 90, .dim = 67, .value_dim = 70}, 1.0, DType::float32, 134), 2});
  all.push_back({"large scores", random_problem({.n_q = 70, .n_kv = 90, .dim = 3}, 9.0, DType::float32, 135), 8});
  return all;
}

class SameBits : public testing::TestWithParam<Choice> {
 protected:
  static Options options_for(const Case& c) {
    Options options = with_certificates(forced(GetParam(), c.degree));
    options.output_dtype.reset();
    options.strict = false;
    options.want_row_max = GetParam().engine != Engine::polynomial;
    return options;
  }
};

TEST_P(SameBits, AnyNumberOfThreads) {
  for (const Case& c : cases()) {
    Options options = options_for(c);
    options.threads = 1;
    const std::vector<std::byte> expected = fingerprint(attend(c.problem, options));
    for (const int threads : {2, 5}) {
      options.threads = threads;
      EXPECT_EQ(fingerprint(attend(c.problem, options)), expected) << c.name << ", " << threads << " threads";
    }
  }
}

TEST_P(SameBits, AnyInstructionSet) {
  ASSERT_FALSE(instruction_sets().empty());
  EXPECT_STREQ(instruction_sets().back(), "scalar");
  for (const Case& c : cases()) {
    const std::vector<std::byte> expected = fingerprint(attend(c.problem, options_for(c)));
    for (const char* isa : instruction_sets()) {
      const ForcedIsa force(isa);
      ASSERT_STREQ(instruction_set(), isa);
      const Result result = attend(c.problem, options_for(c));
      EXPECT_EQ(result.report.instruction_set, isa);
      EXPECT_EQ(fingerprint(result), expected) << c.name << ", " << isa;
    }
  }
}

TEST_P(SameBits, AnyPlaceInTheBatch) {
  for (const Case& c : cases()) {
    if (c.problem.q.shape[0] != 2) {
      continue;
    }
    // Swap the two batch entries: every head moves, and is computed next to others.
    const auto swapped = [](const Stored& stored) {
      std::vector<double> values = stored.values;
      std::swap_ranges(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                       values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
      return store(stored.dtype, stored.shape, values);
    };
    Problem moved = c.problem;
    moved.q = swapped(c.problem.q);
    moved.k = swapped(c.problem.k);
    moved.v = swapped(c.problem.v);
    if (moved.bias) {
      moved.bias = swapped(*c.problem.bias);
    }
    const std::vector<std::byte> here = bits_of(attend(c.problem, options_for(c)).output);
    const std::vector<std::byte> there = bits_of(attend(moved, options_for(c)).output);
    const std::size_t half = here.size() / 2;
    EXPECT_EQ(std::memcmp(here.data(), there.data() + half, half), 0) << c.name;
    EXPECT_EQ(std::memcmp(here.data() + half, there.data(), half), 0) << c.name;
  }
}

TEST_P(SameBits, OtherRowsDoNotMatter) {
  if (GetParam().engine == Engine::polynomial) {
    GTEST_SKIP() << "its plan looks at the whole head; prepared keys are tested for this";
  }
  for (const Case& c : cases()) {
    const Options options = options_for(c);
    Problem part = c.problem;
    const auto [batch, heads, n_q, dim] = c.problem.q.shape;
    // A prefix of the rows keeps upper_left positions; drop the first rows for lower_right, which counts from the end.
    const std::int64_t kept = n_q / 3;
    const std::int64_t first = c.problem.causal == Causal::lower_right ? n_q - kept : 0;
    std::vector<double> rows;
    for (std::int64_t at = 0; at < batch * heads; ++at) {
      const double* begin = c.problem.q.row(at / heads, at % heads, first);
      rows.insert(rows.end(), begin, begin + kept * dim);
    }
    part.q = store(c.problem.q.dtype, {batch, heads, kept, dim}, rows);
    const std::vector<double> whole = values_of(attend(c.problem, options).output);
    const std::vector<double> few = values_of(attend(part, options).output);
    const auto columns = static_cast<std::size_t>(c.problem.v.shape[3]);
    for (std::size_t at = 0; at < static_cast<std::size_t>(batch * heads); ++at) {
      for (std::size_t e = 0; e < static_cast<std::size_t>(kept) * columns; ++e) {
        ASSERT_EQ(few[at * static_cast<std::size_t>(kept) * columns + e],
                  whole[(at * static_cast<std::size_t>(n_q) + static_cast<std::size_t>(first)) * columns + e])
            << c.name;
      }
    }
  }
}

TEST_P(SameBits, Repeated) {
  for (const Case& c : cases()) {
    EXPECT_EQ(fingerprint(attend(c.problem, options_for(c))), fingerprint(attend(c.problem, options_for(c)))) << c.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, SameBits, testing::ValuesIn(choices()),
                         [](const auto& choice) { return choice.param.name(); });

TEST(SameChoice, WithoutCalibrationThreadsDoNotChangeThePlan) {
  const Problem problem = random_problem({.n_q = 1200, .n_kv = 1200, .dim = 3}, 1.0, DType::float32, 136);
  Options options;
  options.tolerance.value = 1e-3;
  options.threads = 1;
  const HeadPlan one = plan(problem, options).report().heads.at(0);
  const std::vector<std::byte> bits = bits_of(attend(problem, options).output);
  for (const int threads : {2, 5}) {
    options.threads = threads;
    const HeadPlan many = plan(problem, options).report().heads.at(0);
    EXPECT_EQ(many.engine, one.engine);
    EXPECT_EQ(many.arithmetic, one.arithmetic);
    EXPECT_EQ(many.degree, one.degree);
    EXPECT_EQ(bits_of(attend(problem, options).output), bits);
  }
}

}  // namespace
}  // namespace polyattn::test
