// Streams: closed forms, edges, what may not change an answer, merging.

#include "polyattn/streaming.hpp"

#include "support/expect_error.hpp"
#include "support/forced_isa.hpp"
#include "support/stream_case.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace polyattn::test {
namespace {

StreamingOptions one_axis(std::int64_t value_dim) {
  StreamingOptions options;
  options.dim = 1;
  options.value_dim = value_dim;
  options.queries = {{}, {1.0}};
  options.keys = {{}, {1.0}};
  options.degree = 8;
  return options;
}

void add(StreamingState& state, double key, const std::vector<double>& value, std::optional<double> bias = {}) {
  std::optional<ConstView> view;
  if (bias) {
    view = matrix(&*bias, 1, 1);
  }
  state.append(matrix(&key, 1, 1), matrix(value.data(), 1, static_cast<std::int64_t>(value.size())), view);
}

StreamingAnswer ask(const StreamingState& state, double query) { return state.query(matrix(&query, 1, 1)); }

double only(const Tensor& tensor) { return values_of(tensor).at(0); }

TEST(Streaming, ClosedForms) {
  StreamingState state(one_axis(1));
  add(state, 0.5, {7.0});
  StreamingAnswer answer = ask(state, -1.0);
  EXPECT_EQ(only(answer.output), 7.0) << "one token is the answer";
  EXPECT_NEAR(only(answer.lse), -0.5, only(answer.lse_bound));
  add(state, -0.5, {9.0});
  answer = ask(state, 0.0);
  EXPECT_NEAR(only(answer.output), 8.0, answer.certificate.bound()) << "equal scores: the mean";
  answer = ask(state, 1.0);
  EXPECT_NEAR(only(answer.output), 7.0 + 2.0 / (1.0 + std::exp(1.0)), answer.certificate.bound() + 1e-15);
  EXPECT_LE(answer.certificate.bound(), 1e-6);
  EXPECT_NEAR(only(answer.lse), std::log(2.0 * std::cosh(0.5)), only(answer.lse_bound));
}

TEST(Streaming, NoTokenIsZero) {
  StreamingState state(one_axis(2));
  const auto expect_nothing = [&] {
    const StreamingAnswer answer = ask(state, 0.3);
    EXPECT_EQ(values_of(answer.output), (std::vector<double>{0.0, 0.0}));
    EXPECT_EQ(only(answer.lse), -kInfinity);
    EXPECT_EQ(only(answer.lse_bound), 0.0);
    EXPECT_EQ(only(answer.row_bounds), 0.0);
    EXPECT_EQ(answer.certificate.bound(), 0.0);
  };
  expect_nothing();
  const double nan = std::nan("");
  add(state, nan, {nan, 1e300}, -kInfinity);
  expect_nothing();
  EXPECT_EQ(state.report().tokens, 1);
  state.append(matrix(static_cast<double*>(nullptr), 0, 1), matrix(static_cast<double*>(nullptr), 0, 2));
  expect_nothing();
}

TEST(Streaming, HiddenTokensDoNotTouchAnything) {
  StreamingState state(one_axis(1));
  StreamingState other(one_axis(1));
  for (int i = 0; i < 5; ++i) {
    add(state, 0.1 * i, {1.0 * i});
    add(other, 0.1 * i, {1.0 * i});
    add(state, std::nan(""), {kInfinity}, -kInfinity);
  }
  EXPECT_EQ(bits_of(ask(state, 0.7).output), bits_of(ask(other, 0.7).output));
  EXPECT_EQ(bits_of(ask(state, 0.7).row_bounds), bits_of(ask(other, 0.7).row_bounds));
}

TEST(Streaming, NoColumnsStillCount) {
  StreamingState state(one_axis(0));
  for (int i = 0; i < 4; ++i) {
    add(state, 0.5, {});
  }
  const StreamingAnswer answer = ask(state, 1.0);
  EXPECT_EQ(answer.output.elements(), 0);
  EXPECT_NEAR(only(answer.lse), std::log(4.0) + 0.5, only(answer.lse_bound));
  EXPECT_LE(only(answer.lse_bound), 1e-6);
}

TEST(Streaming, DegreeZeroIsTheMean) {
  StreamingOptions options = one_axis(1);
  options.degree = 0;
  StreamingState state(options);
  for (int i = 0; i < 4; ++i) {
    add(state, 0.25 * i, {1.0 * i});
  }
  const StreamingAnswer answer = ask(state, 1.0);
  EXPECT_NEAR(only(answer.output), 1.5, 1e-14);
  EXPECT_GE(answer.certificate.approximation, 0.1);
  // A domain that is one point has nothing to approximate.
  options.keys = {{0.25}, {0.0}};
  StreamingState point(options);
  add(point, 0.25, {1.0});
  add(point, 0.25, {2.0});
  EXPECT_NEAR(only(ask(point, 1.0).output), 1.5, ask(point, 1.0).certificate.bound());
  EXPECT_LE(ask(point, 1.0).certificate.bound(), 1e-12);
}

TEST(Streaming, ManyTokensAtOnceAreTheSame) {
  for (std::uint64_t seed = 100; seed < 130; ++seed) {
    const StreamCase stream = draw_stream(StreamFamily::broad, seed);
    StreamingState state(stream.options);
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(state, stream, i);
    }
    const Problem all = prefix_problem(stream, stream.tokens);
    StreamingState at_once(stream.options);
    at_once.append(all.k.view(), all.v.view(), all.bias ? std::optional(all.bias->view()) : std::nullopt);
    EXPECT_EQ(at_once.save(), state.save()) << seed;
  }
}

TEST(Streaming, TheSameBitsEverywhere) {
  for (std::uint64_t seed = 200; seed < 215; ++seed) {
    StreamCase stream = draw_stream(StreamFamily::broad, seed);
    std::vector<std::byte> expected;
    std::vector<std::byte> answer;
    for (const char* isa : instruction_sets()) {
      for (const int threads : {1, 3}) {
        const ForcedIsa forced{std::string(isa)};
        StreamingState state(stream.options, {threads});
        for (std::int64_t i = 0; i < stream.tokens; ++i) {
          append(state, stream, i);
        }
        const std::vector<std::byte> bits = bits_of(state.query(queries_of(stream)).output);
        if (expected.empty()) {
          expected = state.save();
          answer = bits;
        }
        EXPECT_EQ(state.save(), expected) << isa;
        EXPECT_EQ(bits, answer) << isa;
      }
    }
  }
}

TEST(Streaming, AnUnknownInstructionSetChangesNothing) {
  StreamingState state(one_axis(1));
  add(state, 0.5, {1.0});
  const std::vector<std::byte> before = state.save();
  {
    const ForcedIsa forced{std::string("abacus")};
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"POLYATTN_ISA"}, [&] { add(state, 0.5, {1.0}); }));
  }
  EXPECT_EQ(state.save(), before);
}

TEST(Streaming, QueryHeadsShareKeyHeads) {
  StreamingOptions options = one_axis(1);
  options.heads = 2;
  StreamingState state(options);
  const std::array<double, 6> key{0.5, -0.5, 0.1, 0.9, 0.2, 0.3};  // [1, 2, 3, 1]
  const std::array<double, 6> value{1.0, 2.0, 3.0, 4.0, 5.0, 6.0};
  state.append(tensor(key.data(), {1, 2, 3, 1}), tensor(value.data(), {1, 2, 3, 1}));
  const std::array<double, 4> q{0.7, 0.7, 0.7, 0.7};
  const std::vector<double> wide = values_of(state.query(tensor(q.data(), {1, 4, 1, 1})).output);
  const std::vector<double> narrow = values_of(state.query(tensor(q.data(), {1, 2, 1, 1})).output);
  EXPECT_EQ(wide, (std::vector<double>{narrow[0], narrow[0], narrow[1], narrow[1]}));
  EXPECT_NE(narrow[0], narrow[1]);
}

TEST(Streaming, StorageAndStrides) {
  StreamingOptions options = one_axis(2);
  options.output_dtype = DType::float32;
  StreamingState state(options);
  const std::array<float, 4> value{1.0F, 2.0F, 3.0F, 4.0F};
  const std::array<float, 2> key{0.5F, -0.25F};
  // Columns in the other order: a negative stride.
  state.append(matrix(key.data(), 2, 1), ConstView{value.data() + 1, DType::float32, {1, 1, 2, 2}, {4, 4, 2, -1}});
  const double q = 0.5;
  std::array<float, 6> output{};
  std::array<double, 3> bounds{-1.0, -1.0, -1.0};
  Destinations out;
  out.output = {output.data() + 1, DType::float32, {1, 1, 1, 2}, {6, 6, 6, 3}};
  out.row_bounds = View{bounds.data() + 1, DType::float64, {1, 1, 1, 1}, {1, 1, 1, 1}};
  const Certificate certificate = state.query_into(out, matrix(&q, 1, 1));
  EXPECT_EQ(bounds[1], certificate.bound());
  EXPECT_GE(certificate.rounding, 1e-7) << "the rounding to float32 is in the bound";
  const double share = 1.0 / (1.0 + std::exp(-0.375));  // of the first token
  EXPECT_NEAR(output[1], 2.0 * share + 4.0 * (1.0 - share), certificate.bound());
  EXPECT_NEAR(output[4], 1.0 * share + 3.0 * (1.0 - share), certificate.bound());
  EXPECT_EQ(output[0] + output[2] + output[3] + output[5], 0.0F);
  out.row_bounds = View{output.data(), DType::float32, {1, 1, 1, 1}, {1, 1, 1, 1}};
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"row_bounds", "float64"},
                         [&] { state.query_into(out, matrix(&q, 1, 1)); }));
  out.row_bounds.reset();
  out.row_max = View{bounds.data(), DType::float64, {1, 1, 1, 1}, {1, 1, 1, 1}};
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"row_max"}, [&] { state.query_into(out, matrix(&q, 1, 1)); }));
}

TEST(StreamingMerge, IsTheStreamOfBoth) {
  double worst = 0.0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    StreamCase stream = draw_stream(StreamFamily::broad, seed);
    if (stream.options.value_low.empty()) {
      if (stream.value.empty()) {
        continue;
      }
      stream.options.value_low = {*std::min_element(stream.value.begin(), stream.value.end())};
      stream.options.value_high = {*std::max_element(stream.value.begin(), stream.value.end())};
    }
    std::vector<StreamingState> parts;
    for (std::int64_t p = 0; p < 3; ++p) {
      parts.emplace_back(stream.options);
    }
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      append(parts[static_cast<std::size_t>(i * 3 / stream.tokens)], stream, i);
    }
    // Into the last and into the first: the larger weights may be on either side.
    StreamingState reversed = StreamingState::load(parts[2].save());
    reversed.merge(parts[1]);
    reversed.merge(parts[0]);
    parts[0].merge(parts[1]);
    parts[0].merge(parts[2]);
    for (const StreamingState* state : {&parts[0], &reversed}) {
      EXPECT_EQ(state->report().tokens, stream.tokens);
      const Verdict verdict = judge(stream, stream.tokens, state->query(queries_of(stream)));
      EXPECT_TRUE(within_bounds(verdict)) << seed;
      worst = std::max(worst, verdict.worst);
    }
  }
  EXPECT_GT(worst, 0.0);
}

TEST(StreamingMerge, RefusesOthers) {
  StreamingState state(one_axis(1));
  add(state, 0.5, {1.0});
  StreamingState empty(one_axis(1));
  StreamingState other(one_axis(1));
  add(other, 0.5, {2.0});
  const std::vector<std::byte> before = state.save();
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"other", "value_low"}, [&] { state.merge(other); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"other", "itself"}, [&] { state.merge(state); }));
  StreamingOptions wider = one_axis(1);
  wider.keys.half = {2.0};
  EXPECT_TRUE(
      fails_with(ErrorCode::invalid_argument, {"other", "declar"}, [&] { state.merge(StreamingState(wider)); }));
  EXPECT_EQ(state.save(), before);
  state.merge(empty);
  EXPECT_EQ(state.save(), before) << "nothing was added";
  empty.merge(state);
  EXPECT_EQ(bits_of(ask(empty, 0.4).output), bits_of(ask(state, 0.4).output));
}

}  // namespace
}  // namespace polyattn::test
