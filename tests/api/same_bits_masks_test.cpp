// Under masks and soft-capping, too: the same bits whatever the number of threads, the instruction set and the other
// rows of the call.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/forced_isa.hpp"
#include "support/masks.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

std::vector<double> answers_of(const Result& result) {
  std::vector<double> all = values_of(result.output);
  for (const auto* part : {&result.lse.value(), &result.row_max.value()}) {
    const std::vector<double> numbers = values_of(*part);
    all.insert(all.end(), numbers.begin(), numbers.end());
  }
  return all;
}

enum class Mask : std::uint8_t { causal, window, band, segments, boolean, additive, exclude_self, all };
constexpr std::array kMasks{Mask::causal,  Mask::window,   Mask::band,         Mask::segments,
                            Mask::boolean, Mask::additive, Mask::exclude_self, Mask::all};

MaskedProblem problem_of(Mask mask, std::int64_t n_q, std::int64_t n_kv, DType dtype, std::uint64_t seed) {
  Random random(seed);
  MaskedProblem masked;
  Problem& problem = masked.problem;
  problem = random_problem({.heads = 2, .n_q = n_q, .n_kv = n_kv, .dim = 5, .value_dim = 3}, 2.0, dtype, seed);
  std::vector<double> bias = random_bias(problem, -3.0, 3.0, seed + 1).values;
  for (std::size_t j = 0; j < bias.size(); j += 37) {
    bias[j] = -kInfinity;
  }
  problem.bias = store(DType::float64, {1, 2, n_kv, 1}, bias);
  const bool all = mask == Mask::all;
  if (mask == Mask::causal || mask == Mask::window || all) {
    problem.causal = Causal::lower_right;
  }
  if (mask == Mask::window || mask == Mask::band || all) {
    masked.window = n_kv / 5 + 1;
  }
  if (mask == Mask::segments) {
    masked.segments = Segments{{0, n_q / 3, n_q / 3, n_q}, {0, n_kv / 2, n_kv / 2 + 1, n_kv}};
  }
  masked.exclude_self = mask == Mask::exclude_self;
  const Shape pairs{1, 2, n_q, n_kv};
  const auto count = static_cast<std::size_t>(2 * n_q * n_kv);
  if (mask == Mask::boolean || all) {
    masked.boolean = StoredBooleans{pairs, std::vector<std::uint8_t>(count, 1)};
    for (std::size_t e = 0; e < count; e += 1 + static_cast<std::size_t>(random.integer(0, 5))) {
      masked.boolean->bytes[e] = 0;
    }
  }
  if (mask == Mask::additive || all) {
    std::vector<double> added(count);
    for (double& x : added) {
      x = random.chance(0.2) ? -kInfinity : random.uniform(-4.0, 4.0);
    }
    masked.additive = store(dtype, pairs, added);
  }
  masked.soft_cap = seed % 2 == 0 ? 1.5 : 0.0;
  return masked;
}

Options options_of(const Choice& choice, int threads) {
  Options options = forced(choice);
  options.want_lse = true;
  options.want_row_max = true;
  options.want_row_bounds = true;
  options.threads = threads;
  return options;
}

/// Rows [first, first + count) of a problem whose masks by position do not depend on the number of rows, or count from
/// the last of them.
MaskedProblem rows_of(const MaskedProblem& whole, std::int64_t first, std::int64_t count) {
  MaskedProblem part = whole;
  const std::int64_t n_q = whole.problem.q.shape[2];
  const auto slice = [&](const auto& list, std::int64_t columns) {
    std::vector<typename std::decay_t<decltype(list)>::value_type> out;
    for (std::int64_t h = 0; h < 2; ++h) {
      const auto begin = list.begin() + static_cast<std::ptrdiff_t>((h * n_q + first) * columns);
      out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(count * columns));
    }
    return out;
  };
  const Stored& q = whole.problem.q;
  part.problem.q = store(q.dtype, {1, 2, count, q.shape[3]}, slice(q.values, q.shape[3]));
  const std::int64_t n_kv = whole.problem.k.shape[2];
  if (whole.boolean) {
    part.boolean = StoredBooleans{{1, 2, count, n_kv}, slice(whole.boolean->bytes, n_kv)};
  }
  if (whole.additive) {
    part.additive = store(whole.additive->dtype, {1, 2, count, n_kv}, slice(whole.additive->values, n_kv));
  }
  return part;
}

class SameBitsUnderMasks : public testing::TestWithParam<Choice> {};

TEST_P(SameBitsUnderMasks, AnyThreadsAndInstructionSet) {
  std::uint64_t seed = 1;
  for (const std::int64_t n_q : {1, 3, 40, 230}) {
    if (n_q > 40 && GetParam().engine == Engine::reference) {
      continue;  // slow, and has one way for all numbers of rows
    }
    for (const Mask mask : kMasks) {
      constexpr std::array types{DType::float32, DType::bfloat16, DType::float64};
      const MaskedProblem masked = problem_of(mask, n_q, 2100, types.at(seed % 3), seed);
      ++seed;
      const std::vector<double> expected = answers_of(attend(masked, options_of(GetParam(), 1)));
      for (const char* isa : instruction_sets()) {
        const ForcedIsa force(isa);
        const int threads = n_q == 40 ? 5 : 2;
        EXPECT_EQ(answers_of(attend(masked, options_of(GetParam(), threads))), expected)
            << n_q << " rows, mask " << static_cast<int>(mask) << ", " << isa;
      }
    }
  }
}

TEST_P(SameBitsUnderMasks, OtherRowsDoNotMatter) {
  std::uint64_t seed = 100;
  constexpr std::int64_t n_q = 400;
  for (const Mask mask : kMasks) {
    if (mask == Mask::segments) {
      continue;  // they end with the rows; tests/engines/exact_stream_test.cpp asks for single rows of theirs
    }
    const MaskedProblem whole = problem_of(mask, n_q, 450, seed % 2 == 0 ? DType::float32 : DType::float64, seed);
    ++seed;
    const Result all = attend(whole, options_of(GetParam(), 2));
    const std::vector<double> output = values_of(all.output);
    const std::vector<double> lse = values_of(all.lse.value());
    for (const std::int64_t count : {1, 2, 3, 4, 48, 192, 193}) {
      if (count == 1 && whole.additive) {
        continue;  // an additive mask of one row counts as a key bias, which is rounded otherwise
      }
      // Rows that count from the last stay the last; those that count from the first stay the first.
      const bool last = whole.problem.causal == Causal::lower_right;
      const std::int64_t first = last ? n_q - count : 0;
      const Result few = attend(rows_of(whole, first, count), options_of(GetParam(), 2));
      const std::vector<double> some = values_of(few.output);
      const std::vector<double> some_lse = values_of(few.lse.value());
      for (std::int64_t h = 0; h < 2; ++h) {
        for (std::int64_t i = 0; i < count; ++i) {
          const auto here = static_cast<std::size_t>(h * count + i);
          const auto there = static_cast<std::size_t>(h * n_q + first + i);
          for (std::size_t c = 0; c < 3; ++c) {
            ASSERT_EQ(some[here * 3 + c], output[there * 3 + c])
                << count << " rows, mask " << static_cast<int>(mask) << ", row " << i;
          }
          ASSERT_EQ(some_lse[here], lse[there]) << count << " rows, mask " << static_cast<int>(mask) << ", row " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, SameBitsUnderMasks, testing::ValuesIn(masked_choices()),
                         [](const auto& choice) { return choice.param.name(); });

// Rows that float32 cannot answer are asked for again, without the others: what the head's values range over stays what
// it was.
TEST(RangeUnderMasks, IsThatOfTheHeadWhicheverRowsAreLeft) {
  constexpr std::int64_t n = 300;
  Problem problem = random_problem({.n_q = n, .n_kv = n, .dim = 2, .value_dim = 1}, 1.0, DType::float64, 7);
  std::vector<double> q(2 * n, 0.1);
  std::vector<double> k(2 * n, 0.0);
  std::vector<double> v(n, 0.0);
  for (std::size_t j = 0; j < n; ++j) {
    k[2 * j] = 1.0 + 0.01 * static_cast<double>(j % 7);
    v[j] = j < 100 ? 1e-3 * static_cast<double>(j % 5) : static_cast<double>(j % 5);
  }
  for (std::size_t i = 0; i < 20; ++i) {
    q[2 * i] = 1e5;  // scores that float32 rounds coarsely
  }
  problem.q = store(DType::float64, {1, 1, n, 2}, q);
  problem.k = store(DType::float64, {1, 1, n, 2}, k);
  problem.v = store(DType::float64, {1, 1, n, 1}, v);
  problem.causal = Causal::upper_left;
  Options options;
  options.engine = Engine::exact;
  options.tolerance = {1e-4, ToleranceKind::of_value_range};
  const Result result = attend(problem, options);
  EXPECT_EQ(result.report.heads.at(0).value_range, 4.0);
  EXPECT_EQ(result.report.heads.at(0).tolerance, 4e-4);
}

}  // namespace
}  // namespace polyattn::test
