// Storage types, layouts, heads and batches: what is stored where does not change the answer.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <array>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

class Storage : public testing::TestWithParam<Choice> {};

constexpr std::array kTypes{DType::float16, DType::bfloat16, DType::float32, DType::float64};

TEST_P(Storage, EveryTypeInEveryArithmetic) {
  for (const DType dtype : kTypes) {
    for (const bool biased : {false, true}) {
      Problem problem = random_problem({.n_q = 33, .n_kv = 70, .dim = 5, .value_dim = 3}, 2.0, dtype, 21);
      if (biased) {
        problem.bias = random_bias(problem, -3.0, 3.0, 22);
      }
      const Result result = attend(problem, forced(GetParam()));
      EXPECT_EQ(result.output.dtype(), size_of(dtype) == 2 ? DType::float32 : dtype);
      EXPECT_TRUE(within_bounds(problem, forced(GetParam()))) << name_of(dtype);
    }
  }
}

TEST_P(Storage, EveryOutputType) {
  const Problem problem = random_problem({.n_q = 33, .n_kv = 70, .dim = 5, .value_dim = 3}, 2.0, DType::float64, 23);
  for (const DType dtype : kTypes) {
    Options options = forced(GetParam());
    options.output_dtype = dtype;
    const Result result = attend(problem, options);
    EXPECT_EQ(result.output.dtype(), dtype);
    EXPECT_EQ(result.report.heads.at(0).certificate.storage > 0.0, size_of(dtype) == 2) << name_of(dtype);
    EXPECT_TRUE(within_bounds(problem, options)) << name_of(dtype);
  }
}

TEST_P(Storage, QueriesKeysAndValuesMayDiffer) {
  for (std::size_t shift = 0; shift < kTypes.size(); ++shift) {
    Problem problem = random_problem({.n_q = 9, .n_kv = 20, .dim = 5, .value_dim = 3}, 2.0, DType::float64, 24);
    problem.q = store(kTypes[shift], problem.q.shape, problem.q.values);
    problem.k = store(kTypes[(shift + 1) % 4], problem.k.shape, problem.k.values);
    problem.v = store(kTypes[(shift + 2) % 4], problem.v.shape, problem.v.values);
    problem.bias = random_bias(problem, -1.0, 1.0, 25);
    EXPECT_TRUE(within_bounds(problem, forced(GetParam()))) << shift;
  }
}

TEST_P(Storage, SubnormalHalvesAndLargestHalves) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    Problem problem = random_problem({.n_q = 3, .n_kv = 6, .dim = 2, .value_dim = 2}, 1.0, dtype, 26);
    const double tiny = dtype == DType::float16 ? 0x1p-24 : 0x1p-133;
    const double huge = dtype == DType::float16 ? 65504.0 : 0x1.fep127;
    problem.q = store(dtype, problem.q.shape, {tiny, 3 * tiny, -tiny, 0.0, 1.0, -1.0});
    problem.v =
        store(dtype, problem.v.shape, {tiny, huge, -tiny, -huge, 5 * tiny, huge, 0.0, huge, tiny, 1.0, 2 * tiny, huge});
    Options options = forced(GetParam());
    options.strict = false;  // moments of values near the largest float32 number overflow; exact scales them
    EXPECT_TRUE(within_bounds(problem, options)) << name_of(dtype);
  }
}

/// The same numbers under other strides, in a buffer whose other elements are NaN.
struct Strided {
  std::vector<double> buffer;
  ConstView view;

  Strided(std::vector<double> memory, const ConstView& of) : buffer(std::move(memory)), view(of) {}
  Strided(Strided&&) = default;
  Strided& operator=(Strided&&) = default;
  Strided(const Strided&) = delete;
  Strided& operator=(const Strided&) = delete;
  ~Strided() = default;
};

Strided restride(const Stored& stored, const Shape& strides, std::int64_t origin, std::size_t size) {
  std::vector<double> buffer(size, std::numeric_limits<double>::quiet_NaN());
  const View view{buffer.data() + origin, DType::float64, stored.shape, strides};
  std::size_t next = 0;
  for (std::int64_t b = 0; b < stored.shape[0]; ++b) {
    for (std::int64_t h = 0; h < stored.shape[1]; ++h) {
      for (std::int64_t i = 0; i < stored.shape[2]; ++i) {
        for (std::int64_t c = 0; c < stored.shape[3]; ++c) {
          write_element(view, {b, h, i, c}, stored.values[next++]);
        }
      }
    }
  }
  return {std::move(buffer), view};
}

/// [batch, sequence, heads, dim]; dim before sequence; everything backwards; rows and columns with gaps.
std::vector<Strided> layouts(const Stored& stored) {
  const auto [batch, heads, n, dim] = stored.shape;
  const auto size = static_cast<std::size_t>(batch * heads * n * dim);
  const std::int64_t last = static_cast<std::int64_t>(size) - 1;
  std::vector<Strided> all;  // moved in: views point into the buffers
  all.push_back(restride(stored, {n * heads * dim, dim, heads * dim, 1}, 0, size));
  all.push_back(restride(stored, {heads * n * dim, n * dim, 1, n}, 0, size));
  all.push_back(restride(stored, {-heads * n * dim, -n * dim, -dim, -1}, last, size));
  all.push_back(restride(stored, {heads * n * dim * 6, n * dim * 6, dim * 3, 2}, 5, size * 6 + 8));
  return all;
}

TEST_P(Storage, StridesDoNotChangeABit) {
  const Problem problem = random_problem({.batch = 2, .heads = 3, .n_q = 21, .n_kv = 37, .dim = 5, .value_dim = 4}, 2.0,
                                         DType::float64, 27);
  const Options options = problem.options(forced(GetParam()));
  const std::vector<std::byte> expected = bits_of(attend(problem, forced(GetParam())).output);
  const std::vector<Strided> q = layouts(problem.q);
  const std::vector<Strided> k = layouts(problem.k);
  const std::vector<Strided> v = layouts(problem.v);
  for (std::size_t layout = 0; layout < q.size(); ++layout) {
    const std::array keys{k[(layout + 1) % q.size()].view};
    const std::array values{v[(layout + 2) % q.size()].view};
    EXPECT_EQ(bits_of(polyattn::attend(q[layout].view, keys, values, options).output), expected) << layout;
  }
}

TEST_P(Storage, BiasStrides) {
  Problem problem = random_problem({.batch = 2, .heads = 3, .n_q = 7, .n_kv = 37, .dim = 3}, 2.0, DType::float64, 28);
  problem.bias = random_bias(problem, -2.0, 2.0, 29);
  const std::vector<std::byte> expected = bits_of(attend(problem, forced(GetParam())).output);
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  for (const Strided& layout : layouts(*problem.bias)) {
    Options options = problem.options(forced(GetParam()));
    options.mask.key_bias = {layout.view};
    EXPECT_EQ(bits_of(polyattn::attend(problem.q.view(), keys, values, options).output), expected);
  }
}

TEST_P(Storage, BroadcastViewsOfOneRow) {
  // Stride 0 along the sequence: all queries are the same row, and so are all keys.
  Problem problem = random_problem({.n_q = 1, .n_kv = 1, .dim = 4, .value_dim = 2}, 1.0, DType::float32, 30);
  ConstView q = problem.q.view();
  ConstView k = problem.k.view();
  ConstView v = problem.v.view();
  q.shape[2] = 5;
  k.shape[2] = v.shape[2] = 64;  // a power of two: the mean of equal values is exact
  q.strides[2] = k.strides[2] = v.strides[2] = 0;
  const std::array keys{k};
  const std::array values{v};
  const Result result = polyattn::attend(q, keys, values, problem.options(forced(GetParam())));
  for (const HeadReport& head : result.report.heads) {
    for (std::int64_t i = 0; i < 5; ++i) {
      for (std::int64_t c = 0; c < 2; ++c) {
        EXPECT_NEAR(read_element(result.output.view(), {0, 0, i, c}), problem.v.values[static_cast<std::size_t>(c)],
                    head.certificate.bound());
      }
    }
  }
}

/// One head of a problem as a problem of its own.
Problem head_of(const Problem& problem, std::int64_t batch, std::int64_t head) {
  const std::int64_t group = problem.q.shape[1] / problem.k.shape[1];
  const auto cut = [&](const Stored& stored, std::int64_t b, std::int64_t h) {
    const double* first = stored.row(b, h, 0);
    return store(stored.dtype, {1, 1, stored.shape[2], stored.shape[3]},
                 std::vector<double>(first, first + stored.shape[2] * stored.shape[3]));
  };
  Problem single;
  single.q = cut(problem.q, batch, head);
  single.k = cut(problem.k, batch, head / group);
  single.v = cut(problem.v, batch, head / group);
  single.score = problem.score;
  single.causal = problem.causal;
  if (problem.bias) {
    single.bias = cut(*problem.bias, problem.bias->shape[0] == 1 ? 0 : batch, problem.bias->shape[1] == 1 ? 0 : head);
  }
  return single;
}

TEST_P(Storage, HeadsAreIndependentAndGrouped) {
  for (const std::int64_t kv_heads : {6, 3, 2, 1}) {
    Problem problem =
        random_problem({.batch = 2, .heads = 6, .n_q = 17, .n_kv = 29, .dim = 3, .value_dim = 2, .kv_heads = kv_heads},
                       2.0, DType::float32, 31);
    problem.bias = random_bias(problem, -2.0, 2.0, 32);
    const Result result = attend(problem, forced(GetParam()));
    EXPECT_TRUE(within_bounds(problem, forced(GetParam())));
    const std::vector<std::byte> bits = bits_of(result.output);
    const std::size_t step = bits.size() / 12;
    for (std::size_t at = 0; at < 12; ++at) {
      const auto batch = static_cast<std::int64_t>(at / 6);
      const auto head = static_cast<std::int64_t>(at % 6);
      EXPECT_EQ(result.report.heads.at(at).batch, batch);
      EXPECT_EQ(result.report.heads.at(at).head, head);
      const auto first = bits.begin() + static_cast<std::ptrdiff_t>(at * step);
      const std::vector<std::byte> here(first, first + static_cast<std::ptrdiff_t>(step));
      EXPECT_EQ(here, bits_of(attend(head_of(problem, batch, head), forced(GetParam())).output));
    }
  }
}

TEST_P(Storage, BiasRepeatsOverBatchAndHeads) {
  Problem problem = random_problem({.batch = 2, .heads = 3, .n_q = 7, .n_kv = 9, .dim = 3}, 2.0, DType::float32, 33);
  const Stored full = random_bias(problem, -2.0, 2.0, 34);
  const std::vector<double> per_head(full.values.begin(), full.values.begin() + 27);
  const std::vector<double> per_key(full.values.begin(), full.values.begin() + 9);
  problem.bias = store(DType::float64, {1, 3, 9, 1}, per_head);
  EXPECT_TRUE(within_bounds(problem, forced(GetParam())));
  problem.bias = store(DType::float32, {1, 1, 9, 1}, per_key);
  EXPECT_TRUE(within_bounds(problem, forced(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Engines, Storage, testing::ValuesIn(plain_choices()),
                         [](const auto& choice) { return choice.param.name(); });

}  // namespace
}  // namespace polyattn::test
