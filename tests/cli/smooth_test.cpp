// polyattn smooth on small tables, against the textbook sums in long double. What is allowed is the bound the program
// itself certifies, plus the rounding of the textbook's result to double.

#include "cli/support/program.hpp"
#include "cli/support/small_table.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;
using Numbers = std::vector<double>;

class Smooth : public ::testing::Test {
 protected:
  Smooth() { table_.put(directory_); }

  /// `polyattn smooth words... --json -`; fails the test unless that works.
  Json smooth(Words words) {
    words.insert(words.begin(), "smooth");
    words.insert(words.end(), {"--json", "-"});
    const Outcome outcome = run(directory_.path(), words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.code == 0 ? Json::parse(outcome.out) : Json{{"heads", {{{"bound", 0.0}}}}};
  }
  Numbers array(const std::string& name, const std::string& shape) {
    const auto [found, elements] = parse_npy(directory_.get(name));
    EXPECT_EQ(found, shape) << name;
    return elements;
  }
  Numbers column(const std::string& file, const std::string& name) { return csv_column(directory_.get(file), name); }

  TemporaryDirectory directory_;
  SmallTable table_ = SmallTable::make();
};

void expect_close(const Numbers& found, const Numbers& expected, double bound) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t k = 0; k < found.size(); ++k) {
    EXPECT_LE(std::abs(found[k] - expected[k]), bound + 1e-15 * std::abs(expected[k])) << "element " << k;
  }
}

double bound_of(const Json& report) { return report["heads"][0]["bound"].get<double>(); }

/// Every second element of [n, 2], from `first`.
Numbers one_of_two(const Numbers& pairs, std::size_t first) {
  Numbers one;
  for (std::size_t k = first; k < pairs.size(); k += 2) one.push_back(pairs[k]);
  return one;
}

TEST_F(Smooth, MatchesTheTextbook) {
  const Numbers queries{0.0, 0.0, 0.5, -0.25, 2.0, 1.0};
  directory_.put("q.npy", npy_file("(3, 2)", queries));
  directory_.put("q.csv", "z,b,a\n1,0,0\n2,-0.25,0.5\n3,,7\n4,1,2\n");
  for (const Words& flags :
       {Words{}, Words{"--tolerance", "0"}, Words{"--tolerance", "1e-9", "--tolerance-kind", "absolute"},
        Words{"--engine", "reference"}, Words{"--engine", "exact", "--arithmetic", "float64", "--threads", "2"}}) {
    for (const auto& given : {std::pair<const char*, Numbers>{"0.3", {0.3}}, {"0.2,0.5", {0.2, 0.5}}}) {
      const char* text = given.first;  // clang does not let lambdas take structured bindings
      const Numbers& bandwidth = given.second;
      SCOPED_TRACE(::testing::PrintToString(flags) + text);
      const auto call = [&](Words words) {
        words.insert(words.end(), {"--bandwidth", text});
        words.insert(words.end(), flags.begin(), flags.end());
        return bound_of(smooth(words));
      };
      double bound = call({"x.npy", "y.npy", "-o", "fit.npy"});
      expect_close(array("fit.npy", "(60, 2)"), table_.regression(table_.x, bandwidth), bound);
      bound = call({"x.npy", "y.npy", "-o", "fit.npy", "--queries", "q.npy"});
      expect_close(array("fit.npy", "(3, 2)"), table_.regression(queries, bandwidth), bound);
      bound = call({"t.csv", "--x", "a,b", "--y", "wave,ramp", "-o", "fit.npy", "--queries", "q.csv"});
      expect_close(array("fit.npy", "(3, 2)"), table_.regression(queries, bandwidth), bound);
      bound = call({"t.csv", "t.csv", "--x", "a,b", "--y", "wave,ramp", "-o", "fit.npy", "--leave-one-out"});
      expect_close(array("fit.npy", "(60, 2)"), table_.regression(table_.x, bandwidth, true), bound);
    }
  }
}

TEST_F(Smooth, TakesPointsOfOneDimensionAsTheyAre) {
  const SmallTable line = SmallTable::make(40, 1);
  directory_.put("x1.npy", npy_file("(40,)", line.x));
  directory_.put("y1.npy", npy_file("(40,)", one_of_two(line.y, 0)));
  const double bound = bound_of(smooth({"x1.npy", "y1.npy", "--bandwidth", "0.1", "-o", "fit.npy"}));
  expect_close(array("fit.npy", "(40,)"), one_of_two(line.regression(line.x, {0.1}), 0), bound);
  smooth({"x1.npy", "y1.npy", "--bandwidth", "0.1", "-o", "fit.csv"});
  EXPECT_EQ(parse_csv(directory_.get("fit.csv"))[0], (Words{"x", "y_fit"}));
  EXPECT_EQ(column("fit.csv", "x"), line.x);
}

TEST_F(Smooth, LeavesOutRowsWithMissingValuesAndSaysSo) {
  // The textbook's table, with rows between that miss something.
  const auto lines = parse_csv(directory_.get("t.csv"));
  std::string text = "note,a,b,wave\n";
  for (std::size_t row = 1; row < lines.size(); ++row) {
    text += "\"x, y\"," + lines[row][0] + "," + lines[row][1] + "," + lines[row][2] + "\n";
    if (row % 10 == 0) text += ",NA,0,1\nn,0,nan,\n";
  }
  directory_.put("holes.csv", text);
  const Json report = smooth({"holes.csv", "--x", "a,b", "--y", "wave", "--bandwidth", "0.3", "-o", "fit.csv"});
  EXPECT_EQ(report["points"], 60);
  EXPECT_EQ(report["left_out"], Json::parse(R"({"rows": 12, "missing": {"a": 6, "b": 6, "wave": 6}})"));
  EXPECT_EQ(parse_csv(directory_.get("fit.csv"))[0], (Words{"a", "b", "wave_fit"}));
  EXPECT_EQ(column("fit.csv", "a"), one_of_two(table_.x, 0)) << "coordinates come back to the bit";
  EXPECT_EQ(column("fit.csv", "b"), one_of_two(table_.x, 1));
  expect_close(column("fit.csv", "wave_fit"), one_of_two(table_.regression(table_.x, {0.3}), 0), bound_of(report));
  const Outcome words = run(directory_.path(), {"smooth", "holes.csv", "--x", "a,b", "--y", "wave", "--bandwidth",
                                                "0.3", "-o", "fit.csv", "--queries", "holes.csv"});
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_NE(
      words.out.find("60 points in 2 dimensions; 12 of 72 rows left out: a is missing in 6, b is missing in 6, wave "
                     "is missing in 6\n"),
      std::string::npos)
      << words.out;
  EXPECT_NE(words.out.find("60 queries; 12 of 72 rows left out: a is missing in 6, b is missing in 6\n"),
            std::string::npos)
      << words.out;
}

TEST_F(Smooth, ReadsBackWhatItWrote) {
  smooth({"t.csv", "--x", "a,b", "--y", "wave", "--bandwidth", "0.3", "-o", "first.csv"});
  const Json report = smooth(
      {"first.csv", "--x", "a,b", "--y", "wave_fit", "--bandwidth", "0.3", "-o", "second.csv", "--tolerance", "0"});
  SmallTable again = table_;
  const Numbers fit = column("first.csv", "wave_fit");
  for (std::size_t i = 0; i < fit.size(); ++i) again.y[2 * i] = fit[i];
  expect_close(column("second.csv", "wave_fit_fit"), one_of_two(again.regression(again.x, {0.3}), 0), bound_of(report));
}

TEST_F(Smooth, AnswersOnGrids) {
  const Words call{"x.npy", "y.npy", "--bandwidth", "0.25,0.5"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), call.begin(), call.end());
    return smooth(more);
  };
  const auto points = [](const Numbers& first, const Numbers& second) {
    Numbers all;
    for (const double a : first) {
      for (const double b : second) all.insert(all.end(), {a, b});
    }
    return all;
  };
  Json report = with({"--on-grid", "3x4", "--box", "-1:1,0:0.75", "-o", "map.npy", "--bounds", "b.npy"});
  EXPECT_EQ(array("map-axis0.npy", "(3,)"), (Numbers{-1.0, 0.0, 1.0}));
  EXPECT_EQ(array("map-axis1.npy", "(4,)"), (Numbers{0.0, 0.25, 0.5, 0.75}));
  const Numbers grid = points({-1.0, 0.0, 1.0}, {0.0, 0.25, 0.5, 0.75});
  expect_close(array("map.npy", "(3, 4, 2)"), table_.regression(grid, {0.25, 0.5}), bound_of(report));
  EXPECT_EQ(array("b.npy", "(3, 4)").size(), 12U);
  EXPECT_EQ(report["queries"], 12);
  EXPECT_EQ(report["grid"], Json::parse(R"({"counts": [3, 4], "low": [-1.0, 0.0], "high": [1.0, 0.75]})"));

  report = with({"--on-grid", "2x1", "--margin", "2", "-o", "map.csv"});
  const Numbers a = one_of_two(table_.x, 0);
  const Numbers b = one_of_two(table_.x, 1);
  const auto [low, high] = std::ranges::minmax(a);
  const auto [lower, higher] = std::ranges::minmax(b);
  EXPECT_EQ(column("map.csv", "x1"), (Numbers{low - 0.5, high + 0.5}));
  const double middle = 0.5 * (lower - 1.0) + 0.5 * (higher + 1.0);
  EXPECT_EQ(column("map.csv", "x2"), (Numbers{middle, middle}));
  const Numbers expected = table_.regression(points({low - 0.5, high + 0.5}, {middle}), {0.25, 0.5});
  expect_close(column("map.csv", "y1_fit"), one_of_two(expected, 0), bound_of(report));
  expect_close(column("map.csv", "y2_fit"), one_of_two(expected, 1), bound_of(report));
  EXPECT_EQ(directory_.list(),
            (Words{"b.npy", "map-axis0.npy", "map-axis1.npy", "map.csv", "map.npy", "t.csv", "x.npy", "y.npy"}));
}

TEST_F(Smooth, WritesBoundsAndLogSums) {
  const Json report = smooth({"x.npy", "y.npy", "--bandwidth", "0.3", "-o", "fit.npy", "--bounds", "b.npy", "--lse",
                              "lse.npy", "--engine", "exact"});
  const Numbers fit = array("fit.npy", "(60, 2)");
  const Numbers bounds = array("b.npy", "(60,)");
  const Numbers expected = table_.regression(table_.x, {0.3});
  for (std::size_t k = 0; k < fit.size(); ++k) {
    EXPECT_LE(std::abs(fit[k] - expected[k]), bounds[k / 2] + 1e-15);
    EXPECT_LE(bounds[k / 2], bound_of(report));
  }
  expect_close(array("lse.npy", "(60,)"), table_.log_sum(table_.x, {0.3}),
               report["heads"][0]["lse_bound"].get<double>());
}

TEST_F(Smooth, WritesStandardErrors) {
  const Json report = smooth({"x.npy", "y.npy", "--bandwidth", "0.3", "-o", "fit.npy", "--std"});
  const double bound = report["standard_error_bound"].get<double>();
  EXPECT_LE(bound, 1e-3) << "of errors of at most 1";
  const Numbers expected = table_.standard_error(table_.x, {0.3});
  expect_close(array("fit-std.npy", "(60, 2)"), expected, bound);
  const Numbers variance = table_.leave_one_out_error({0.3});
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_LE(std::abs(report["residuals"]["variance"][c].get<double>() - variance[c]),
              report["residuals"]["variance_bound"][c].get<double>() + 1e-15);
  }
  EXPECT_EQ(report["residuals"]["scored"], 60);
  smooth({"t.csv", "--x", "a,b", "--y", "wave,ramp", "--bandwidth", "0.3", "-o", "fit.csv", "--std"});
  EXPECT_EQ(parse_csv(directory_.get("fit.csv"))[0], (Words{"a", "b", "wave_fit", "ramp_fit", "wave_std", "ramp_std"}));
  expect_close(column("fit.csv", "ramp_std"), one_of_two(expected, 1), bound);
}

TEST_F(Smooth, SearchesTheBandwidthByLeavingOneOut) {
  const Numbers scott = table_.scott();
  const Json report = smooth({"x.npy", "y.npy", "--bandwidth", "cv", "--factors", "0.25,0.5,1,2", "-o", "fit.npy"});
  const Json& selection = report["selection"];
  expect_close(selection["scott"].get<Numbers>(), scott, 1e-14);
  ASSERT_EQ(selection["scores"].size(), 4U);
  std::size_t best = 0;
  for (std::size_t k = 0; k < 4; ++k) {
    const Json& score = selection["scores"][k];
    const double factor = 0.25 * std::exp2(static_cast<double>(k));
    EXPECT_EQ(score["factor"], factor);
    const auto bandwidth = score["bandwidth"].get<Numbers>();
    expect_close(bandwidth, {factor * scott[0], factor * scott[1]}, 1e-14);
    const Numbers errors = table_.leave_one_out_error(bandwidth);
    EXPECT_LE(std::abs(score["error"].get<double>() - errors[0] - errors[1]),
              score["error_bound"].get<double>() + 1e-15);
    if (score["error"] < selection["scores"][best]["error"]) best = k;
  }
  EXPECT_EQ(selection["best"], best);
  EXPECT_EQ(report["bandwidth"], selection["scores"][best]["bandwidth"]);
  EXPECT_EQ(report["bandwidth_rule"], "cv");
  expect_close(array("fit.npy", "(60, 2)"), table_.regression(table_.x, report["bandwidth"].get<Numbers>()),
               bound_of(report));
}

TEST_F(Smooth, PrintsTheCurveOfTheSearch) {
  const Outcome factors = run(directory_.path(), {"smooth", "t.csv", "--x", "a,b", "--y", "wave", "--bandwidth", "cv",
                                                  "--factors", "0.25:4:5", "-o", "fit.csv"});
  EXPECT_EQ(factors.code, 0) << factors.err;
  for (const char* text : {"Scott's rule: a ", "\n        0.25  ", "       2  ", "5 bandwidths in ",
                           "+- its proved bound", "bandwidth: a ", "(least leave-one-out error)"}) {
    EXPECT_NE(factors.out.find(text), std::string::npos) << text << "\n" << factors.out;
  }
  const Json report = smooth({"t.csv", "--x", "a,b", "--y", "wave", "--bandwidth", "cv", "--search", "per_axis",
                              "--factors", "1", "--most-candidates", "9", "-o", "fit.csv"});
  EXPECT_EQ(report["selection"]["scores"].size(), 9U);
  EXPECT_TRUE(report["selection"]["scores"][8]["factor"].is_null());
}

TEST_F(Smooth, FollowsScottsRule) {
  const Json report = smooth({"x.npy", "y.npy", "--bandwidth", "scott", "-o", "fit.npy"});
  expect_close(report["bandwidth"].get<Numbers>(), table_.scott(), 1e-14);
  EXPECT_EQ(report["bandwidth_rule"], "scott");
}

TEST_F(Smooth, VerifiesWhatItComputed) {
  const Json report = smooth(
      {"x.npy", "y.npy", "--bandwidth", "0.3", "-o", "fit.npy", "--leave-one-out", "--verify", "1000", "--seed", "3"});
  EXPECT_EQ(report["verify"]["every_row"], true);
  EXPECT_EQ(report["verify"]["outside"], 0);
  EXPECT_LE(report["heads"][0]["measured_error"].get<double>(), 2.0 * bound_of(report));
  const Json grid = smooth(
      {"x.npy", "y.npy", "--bandwidth", "0.3", "-o", "map.npy", "--on-grid", "9x9", "--verify", "20", "--seed", "3"});
  EXPECT_EQ(grid["verify"]["rows"], 20);
  EXPECT_EQ(grid["verify"]["outside"], 0);
}

TEST_F(Smooth, PlansWithoutWritingAnything) {
  const Words before = directory_.list();
  const Json report = smooth({"x.npy", "y.npy", "--bandwidth", "0.3", "--plan", "--std"});
  EXPECT_EQ(directory_.list(), before);
  EXPECT_FALSE(report["heads"][0]["candidates"].empty());
  EXPECT_TRUE(report["leave_one_out"]["heads"].is_array());
  EXPECT_TRUE(report["squared_weights"]["heads"].is_array());
  EXPECT_TRUE(report["predicted_seconds"].is_number());
  const Outcome words = run(directory_.path(), {"smooth", "x.npy", "y.npy", "--bandwidth", "scott", "--plan"});
  EXPECT_EQ(words.code, 0) << words.err;
  EXPECT_NE(words.out.find("chosen: "), std::string::npos) << words.out;
}

}  // namespace
}  // namespace polyattn::test
