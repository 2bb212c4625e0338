// What smooth and density do with flags and tables that are wrong: one clear line, the right exit code, no file.

#include "cli/support/program.hpp"
#include "cli/support/small_table.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Words = std::vector<std::string>;

class SmoothingErrors : public ::testing::Test {
 protected:
  SmoothingErrors() { SmallTable::make().put(directory_); }

  void expect_error(const Words& arguments, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const Words before = directory_.list();
    const Outcome outcome = run(directory_.path(), arguments);
    EXPECT_EQ(outcome.code, code);
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(directory_.list(), before);
  }
  static Words with(Words words, const Words& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// Both commands on x.npy, with -o out.npy.
  void expect_both(const Words& flags, int code, const std::string& message) {
    expect_error(with({"smooth", "x.npy", "y.npy", "-o", "out.npy"}, flags), code, message);
    expect_error(with({"density", "x.npy", "-o", "out.npy"}, flags), code, message);
  }
  void expect_smooth(const Words& flags, int code, const std::string& message) {
    expect_error(with({"smooth", "x.npy", "y.npy", "-o", "out.npy"}, flags), code, message);
  }
  /// smooth on t.csv
  void expect_table(const Words& flags, int code, const std::string& message) {
    expect_error(with({"smooth", "t.csv", "-o", "out.csv", "--bandwidth", "1"}, flags), code, message);
  }

  TemporaryDirectory directory_;
};

TEST_F(SmoothingErrors, Bandwidths) {
  expect_both({}, 2, "needs --bandwidth: H, H1,H2,...");
  for (const char* text : {"0", "-1", "1,0", "1e-200", "1e200", "nan", "inf", "", "1,,2", "1 2", "Scott", "auto"}) {
    expect_both({"--bandwidth", text}, 2, "--bandwidth '");
  }
  expect_both({"--bandwidth", "1,2,3"}, 2, "--bandwidth has 3 numbers; x.npy has 2 axes, so 1 or 2 are expected");
  expect_error({"density", "x.npy", "-o", "out.npy", "--bandwidth", "cv"}, 2, "needs values to predict");
  for (const char* flag : {"--factors", "--search", "--most-candidates"}) {
    expect_smooth({"--bandwidth", "1", flag, "1"}, 2, std::string(flag) + " needs --bandwidth cv");
  }
  for (const char* text : {"0,1", "-1", "1:2", "2:1:3", "0:1:3", "1:2:1", "1:2:x", "1:2:3:4", ""}) {
    expect_smooth({"--bandwidth", "cv", "--factors", text}, 2, "--factors '");
  }
  expect_smooth({"--bandwidth", "cv", "--search", "axes"}, 2, "--search 'axes': expected one of factor, per_axis");
  expect_smooth({"--bandwidth", "cv", "--most-candidates", "0"}, 2, "--most-candidates '0'");
  expect_smooth({"--bandwidth", "cv", "--plan"}, 2, "--output does not go with it");
}

TEST_F(SmoothingErrors, FlagsThatDoNotGoTogether) {
  expect_error({"smooth", "x.npy", "y.npy", "--bandwidth", "1"}, 2, "smooth needs -o OUT");
  expect_error({"density", "x.npy", "--bandwidth", "1"}, 2, "density needs -o OUT");
  expect_error({"smooth", "-o", "out.npy"}, 2, "smooth needs a file of points");
  expect_error({"smooth", "x.npy", "y.npy", "--bandwidth", "cv", "--plan"}, 2, "needs a --bandwidth that is given");
  expect_both({"--bandwidth", "1", "--frobnicate"}, 2, "--frobnicate");
  expect_both({"--bandwidth", "1", "--queries", "x.npy", "--on-grid", "3x3"}, 2, "exclude each other");
  expect_both({"--bandwidth", "1", "--margin", "1"}, 2, "--margin needs --on-grid");
  expect_both({"--bandwidth", "1", "--box", "0:1,0:1"}, 2, "--box needs --on-grid");
  expect_both({"--bandwidth", "1", "--seed", "1"}, 2, "--seed needs --verify");
  expect_both({"--bandwidth", "1", "--strict"}, 2, "--strict needs a forced --engine");
  expect_both({"--bandwidth", "1", "--tolerance", "-1"}, 2, "--tolerance '-1'");
  expect_both({"--bandwidth", "1", "--engine", "magic"}, 2, "--engine 'magic'");
  expect_smooth({"--bandwidth", "1", "--tolerance-kind", "relative"}, 2, "expected one of of_value_range, absolute");
  expect_smooth({"--bandwidth", "1", "--leave-one-out", "--queries", "x.npy"}, 2,
                "--leave-one-out answers at the points");
  expect_smooth({"--bandwidth", "1", "--leave-one-out", "--on-grid", "3x3"}, 2,
                "--leave-one-out answers at the points");
  expect_smooth({"--bandwidth", "1", "--dtype", "bfloat16"}, 2, ".npy has no such type");
  const Words density{"density", "x.npy", "-o", "out.npy", "--bandwidth", "1"};
  expect_error(with(density, {"--tolerance", "0"}), 2, "--tolerance '0': expected a positive number");
  expect_error(with(density, {"--tolerance-kind", "of_value_range"}), 2, "expected one of of_peak, relative, absolute");
  expect_error(with(density, {"--log", "--tolerance-kind", "relative"}), 2, "does not go with --log");
}

TEST_F(SmoothingErrors, Grids) {
  for (const char* text : {"", "3", "x", "3x", "3x0", "3x-1", "3x1.5", "3,3", "3x3x3", "4294967296x4294967296"}) {
    expect_both({"--bandwidth", "1", "--on-grid", text}, 2, "--on-grid");
  }
  for (const char* text : {"0:1", "0:1,1:0", "0:1,0", "0:1,0:x", "0:1:2,0:1", "0:1,0:1,0:1", "-1e308:1e308,0:1"}) {
    expect_both({"--bandwidth", "1", "--on-grid", "3x3", "--box", text}, 2, "--box");
  }
  expect_both({"--bandwidth", "1", "--on-grid", "3x3", "--margin", "-1"}, 2, "--margin '-1'");
  expect_both({"--bandwidth", "1", "--on-grid", "3x3", "--margin", "1", "--box", "0:1,0:1"}, 2, "exclude each other");
  expect_both({"--bandwidth", "1", "--on-grid", "1000000x1000000"}, 5, "--on-grid: 1000000000000 points");
  expect_both({"--bandwidth", "1", "--on-grid", "1000x1000", "--max-memory", "1M"}, 5, "--max-memory allows");
}

TEST_F(SmoothingErrors, ColumnsOfTables) {
  expect_table({}, 2, "--x is needed: the columns of t.csv that are coordinates");
  expect_table({"--x", "a,b"}, 2, "--y is needed: the columns of t.csv that are values");
  expect_table({"--x", "a,b", "--y", "a"}, 2, "column 'a' is named twice in --x and --y");
  for (const char* text : {"", ",", "a,,b", "\"a", "a\nb"}) expect_table({"--x", text, "--y", "wave"}, 2, "--x '");
  expect_table({"--x", "a,c", "--y", "wave"}, 3, "t.csv: has no column 'c'; it has a, b, wave, ramp");
  expect_table({"y.npy", "--x", "a,b", "--y", "wave"}, 2,
               "values are taken from the rows of t.csv (--y); leave out y.npy");
  expect_smooth({"--bandwidth", "1", "--x", "a,b"}, 2, "--x names columns of .csv files");
  expect_smooth({"--bandwidth", "1", "--y", "wave"}, 2, "--y names columns of a .csv file");
  expect_smooth({"--bandwidth", "1", "--queries", "t.csv"}, 2, "--x is needed: the columns of t.csv");
  expect_smooth({"--bandwidth", "1", "--queries", "t.csv", "--x", "a"}, 3, "they have 2 and 1 columns");
  expect_error({"smooth", "x.npy", "t.csv", "--bandwidth", "1", "-o", "out.npy"}, 2, "only together with their points");
  expect_error({"smooth", "x.npy", "--bandwidth", "1", "-o", "out.npy"}, 2, "needs a file of values beside x.npy");
  expect_error({"density", "x.npy", "y.npy", "--bandwidth", "1", "-o", "out.npy"}, 2,
               "density takes one file of points");
}

TEST_F(SmoothingErrors, TablesThatCannotBeUsed) {
  const auto expect_contents = [&](const std::string& contents, int code, const std::string& message,
                                   const Words& more) {
    directory_.put("bad.csv", contents);
    expect_error(with({"smooth", "bad.csv", "--x", "a,b", "--y", "c", "-o", "out.csv"}, more), code, message);
  };
  const Words one{"--bandwidth", "1"};
  expect_contents("", 3, "bad.csv: is empty", one);
  expect_contents("a,b,c\n", 3, "bad.csv: has no rows", one);
  expect_contents("a,b,c\n1,2,NA\n1,,3\n", 3,
                  "bad.csv: no row is left: 2 of 2 rows left out: b is missing in 1, c is missing in 1", one);
  expect_contents("a,b,c\n1,2,x\n", 3, "bad.csv: line 2, column 'c': 'x' is not a number", one);
  expect_contents("a,b,c\n1,2,inf\n", 3, "bad.csv: line 2, column 'c': 'inf' is not a finite number", one);
  expect_contents("a,b,c\n1,2\n", 3, "bad.csv: line 2 has 2 fields, expected 3", one);
  for (const char* rule : {"scott", "cv"}) {
    expect_contents("a,b,c\n1,2,3\n2,2,4\n5,2,6\n", 3, "bad.csv: expected columns that vary, got column 'b'",
                    {"--bandwidth", rule});
    expect_contents("a,b,c\n1,2,3\n", 3, "bad.csv: expected at least two", {"--bandwidth", rule});
  }
  expect_contents("a,b,c\n1,2,3\n", 3, "bad.csv: expected at least two", {"--bandwidth", "1", "--std"});
  directory_.put("nan.npy", npy_file("(2, 2)", std::vector<double>{0, 1, 2, std::numeric_limits<double>::quiet_NaN()}));
  directory_.put("two.npy", npy_file("(2,)", std::vector<double>{0, 1}));
  directory_.put("cube.npy", npy_file("(1, 2, 1)", std::vector<double>{0, 1}));
  for (const char* rule : {"1", "scott"}) {
    expect_error({"density", "nan.npy", "--bandwidth", rule, "-o", "out.npy"}, 3,
                 "nan.npy: expected finite numbers, got NaN at row 1, column 1");
  }
  expect_error({"smooth", "x.npy", "y.npy", "--queries", "nan.npy", "--bandwidth", "1", "-o", "out.npy"}, 3,
               "nan.npy: expected finite numbers, got NaN at row 1, column 1");
  expect_error({"smooth", "two.npy", "nan.npy", "--bandwidth", "1", "-o", "out.npy"}, 3,
               "nan.npy: expected finite numbers");
  expect_error({"smooth", "x.npy", "two.npy", "--bandwidth", "1", "-o", "out.npy"}, 3, "their lengths n are 60 and 2");
  expect_error({"density", "cube.npy", "--bandwidth", "1", "-o", "out.npy"}, 3,
               "cube.npy: has shape (1, 2, 1), expected [n, d]");
  expect_error({"density", "none.csv", "--x", "a", "--bandwidth", "1", "-o", "out.npy"}, 3,
               "none.csv: cannot be opened");
}

TEST_F(SmoothingErrors, WhatIsOutOfReach) {
  expect_smooth({"--bandwidth", "0.3", "--tolerance", "1e-300"}, 4, "not reachable");
  expect_smooth({"--bandwidth", "0.3", "--max-memory", "16"}, 5, "memory");
}

TEST_F(SmoothingErrors, OutputsThatCannotBeWritten) {
  const Words smooth{"smooth", "x.npy", "y.npy", "--bandwidth", "1", "--std", "--on-grid", "3x3"};
  expect_error(with(smooth, {"-o", "none/out.npy"}), 3, "none/out.npy: cannot be written");
  expect_error(with(smooth, {"-o", "x.npy"}), 3, "x.npy: would overwrite the input");
  for (const char* name : {"out.npy", "out-std.npy", "out-axis0.npy", "out-axis1.npy"}) {
    expect_error(with(smooth, {"-o", "out.npy", "--json", name}), 3, std::string(name) + ": is named twice");
    expect_error(with(smooth, {"-o", "out.npy", "--bounds", name}), 3, "is named twice");
    expect_error(with(smooth, {"-o", "out.npy", "--lse", name}), 3, "is named twice");
  }
  directory_.put("in-axis1.npy", directory_.get("x.npy"));
  expect_error({"density", "in-axis1.npy", "--bandwidth", "1", "--on-grid", "3x3", "-o", "in.npy"}, 3,
               "in-axis1.npy: would overwrite the input");
  // A disk that is full when the last of several files is written: see Errors.FilesBeyondALimit for the limit.
  const Words before = directory_.list();
  const Outcome outcome = run_shell(directory_.path(),
                                    "ulimit -f 2048; exec \"$POLYATTN\" smooth x.npy y.npy --bandwidth 1 --on-grid "
                                    "300x300 --bounds b.npy -o out.csv --threads 1");
  EXPECT_EQ(outcome.code, 5) << outcome.err;
  EXPECT_NE(outcome.err.find("out.csv: cannot be written: File too large"), std::string::npos) << outcome.err;
  EXPECT_EQ(directory_.list(), before);
}

}  // namespace
}  // namespace polyattn::test
