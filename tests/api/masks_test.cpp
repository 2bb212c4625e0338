// Every mask and soft-capping against its words, on problems whose answers name the keys seen; what is wrong with
// masks; masks that count as key biases; masks of prepared keys. All together: mask_combinations_test.cpp.

#include "support/masks.hpp"
#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// One mask at a time.

using Sets = std::vector<std::vector<int>>;

/// With equal scores log-sum-exp counts the keys seen, and with values 2^j the sum says which they are.
Sets keys_seen(std::int64_t n_q, std::int64_t n_kv, const std::function<void(Options&)>& mask, const Choice& choice) {
  const std::vector<double> zeros(static_cast<std::size_t>(std::max(n_q, n_kv)), 0.0);
  std::vector<double> powers;
  for (std::int64_t j = 0; j < n_kv; ++j) {
    powers.push_back(std::ldexp(1.0, static_cast<int>(j)));
  }
  Options options = forced(choice);
  options.want_lse = true;
  options.output_dtype = DType::float64;
  mask(options);
  const std::array keys{matrix(zeros.data(), n_kv, 1)};
  const std::array<ConstView, 1> values{matrix(powers.data(), n_kv, 1)};
  const Result result = polyattn::attend(matrix(zeros.data(), n_q, 1), keys, values, options);
  Sets sets;
  for (std::int64_t i = 0; i < n_q; ++i) {
    const double count = std::round(std::exp(result.lse->as<double>()[i]));
    const auto sum = static_cast<std::uint64_t>(std::llround(count * result.output.as<double>()[i]));
    sets.emplace_back();
    for (int j = 0; j < static_cast<int>(n_kv); ++j) {
      if ((sum >> static_cast<unsigned>(j) & 1U) != 0U) {
        sets.back().push_back(j);
      }
    }
    EXPECT_EQ(static_cast<double>(sets.back().size()), count) << "row " << i;
  }
  return sets;
}

class EachMask : public testing::TestWithParam<Choice> {
 protected:
  static Sets seen(std::int64_t n_q, std::int64_t n_kv, const std::function<void(Options&)>& mask) {
    return keys_seen(n_q, n_kv, mask, GetParam());
  }
};

TEST_P(EachMask, Window) {
  const auto window = [](Causal causal, std::int64_t width) {
    return [=](Options& o) {
      o.mask.visibility.causal = causal;
      o.mask.visibility.window = {width};
    };
  };
  EXPECT_EQ(seen(4, 5, window(Causal::none, 1)), (Sets{{0}, {1}, {2}, {3}}));
  EXPECT_EQ(seen(4, 5, window(Causal::none, 2)), (Sets{{0, 1}, {0, 1, 2}, {1, 2, 3}, {2, 3, 4}}));
  EXPECT_EQ(seen(5, 3, window(Causal::none, 2)), (Sets{{0, 1}, {0, 1, 2}, {1, 2}, {2}, {}}));
  EXPECT_EQ(seen(4, 5, window(Causal::upper_left, 2)), (Sets{{0}, {0, 1}, {1, 2}, {2, 3}}));
  EXPECT_EQ(seen(3, 5, window(Causal::lower_right, 2)), (Sets{{1, 2}, {2, 3}, {3, 4}}));
  EXPECT_EQ(seen(4, 2, window(Causal::lower_right, 1)), (Sets{{}, {}, {0}, {1}}));
  const std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(seen(2, 3, window(Causal::none, huge)), (Sets{{0, 1, 2}, {0, 1, 2}}));
  EXPECT_EQ(seen(2, 3, window(Causal::lower_right, huge)), (Sets{{0, 1}, {0, 1, 2}}));
}

TEST_P(EachMask, Segments) {
  const auto segments = [](Causal causal, std::int64_t width, Segments s) {
    return [=](Options& o) {
      o.mask.visibility.causal = causal;
      o.mask.visibility.segments = s;
      if (width > 0) {
        o.mask.visibility.window = {width};
      }
    };
  };
  const Segments two{{0, 2, 4}, {0, 3, 6}};
  EXPECT_EQ(seen(4, 6, segments(Causal::none, 0, two)), (Sets{{0, 1, 2}, {0, 1, 2}, {3, 4, 5}, {3, 4, 5}}));
  EXPECT_EQ(seen(4, 6, segments(Causal::upper_left, 0, two)), (Sets{{0}, {0, 1}, {3}, {3, 4}}));
  EXPECT_EQ(seen(4, 6, segments(Causal::lower_right, 0, two)), (Sets{{0, 1}, {0, 1, 2}, {3, 4}, {3, 4, 5}}));
  EXPECT_EQ(seen(4, 6, segments(Causal::lower_right, 1, two)), (Sets{{1}, {2}, {4}, {5}}));
  EXPECT_EQ(seen(4, 6, segments(Causal::none, 2, two)), (Sets{{0, 1}, {0, 1, 2}, {3, 4}, {3, 4, 5}}));
  // Sequences without rows, without keys, without either.
  const Segments empty{{0, 0, 2, 2, 3}, {0, 1, 1, 1, 4}};
  EXPECT_EQ(seen(3, 4, segments(Causal::none, 0, empty)), (Sets{{}, {}, {1, 2, 3}}));
  EXPECT_EQ(seen(3, 4, segments(Causal::lower_right, 0, empty)), (Sets{{}, {}, {1, 2, 3}}));
}

TEST_P(EachMask, ExcludeSelf) {
  const auto exclude = [](Causal causal) {
    return [=](Options& o) {
      o.mask.visibility.causal = causal;
      o.mask.exclude_self = true;
    };
  };
  EXPECT_EQ(seen(4, 3, exclude(Causal::none)), (Sets{{1, 2}, {0, 2}, {0, 1}, {0, 1, 2}}));
  EXPECT_EQ(seen(3, 3, exclude(Causal::upper_left)), (Sets{{}, {0}, {0, 1}}));
  // Key i, wherever the diagonal of the causal mask is.
  EXPECT_EQ(seen(2, 4, exclude(Causal::lower_right)), (Sets{{1, 2}, {0, 2, 3}}));
}

TEST_P(EachMask, BooleanAndAdditive) {
  const std::vector<std::uint8_t> pairs{1, 0, 1, 0, 0, 0, 255, 1, 2};  // not 0 is true
  const auto boolean = [&](Options& o) { o.mask.boolean = ConstBoolView{pairs.data(), {1, 1, 3, 3}, {9, 9, 3, 1}}; };
  EXPECT_EQ(seen(3, 3, boolean), (Sets{{0, 2}, {}, {0, 1, 2}}));
  const auto transposed = [&](Options& o) { o.mask.boolean = ConstBoolView{pairs.data(), {1, 1, 3, 3}, {9, 9, 1, 3}}; };
  EXPECT_EQ(seen(3, 3, transposed), (Sets{{0, 2}, {2}, {0, 2}}));
  const auto one_row = [&](Options& o) { o.mask.boolean = ConstBoolView{pairs.data(), {1, 1, 1, 3}, {7, 7, 7, 1}}; };
  EXPECT_EQ(seen(3, 3, one_row), (Sets{{0, 2}, {0, 2}, {0, 2}}));
  const float hidden = -std::numeric_limits<float>::infinity();
  const std::vector<float> added{0, hidden, 0, hidden, hidden, hidden};
  const auto additive = [&](Options& o) { o.mask.additive = tensor(added.data(), {1, 1, 2, 3}); };
  EXPECT_EQ(seen(2, 3, additive), (Sets{{0, 2}, {}}));
}

/// Any n_q but 0 rows, in one, in none: what was empty stays so.
TEST_P(EachMask, NothingToSee) {
  const auto everything = [](Options& o) {
    o.mask.visibility = {Causal::lower_right, {2}, Segments{{0, 0}, {0, 0}}};
    o.mask.exclude_self = true;
    o.mask.boolean = ConstBoolView{nullptr, {1, 1, 1, 0}, {0, 0, 0, 1}};
    o.mask.additive = ConstView{nullptr, DType::float32, {1, 1, 1, 0}, {0, 0, 0, 1}};
    o.soft_cap = 1.0;
  };
  EXPECT_EQ(seen(0, 0, everything), Sets{});
}

TEST_P(EachMask, SoftCapIsTanh) {
  // Two keys, values 1 and -1: tanh of half the difference of the capped scores.
  const double huge = GetParam().arithmetic == Arithmetic::float64 ? 1e300 : 1e30;
  const std::vector<double> q{-900.0, -3.0, 0.25, 1e-9, 5.0, huge};
  const std::vector<double> k{1.0, -1.0};
  Options options = forced(GetParam());
  options.soft_cap = 2.0;
  options.score = Dot{1.0};
  options.want_row_bounds = true;
  options.output_dtype = DType::float64;
  const std::array keys{matrix(k.data(), 2, 1)};
  const Result result = polyattn::attend(matrix(q.data(), 6, 1), keys, keys, options);
  for (std::size_t i = 0; i < q.size(); ++i) {
    const long double exact = std::tanh(2.0L * std::tanh(static_cast<long double>(q[i]) / 2.0L));
    const double bound = result.row_bounds->as<double>()[i];
    EXPECT_LE(std::fabs(static_cast<long double>(result.output.as<double>()[i]) - exact),
              static_cast<long double>(bound) + 0x1p-62L)
        << q[i];
    if (std::fabs(q[i]) < 1e3 && GetParam().arithmetic == Arithmetic::float64) {
      EXPECT_LE(bound, 1e-12 * std::max(1.0, std::fabs(q[i])));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, EachMask, testing::ValuesIn(masked_choices()),
                         [](const auto& choice) { return choice.param.name(); });

// What is wrong.

class MaskErrors : public testing::Test {
 protected:
  testing::AssertionResult refused(const std::function<void(Options&)>& mask, std::initializer_list<std::string> parts,
                                   ErrorCode code = ErrorCode::invalid_argument) {
    Options options;
    options.engine = Engine::reference;
    mask(options);
    return fails_with(code, parts, [&] { polyattn::attend(q_.view(), keys_, values_, options); });
  }

  Problem problem_ =
      random_problem({.batch = 2, .heads = 4, .n_q = 6, .n_kv = 9, .dim = 3, .kv_heads = 2}, 1.0, DType::float64, 1);
  const Stored& q_ = problem_.q;
  std::array<ConstView, 1> keys_{problem_.k.view()};
  std::array<ConstView, 1> values_{problem_.v.view()};
};

TEST_F(MaskErrors, Windows) {
  const auto window = [](std::vector<std::int64_t> widths) {
    return [=](Options& o) { o.mask.visibility.window = widths; };
  };
  EXPECT_TRUE(refused(window({0}), {"window", "at least 1", "0"}));
  EXPECT_TRUE(refused(window({-5}), {"window", "-5"}));
  EXPECT_TRUE(refused(window({3, 3}), {"window", "one width per key set (1)", "2"}));
}

TEST_F(MaskErrors, SegmentOffsets) {
  const auto segments = [](std::vector<std::int64_t> rows, std::vector<std::int64_t> keys) {
    return [=](Options& o) { o.mask.visibility.segments = Segments{rows, keys}; };
  };
  EXPECT_TRUE(refused(segments({}, {0, 9}), {"query_offsets", "at least two", "0"}));
  EXPECT_TRUE(refused(segments({0, 6}, {0}), {"key_offsets", "at least two", "1"}));
  EXPECT_TRUE(refused(segments({1, 6}, {0, 9}), {"query_offsets", "begin with 0", "1"}));
  EXPECT_TRUE(
      refused(segments({0, 4, 3, 6}, {0, 1, 2, 9}), {"query_offsets", "not decrease", "3 after 4", "position 2"}));
  EXPECT_TRUE(refused(segments({0, 5}, {0, 9}), {"query_offsets", "end with n_q 6", "5"}));
  EXPECT_TRUE(refused(segments({0, 6}, {0, 10}), {"key_offsets", "end with n_kv 9", "10"}));
  EXPECT_TRUE(refused(segments({0, 3, 6}, {0, 9}), {"query_offsets", "key_offsets", "3 and 2"}));
}

TEST_F(MaskErrors, ShapesOfMasksOverPairs) {
  const std::vector<double> numbers(2 * 4 * 6 * 9, 0.0);
  const std::vector<std::uint8_t> seen(2 * 4 * 6 * 9, 1);
  for (const Shape& shape : {Shape{3, 1, 1, 9}, Shape{1, 2, 6, 9}, Shape{1, 1, 5, 9}, Shape{1, 1, 6, 1},
                             Shape{1, 1, 6, 8}, Shape{2, 4, 0, 9}}) {
    const auto additive = [&](Options& o) { o.mask.additive = tensor(numbers.data(), shape); };
    EXPECT_TRUE(refused(additive, {"additive", "batch 2, heads 4, n_q 6, n_kv 9"}));
    const auto boolean = [&](Options& o) {
      o.mask.boolean = ConstBoolView{seen.data(), shape, contiguous_strides(shape)};
    };
    EXPECT_TRUE(refused(boolean, {"boolean", "batch 2, heads 4, n_q 6, n_kv 9"}));
  }
  const Shape full{2, 4, 6, 9};
  EXPECT_TRUE(refused(
      [&](Options& o) {
        o.mask.boolean = ConstBoolView{nullptr, full, contiguous_strides(full)};
      },
      {"boolean", "null pointer"}));
  EXPECT_TRUE(refused(
      [&](Options& o) {
        o.mask.boolean = ConstBoolView{seen.data(), full, {INT64_MAX, 1, 9, 1}};
      },
      {"boolean", "63 bits"}));
  EXPECT_TRUE(refused(
      [&](Options& o) {
        o.mask.additive = ConstView{nullptr, DType::float32, full, full};
      },
      {"additive", "null pointer"}));
}

TEST_F(MaskErrors, SoftCaps) {
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_TRUE(refused([&](Options& o) { o.soft_cap = bad; }, {"soft_cap", "positive"}));
  }
}

TEST_F(MaskErrors, AdditiveNumbersThatAreNone) {
  for (const auto& [bad, name] : {std::pair{kNan, "NaN"}, std::pair{kInfinity, "+infinity"}}) {
    std::vector<double> numbers(6 * 9, 0.0);
    numbers[4 * 9 + 7] = bad;
    const auto additive = [&](Options& o) { o.mask.additive = tensor(numbers.data(), {1, 1, 6, 9}); };
    EXPECT_TRUE(refused(additive, {"additive", name, "row 4, key 7", "batch 0, head 0"}, ErrorCode::non_finite));
    const auto one_row = [&](Options& o) { o.mask.additive = tensor(numbers.data() + 4 * 9, {1, 1, 1, 9}); };
    EXPECT_TRUE(refused(one_row, {"additive", name, "key 7"}, ErrorCode::non_finite));
    // A pair that is hidden is not looked at.
    Options options;
    options.engine = Engine::reference;
    options.mask.visibility.causal = Causal::upper_left;
    additive(options);
    EXPECT_NO_THROW(polyattn::attend(q_.view(), keys_, values_, options));
    options.mask.visibility.causal = Causal::none;
    options.non_finite = NonFinite::propagate;
    const Result result = polyattn::attend(q_.view(), keys_, values_, options);
    const std::vector<double> output = values_of(result.output);
    for (std::size_t e = 0; e < output.size(); ++e) {
      EXPECT_EQ(std::isnan(output[e]), e / 3 % 6 == 4) << e;
    }
  }
}

TEST_F(MaskErrors, DestinationsOverMasks) {
  std::vector<double> memory(2 * 4 * 6 * 9, 0.0);
  const View output = tensor(memory.data(), {2, 4, 6, 3});
  Destinations out;
  out.output = output;
  Options options;
  options.engine = Engine::reference;
  options.mask.additive = ConstView(tensor(memory.data() + 50, {1, 1, 6, 9}));
  const auto call = [&] { polyattn::attend_into(out, q_.view(), keys_, values_, options); };
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "overlap"}, call));
  options.mask.additive.reset();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(memory.data());
  options.mask.boolean = ConstBoolView{bytes + 2 * 4 * 6 * 3 * 8 - 1, {1, 1, 6, 9}, {54, 54, 9, 1}};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"output", "overlap"}, call));
  options.mask.boolean->data += 1;
  EXPECT_NO_THROW(call());
}

// Masks that are the same for every row, prepared keys.

/// They are key biases under another name, so every engine has them.
TEST(SharedMasks, AreKeyBiases) {
  const Problem plain =
      random_problem({.batch = 2, .heads = 2, .n_q = 20, .n_kv = 70, .dim = 2}, 1.0, DType::float64, 3);
  for (const Choice& choice : choices()) {
    MaskedProblem masked;
    masked.problem = plain;
    Random random(9);
    masked.problem.bias = random_bias(plain, -1.0, 1.0, 10);
    masked.boolean = StoredBooleans{{1, 2, 1, 70}, std::vector<std::uint8_t>(140)};
    std::generate(masked.boolean->bytes.begin(), masked.boolean->bytes.end(),
                  [&] { return static_cast<std::uint8_t>(random.chance(0.7)); });
    masked.additive = store(DType::float64, {2, 1, 1, 70}, std::vector<double>(140));
    for (double& x : masked.additive->values) {
      x = random.chance(0.1) ? -kInfinity : random.uniform(-1.0, 1.0);
    }
    Options options = forced(choice);
    options.want_lse = true;
    options.want_row_bounds = true;
    options.want_row_max = choice.engine != Engine::polynomial;
    EXPECT_TRUE(answers(masked, attend(masked, options), true)) << choice.name();
  }
}

TEST(PreparedMasks, WhatBelongsToOneQuerySetIsRefused) {
  const Problem problem = random_problem({.n_q = 6, .n_kv = 9, .dim = 3}, 1.0, DType::float64, 1);
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  QueryDomain domain;
  domain.centre = {0, 0, 0};
  domain.radius = 2.0;
  const std::vector<std::uint8_t> seen(9, 1);
  const std::vector<double> added(9, 0.0);
  const std::vector<std::pair<const char*, std::function<void(Options&)>>> masks{
      {"segments",
       [](Options& o) {
         o.mask.visibility.segments = Segments{{0, 6}, {0, 9}};
       }},
      {"boolean",
       [&](Options& o) {
         o.mask.boolean = ConstBoolView{seen.data(), {1, 1, 1, 9}, {9, 9, 9, 1}};
       }},
      {"additive",
       [&](Options& o) {
         o.mask.additive = tensor(added.data(), {1, 1, 1, 9});
       }},
  };
  for (const auto& [name, mask] : masks) {
    PrepareOptions options;
    mask(options.options);
    EXPECT_TRUE(
        fails_with(ErrorCode::unsupported, {name, "prepared"}, [&] { prepare(keys, values, domain, options); }));
  }
  PrepareOptions options;
  options.options.engine = Engine::polynomial;
  options.options.tolerance.value = 1e-3;
  options.options.mask.visibility.causal = Causal::lower_right;
  EXPECT_TRUE(
      fails_with(ErrorCode::unsupported, {"causal", "polynomial"}, [&] { prepare(keys, values, domain, options); }));
}

/// Positions are those of the query set against all keys, appended ones included.
TEST(PreparedMasks, PositionsAndSoftCapsAreThoseOfEachQuerySet) {
  const Problem problem = random_problem({.n_q = 6, .n_kv = 9, .dim = 3}, 1.0, DType::float64, 1);
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  QueryDomain domain;
  domain.centre = {0, 0, 0};
  domain.radius = 9.0;
  const auto part = [](ConstView view, std::int64_t first, std::int64_t count) {
    view.data = static_cast<const double*>(view.data) + first * view.strides[2];
    view.shape[2] = count;
    return view;
  };
  const std::array first_keys{part(keys[0], 0, 5)};
  const std::array first_values{part(values[0], 0, 5)};
  const std::array more_keys{part(keys[0], 5, 4)};
  const std::array more_values{part(values[0], 5, 4)};
  for (const Choice& choice : masked_choices()) {
    PrepareOptions options;
    options.options = forced(choice);
    options.options.mask.visibility = {Causal::lower_right, {4}, std::nullopt};
    options.options.mask.exclude_self = true;
    options.options.soft_cap = 0.5;
    const Result expected = polyattn::attend(problem.q.view(), keys, values, options.options);
    const Prepared prepared = prepare(first_keys, first_values, domain, options).append(more_keys, more_values);
    EXPECT_EQ(bits_of(prepared.query(problem.q.view()).output), bits_of(expected.output)) << choice.name();
  }
}

/// A causal mask alone: exact answers, and says why no sums are prepared.
TEST(PreparedMasks, CausalIsAnsweredByExact) {
  Problem problem = random_problem({.n_q = 6, .n_kv = 9, .dim = 3}, 1.0, DType::float64, 1);
  problem.causal = Causal::lower_right;
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  QueryDomain domain;
  domain.representative = problem.q.view();
  PrepareOptions options;
  options.options = problem.options();
  const Prepared prepared = prepare(keys, values, domain, options);
  EXPECT_EQ(prepared.report().heads.at(0).engine, Engine::exact);
  EXPECT_NE(prepared.report().heads.at(0).why.find("rows that see some"), std::string::npos);
  EXPECT_EQ(bits_of(prepared.query(problem.q.view()).output), bits_of(attend(problem).output));
}

}  // namespace
}  // namespace polyattn::test
