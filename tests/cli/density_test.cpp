// polyattn density on small tables, against the textbook sums in long double and closed forms.

#include "cli/support/program.hpp"
#include "cli/support/small_table.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;
using Numbers = std::vector<double>;

class Density : public ::testing::Test {
 protected:
  Density() { table_.put(directory_); }

  Json density(Words words) {
    words.insert(words.begin(), "density");
    words.insert(words.end(), {"--json", "-"});
    const Outcome outcome = run(directory_.path(), words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.code == 0 ? Json::parse(outcome.out) : Json{{"bound", 0.0}};
  }
  Numbers array(const std::string& name, const std::string& shape) {
    const auto [found, elements] = parse_npy(directory_.get(name));
    EXPECT_EQ(found, shape) << name;
    return elements;
  }

  TemporaryDirectory directory_;
  SmallTable table_ = SmallTable::make();
};

void expect_close(const Numbers& found, const Numbers& expected, const Numbers& bounds) {
  ASSERT_EQ(found.size(), expected.size());
  ASSERT_EQ(found.size(), bounds.size());
  for (std::size_t k = 0; k < found.size(); ++k) {
    EXPECT_LE(std::abs(found[k] - expected[k]), bounds[k] + 1e-15 * std::abs(expected[k])) << "element " << k;
  }
}

TEST_F(Density, MatchesTheTextbook) {
  for (const Words& flags :
       {Words{}, Words{"--tolerance", "1e-6", "--tolerance-kind", "relative"},
        Words{"--tolerance", "1e-5", "--tolerance-kind", "absolute"}, Words{"--engine", "exact", "--threads", "2"}}) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    Words words{"x.npy", "--bandwidth", "0.2,0.4", "-o", "f.npy", "--bounds", "b.npy", "--verify", "100"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Json report = density(words);
    const Numbers bounds = array("b.npy", "(60,)");
    const Numbers expected = table_.density(table_.x, {0.2, 0.4});
    expect_close(array("f.npy", "(60,)"), expected, bounds);
    EXPECT_EQ(report["bound"], std::ranges::max(bounds));
    for (std::size_t k = 0; k < bounds.size(); ++k) {
      const double allowed =
          report["tolerance"].get<double>() * (report["tolerance_kind"] == "relative" ? expected[k] : 1.0);
      EXPECT_LE(bounds[k], allowed * (1.0 + 1e-6)) << k;
    }
    EXPECT_EQ(report["verify"]["every_row"], true);
    EXPECT_EQ(report["verify"]["outside"], 0);
  }
}

TEST_F(Density, WritesLogarithms) {
  directory_.put("far.csv", "b,a\n0,0\n1000,1000\n");
  const Json report = density({"t.csv", "--x", "a,b", "--bandwidth", "0.2", "--log", "-o", "f.csv", "--queries",
                               "far.csv", "--bounds", "b.npy", "--verify", "5"});
  const Numbers found = csv_column(directory_.get("f.csv"), "log_density");
  const Numbers bounds = array("b.npy", "(2,)");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_LE(std::abs(found[0] - std::log(table_.density({0.0, 0.0}, {0.2})[0])), bounds[0] + 1e-15);
  EXPECT_NEAR(found[1], -1000.0 * 1000.0 / 0.04, 1e-2 * 1000.0 * 1000.0 / 0.04) << "does not underflow";
  EXPECT_EQ(report["tolerance_kind"], "log");
  EXPECT_EQ(report["verify"]["outside"], 0);
}

TEST_F(Density, IntegratesToOne) {
  // The trapezoidal sum of a Gaussian of width h with steps s is off by exp(-2 (pi h / s)^2) < 1e-19 where s <= 2 h /
  // 3, and by the tails beyond 9 h, < 1e-18.
  const Json report = density({"x.npy", "--bandwidth", "0.3", "--on-grid", "60x50", "--margin", "9", "-o", "f.npy"});
  const Numbers first = array("f-axis0.npy", "(60,)");
  const Numbers second = array("f-axis1.npy", "(50,)");
  ASSERT_LE(first[1] - first[0], 0.2);
  ASSERT_LE(second[1] - second[0], 0.2);
  double sum = 0.0;
  for (const double f : array("f.npy", "(60, 50)")) sum += f;
  const double cell = (first[59] - first[0]) / 59.0 * (second[49] - second[0]) / 49.0;
  EXPECT_LE(std::abs(sum * cell - 1.0), 3000.0 * cell * report["bound"].get<double>() + 1e-12);
}

TEST_F(Density, OfOnePointIsTheKernel) {
  directory_.put("one.npy", npy_file("(1,)", Numbers{2.0}));
  directory_.put("q.npy", npy_file("(3,)", Numbers{2.0, 3.0, 2.5}));
  density({"one.npy", "--bandwidth", "0.5", "--queries", "q.npy", "-o", "f.npy", "--bounds", "b.npy"});
  const double peak = 2.0 / std::sqrt(2.0 * std::numbers::pi);
  expect_close(array("f.npy", "(3,)"), {peak, peak * std::exp(-2.0), peak * std::exp(-0.5)}, array("b.npy", "(3,)"));
}

TEST_F(Density, FollowsScottsRuleAndLeavesOutMissingValues) {
  directory_.put("holes.csv", directory_.get("t.csv") + ",1,1,1\r\n1,NA,1,1\r\n1,1,,\r\n");
  const Json report = density({"holes.csv", "--x", "a,b", "--bandwidth", "scott", "-o", "f.npy"});
  EXPECT_EQ(report["points"], 61) << "of other columns nothing need be there";
  EXPECT_EQ(report["left_out"], Json::parse(R"({"rows": 2, "missing": {"a": 1, "b": 1}})"));
  const Json clean = density({"t.csv", "--x", "a,b", "--bandwidth", "scott", "-o", "f.csv"});
  const Numbers scott = table_.scott();
  for (std::size_t l = 0; l < 2; ++l) EXPECT_NEAR(clean["bandwidth"][l].get<double>(), scott[l], 1e-14);
  EXPECT_EQ(parse_csv(directory_.get("f.csv"))[0], (Words{"a", "b", "density"}));
}

TEST_F(Density, ReportsInWordsAndPlans) {
  const Outcome outcome =
      run(directory_.path(), {"density", "x.npy", "--bandwidth", "0.2", "-o", "f.npy", "--verify", "9"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* text : {"60 points in 2 dimensions\n", "bandwidth: 0.2\n",
                           "certified |error| <= ", " from the peak\n", "rows outside: 0"}) {
    EXPECT_NE(outcome.out.find(text), std::string::npos) << text << "\n" << outcome.out;
  }
  const Words before = directory_.list();
  const Json plan = density({"x.npy", "--bandwidth", "0.2", "--plan", "--on-grid", "10x10"});
  EXPECT_EQ(plan["queries"], 100);
  EXPECT_EQ(directory_.list(), before);
}

}  // namespace
}  // namespace polyattn::test
