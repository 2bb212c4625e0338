// polyattn lab sat: what it prints and writes, and what it refuses.

#include "cli/support/program.hpp"
#include "support/cadical.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class LabSat : public ::testing::Test {
 protected:
  Outcome sat(const Words& flags) {
    Words words{"lab", "sat"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }
  void expect_error(const Words& flags, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    const Words before = directory_.list();
    const Outcome outcome = sat(flags);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(directory_.list(), before);
  }

  TemporaryDirectory directory_;
};

/// The lines that do not begin with "c ".
Words lines_that_count(const std::string& text) {
  Words lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("c ")) lines.push_back(line);
  }
  return lines;
}

TEST_F(LabSat, PrintsAModelAsSolversDo) {
  directory_.put("f.cnf", "c one model\np cnf 4 5\n1 0\n-1 -2 0\n2 3 0\n-3\n-4 0\n1 2 3 4 0\n");
  const Outcome outcome = sat({"f.cnf"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(lines_that_count(outcome.out), (Words{"s SATISFIABLE", "v 1 -2 3 -4 0"}));
}

TEST_F(LabSat, PrintsThatThereIsNone) {
  directory_.put("f.cnf", "p cnf 1 2\n1 0\n-1 0\n");
  const Outcome outcome = sat({"f.cnf"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(lines_that_count(outcome.out), Words{"s UNSATISFIABLE"});
}

TEST_F(LabSat, LongModelsTakeSeveralLines) {
  directory_.put("f.cnf", "p cnf 14 1\n13 0\n");
  EXPECT_EQ(lines_that_count(sat({"f.cnf"}).out),
            (Words{"s SATISFIABLE", "v -1 -2 -3 -4 -5 -6 -7 -8 -9 -10 -11 -12", "v 13 -14 0"}));
  directory_.put("none.cnf", "p cnf 0 0\n");
  EXPECT_EQ(lines_that_count(sat({"none.cnf"}).out), (Words{"s SATISFIABLE", "v 0"}));
}

TEST_F(LabSat, GeneratesWritesAndReports) {
  const Outcome outcome = sat({"--generate", "18", "--seed", "5", "-o", "g.cnf", "--json", "-", "--threads", "2"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Json json = Json::parse(outcome.out);
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["variables"], 18);
  EXPECT_EQ(json["clauses"], 77);
  EXPECT_EQ(json["lists"], Json({64, 64, 64}));
  EXPECT_EQ(json["engine"], "exact");
  EXPECT_LT(json["bound"], 0.26);
  const std::string text = directory_.get("g.cnf");
  EXPECT_EQ(json["satisfiable"], cadical_says_satisfiable(text));
  // The same from the file, with the report in another.
  const Outcome again = sat({"g.cnf", "--json", "r.json"});
  EXPECT_EQ(lines_that_count(again.out).front(), json["satisfiable"] ? "s SATISFIABLE" : "s UNSATISFIABLE");
  EXPECT_EQ(Json::parse(directory_.get("r.json"))["model"], json["model"]);
}

TEST_F(LabSat, GoesThroughTheProtocol) {
  directory_.put("f.cnf", "p cnf 6 8\n1 3 5 0 -1 4 0 2 -3 6 0 -6 0 1 -5 0 -2 4 0 5 6 0 2 3 0\n");
  const Outcome direct = sat({"f.cnf"});
  const Outcome outcome = sat({"f.cnf", "--via", "protocol", "--json", "r.json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(lines_that_count(outcome.out).front(), lines_that_count(direct.out).front());
  const Json json = Json::parse(directory_.get("r.json"));
  EXPECT_EQ(json["via"], "protocol");
  EXPECT_EQ(json["protocol"]["parts"], 4);
  EXPECT_EQ(json["protocol"]["field"], 7);
  EXPECT_EQ(json["protocol"]["messages"], 49);
  EXPECT_EQ(json["protocol"]["dimension"], 40353607.0);
  EXPECT_LT(json["bound"], 0.125);

  directory_.put("tiny.cnf", "p cnf 3 3\n1 2 0 -2 3 0 -3 0\n");
  const Outcome paper = sat({"tiny.cnf", "--via", "protocol", "--shape", "paper"});
  ASSERT_EQ(paper.code, 0) << paper.err;
  EXPECT_NE(paper.out.find("engine exact in float64"), std::string::npos) << paper.out;
  EXPECT_NE(paper.out.find("times the output"), std::string::npos) << paper.out;
  EXPECT_EQ(lines_that_count(paper.out), (Words{"s SATISFIABLE", "v 1 -2 -3 0"}));
}

TEST_F(LabSat, SaysWhyNotBeyond) {
  expect_error({"--generate", "24", "--via", "protocol"}, 2, "multiply-adds");
  expect_error({"--generate", "12", "--via", "protocol", "--shape", "paper"}, 4, "exp(-");
  expect_error({"--generate", "9", "--via", "protocol", "--shape", "paper", "--ratio", "0.5", "--engine", "exact"}, 4,
               "inf of engine exact");
  expect_error({"--generate", "6", "--shape", "paper"}, 2, "need --via protocol");
  expect_error({"--generate", "6", "--via", "magic"}, 2, "--via 'magic'");
  expect_error({"--generate", "6", "--via", "protocol", "--block", "0"}, 2, "--block '0'");
}

TEST_F(LabSat, HelpSaysWhatItDoes) {
  const Outcome help = sat({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* word : {"DIMACS", "--generate", "UNSATISFIABLE", "--via", "--shape"})
    EXPECT_NE(help.out.find(word), std::string::npos);
  EXPECT_NE(run(directory_.path(), {"lab", "--help"}).out.find("  sat "), std::string::npos);
}

TEST_F(LabSat, RefusesBadInputWithTheLine) {
  directory_.put("f.cnf", "p cnf 3 2\n1 2 0\n1 4 0\n");
  expect_error({"f.cnf"}, 3, "f.cnf, line 3: expected a literal of variables 1 to 3, got '4'");
  directory_.put("big.cnf", "c x\np cnf 37 1\n1 2 0\n");
  expect_error({"big.cnf"}, 3, "big.cnf, line 2: expected a number of variables from 0 to 36, got '37'");
  expect_error({"missing.cnf"}, 3, "missing.cnf");
}

TEST_F(LabSat, RefusesWrongFlags) {
  directory_.put("f.cnf", "p cnf 3 1\n1 2 0\n");
  expect_error({}, 2, "either a file");
  expect_error({"f.cnf", "--generate", "5"}, 2, "either a file");
  expect_error({"f.cnf", "--seed", "5"}, 2, "--seed needs --generate");
  expect_error({"--generate", "37"}, 2, "--generate '37': expected an integer from 1 to 36");
  expect_error({"--generate", "2"}, 2, "--clause-length 3");
  expect_error({"--generate", "5", "--clause-length", "6"}, 2, "--clause-length '6'");
  expect_error({"--generate", "5", "--ratio", "-1"}, 2, "--ratio '-1'");
  expect_error({"f.cnf", "--engine", "fast"}, 2, "--engine 'fast'");
  expect_error({"f.cnf", "-o", "f.cnf"}, 3, "f.cnf");
  expect_error({"f.cnf", "--json", "no/such/r.json"}, 3, "no/such");
}

TEST_F(LabSat, StopsWhenInterrupted) {
  // 36 variables: a minute at least.
  const Outcome outcome =
      run(directory_.path(), {"lab", "sat", "--generate", "36", "--ratio", "6", "-o", "f.cnf", "--json", "r.json"},
          [](pid_t process) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1500));
            ::kill(process, SIGINT);
          });
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_EQ(directory_.list(), Words{});
}

}  // namespace
}  // namespace polyattn::test
