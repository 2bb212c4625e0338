// polyattn lab ov, maxip and disjoint: each on files and on drawn instances, one after the other through files, and
// what they refuse.

#include "cli/support/program.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class LabTriples : public ::testing::Test {
 protected:
  Outcome lab(const Words& flags) {
    Words words{"lab"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }
  Json report(Words flags) {
    flags.insert(flags.end(), {"--json", "-"});
    const Outcome outcome = lab(flags);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome.code == 0 ? Json::parse(outcome.out) : Json{};
  }
  void expect_error(const Words& flags, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    const Words before = directory_.list();
    const Outcome outcome = lab(flags);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(directory_.list(), before);
  }
  void put(const std::string& name, const std::string& shape, const std::vector<float>& numbers) {
    directory_.put(name, npy_file(shape, numbers));
  }

  TemporaryDirectory directory_;
};

TEST_F(LabTriples, OrthogonalVectorsOfFiles) {
  put("a.npy", "(2, 3)", {1, 1, 1, 1, 1, 0});
  put("b.npy", "(2, 3)", {1, 1, 1, 1, 0, 0});
  put("c.npy", "(3, 3)", {1, 0, 1, 1, 1, 1, 0, 1, 1});
  const Outcome outcome = lab({"ov", "a.npy", "b.npy", "c.npy", "--verify"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(outcome.out.starts_with("orthogonal: A 0, B 1, C 2 (from 0)\n")) << outcome.out;
  EXPECT_NE(outcome.out.find("brute force says the same"), std::string::npos) << outcome.out;
  put("c.npy", "(1, 3)", {1, 0, 1});
  EXPECT_EQ(report({"ov", "a.npy", "b.npy", "c.npy"})["triple"], Json(nullptr));
}

TEST_F(LabTriples, DrawnOrthogonalVectorsAgreeWithBruteForce) {
  int found = 0;
  for (int seed = 0; seed < 8; ++seed) {
    const Json json =
        report({"ov", "--generate", "12", "--dim", "24", "--ones", "0.64", "--seed", std::to_string(seed), "--verify"});
    EXPECT_EQ(json["outside"], 0);
    EXPECT_EQ(json["seed"], seed);
    found += json["triple"].is_null() ? 0 : 1;
  }
  EXPECT_GT(found, 0);
  EXPECT_LT(found, 8);
}

TEST_F(LabTriples, LinksChainThroughFiles) {
  for (const bool satisfiable : {true, false}) {
    directory_.put("f.cnf", satisfiable ? "p cnf 3 3\n1 2 0 -2 3 0 -3 0\n" : "p cnf 3 4\n1 0 -1 2 0 -2 3 0 -3 0\n");
    ASSERT_EQ(lab({"sat", "f.cnf", "--write-ov", "ov"}).code, 0);
    EXPECT_EQ(report({"ov", "ov-a.npy", "ov-b.npy", "ov-c.npy"})["triple"].is_null(), !satisfiable);
    const Json gap = report({"ov", "ov-a.npy", "ov-b.npy", "ov-c.npy", "--write-maxip", "gap"});
    EXPECT_EQ(gap["threshold"], 7);
    EXPECT_EQ(gap["dimension"], 16807);
    const Json answers = report({"maxip", "gap-a.npy", "gap-b.npy", "gap-c.npy", "--threshold", "7", "--gap",
                                 gap["gap"].dump(), "-o", "yes.npy"});
    EXPECT_EQ(answers["yes"] > 0, satisfiable);
    EXPECT_EQ(answers["rows"], gap["counts"][0]);
  }
}

TEST_F(LabTriples, GapMaxIpInBothShapes) {
  for (int seed = 0; seed < 4; ++seed) {
    const Words common{"--generate",         "20",      "--dim", "14", "--ones", "0.5", "--threshold", "5", "--seed",
                       std::to_string(seed), "--verify"};
    Words flags{"maxip"};
    flags.insert(flags.end(), common.begin(), common.end());
    const Json pad = report(flags);
    EXPECT_EQ(pad["outside"], 0);
    EXPECT_LT(pad["bound"], 0.125);
    flags.insert(flags.end(), {"--shape", "paper"});
    const Json paper = report(flags);
    EXPECT_EQ(paper["outside"], 0);
    EXPECT_LT(paper["relative"], 0.33);
    EXPECT_EQ(paper["engine"], "reference") << "scores span more than exact proves relative errors for";
  }
}

TEST_F(LabTriples, ProtocolsOfDrawnSets) {
  for (const char* code : {"reed-solomon", "hermitian"}) {
    const Json json = report({"disjoint", "--generate", "20", "--dim", "12", "--ones", "0.45", "--seed", "3", "--block",
                              "6", "--code", code});
    EXPECT_GT(json["disjoint"], 2);
    EXPECT_GT(json["meeting"], 2);
    EXPECT_EQ(json["refused"], 0);
    EXPECT_EQ(json["too_often"], 0);
    EXPECT_LE(json["soundness"], 0.5);
    EXPECT_GT(json["merlin_bits"], json["bob_bits"]);
  }
}

TEST_F(LabTriples, RefusesWhatIsWrong) {
  put("a.npy", "(2, 3)", {1, 1, 1, 1, 1, 0});
  put("d.npy", "(2, 4)", {1, 1, 1, 1, 1, 0, 0, 0});
  put("x.npy", "(2, 3)", {1, 1, 1, 1, 0.5, 0});
  put("three.npy", "(3, 3)", {1, 1, 1, 1, 1, 0, 0, 0, 1});
  expect_error({"ov", "a.npy", "a.npy"}, 2, "A, B and C");
  expect_error({"ov", "a.npy", "a.npy", "a.npy", "--generate", "4"}, 2, "A, B and C");
  expect_error({"ov", "a.npy", "d.npy", "a.npy"}, 3, "d.npy: vectors have 4 bits, expected 3 as in a.npy");
  expect_error({"ov", "a.npy", "x.npy", "a.npy"}, 3, "x.npy");
  expect_error({"ov", "a.npy", "a.npy", "a.npy", "--seed", "1"}, 2, "need --generate");
  expect_error({"ov", "--generate", "4", "--ones", "1.5"}, 2, "--ones '1.5'");
  expect_error({"ov", "--generate", "4", "--block", "2"}, 2, "--write-maxip");
  expect_error({"ov", "--generate", "4", "--dim", "12", "--write-maxip", "gap"}, 2, "2^22 dimensions");
  expect_error({"maxip", "a.npy", "a.npy", "a.npy"}, 2, "--threshold");
  expect_error({"maxip", "a.npy", "a.npy", "a.npy", "--threshold", "0"}, 2, "--threshold '0'");
  expect_error({"maxip", "a.npy", "a.npy", "a.npy", "--threshold", "2", "--gap", "0"}, 2, "--gap '0'");
  expect_error({"maxip", "--generate", "4", "--dim", "400", "--threshold", "2", "--shape", "paper"}, 4, "exp(-");
  expect_error({"disjoint", "a.npy", "three.npy", "a.npy"}, 3, "three.npy: expected 2 rows as in a.npy, got 3");
  expect_error({"disjoint", "--generate", "2", "--dim", "4096"}, 2, "at most 1024 elements");
}

}  // namespace
}  // namespace polyattn::test
