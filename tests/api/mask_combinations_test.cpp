// All masks together against the definition in long double: a table in which any two levels of any two of storage,
// strides, masks, sizes, score and what hidden keys hold meet.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/masks.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// One level of every factor. Any two levels of two factors meet in some case of the table below.
enum Factor : std::size_t {
  kStorage,
  kLayout,
  kCausal,
  kWindow,
  kSegments,
  kBias,
  kBoolean,
  kAdditive,
  kExclude,
  kCap,
  kHeads,
  kRows,
  kKeys,
  kScore,
  kGarbage,
  kFactors,
};
constexpr std::array<int, kFactors> kLevels{4, 4, 3, 4, 3, 3, 6, 6, 2, 3, 3, 3, 4, 2, 3};
using Case = std::array<int, kFactors>;

/// Cases until every pair of levels was there: of a few random ones always the one that brings most.
std::vector<Case> pairwise_cases() {
  const auto pair_index = [](std::size_t f, int a, std::size_t g, int b) {
    return ((f * kFactors + g) * 8 + static_cast<std::size_t>(a)) * 8 + static_cast<std::size_t>(b);
  };
  std::vector<bool> met(kFactors * kFactors * 64, false);
  std::size_t missing = 0;
  for (std::size_t f = 0; f < kFactors; ++f) {
    for (std::size_t g = f + 1; g < kFactors; ++g) {
      missing += static_cast<std::size_t>(kLevels[f] * kLevels[g]);
    }
  }
  const auto brings = [&](const Case& c, bool take) {
    std::size_t count = 0;
    for (std::size_t f = 0; f < kFactors; ++f) {
      for (std::size_t g = f + 1; g < kFactors; ++g) {
        const std::size_t index = pair_index(f, c[f], g, c[g]);
        count += met[index] ? 0U : 1U;
        met[index] = met[index] || take;
      }
    }
    return count;
  };
  Random random(5);
  std::vector<Case> cases;
  while (missing > 0) {
    Case best{};
    std::size_t most = 0;
    for (int attempt = 0; attempt < 60 || most == 0; ++attempt) {
      Case c{};
      for (std::size_t f = 0; f < kFactors; ++f) {
        c[f] = static_cast<int>(random.integer(0, kLevels[f] - 1));
      }
      if (const std::size_t count = brings(c, false); count > most) {
        most = count;
        best = c;
      }
    }
    missing -= brings(best, true);
    cases.push_back(best);
  }
  return cases;
}

/// Shape of a mask over pairs, by level: 1 to 5.
Shape pair_shape(int kind, const Problem& problem) {
  const std::int64_t batch = problem.q.shape[0];
  const std::int64_t heads = problem.q.shape[1];
  const std::int64_t n_q = problem.q.shape[2];
  const std::int64_t n_kv = problem.k.shape[2];
  const std::array<Shape, 5> shapes{
      {{1, 1, 1, n_kv}, {1, 1, n_q, n_kv}, {batch, 1, n_q, n_kv}, {1, heads, 1, n_kv}, {batch, heads, n_q, n_kv}}};
  return shapes.at(static_cast<std::size_t>(kind - 1));
}

Segments cut(Random& random, int kind, std::int64_t n_q, std::int64_t n_kv) {
  const std::size_t sequences = kind == 1 ? 2 : 5;  // of five some are empty
  const auto offsets = [&](std::int64_t n) {
    std::vector<std::int64_t> inner{0, n};
    while (inner.size() <= sequences) {
      inner.push_back(random.integer(0, n));
    }
    std::sort(inner.begin(), inner.end());
    return inner;
  };
  return {offsets(n_q), offsets(n_kv)};
}

MaskedProblem problem_of(const Case& c, std::uint64_t seed) {
  Random random(seed);
  constexpr std::array kTypes{DType::float16, DType::bfloat16, DType::float32, DType::float64};
  constexpr std::array<std::array<std::int64_t, 2>, 3> kHeadCounts{{{1, 1}, {2, 2}, {4, 2}}};
  constexpr std::array<std::int64_t, 3> kRowCounts{1, 3, 50};
  constexpr std::array<std::int64_t, 4> kKeyCounts{5, 127, 128, 129};
  constexpr std::array<std::int64_t, 4> kWindows{0, 1, 7, 150};
  const std::array<Layout, 4> layouts{{{}, {{0, 2, 1, 3}, false}, {{1, 3, 0, 2}, false}, {{0, 1, 2, 3}, true}}};
  const auto pick = [&](const auto& levels, Factor factor) { return levels.at(static_cast<std::size_t>(c[factor])); };
  MaskedProblem masked;
  Problem& problem = masked.problem;
  const auto [heads, kv_heads] = pick(kHeadCounts, kHeads);
  const std::int64_t n_q = pick(kRowCounts, kRows);
  const std::int64_t n_kv = pick(kKeyCounts, kKeys);
  const DType dtype = pick(kTypes, kStorage);
  problem = random_problem(
      {.batch = 2, .heads = heads, .n_q = n_q, .n_kv = n_kv, .dim = 3, .value_dim = 2, .kv_heads = kv_heads}, 6.0,
      dtype, random.bits());
  problem.score = c[kScore] == 0 ? Score(Dot{0.7}) : Score(Gaussian{{1.5, 0.8, 2.0}});
  problem.causal = static_cast<Causal>(c[kCausal]);
  masked.layout = pick(layouts, kLayout);
  masked.window = pick(kWindows, kWindow);
  if (c[kSegments] > 0) {
    masked.segments = cut(random, c[kSegments], n_q, n_kv);
  }
  if (c[kBias] > 0) {
    const Shape shape{c[kBias] == 1 ? 1 : 2, c[kBias] == 1 ? 1 : heads, n_kv, 1};
    std::vector<double> values(static_cast<std::size_t>(shape[0] * shape[1] * n_kv));
    std::generate(values.begin(), values.end(),
                  [&] { return random.chance(0.2) ? -kInfinity : random.uniform(-3.0, 3.0); });
    problem.bias = store(random.chance(0.5) ? DType::float32 : DType::float64, shape, values);
  }
  const auto fill = [&](const Shape& shape, const auto& draw) {
    std::vector<double> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
    std::generate(values.begin(), values.end(), draw);
    return values;
  };
  if (c[kBoolean] > 0) {
    const Shape shape = pair_shape(c[kBoolean], problem);
    const std::vector<double> values = fill(shape, [&] { return random.chance(0.3) ? 0.0 : 1.0; });
    masked.boolean = StoredBooleans{shape, {values.begin(), values.end()}};
  }
  if (c[kAdditive] > 0) {
    const Shape shape = pair_shape(c[kAdditive], problem);
    const DType type = kTypes.at(static_cast<std::size_t>(random.integer(0, 3)));
    const double least = type == DType::float16 ? -6e4 : -1e30;  // stands for -infinity in many a program
    masked.additive =
        store(type, shape, fill(shape, [&] {
                return random.chance(0.1) ? -kInfinity : random.chance(0.1) ? least : random.uniform(-4.0, 4.0);
              }));
  }
  masked.exclude_self = c[kExclude] == 1;
  masked.soft_cap = std::array{0.0, 0.5, 30.0}.at(static_cast<std::size_t>(c[kCap]));
  return masked;
}

/// K and V of one key of every head become NaN. Keys that some row may see are chosen only if `seen`.
void spoil(MaskedProblem& masked, bool seen, Random& random) {
  Problem& problem = masked.problem;
  const std::int64_t n_kv = problem.k.shape[2];
  const std::int64_t group = problem.q.shape[1] / problem.k.shape[1];
  const auto hidden_by_bias = [&](std::int64_t b, std::int64_t kv_head, std::int64_t j) {
    bool hidden = problem.bias.has_value();
    for (std::int64_t h = kv_head * group; hidden && h < (kv_head + 1) * group; ++h) {
      const Shape& shape = problem.bias->shape;
      hidden = *problem.bias->row(shape[0] == 1 ? 0 : b, shape[1] == 1 ? 0 : h, j) == -kInfinity;
    }
    return hidden;
  };
  const auto overwrite = [](Stored& stored, std::int64_t b, std::int64_t h, std::int64_t j) {
    const std::int64_t columns = stored.shape[3];
    const auto first = static_cast<std::ptrdiff_t>(((b * stored.shape[1] + h) * stored.shape[2] + j) * columns);
    std::fill_n(stored.values.begin() + first, columns, kNan);
  };
  for (std::int64_t b = 0; b < problem.k.shape[0]; ++b) {
    for (std::int64_t h = 0; h < problem.k.shape[1]; ++h) {
      const std::int64_t chosen = random.integer(0, n_kv - 1);
      for (std::int64_t j = 0; j < n_kv; ++j) {
        if (seen ? j == chosen : hidden_by_bias(b, h, j)) {
          overwrite(problem.k, b, h, j);
          overwrite(problem.v, b, h, j);
        }
      }
    }
  }
}

class AllMasks : public testing::TestWithParam<Choice> {};

TEST_P(AllMasks, AnyTwoTogetherAnswerByTheDefinition) {
  const std::vector<Case> cases = pairwise_cases();
  std::uint64_t seed = 1;
  for (const Case& c : cases) {
    MaskedProblem masked = problem_of(c, seed++);
    Options options = forced(GetParam());
    options.want_row_bounds = true;
    options.want_lse = true;
    options.want_row_max = true;
    if (c[kGarbage] >
        0) {  // of keys hidden by bias nothing is looked at; what others hold stays with rows that see them
      Random random(seed);
      spoil(masked, c[kGarbage] == 2, random);
      options.non_finite = c[kGarbage] == 2 ? NonFinite::propagate : NonFinite::error;
    }
    if (c[kRows] == 1) {
      options.output_dtype = DType::float64;
    }
    EXPECT_TRUE(answers(masked, attend(masked, options), c[kGarbage] < 2))
        << "case " << testing::PrintToString(c) << " of " << cases.size();
  }
}

TEST_P(AllMasks, TheSameBitsForAnyThreadsAndLayout) {
  Case c{};
  c.fill(1);
  c[kStorage] = 2;
  c[kRows] = 2;
  c[kKeys] = 3;
  c[kBoolean] = c[kAdditive] = 5;
  c[kLayout] = c[kGarbage] = 0;
  MaskedProblem masked = problem_of(c, 77);
  Options options = forced(GetParam());
  options.threads = 1;
  const std::vector<std::byte> one = bits_of(attend(masked, options).output);
  options.threads = 5;
  masked.layout = {{1, 3, 0, 2}, false};
  EXPECT_EQ(bits_of(attend(masked, options).output), one);
}

INSTANTIATE_TEST_SUITE_P(Engines, AllMasks, testing::ValuesIn(masked_choices()),
                         [](const auto& choice) { return choice.param.name(); });

}  // namespace
}  // namespace polyattn::test
