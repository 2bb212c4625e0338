// The masks of attend, plan and verify on the command line, against the textbook sums in long double.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

constexpr double hidden = -std::numeric_limits<double>::infinity();

/// Engines that have every mask.
const Words engines{"reference", "exact"};

std::string booleans(const std::string& descr, const std::string& shape, const std::vector<std::uint8_t>& bytes) {
  return npy_bytes(npy_dict(descr, shape), raw(bytes));
}
std::string offsets(const std::vector<std::int64_t>& numbers) {
  return npy_bytes(npy_dict("<i8", "(" + std::to_string(numbers.size()) + ",)"), raw(numbers));
}

class Masks : public ::testing::Test {
 protected:
  Masks() {
    put_problem(directory_, problem_, 3);
    for (std::size_t p = 0; p < 2 * 6 * 9; ++p) {
      additive_.push_back(p % 7 == 3 ? hidden : 0.25 * static_cast<double>(p % 5) - 0.5);
      boolean_.push_back(p % 4 == 1 ? 0 : 1);
    }
    directory_.put("additive.npy", npy_file("(2, 6, 9)", additive_));
    directory_.put("boolean.npy", booleans("|b1", "(2, 6, 9)", boolean_));
    directory_.put("one.npy", booleans("|u1", "(6, 9)", {boolean_.begin(), boolean_.begin() + 54}));
    directory_.put("row.npy", booleans("|b1", "(9,)", {boolean_.begin(), boolean_.begin() + 9}));
    directory_.put("rows.npy", offsets({0, 2, 2, 6}));
    directory_.put("keys.npy", offsets({0, 5, 6, 9}));
  }

  /// Runs a command on the files; `--json -` is added.
  Outcome command(const std::string& name, const Words& flags) const {
    Words words{name, "q.npy", "k.npy", "v.npy"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }
  void expect_answer(const Words& flags, const Definition& definition) {
    for (const std::string& engine : engines) {
      Words words = flags;
      words.insert(words.end(), {"-o", "out.npy", "--json", "-", "--engine", engine});
      const Outcome outcome = command("attend", words);
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      const Json report = Json::parse(outcome.out);
      const auto [shape, output] = parse_npy(directory_.get("out.npy"));
      EXPECT_EQ(shape, "(2, 6, 2)");
      const std::vector<double> expected = textbook(problem_, definition).output;
      ASSERT_EQ(output.size(), expected.size());
      for (std::size_t e = 0; e < output.size(); ++e) {
        const double allowed = report["heads"][e / 12]["bound"].get<double>() + 1e-16;
        EXPECT_LE(std::abs(output[e] - expected[e]), allowed) << engine << ", element " << e;
      }
    }
  }
  static Definition plain() { return dot(1.0 / std::sqrt(3.0)); }
  static Definition seen(std::function<bool(std::int64_t, std::int64_t)> sees) {
    Definition definition = plain();
    definition.sees = std::move(sees);
    return definition;
  }
  void expect_error(const Words& flags, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    Words words = flags;
    words.insert(words.end(), {"-o", "out.npy"});
    const Words before = directory_.list();
    const Outcome outcome = command("attend", words);
    EXPECT_EQ(outcome.code, code);
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_EQ(directory_.list(), before);
  }

  TemporaryDirectory directory_;
  SmallProblem problem_ = SmallProblem{.heads = 2, .key_heads = 2, .n = 6, .m = 9}.filled();
  std::vector<double> additive_;
  std::vector<std::uint8_t> boolean_;
};

TEST_F(Masks, ByPosition) {
  expect_answer({"--window", "2"}, seen([](auto i, auto j) { return std::abs(i - j) < 2; }));
  expect_answer({"--window", "9223372036854775807"}, plain());
  expect_answer({"--window", "3", "--causal", "upper_left"}, seen([](auto i, auto j) { return j <= i && j > i - 3; }));
  expect_answer({"--window", "3", "--causal", "lower_right"}, seen([](auto i, auto j) { return j <= i + 3 && j > i; }));
  expect_answer({"--exclude-self"}, seen([](auto i, auto j) { return i != j; }));
}

TEST_F(Masks, Segments) {
  const auto same = [](std::int64_t i, std::int64_t j) { return i < 2 ? j < 5 : j >= 6; };
  expect_answer({"--segments", "rows.npy", "--key-segments", "keys.npy"}, seen(same));
  expect_answer({"--segments", "rows.npy", "--key-segments", "keys.npy", "--causal", "lower_right"},
                seen([&](auto i, auto j) { return same(i, j) && (i < 2 ? j <= i + 3 : j - 6 <= i - 2 - 1); }));
  // One file where rows and keys are cut alike.
  const SmallProblem square = SmallProblem{.heads = 2, .key_heads = 2, .n = 6, .m = 6}.filled();
  put_problem(directory_, square, 3);
  problem_ = square;
  expect_answer({"--segments", "rows.npy"}, seen([](auto i, auto j) { return (i < 2) == (j < 2); }));
}

TEST_F(Masks, OverPairs) {
  const auto at = [](std::int64_t h, std::int64_t i, std::int64_t j) {
    return static_cast<std::size_t>((h * 6 + i) * 9 + j);
  };
  Definition added = plain();
  added.added = [&](auto, auto h, auto i, auto j) { return additive_[at(h, i, j)]; };
  expect_answer({"--additive", "additive.npy"}, added);
  Definition both = added;
  both.added = [&](auto, auto h, auto i, auto j) {
    return boolean_[at(h, i, j)] != 0 ? additive_[at(h, i, j)] : hidden;
  };
  expect_answer({"--additive", "additive.npy", "--boolean", "boolean.npy"}, both);
  expect_answer({"--boolean", "one.npy"}, seen([&](auto i, auto j) { return boolean_[at(0, i, j)] != 0; }));
  expect_answer({"--boolean", "row.npy"}, seen([&](auto, auto j) { return boolean_[at(0, 0, j)] != 0; }));
}

TEST_F(Masks, FromSafetensors) {
  const std::string header = R"({"m":{"dtype":"BOOL","shape":[6,9],"data_offsets":[0,54]},)"
                             R"("s":{"dtype":"I64","shape":[4],"data_offsets":[54,86]}})";
  const std::vector<std::uint8_t> first(boolean_.begin(), boolean_.begin() + 54);
  directory_.put("m.safetensors", safetensors_bytes(header, raw(first) + raw(std::vector<std::int64_t>{0, 2, 2, 6})));
  expect_answer({"--boolean", "m.safetensors:m", "--segments", "m.safetensors:s", "--key-segments", "keys.npy"},
                seen([&](auto i, auto j) {
                  return boolean_[static_cast<std::size_t>(i * 9 + j)] != 0 && (i < 2 ? j < 5 : j >= 6);
                }));
}

TEST_F(Masks, SoftCap) {
  Definition capped = plain();
  capped.score = [](const double* q, const double* k, std::int64_t d) {
    return 0.2L * std::tanh(plain().score(q, k, d) / 0.2L);
  };
  expect_answer({"--soft-cap", "0.2"}, capped);
  capped.sees = [](auto i, auto j) { return std::abs(i - j) < 3 && i != j; };
  expect_answer({"--soft-cap", "2e-1", "--window", "3", "--exclude-self"}, capped);
}

/// What is the same for every row is a key bias: any engine has it, and it hides keys from the range of the values.
TEST_F(Masks, OneRowForAll) {
  SmallProblem far = problem_;
  for (std::int64_t h = 0; h < 2; ++h) {
    far.v[static_cast<std::size_t>((h * 9 + 1) * 2)] = 1e6;  // key 1 is hidden
  }
  put_problem(directory_, far, 3);
  for (const char* engine : {"auto", "reference", "exact", "polynomial"}) {
    const Outcome outcome =
        command("attend", {"--boolean", "row.npy", "-o", "out.npy", "--engine", engine, "--tolerance", "1e-3"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    Words words{"verify", "q.npy", "k.npy", "v.npy", "out.npy", "--boolean", "row.npy", "--tolerance", "1e-3"};
    EXPECT_EQ(run(directory_.path(), words).code, 0) << engine;
    std::vector<double> output = parse_npy(directory_.get("out.npy")).second;
    output[0] += 1.0;  // more than the range of what is seen, far less than 1e-3 of what is not
    directory_.put("wrong.npy", npy_file("(2, 6, 2)", output));
    words[4] = "wrong.npy";
    words[6] = "row.npy";
    words.insert(words.end(), {"--tolerance-kind", "of_value_range"});
    EXPECT_EQ(run(directory_.path(), words).code, 1) << engine;
  }
}

TEST_F(Masks, VerifyTakesThemToo) {
  const std::vector<Words> all{{"--boolean", "boolean.npy"},
                               {"--additive", "additive.npy", "--soft-cap", "0.5"},
                               {"--window", "2", "--exclude-self"},
                               {"--boolean", "one.npy", "--additive", "additive.npy", "--causal", "lower_right"},
                               {"--segments", "rows.npy", "--key-segments", "keys.npy", "--boolean", "boolean.npy"}};
  for (const Words& flags : all) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    for (const std::string& engine : engines) {
      Words words = flags;
      words.insert(words.end(), {"-o", "out.npy", "--engine", engine});
      ASSERT_EQ(command("attend", words).code, 0);
      const auto verify = [&](const std::string& file, const Words& mask) {
        Words check{"verify", "q.npy", "k.npy", "v.npy", file, "--tolerance", "1e-12"};
        check.insert(check.end(), mask.begin(), mask.end());
        return run(directory_.path(), check);
      };
      EXPECT_EQ(verify("out.npy", flags).code, 0) << engine;
      EXPECT_EQ(verify("out.npy", {}).code, 1) << engine;  // without the masks it is another answer
      std::vector<double> output = parse_npy(directory_.get("out.npy")).second;
      output[2 * 6 + 3] += 1e-6;
      directory_.put("wrong.npy", npy_file("(2, 6, 2)", output));
      const Outcome wrong = verify("wrong.npy", flags);
      EXPECT_EQ(wrong.code, 1) << engine << wrong.err;
      EXPECT_NE(wrong.out.find("rows outside: 1"), std::string::npos) << wrong.out;
    }
  }
}

TEST_F(Masks, PlanTakesThemToo) {
  const Outcome outcome = command("plan", {"--boolean", "row.npy", "--causal", "lower_right", "--json", "-"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)["heads"].size(), 2U);
  EXPECT_EQ(command("plan", {"--engine", "polynomial", "--tolerance", "1", "--window", "2"}).code, 2);
}

TEST_F(Masks, WhatAnEngineDoesNotHave) {
  for (const auto& [flags, name] : std::vector<std::pair<Words, std::string>>{{{"--window", "2"}, "window"},
                                                                              {{"--boolean", "one.npy"}, "boolean"},
                                                                              {{"--exclude-self"}, "exclude_self"},
                                                                              {{"--soft-cap", "2"}, "soft_cap"}}) {
    Words words = flags;
    words.insert(words.end(), {"--engine", "polynomial", "--tolerance", "1e-2"});
    expect_error(words, 2, name + ": not supported by engine polynomial");
  }
}

TEST_F(Masks, FlagsAndFilesThatAreWrong) {
  const std::string engine = "--engine=reference";
  for (const char* width : {"0", "-1", "1.5", "x", "", "9223372036854775808"}) {
    expect_error({"--window", width}, 2, "--window '" + std::string(width) + "': expected an integer from 1");
  }
  for (const char* cap : {"0", "-1"}) {
    expect_error({"--soft-cap", cap}, 2, "--soft-cap '" + std::string(cap) + "': expected a positive number");
  }
  expect_error({"--soft-cap", "inf"}, 2, "--soft-cap 'inf': expected a finite number");
  expect_error({"--key-segments", "keys.npy"}, 2, "--key-segments needs --segments");
  expect_error({"--segments", "rows.npy", engine}, 3, "rows.npy: expected offsets that end with n_kv 9, got 6");
  expect_error({"--segments", "keys.npy", engine}, 3, "keys.npy: expected offsets that end with n_q 6, got 9");
  directory_.put("down.npy", offsets({0, 3, 2, 6}));
  expect_error({"--segments", "down.npy", "--key-segments", "keys.npy", engine}, 3,
               "down.npy: expected offsets that do not decrease, got 2 after 3 at position 2");
  expect_error({"--segments", "v.npy"}, 3, "v.npy: holds float64 ('<f8'), expected int64");
  expect_error({"--segments", "none.npy"}, 3, "none.npy: cannot be opened");
  directory_.put("square.npy", npy_bytes(npy_dict("<i8", "(2, 2)"), raw(std::vector<std::int64_t>{0, 1, 2, 6})));
  expect_error({"--segments", "square.npy"}, 3, "square.npy: has shape (2, 2), expected one dimension");
  expect_error({"--boolean", "additive.npy"}, 3, "additive.npy: holds float64 ('<f8'), expected bool or uint8");
  expect_error({"--additive", "boolean.npy"}, 3, "boolean.npy: holds bool ('|b1'), expected little-endian float16");
  directory_.put("short.npy", booleans("|b1", "(6, 9)", {1, 0, 1}));
  expect_error({"--boolean", "short.npy"}, 3, "truncated: shape (6, 9) of bool ('|b1') needs 54 bytes");
  directory_.put("five.npy", booleans("|b1", "(1, 1, 1, 1, 9)", boolean_));
  expect_error({"--boolean", "five.npy"}, 3, "five.npy: ");
  directory_.put("wide.npy", booleans("|b1", "(6, 2)", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
  expect_error({"--boolean", "wide.npy"}, 3,
               "the boolean mask (wide.npy, (6, 2)) and K (k.npy, (2, 9, 3)) do not fit: "
               "its last dimension is 2 for 9 keys");
  directory_.put("tall.npy", npy_file("(2, 9)", std::vector<float>(18, 0.0F)));
  expect_error({"--additive", "tall.npy"}, 3, "its number of rows is 2, Q's 6");
  directory_.put("heads.npy", npy_file("(3, 1, 9)", std::vector<float>(27, 0.0F)));
  expect_error({"--additive", "heads.npy"}, 3, "its heads is 3, Q's 2");
  additive_[9 + 4] = std::numeric_limits<double>::quiet_NaN();
  directory_.put("nan.npy", npy_file("(2, 6, 9)", additive_));
  expect_error({"--additive", "nan.npy", engine}, 3,
               "nan.npy: expected finite numbers or -infinity, got NaN at batch 0, head 0, row 1, key 4");
  // An output that would overwrite a mask.
  Words words{"attend", "q.npy", "k.npy", "v.npy", "--boolean", "one.npy", "-o", "one.npy"};
  EXPECT_EQ(run(directory_.path(), words).code, 3);
}

}  // namespace
}  // namespace polyattn::test
