// polyattn info, plan, poly, and the help texts.

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

std::string expect_done(const TemporaryDirectory& directory, const Words& words) {
  const Outcome outcome = run(directory.path(), words);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.out;
}

TEST(Help, IsThereForEveryCommand) {
  const TemporaryDirectory directory;
  for (const char* command : {"attend", "smooth", "density", "plan", "verify", "info", "poly", "order", "factors"}) {
    EXPECT_NE(expect_done(directory, {"--help"}).find(std::string("\n  ") + command), std::string::npos);
    const std::string help = expect_done(directory, {command, "--help"});
    EXPECT_NE(help.find(std::string("Usage: polyattn ") + command), std::string::npos) << help;
    EXPECT_NE(help.find("Examples:\n"), std::string::npos) << help;
  }
  EXPECT_EQ(expect_done(directory, {"--version"}).substr(0, 9), "polyattn ");
}

TEST(Info, TellsWhatAFileHolds) {
  const TemporaryDirectory directory;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values{1.0F,     -3.0F,     0.5F,     std::numeric_limits<float>::quiet_NaN(),
                                  infinity, -infinity, infinity, 1.5F};
  directory.put("x.npy", npy_file("(2, 4)", values, true));
  EXPECT_EQ(expect_done(directory, {"info", "x.npy"}),
            "x.npy: float32 (2, 4), Fortran order, 32 bytes\n"
            "  min -3, max 1.5, largest magnitude 3, mean 0; 1 NaN, 2 +infinity, 1 -infinity\n");
  const Json report = Json::parse(expect_done(directory, {"info", "x.npy", "--json", "-"}));
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["tensors"][0], (Json{{"name", "x.npy"},
                                        {"dtype", "float32"},
                                        {"shape", {2, 4}},
                                        {"order", "Fortran"},
                                        {"bytes", 32},
                                        {"min", -3.0},
                                        {"max", 1.5},
                                        {"max_abs", 3.0},
                                        {"mean", 0.0},
                                        {"nan", 1},
                                        {"positive_infinity", 2},
                                        {"negative_infinity", 1}}));
}

TEST(Info, TellsOfEmptyAndOneDimensionalTensors) {
  const TemporaryDirectory directory;
  directory.put("e.npy", npy_file("(0, 3)", std::vector<double>{}));
  directory.put("b.npy", npy_file("(2,)", std::vector<double>{0.25, 0.25}));
  EXPECT_EQ(expect_done(directory, {"info", "e.npy", "b.npy"}),
            "e.npy: float64 (0, 3), C order, 0 bytes\n  no finite elements; all finite\n"
            "b.npy: float64 (2,), C order, 16 bytes\n"
            "  min 0.25, max 0.25, largest magnitude 0.25, mean 0.25; all finite\n");
  EXPECT_TRUE(Json::parse(expect_done(directory, {"info", "e.npy", "--json", "-"}))["tensors"][0]["min"].is_null());
}

TEST(Info, ListsSafetensors) {
  const TemporaryDirectory directory;
  directory.put("m.safetensors",
                safetensors_bytes(
                    R"({"b": {"dtype": "I64", "shape": [1], "data_offsets": [4, 12]},
                                      "a": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}})",
                    raw(std::vector<std::uint16_t>{bfloat16_bits(1.5), bfloat16_bits(-2.0)}) + std::string(8, '\0')));
  EXPECT_EQ(expect_done(directory, {"info", "m.safetensors"}),
            "m.safetensors: 2 tensors\n  a: BF16 (1, 2), 4 bytes\n  b: I64 (1,), 8 bytes\n");
  EXPECT_EQ(expect_done(directory, {"info", "m.safetensors:a"}),
            "m.safetensors:a: bfloat16 (1, 2), C order, 4 bytes\n"
            "  min -2, max 1.5, largest magnitude 2, mean -0.25; all finite\n");
  expect_done(directory, {"info", "m.safetensors", "--json", "i.json"});
  EXPECT_EQ(Json::parse(directory.get("i.json"))["tensors"][1]["dtype"], "I64");
}

TEST(Plan, TellsEveryCandidate) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{.heads = 2, .key_heads = 2, .n = 400, .m = 500}.filled(), 3);
  const Words words{"plan", "q.npy", "k.npy", "v.npy", "--tolerance", "1e-3"};
  const std::string text = expect_done(directory, words);
  EXPECT_NE(text.find("exact"), std::string::npos) << text;
  EXPECT_EQ(directory.list(), (Words{"k.npy", "q.npy", "v.npy"}));
  Words with_json = words;
  with_json.insert(with_json.end(), {"--json", "-"});
  const Json report = Json::parse(expect_done(directory, with_json));
  EXPECT_EQ(report["schema"], 1);
  EXPECT_TRUE(report["predicted_seconds"].is_number());
  ASSERT_EQ(report["heads"].size(), 2U);
  for (const Json& head : report["heads"]) {
    EXPECT_TRUE(head["engine"].is_string());
    EXPECT_TRUE(head["why"].is_string());
    EXPECT_TRUE(head["statistics"].is_null() || head["statistics"]["radius_after"].is_number());
    ASSERT_FALSE(head["candidates"].empty());
    int chosen = 0;
    for (const Json& candidate : head["candidates"]) {
      chosen += candidate["chosen"].get<bool>() ? 1 : 0;
      EXPECT_TRUE(candidate["engine"].is_string());
      EXPECT_TRUE(candidate["reason"].is_string());
    }
    EXPECT_EQ(chosen, 1);
  }
}

/// P(x) by Horner's rule in long double.
long double evaluate(const Json& polynomial, double x) {
  long double sum = 0.0L;
  const Json& coefficients = polynomial["coefficients"];
  for (std::size_t t = coefficients.size(); t-- > 0;) {
    sum = sum * static_cast<long double>(x) + static_cast<long double>(coefficients[t].get<double>());
  }
  return sum;
}

TEST(Poly, IsAsCloseToExpAsItSays) {
  const TemporaryDirectory directory;
  for (const Words& flags :
       {Words{"--radius", "2", "--tolerance", "1e-3"}, Words{"--radius", "2", "--tolerance", "1e-3", "--relative"},
        Words{"--radius", "1.5", "--degree", "6", "--moment", "2"}, Words{"--radius", "0", "--degree", "0"}}) {
    Words words{"poly", "--json", "-"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Json p = Json::parse(expect_done(directory, words));
    const double radius = p["radius"].get<double>();
    const bool relative = flags.back() == "--relative";
    EXPECT_EQ(p["coefficients"].size(), p["degree"].get<std::size_t>() + 1);
    for (int step = -50; step <= 50; ++step) {
      const double x = radius * step / 50.0;
      const long double error = std::abs(evaluate(p, x) - std::exp(static_cast<long double>(x)));
      const double bound =
          p["error"].get<double>() * std::pow(x, 2 * p["moment"].get<int>()) + p["absolute_slack"].get<double>();
      EXPECT_LE(error, static_cast<long double>(bound) + 1e-18L) << "x = " << x;
      EXPECT_LE(error, static_cast<long double>(p["largest_error"].get<double>()));
      if (p["moment"] == 0 && radius > 0.0) {
        EXPECT_LE(error, 1e-3L * (relative ? std::exp(static_cast<long double>(x)) : 1.0L));
      }
    }
  }
  const std::string text = expect_done(directory, {"poly", "--radius", "2", "--tolerance", "1e-3", "--dim", "8"});
  EXPECT_NE(text.find("degree 6 on [-2, 2]"), std::string::npos) << text;
  EXPECT_NE(text.find("rank for d = 8: 3003 (Alman and Song 2023, Lemma 3.2: 30421755)"), std::string::npos) << text;
  EXPECT_NE(text.find("\nc_6 = "), std::string::npos) << text;
}

TEST(Poly, HasRationalCoefficients) {
  const TemporaryDirectory directory;
  const Words words{"poly", "--radius", "2", "--tolerance", "1e-3", "--rational", "--dim", "8"};
  const std::string text = expect_done(directory, words);
  EXPECT_NE(text.find("degree 6 on [-2, 2], rational coefficients of at most "), std::string::npos) << text;
  EXPECT_NE(text.find(" <= max |P(x)/exp(x) - 1| <= "), std::string::npos) << text;
  EXPECT_NE(text.find("rank for d = 8: 3003"), std::string::npos) << text;
  Words with_json = words;
  with_json.insert(with_json.end(), {"--json", "-"});
  const Json p = Json::parse(expect_done(directory, with_json));
  EXPECT_EQ(p["degree"], 6);
  EXPECT_LE(p["largest_error"]["high"].get<double>(), 1e-3);
  ASSERT_EQ(p["rational_coefficients"].size(), 7U);
  double value = 0.0;  // at 1
  for (const Json& coefficient : p["rational_coefficients"]) {
    const std::string fraction = coefficient.get<std::string>();
    const std::size_t slash = fraction.find('/');
    value += std::stod(fraction) / (slash == std::string::npos ? 1.0 : std::stod(fraction.substr(slash + 1)));
  }
  EXPECT_NEAR(value, std::exp(1.0), p["largest_error"]["high"].get<double>() + 1e-14);
  const Json relative = Json::parse(expect_done(
      directory, {"poly", "--radius", "2", "--tolerance", "1e-3", "--relative", "--rational", "--json", "-"}));
  EXPECT_LE(relative["largest_relative_error"]["high"].get<double>(), 1e-3);
}

TEST(Poly, RefusesWhatMakesNoSense) {
  const TemporaryDirectory directory;
  for (const auto& [flags, message] : std::vector<std::pair<Words, std::string>>{
           {{"--tolerance", "1e-3"}, "needs --radius"},
           {{"--radius", "2"}, "either --tolerance EPS or --degree G"},
           {{"--radius", "2", "--tolerance", "1", "--degree", "3"}, "either --tolerance EPS or --degree G"},
           {{"--radius", "2", "--tolerance", "1", "--moment", "1"}, "--moment needs --degree"},
           {{"--radius", "2", "--degree", "3", "--relative"}, "--relative needs --tolerance"},
           {{"--radius", "2", "--degree", "3", "--moment", "2"}, "at least 2 Q"},
           {{"--radius", "-2", "--degree", "3"}, "--radius '-2'"},
           {{"--radius", "nan", "--degree", "3"}, "--radius 'nan'"},
           {{"--radius", "301", "--degree", "3"}, "300"},
           {{"--radius", "2", "--tolerance", "0"}, "--tolerance '0': expected a positive number"},
           {{"--radius", "2", "--degree", "4", "--moment", "1", "--rational"}, "goes without --moment"},
           {{"--radius", "301", "--degree", "3", "--rational"}, "300"},
           {{"--radius", "200", "--tolerance", "1e-300", "--relative", "--rational"}, "no degree up to 400"},
           {{"--radius", "2", "--degree", "3", "--dim", "0"}, "--dim '0'"}}) {
    Words words{"poly"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Outcome outcome = run(directory.path(), words);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace polyattn::test
