// polyattn verify, and attend --verify, on outputs that hold and on outputs that do not.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class Verify : public ::testing::Test {
 protected:
  Verify() : problem_(SmallProblem{.heads = 2, .key_heads = 1, .n = 200, .m = 30}.filled()) {
    put_problem(directory_, problem_, 3);
    expected_ = textbook(problem_, dot(1.0 / std::sqrt(3.0))).output;
    put_output(expected_);
  }
  void put_output(const std::vector<double>& output) { directory_.put("out.npy", npy_file("(2, 200, 2)", output)); }
  Outcome verify(const Words& flags) {
    Words words{"verify", "q.npy", "k.npy", "v.npy", "out.npy"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }

  TemporaryDirectory directory_;
  SmallProblem problem_;
  std::vector<double> expected_;
};

TEST_F(Verify, AcceptsWhatHolds) {
  for (const Words& flags :
       {Words{"--tolerance", "1e-12"}, Words{"--tolerance", "1e-12", "--rows", "50", "--seed", "3"},
        Words{"--tolerance", "1e-12", "--tolerance-kind", "of_value_range"}}) {
    const Outcome outcome = verify(flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
    EXPECT_NE(outcome.out.find("rows outside: 0"), std::string::npos) << outcome.out;
  }
}

TEST_F(Verify, SaysHowSureOneMayBe) {
  const Outcome outcome = verify({"--tolerance", "1e-12", "--rows", "100", "--seed", "3", "--json", "-"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["verify"]["rows"], 100);
  EXPECT_EQ(report["verify"]["seed"], 3);
  EXPECT_EQ(report["verify"]["confidence"], 0.95);
  EXPECT_NEAR(report["verify"]["unseen_share"].get<double>(), 1.0 - std::pow(0.025, 0.01), 1e-12);
  ASSERT_EQ(report["heads"].size(), 2U);
  for (const Json& head : report["heads"]) {
    EXPECT_LE(head["measured_error"].get<double>(), head["allowed"].get<double>());
    EXPECT_EQ(head["outside"], 0);
    EXPECT_GT(head["exact_bound"].get<double>(), 0.0);
    EXPECT_DOUBLE_EQ(head["allowed"].get<double>(), 1e-12 + head["exact_bound"].get<double>());
  }
  EXPECT_NE(verify({"--tolerance", "1e-12", "--rows", "100"}).out.find("with confidence 95 % at most 3.6 %"),
            std::string::npos);
}

TEST_F(Verify, FindsEveryCorruptedRowWhenAllAreChecked) {
  std::vector<double> output = expected_;
  output[2 * 17] += 1e-3;               // head 0, row 17
  output[2 * (200 + 150) + 1] -= 2e-3;  // head 1, row 150
  output[2 * (200 + 151)] = std::numeric_limits<double>::quiet_NaN();
  put_output(output);
  const Outcome outcome = verify({"--tolerance", "5e-4", "--json", "-"});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  const Json report = Json::parse(outcome.out);
  EXPECT_EQ(report["verify"]["every_row"], true);
  EXPECT_EQ(report["verify"]["outside"], 3);
  EXPECT_EQ(report["heads"][0]["outside"], 1);
  EXPECT_EQ(report["heads"][0]["row"], 17);
  EXPECT_EQ(report["heads"][0]["column"], 0);
  EXPECT_NEAR(report["heads"][0]["measured_error"].get<double>(), 1e-3, 1e-12);
  EXPECT_EQ(report["heads"][1]["outside"], 2);
  EXPECT_EQ(report["heads"][1]["row"], 151);
  EXPECT_TRUE(report["heads"][1]["measured_error"].is_null());
  // Just inside for the first, still outside for the others.
  EXPECT_EQ(verify({"--tolerance", "1.1e-3"}).code, 1);
  output[2 * (200 + 151)] = expected_[2 * (200 + 151)];
  put_output(output);
  EXPECT_EQ(verify({"--tolerance", "2.1e-3"}).code, 0);
  EXPECT_EQ(verify({"--tolerance", "1.9e-3"}).code, 1);
}

TEST_F(Verify, DrawsTheSameRowsForTheSameSeed) {
  std::vector<double> output = expected_;
  for (std::size_t row = 0; row < 400; row += 10) output[2 * row] += 1e-3;
  put_output(output);
  const auto seen = [&](const char* seed) {
    return Json::parse(verify({"--tolerance", "1e-4", "--rows", "60", "--seed", seed, "--json", "-"}).out)["heads"];
  };
  EXPECT_EQ(seen("1"), seen("1"));
  // A tenth of the rows is wrong: 60 draws miss all of them with probability 0.9^60 = 0.002.
  EXPECT_GT(seen("1")[0]["outside"].get<int>(), 0);
}

TEST_F(Verify, TakesTheRangeOfVisibleValues) {
  // Values of 0 and 1, and a hidden key whose value would make the range 1000.
  SmallProblem problem = SmallProblem{.n = 20, .m = 10}.filled();
  for (std::size_t j = 0; j < 10; ++j) problem.v[2 * j] = problem.v[2 * j + 1] = j % 2 == 0 ? 0.0 : 1.0;
  problem.v[2 * 4] = 1000.0;
  put_problem(directory_, problem, 2);
  std::vector<double> bias(10, 0.0);
  bias[4] = -std::numeric_limits<double>::infinity();
  directory_.put("bias.npy", npy_file("(10,)", bias));
  Definition definition = dot(1.0 / std::sqrt(3.0));
  definition.sees = [](std::int64_t, std::int64_t j) { return j != 4; };
  std::vector<double> output = textbook(problem, definition).output;
  for (double& value : output) value += 0.01;
  directory_.put("out.npy", npy_file("(20, 2)", output));
  const Words flags{"--tolerance-kind", "of_value_range", "--key-bias", "bias.npy", "--tolerance"};
  const auto with = [&](const char* tolerance) {
    Words all = flags;
    all.emplace_back(tolerance);
    return verify(all);
  };
  EXPECT_EQ(with("0.011").code, 0);
  EXPECT_EQ(with("0.009").code, 1);
}

TEST_F(Verify, TakesBoundsOfRows) {
  std::vector<double> output = expected_;
  output[2 * 17] += 1e-3;
  put_output(output);
  std::vector<double> bounds(400, 1e-12);
  directory_.put("bounds.npy", npy_file("(2, 200)", bounds));
  EXPECT_EQ(verify({"--bounds", "bounds.npy"}).code, 1);
  bounds[17] = 1.1e-3;
  directory_.put("bounds.npy", npy_file("(2, 200)", bounds));
  EXPECT_EQ(verify({"--bounds", "bounds.npy"}).code, 0);
  bounds[5] = -1.0;
  directory_.put("bounds.npy", npy_file("(2, 200)", bounds));
  const Outcome negative = verify({"--bounds", "bounds.npy"});
  EXPECT_EQ(negative.code, 3);
  EXPECT_NE(negative.err.find("the bound of batch 0 head 0 row 5 is -1"), std::string::npos) << negative.err;
  directory_.put("bounds.npy", npy_file("(400,)", bounds));
  EXPECT_EQ(verify({"--bounds", "bounds.npy"}).code, 3);
}

TEST_F(Verify, AllowsForTheRoundingOf16BitOutputs) {
  // Rounded to float16 to nearest: wrong by up to 2^-11 of the value, within tolerance 1e-9 all the same.
  std::vector<std::uint16_t> output;
  for (const double value : expected_) {
    double nearest = 0.0;
    std::uint16_t bits = 0;
    for (int candidate = 0; candidate < 0x3c01; ++candidate) {  // [0, 1]
      const double magnitude = float16_double(static_cast<std::uint16_t>(candidate));
      if (candidate == 0 || std::abs(magnitude - std::abs(value)) < std::abs(nearest - std::abs(value))) {
        nearest = magnitude;
        bits = static_cast<std::uint16_t>(candidate);
      }
    }
    output.push_back(static_cast<std::uint16_t>(bits | (value < 0.0 ? 0x8000 : 0)));
  }
  directory_.put("out.npy", npy_file("(2, 200, 2)", output));
  const Outcome good = verify({"--tolerance", "1e-9"});
  EXPECT_EQ(good.code, 0) << good.out;
  output[2 * 100] = static_cast<std::uint16_t>(output[2 * 100] + 2);
  directory_.put("out.npy", npy_file("(2, 200, 2)", output));
  EXPECT_EQ(verify({"--tolerance", "1e-9"}).code, 1);
  output[2 * 100] = 0x7c00;
  directory_.put("out.npy", npy_file("(2, 200, 2)", output));
  EXPECT_EQ(verify({"--tolerance", "1e-2"}).code, 1) << "an overflow is never within the rounding";
}

TEST_F(Verify, AcceptsWhatAttendWrote) {
  for (const Words& flags :
       {Words{}, Words{"--causal", "lower_right"}, Words{"--score", "gaussian", "--bandwidth", "0.7"}}) {
    Words words{"attend", "q.npy", "k.npy", "v.npy", "-o", "out.npy", "--bounds", "bounds.npy", "--dtype", "float32"};
    words.insert(words.end(), flags.begin(), flags.end());
    ASSERT_EQ(run(directory_.path(), words).code, 0);
    Words check = flags;
    check.insert(check.end(), {"--bounds", "bounds.npy"});
    const Outcome outcome = verify(check);
    EXPECT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  }
}

TEST_F(Verify, NeedsSomethingToHoldTheOutputTo) {
  for (const auto& [flags, message] : std::vector<std::pair<Words, std::string>>{
           {{}, "either --tolerance EPS or --bounds FILE"},
           {{"--tolerance", "1", "--bounds", "b.npy"}, "either --tolerance EPS or --bounds FILE"},
           {{"--tolerance", "0"}, "leaves no room for rounding"},
           {{"--tolerance", "1", "--rows", "0"}, "--rows '0'"}}) {
    const Outcome outcome = verify(flags);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace polyattn::test
