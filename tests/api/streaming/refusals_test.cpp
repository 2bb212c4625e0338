// What a stream refuses: the message names it, and nothing has changed.

#include "support/expect_error.hpp"
#include "support/problem.hpp"

#include "polyattn/streaming.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

StreamingOptions two_heads() {
  StreamingOptions options;
  options.heads = 2;
  options.dim = 2;
  options.value_dim = 1;
  options.queries = {{0.0, 1.0}, {1.0}};
  options.keys = {{0.5, 0.0}, {1.0, 2.0}, 2.0};
  options.value_low = {-1.0};
  options.value_high = {3.0};
  options.degree = 4;
  return options;
}

/// Tokens [1, 2, n, ...] for two_heads().
struct Tokens {
  std::int64_t n = 2;
  std::vector<double> key = std::vector<double>(8, 0.25);
  std::vector<double> value = std::vector<double>(4, 1.5);
  std::vector<double> bias = std::vector<double>(4, 0.5);

  void append_to(StreamingState& state) const {
    state.append(tensor(key.data(), {1, 2, n, 2}), tensor(value.data(), {1, 2, n, 1}),
                 tensor(bias.data(), {1, 2, n, 1}));
  }
};

struct Refusal {
  const char* what;
  ErrorCode code;
  std::vector<std::string> parts;
  std::function<void(Tokens&)> spoil;
};

class StreamingRefusals : public testing::TestWithParam<Refusal> {};

TEST_P(StreamingRefusals, LeaveTheStateAsItWas) {
  StreamingState state(two_heads());
  Tokens().append_to(state);
  const std::vector<std::byte> before = state.save();
  Tokens tokens;
  GetParam().spoil(tokens);
  try {
    tokens.append_to(state);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), GetParam().code) << error.what();
    for (const std::string& part : GetParam().parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "'" << part << "' is not in: " << error.what();
    }
  }
  EXPECT_EQ(state.save(), before);
  Tokens().append_to(state);  // and it goes on
  StreamingState other(two_heads());
  Tokens().append_to(other);
  Tokens().append_to(other);
  EXPECT_EQ(state.save(), other.save());
}

constexpr ErrorCode kInvalid = ErrorCode::invalid_argument;
std::vector<Refusal> refusals() {
  return {
      // The last token of the last head: all before it are fine.
      {"box", kInvalid, {"key", "head 1", "row 1", "coordinate 0", "1.75"}, [](Tokens& t) { t.key[6] = 1.75; }},
      {"box_by_a_hair", kInvalid, {"key"}, [](Tokens& t) { t.key[6] = std::nextafter(1.5, 2.0); }},
      {"ball",
       kInvalid,
       {"key", "distance", "2"},
       [](Tokens& t) {
         t.key[6] = 1.4;
         t.key[7] = 1.99;
       }},
      {"value", kInvalid, {"value", "column 0", "from -1 to 3", "3.5"}, [](Tokens& t) { t.value[3] = 3.5; }},
      {"key_nan", ErrorCode::non_finite, {"key", "head 0", "row 1"}, [](Tokens& t) { t.key[3] = kNan; }},
      {"key_infinite", ErrorCode::non_finite, {"key"}, [](Tokens& t) { t.key[0] = -kInfinity; }},
      {"value_nan", ErrorCode::non_finite, {"value"}, [](Tokens& t) { t.value[1] = kNan; }},
      {"bias_nan", ErrorCode::non_finite, {"key_bias"}, [](Tokens& t) { t.bias[2] = kNan; }},
      {"bias_infinite", ErrorCode::non_finite, {"key_bias", "inf"}, [](Tokens& t) { t.bias[2] = kInfinity; }},
      {"bias_huge", kInvalid, {"key_bias", "2^40"}, [](Tokens& t) { t.bias[3] = -2e12; }},
  };
}
INSTANTIATE_TEST_SUITE_P(Streaming, StreamingRefusals, testing::ValuesIn(refusals()),
                         [](const testing::TestParamInfo<Refusal>& tested) { return tested.param.what; });

TEST(Streaming, RefusesShapesThatDoNotFit) {
  StreamingState state(two_heads());
  const std::vector<double> data(64, 0.25);
  const std::vector<std::byte> before = state.save();
  const auto view = [&](const Shape& shape) { return tensor(data.data(), shape); };
  EXPECT_TRUE(fails_with(kInvalid, {"key", "[1, 2, 1, 3]"}, [&] {
    state.append(view({1, 2, 1, 3}), view({1, 2, 1, 1}));
  }));
  EXPECT_TRUE(fails_with(kInvalid, {"value"}, [&] { state.append(view({1, 2, 1, 2}), view({1, 2, 2, 1})); }));
  EXPECT_TRUE(fails_with(kInvalid, {"value"}, [&] { state.append(view({1, 2, 1, 2}), view({1, 1, 1, 1})); }));
  EXPECT_TRUE(fails_with(kInvalid, {"key_bias"}, [&] {
    state.append(view({1, 2, 1, 2}), view({1, 2, 1, 1}), view({1, 3, 1, 1}));
  }));
  EXPECT_TRUE(fails_with(kInvalid, {"q"}, [&] { static_cast<void>(state.query(view({1, 3, 1, 2}))); }));
  EXPECT_TRUE(fails_with(kInvalid, {"q"}, [&] { static_cast<void>(state.query(view({1, 2, 1, 1}))); }));
  EXPECT_EQ(state.save(), before);
}

TEST(Streaming, RefusesQueriesOutside) {
  StreamingState state(two_heads());
  Tokens().append_to(state);
  std::vector<double> q(4, 0.5);
  const auto ask = [&] { static_cast<void>(state.query(tensor(q.data(), {1, 2, 1, 2}))); };
  EXPECT_NO_THROW(ask());
  q[2] = 1.5;
  EXPECT_TRUE(fails_with(kInvalid, {"q", "head 1", "coordinate 0", "1.5"}, ask));
  q[2] = kNan;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q", "head 1"}, ask));
}

TEST(Streaming, RefusesWhatCannotBeDeclared) {
  const auto refused = [](ErrorCode code, std::initializer_list<std::string> parts, const auto& spoil) {
    StreamingOptions options = two_heads();
    spoil(options);
    return fails_with(code, parts, [&] { StreamingState state(options); });
  };
  EXPECT_TRUE(refused(kInvalid, {"dim"}, [](auto& o) { o.dim = 0; }));
  EXPECT_TRUE(refused(kInvalid, {"value_dim"}, [](auto& o) { o.value_dim = -1; }));
  EXPECT_TRUE(refused(kInvalid, {"queries.centre"}, [](auto& o) { o.queries.centre = {1.0}; }));
  EXPECT_TRUE(refused(kInvalid, {"queries.half"}, [](auto& o) { o.queries.half = {1.0, 1.0, 1.0}; }));
  EXPECT_TRUE(refused(kInvalid, {"keys.half"}, [](auto& o) { o.keys.half = {-1.0}; }));
  EXPECT_TRUE(refused(kInvalid, {"keys.radius"}, [](auto& o) { o.keys.radius = kNan; }));
  EXPECT_TRUE(refused(kInvalid, {"keys", "box"}, [](auto& o) { o.keys = {}; }));
  EXPECT_TRUE(refused(kInvalid, {"value_high"}, [](auto& o) { o.value_high = {-2.0}; }));
  EXPECT_TRUE(refused(kInvalid, {"value_low"}, [](auto& o) { o.value_low.clear(); }));
  EXPECT_TRUE(refused(kInvalid, {"degree"}, [](auto& o) { o.degree = 31; }));
  EXPECT_TRUE(refused(kInvalid, {"tolerance"}, [](auto& o) { o.degree.reset(); }));
  EXPECT_TRUE(refused(kInvalid, {"tolerance"}, [](auto& o) { o.tolerance.value = kNan; }));
  EXPECT_TRUE(refused(kInvalid, {"tolerance", "of_value_range"}, [](auto& o) {
    o.value_low.clear();
    o.value_high.clear();
    o.tolerance.value = 0.1;
  }));
  EXPECT_TRUE(refused(kInvalid, {"bandwidth"}, [](auto& o) { o.score = Gaussian{{1.0, 1.0, 1.0}}; }));
  EXPECT_TRUE(refused(kInvalid, {"bandwidth"}, [](auto& o) { o.score = Gaussian{{}}; }));
  EXPECT_TRUE(refused(kInvalid, {"scale"}, [](auto& o) { o.score = Dot{kInfinity}; }));
  EXPECT_TRUE(refused(ErrorCode::not_reachable, {"300"}, [](auto& o) { o.keys = {{}, {1e4}}; }));
  EXPECT_TRUE(refused(ErrorCode::not_reachable, {"tolerance", "degree"}, [](auto& o) {
    o.degree.reset();
    o.tolerance.value = 1e-17;
  }));
}

TEST(Streaming, KeepsWithinItsMemory) {
  StreamingOptions options = two_heads();
  const std::uint64_t bytes = StreamingState(options).report().bytes;
  EXPECT_NO_THROW(StreamingState(options, {1, 2 * bytes}));
  EXPECT_TRUE(fails_with(ErrorCode::out_of_memory, {"max_memory"}, [&] {
    StreamingState state(options, {1, bytes / 2});
  }));
  // A chosen degree is one that fits.
  options.degree.reset();
  options.tolerance.value = 1e-9;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance"}, [&] { StreamingState state(options, {1, 2000}); }));
}

TEST(Streaming, RefusesAnswersThatMissTheTolerance) {
  StreamingOptions options = two_heads();
  options.degree = 1;  // pinned, and far too low
  options.tolerance.value = 1e-6;
  StreamingState state(options);
  Tokens().append_to(state);
  Tokens other;
  other.key.assign(8, -0.25);
  other.value.assign(4, -0.5);
  other.append_to(state);
  const std::vector<double> q(4, 0.9);
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance", "1e-06"}, [&] {
    static_cast<void>(state.query(tensor(q.data(), {1, 2, 1, 2})));
  }));
}

}  // namespace
}  // namespace polyattn::test
