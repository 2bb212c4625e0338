// attend, plan, verify and order on files of order k.

#include "cli/support/program.hpp"
#include "support/tuple_call.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class Tuples : public ::testing::Test {
 protected:
  Tuples() { put_all(); }

  static std::string file_of(const Stored& tensor, bool per_key) {
    const Shape& s = tensor.shape;
    std::string shape = "(" + std::to_string(s[1]) + ", " + std::to_string(s[2]) + (per_key ? ")" : "");
    return npy_file(per_key ? shape : shape + ", " + std::to_string(s[3]) + ")", tensor.values);
  }
  void put_all() {
    directory_.put("q.npy", file_of(tuples_.q, false));
    for (std::size_t s = 0; s < 2; ++s) {
      const std::string number = std::to_string(s + 1);
      directory_.put("k" + number + ".npy", file_of(tuples_.k[s], false));
      directory_.put("v" + number + ".npy", file_of(tuples_.v[s], false));
      if (!tuples_.bias.empty()) directory_.put("b" + number + ".npy", file_of(tuples_.bias[s], true));
    }
  }
  Outcome command(const std::string& name, const Words& flags) const {
    Words words{name, "q.npy", "k1.npy", "k2.npy", "v1.npy", "v2.npy"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }
  /// attend with these flags, judged against the definition by the bounds it writes.
  Json attended(const Words& flags) const {
    Words words{"-o", "out.npy", "--bounds", "bounds.npy", "--lse", "lse.npy", "--json", "-"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Outcome outcome = command("attend", words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    if (outcome.code != 0) return Json::object();
    const auto [shape, output] = parse_npy(directory_.get("out.npy"));
    EXPECT_EQ(shape, "(2, 6, 2)");
    const std::vector<double> bounds = parse_npy(directory_.get("bounds.npy")).second;
    const std::vector<double> lse = parse_npy(directory_.get("lse.npy")).second;
    const CallTruth truth = truth_of(tuples_);
    for (std::size_t e = 0; e < output.size(); ++e) {
      EXPECT_LE(std::fabs(output[e] - static_cast<double>(truth.output[e])), bounds[e / 2] + truth.doubt[e] + 1e-17);
    }
    for (std::size_t r = 0; r < lse.size(); ++r) EXPECT_NEAR(lse[r], static_cast<double>(truth.lse[r]), 1e-2);
    return Json::parse(outcome.out);
  }
  void expect_error(const std::string& name, const Words& flags, int code, const std::string& message) const {
    const Outcome outcome = command(name, flags);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }

  TupleCall tuples_ = random_tuples({.n = {9, 7}, .n_q = 6, .heads = 2, .key_heads = {1, 2}}, 1.0, DType::float64, 1);
  std::string scale_ = std::to_string(tuples_.scale);
  TemporaryDirectory directory_;
};

TEST_F(Tuples, AreAttendedByEveryEngine) {
  tuples_.scale = 0.25;
  for (const std::string engine : {"auto", "reference", "exact", "polynomial"}) {
    const Json json = attended({"--order", "3", "--scale", "0.25", "--engine", engine, "--tolerance", "1e-4"});
    ASSERT_TRUE(json.contains("heads"));
    EXPECT_EQ(json["heads"].size(), 2U);
    EXPECT_EQ(json["heads"][0]["order"], 3);
    if (engine != "auto") {
      EXPECT_EQ(json["heads"][0]["engine"], engine);
    }
    EXPECT_LE(json["heads"][1]["bound"].get<double>(), 1e-4);
  }
  tuples_.scale = 1.0 / 3.0;
  attended({"--scale-rule", "inverse-dim"});
}

TEST_F(Tuples, MasksOfEverySet) {
  tuples_.scale = 0.5;
  add_biases(tuples_, -1.0, 1.0, 2);
  put_all();
  attended({"--scale", "0.5", "--key-bias", "b1.npy,b2.npy"});
  tuples_.bias[0] = store(DType::float64, tuples_.bias[0].shape, std::vector<double>(18, 0.0));
  attended({"--scale", "0.5", "--key-bias", ",b2.npy"});
  tuples_.bias.clear();
  tuples_.causal = Causal::upper_left;
  attended({"--scale", "0.5", "--causal", "upper_left"});
  tuples_.window = {4, 2};
  attended({"--scale", "0.5", "--causal", "upper_left", "--window", "4,2"});
  tuples_.window = {3, 3};
  attended({"--scale", "0.5", "--causal", "upper_left", "--window", "3"});
}

TEST_F(Tuples, AreVerified) {
  const Words same{"--scale", "0.25", "--causal", "lower_right"};
  Words words = same;
  words.insert(words.end(), {"-o", "out.npy", "--tolerance", "1e-3", "--bounds", "bounds.npy", "--verify", "6"});
  const Outcome attend = command("attend", words);
  ASSERT_EQ(attend.code, 0) << attend.err;
  EXPECT_NE(attend.out.find("rows outside: 0"), std::string::npos) << attend.out;
  const auto verify = [&](const Words& flags) {
    Words all{"verify", "q.npy", "k1.npy", "k2.npy", "v1.npy", "v2.npy", "out.npy"};
    all.insert(all.end(), same.begin(), same.end());
    all.insert(all.end(), flags.begin(), flags.end());
    return run(directory_.path(), all);
  };
  EXPECT_EQ(verify({"--bounds", "bounds.npy"}).code, 0);
  EXPECT_EQ(verify({"--tolerance", "1e-3"}).code, 0);
  auto [shape, output] = parse_npy(directory_.get("out.npy"));
  output[5] += 0.01;
  directory_.put("out.npy", npy_file(shape, output));
  const Outcome wrong = verify({"--tolerance", "1e-3"});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.out.find("rows outside: 1"), std::string::npos) << wrong.out;
}

TEST_F(Tuples, VerifyTakesTheRangeOfProducts) {
  // Values 0 and 2 in one set, -1 and 3 in the other: products from -2 to 6, and a hidden value of 1000.
  std::vector<double> first(18);
  std::vector<double> second(28);
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = i / 2 % 2 == 0 ? 0.0 : 2.0;
  for (std::size_t i = 0; i < second.size(); ++i) second[i] = i / 2 % 2 == 0 ? -1.0 : 3.0;
  first[0] = first[1] = 1000.0;
  tuples_.v = {store(DType::float64, {1, 1, 9, 2}, first), store(DType::float64, {1, 2, 7, 2}, second)};
  add_biases(tuples_, 0.0, 0.0, 3);
  tuples_.bias = {store(DType::float64, {1, 1, 9, 1}, {-kInfinity, 0, 0, 0, 0, 0, 0, 0, 0}),
                  store(DType::float64, {1, 1, 7, 1}, std::vector<double>(7, 0.0))};
  put_all();
  Words words{"-o", "out.npy", "--scale", "0.5", "--key-bias", "b1.npy,b2.npy"};
  ASSERT_EQ(command("attend", words).code, 0);
  auto [shape, output] = parse_npy(directory_.get("out.npy"));
  output[3] += 8.0 * 1.5e-3;
  directory_.put("out.npy", npy_file(shape, output));
  const auto verify = [&](const std::string& tolerance) {
    return run(directory_.path(),
               {"verify", "q.npy", "k1.npy", "k2.npy", "v1.npy", "v2.npy", "out.npy", "--scale", "0.5", "--key-bias",
                "b1.npy,b2.npy", "--tolerance", tolerance, "--tolerance-kind", "of_value_range"})
        .code;
  };
  EXPECT_EQ(verify("1.6e-3"), 0);
  EXPECT_EQ(verify("1.4e-3"), 1);
}

TEST_F(Tuples, PlanSaysWhatAttendWouldDo) {
  const Outcome outcome = command("plan", {"--scale", "0.25", "--tolerance", "1e-3", "--json", "-"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json head = Json::parse(outcome.out)["heads"][0];
  EXPECT_EQ(head["order"], 3);
  EXPECT_EQ(head["statistics"]["keys_per_set"], Json({9, 7}));
  EXPECT_FALSE(head["candidates"].empty());
  const Outcome sweep = command("plan", {"--scale", "0.25", "--sweep=1e-2,1e-4"});
  EXPECT_EQ(sweep.code, 0) << sweep.err;
}

TEST_F(Tuples, ErrorsNameFlagOrFile) {
  const Words out{"-o", "out.npy"};
  const auto with = [&](const Words& flags) {
    Words words = out;
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
  };
  expect_error("attend", out, 2, "order 3 has no usual scale: --scale or --scale-rule is needed");
  expect_error("attend", with({"--scale", "1", "--score", "gaussian", "--bandwidth", "1"}), 2, "--scale does not go");
  expect_error("attend", with({"--score", "gaussian", "--bandwidth", "1"}), 2, "gaussian score at order 3");
  expect_error("attend", with({"--scale", "1", "--window", "1,2,3"}), 2, "one for each of the 2 key sets");
  expect_error("attend", with({"--scale", "1", "--window", "1,0"}), 2, "--window '0'");
  expect_error("attend", with({"--scale", "1", "--key-bias", "b1.npy"}), 2, "a file for each of the 2 key sets");
  expect_error("attend", with({"--scale", "1", "--exclude-self"}), 2, "exclude_self at order 3");
  expect_error("attend", with({"--scale", "1", "--engine", "grid", "--tolerance", "1e-3"}), 2, "order 3 and above");
  directory_.put("b1.npy", npy_file("(9,)", std::vector<double>(9, 0.0)));
  expect_error("attend", with({"--scale", "1", "--key-bias", "b1.npy,b1.npy"}), 3, "b1.npy");
  directory_.put("v2.npy", npy_file("(2, 7, 3)", std::vector<double>(42, 0.0)));
  expect_error("attend", with({"--scale", "1"}), 3, "V2 (v2.npy");
  std::vector<double> k2 = tuples_.k[1].values;
  k2[4] = std::nan("");
  put_all();
  directory_.put("k2.npy", npy_file("(2, 7, 3)", k2));
  expect_error("attend", with({"--scale", "1"}), 3, "k2.npy");
}

TEST_F(Tuples, OrderSaysHowFarPolynomialsReach) {
  const Outcome outcome = run(
      directory_.path(), {"order", "q.npy", "k1.npy", "k2.npy", "--scale", "0.01", "--json", "-", "--highest", "4"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  ASSERT_EQ(json["orders"].size(), 3U);
  double entries = 0.0;
  for (const Stored* tensor : {&tuples_.q, &tuples_.k[0]}) {
    for (const double x : tensor->values) entries = std::max(entries, std::fabs(x));
  }
  EXPECT_DOUBLE_EQ(json["orders"][0]["entries"].get<double>(), entries);
  for (int order = 2; order <= 4; ++order) {
    const Json& row = json["orders"][static_cast<std::size_t>(order - 2)];
    EXPECT_EQ(row["order"], order);
    EXPECT_NEAR(row["threshold"].get<double>(), std::pow(std::log(9.0), 1.0 / order), 1e-12);
    const double b = row["entries"].get<double>();
    EXPECT_NEAR(row["papers_radius"].get<double>(), std::pow(b, order) * 3.0 * 0.01, 1e-12);
    EXPECT_LE(row["radius"].get<double>(), row["papers_radius"].get<double>() * 3.0);
    EXPECT_GT(row["exact_seconds"].get<double>(), 0.0);
  }
  EXPECT_TRUE(json.contains("largest_fast_order"));
  const Outcome words = run(directory_.path(), {"order", "q.npy", "k1.npy", "--scale-rule", "inverse-dim"});
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_NE(words.out.find("(log n)^(1/k)"), std::string::npos) << words.out;
}

TEST_F(Tuples, OrderRefusesWhatItCannotUse) {
  const auto refused = [&](const Words& flags, const std::string& message) {
    Words words{"order"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Outcome outcome = run(directory_.path(), words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  };
  refused({"q.npy", "--scale", "1"}, "order needs the files Q and K");
  refused({"q.npy", "k1.npy"}, "either --scale or --scale-rule");
  refused({"q.npy", "k1.npy", "--scale", "1", "--tolerance", "0"}, "--tolerance '0'");
  refused({"q.npy", "k1.npy", "--scale", "1", "--highest", "17"}, "--highest '17'");
}

}  // namespace
}  // namespace polyattn::test
