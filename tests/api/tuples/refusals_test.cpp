// What is wrong with a call of order k is said: which argument, what was expected, what came.

#include "support/expect_error.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

TupleCall usual() { return random_tuples({.n = {6, 5}, .n_q = 4, .heads = 2}, 1.0, DType::float64, 1); }

using Change = std::function<void(TupleCall&, Options&)>;

testing::AssertionResult refused(ErrorCode code, std::initializer_list<std::string> parts, const Change& change) {
  TupleCall tuples = usual();
  Options options = tuples.options();
  change(tuples, options);
  return fails_with(code, parts, [&] { polyattn::attend(tuples.q.view(), tuples.keys(), tuples.values(), options); });
}

Stored zeros(const Shape& shape) {
  return store(DType::float64, shape,
               std::vector<double>(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]), 0.0));
}

TEST(TupleShapes, AreCheckedSetBySet) {
  const auto invalid = ErrorCode::invalid_argument;
  EXPECT_TRUE(refused(invalid, {"keys and values", "2 and 1"}, [](auto& t, auto&) { t.v.pop_back(); }));
  EXPECT_TRUE(refused(invalid, {"keys[1] and values[1]", "sequence length", "5 and 7"}, [](auto& t, auto&) {
    t.v[1] = zeros({1, 2, 7, 2});
  }));
  EXPECT_TRUE(refused(invalid, {"q and keys[1]", "dim", "3 and 4"}, [](auto& t, auto&) {
    t.k[1] = zeros({1, 2, 5, 4});
  }));
  EXPECT_TRUE(refused(invalid, {"q and keys[0]", "batch"}, [](auto& t, auto&) { t.k[0] = zeros({3, 2, 6, 3}); }));
  EXPECT_TRUE(refused(invalid, {"values[0] and values[1]", "dim", "2 and 3"}, [](auto& t, auto&) {
    t.v[1] = zeros({1, 2, 5, 3});
  }));
  EXPECT_TRUE(refused(invalid, {"q and keys[1]", "multiple", "2 and 3"}, [](auto& t, auto&) {
    t.k[1] = zeros({1, 3, 5, 3});
    t.v[1] = zeros({1, 3, 5, 2});
  }));
  EXPECT_TRUE(refused(invalid, {"keys[1] and values[1]", "heads"}, [](auto& t, auto&) {
    t.v[1] = zeros({1, 1, 5, 2});
  }));
}

TEST(TupleShapes, OrderHasALimit) {
  TupleCall tuples = random_tuples({.n = std::vector<std::int64_t>(16, 1), .n_q = 1}, 1.0, DType::float64, 2);
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"order 17", "16"}, [&] { attend(tuples); }));
  tuples.k.pop_back();
  tuples.v.pop_back();
  EXPECT_EQ(attend(tuples).report.heads.front().order, 16);
}

TEST(TupleOptions, AreChecked) {
  const auto invalid = ErrorCode::invalid_argument;
  EXPECT_TRUE(refused(invalid, {"scale", "order 3", "none"}, [](auto&, Options& o) { o.score = Dot{}; }));
  EXPECT_TRUE(refused(invalid, {"scale", "finite"}, [](auto&, Options& o) { o.score = Dot{std::nan("")}; }));
  EXPECT_TRUE(refused(invalid, {"window", "one width per key set (2)", "1"},
                      [](auto&, Options& o) { o.mask.visibility.window = {3}; }));
  EXPECT_TRUE(refused(invalid, {"window", "at least 1", "0"}, [](auto&, Options& o) {
    o.mask.visibility.window = {3, 0};
  }));
  static const std::vector<double> bias(12, 0.0);
  const ConstView one = ConstView{bias.data(), DType::float64, {1, 1, 6, 1}, {6, 6, 1, 1}};
  EXPECT_TRUE(refused(invalid, {"key_bias", "one view per key set (2)", "1"},
                      [&](auto&, Options& o) { o.mask.key_bias = {one}; }));
  EXPECT_TRUE(refused(invalid, {"key_bias[1]", "n_kv 5", "[1, 1, 6, 1]"}, [&](auto&, Options& o) {
    o.mask.key_bias = {one, one};
  }));
}

TEST(TupleCapabilities, WhatNoEngineHasIsRefusedByName) {
  const auto unsupported = ErrorCode::unsupported;
  static const std::vector<std::uint8_t> seen(64, 1);
  static const std::vector<double> added(64, 0.0);
  EXPECT_TRUE(refused(unsupported, {"gaussian score at order 3", "any engine"},
                      [](auto&, Options& o) { o.score = Gaussian{{1.0}}; }));
  EXPECT_TRUE(refused(unsupported, {"soft_cap at order 3"}, [](auto&, Options& o) { o.soft_cap = 3.0; }));
  EXPECT_TRUE(refused(unsupported, {"segments at order 3"}, [](auto&, Options& o) {
    o.mask.visibility.segments = Segments{{0, 4}, {0, 6}};
  }));
  EXPECT_TRUE(refused(unsupported, {"exclude_self at order 3"}, [](auto&, Options& o) { o.mask.exclude_self = true; }));
  EXPECT_TRUE(refused(unsupported, {"boolean at order 3"}, [](auto&, Options& o) {
    o.mask.boolean = ConstBoolView{seen.data(), {1, 1, 1, 6}, {6, 6, 6, 1}};
  }));
  EXPECT_TRUE(refused(unsupported, {"additive at order 3"}, [](auto&, Options& o) {
    o.mask.additive = ConstView{added.data(), DType::float64, {1, 1, 4, 6}, {24, 24, 6, 1}};
  }));
  EXPECT_TRUE(refused(unsupported, {"sampled guarantee at order 3"}, [](auto&, Options& o) {
    o.guarantee = Guarantee::sampled;
    o.tolerance.value = 1e-3;
  }));
  for (const Engine engine : {Engine::grid, Engine::clustered}) {
    EXPECT_TRUE(refused(unsupported, {"order 3 and above", name_of(engine), "reference, exact, polynomial"},
                        [&](auto&, Options& o) { o.engine = engine; }));
  }
  EXPECT_TRUE(refused(unsupported, {"row maximum at order 3", "polynomial", "reference, exact"}, [](auto&, Options& o) {
    o.engine = Engine::polynomial;
    o.want_row_max = true;
  }));
}

TEST(TupleCapabilities, PolynomialsOfRowsThatSeeDifferentKeysAreSummedInFloat64) {
  EXPECT_TRUE(refused(ErrorCode::unsupported, {"arithmetic float32", "polynomial", "order 3"}, [](auto&, Options& o) {
    o.engine = Engine::polynomial;
    o.arithmetic = Arithmetic::float32;
    o.tolerance.value = 1e-3;
    o.mask.visibility.causal = Causal::upper_left;
  }));
}

TEST(TupleCapabilities, AreListed) {
  const auto says = [](Engine engine, const std::string& feature) {
    for (const Capability& line : capabilities()) {
      if (line.engine == engine && line.feature == feature) {
        return line.supported ? "yes" : "no";
      }
    }
    return "nothing";
  };
  EXPECT_STREQ(says(Engine::polynomial, "order 3 and above"), "yes");
  EXPECT_STREQ(says(Engine::grid, "order 3 and above"), "no");
  EXPECT_STREQ(says(Engine::exact, "window, order 3 and above"), "yes");
  EXPECT_STREQ(says(Engine::exact, "segments, order 3 and above"), "no");
  EXPECT_STREQ(says(Engine::exact, "segments"), "yes");
}

TEST(TupleNonFinite, TheFirstIsNamedWithItsSet) {
  const auto name = [](std::vector<Stored> TupleCall::*list, std::size_t set, Engine engine) {
    TupleCall tuples = usual();
    Stored& tensor = (tuples.*list)[set];
    tensor.values[2 * static_cast<std::size_t>(tensor.shape[3])] = std::nan("");
    tensor = store(tensor.dtype, tensor.shape, tensor.values);
    Options options = tuples.options();
    options.engine = engine;
    options.tolerance.value = engine == Engine::polynomial ? 1e-3 : 0.0;
    std::string message;
    try {
      polyattn::attend(tuples.q.view(), tuples.keys(), tuples.values(), options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::non_finite);
      message = error.what();
    }
    return message.substr(0, message.find(':'));
  };
  for (const Engine engine : {Engine::reference, Engine::exact, Engine::polynomial}) {
    EXPECT_EQ(name(&TupleCall::k, 0, engine), "keys[0]") << name_of(engine);
    EXPECT_EQ(name(&TupleCall::k, 1, engine), "keys[1]") << name_of(engine);
    EXPECT_EQ(name(&TupleCall::v, 0, engine), "values[0]") << name_of(engine);
    EXPECT_EQ(name(&TupleCall::v, 1, engine), "values[1]") << name_of(engine);
  }
  TupleCall tuples = usual();
  add_biases(tuples, -1.0, 1.0, 3);
  tuples.bias[1].values[3] = kInfinity;
  tuples.bias[1] = store(DType::float64, tuples.bias[1].shape, tuples.bias[1].values);
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"key_bias[1]", "key 3"}, [&] { attend(tuples); }));
}

TEST(TupleNonFinite, PropagateIsForExactAndReference) {
  TupleCall tuples = usual();
  tuples.v[1].values[0] = std::nan("");
  tuples.v[1] = store(DType::float64, tuples.v[1].shape, tuples.v[1].values);
  Options options;
  options.non_finite = NonFinite::propagate;
  for (const Engine engine : {Engine::automatic, Engine::reference, Engine::exact}) {
    options.engine = engine;
    const std::vector<double> output = values_of(attend(tuples, options).output);
    EXPECT_TRUE(std::isnan(output[0]));  // column 0 of the head that holds it
    EXPECT_FALSE(std::isnan(output[1]));
  }
  options.engine = Engine::polynomial;
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"propagate", "polynomial"}, [&] { attend(tuples, options); }));
}

}  // namespace
}  // namespace polyattn::test
