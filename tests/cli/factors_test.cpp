// polyattn factors: its files, its report, and what it refuses.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class FactorFiles : public ::testing::Test {
 protected:
  Outcome factors(const Words& flags) {
    Words words{"factors", "q.npy", "k.npy", "-o", "ab"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words);
  }
  Json report(const Words& flags) {
    Words words = flags;
    words.insert(words.end(), {"--json", "-"});
    const Outcome outcome = factors(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return Json::parse(outcome.out);
  }
  void expect_error(const Words& flags, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(flags));
    const Words before = directory_.list();
    const Outcome outcome = factors(flags);
    EXPECT_EQ(outcome.code, code);
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(directory_.list(), before);
  }

  /// Largest |(U1 U2^T)_ij / exp(scale <q_i, k_j>) - 1| over heads, in long double.
  double measured(const SmallProblem& p, std::int64_t rank, long double scale) {
    const std::vector<double> u1 = parse_npy(directory_.get("ab-u1.npy")).second;
    const std::vector<double> u2 = parse_npy(directory_.get("ab-u2.npy")).second;
    const auto product = [](const std::vector<double>& a, std::int64_t row, const std::vector<double>& b,
                            std::int64_t column, std::int64_t count) {
      long double sum = 0.0L;
      for (std::int64_t l = 0; l < count; ++l) {
        sum += static_cast<long double>(a[static_cast<std::size_t>(row * count + l)]) *
               static_cast<long double>(b[static_cast<std::size_t>(column * count + l)]);
      }
      return sum;
    };
    double worst = 0.0;
    for (std::int64_t head = 0; head < p.batch * p.heads; ++head) {
      const std::int64_t key_head = head / p.heads * p.key_heads + head % p.heads / (p.heads / p.key_heads);
      for (std::int64_t i = head * p.n; i < (head + 1) * p.n; ++i) {
        for (std::int64_t j = key_head * p.m; j < (key_head + 1) * p.m; ++j) {
          const long double truth = std::exp(scale * product(p.q, i, p.k, j, p.d));
          worst = std::max(worst, std::fabs(static_cast<double>(product(u1, i, u2, j, rank) / truth - 1.0L)));
        }
      }
    }
    return worst;
  }

  TemporaryDirectory directory_;
};

TEST_F(FactorFiles, AreWithinTheToleranceEntryByEntry) {
  const SmallProblem p = SmallProblem{.batch = 2, .heads = 4, .key_heads = 2}.filled();
  put_problem(directory_, p, 4);
  for (const char* dtype : {"float64", "float32"}) {
    const Json json = report({"--tolerance", "1e-4", "--scale", "1", "--dtype", dtype});
    const auto rank = json["rank"].get<std::int64_t>();
    const std::string r = std::to_string(rank);
    EXPECT_EQ(parse_npy(directory_.get("ab-u1.npy")).first, "(2, 4, 9, " + r + ")");
    EXPECT_EQ(parse_npy(directory_.get("ab-u2.npy")).first, "(2, 2, 11, " + r + ")");
    EXPECT_LE(json["bound"].get<double>(), 1e-4);
    const double worst = measured(p, rank, 1.0L);
    EXPECT_LE(worst, json["bound"].get<double>());
    std::printf("worst clearance %.4f\n", worst / json["bound"].get<double>());
    EXPECT_EQ(directory_.list(), (Words{"ab-u1.npy", "ab-u2.npy", "k.npy", "q.npy", "v.npy"}));
  }
}

TEST_F(FactorFiles, ReportAsJson) {
  put_problem(directory_, SmallProblem{}.filled(), 2);
  const Json json = report({"--tolerance", "1e-2", "--scale-rule", "inverse-dim"});
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["tolerance"], 1e-2);
  EXPECT_EQ(json["dim"], 3);
  EXPECT_EQ(json["axes"], 3);
  EXPECT_EQ(json["dtype"], "float64");
  EXPECT_EQ(json["files"], (Words{"ab-u1.npy", "ab-u2.npy"}));
  ASSERT_EQ(json["heads"].size(), 1U);
  const Json& head = json["heads"][0];
  EXPECT_EQ(head["batch"], 0);
  EXPECT_EQ(head["head"], 0);
  EXPECT_EQ(head["rank"], json["rank"]);
  EXPECT_EQ(head["degree"], json["degree"]);
  EXPECT_DOUBLE_EQ(head["bound"].get<double>(), head["approximation"].get<double>() + head["rounding"].get<double>());
  for (const char* field : {"radius", "radius_before", "majorant", "dot_product"}) {
    EXPECT_GT(head[field].get<double>(), 0.0) << field;
  }
  EXPECT_LT(head["low"].get<double>(), head["high"].get<double>());
  EXPECT_EQ(json["rank_exceeds_matrix"].get<bool>(), json["rank"].get<int>() > 9);
  EXPECT_LE(measured(SmallProblem{}.filled(), json["rank"].get<std::int64_t>(), 1.0L / 3.0L),
            json["bound"].get<double>() * (1.0 + 1e-12));
}

TEST_F(FactorFiles, ReportInWords) {
  put_problem(directory_, SmallProblem{}.filled(), 2);
  const Outcome outcome =
      factors({"--degree", "5", "--score", "gaussian", "--bandwidth", "2", "--json", "report.json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("rank r = 56: degree 5 in 3 coordinates (Alman and Song 2023, Lemma 3.2: 8008)"),
            std::string::npos)
      << outcome.out;
  EXPECT_NE(outcome.out.find("r is more than min(n, m) = 9"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("|(U1 U2^T)_ij - exp(s_ij)| <= "), std::string::npos) << outcome.out;
  EXPECT_EQ(Json::parse(directory_.get("report.json"))["tolerance"], nullptr);
  put_problem(directory_, SmallProblem{.heads = 12, .key_heads = 12}.filled(), 3);
  EXPECT_NE(factors({"--degree", "2"}).out.find("12 heads, of which the farthest off is\n"), std::string::npos);
}

TEST_F(FactorFiles, WrongFlags) {
  put_problem(directory_, SmallProblem{}.filled(), 2);
  expect_error({}, 2, "factors needs --tolerance EPS or --degree G");
  for (const char* number : {"0", "-1", "1", "2"}) {
    expect_error({"--tolerance", number}, 2, "--tolerance '" + std::string(number) + "': expected");
  }
  for (const char* number : {"nan", "inf", "x", ""}) expect_error({"--tolerance", number}, 2, "--tolerance '");
  for (const char* number : {"-1", "65", "1.5", "x"}) expect_error({"--degree", number}, 2, "--degree '");
  expect_error({"--degree", "2", "--dtype", "float16"}, 2, "--dtype 'float16': expected one of float64, float32");
  expect_error({"--degree", "2", "--score-range", "none"}, 2, "--score-range 'none': expected one of auto, bounded");
  expect_error({"--degree", "2", "--scale", "1", "--scale-rule", "inverse-dim"}, 2, "exclude each other");
  expect_error({"--degree", "2", "--score", "gaussian"}, 2, "--score gaussian needs --bandwidth");
  expect_error({"--degree", "2", "--score", "gaussian", "--bandwidth", "1,2"}, 2, "--bandwidth has 2 numbers");
  expect_error({"--degree", "2", "--causal", "upper_left"}, 2, "--causal");
  expect_error({"--degree", "2", "k.npy"}, 2, "scale");
  expect_error({"--degree", "2", "k.npy", "--scale", "1", "--score", "gaussian", "--bandwidth", "1"}, 2, "");
  const Outcome alone = run(directory_.path(), {"factors", "q.npy", "--degree", "2", "-o", "ab"});
  EXPECT_EQ(alone.code, 2);
  EXPECT_NE(alone.err.find("expected the files Q and K, or more keys, got 1 files"), std::string::npos) << alone.err;
  const Outcome outcome = run(directory_.path(), {"factors", "q.npy", "k.npy", "--degree", "2"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.err.find("factors needs -o PREFIX"), std::string::npos) << outcome.err;
}

TEST_F(FactorFiles, ErrorsLeaveNothingBehind) {
  put_problem(directory_, SmallProblem{}.filled(), 2);
  expect_error({"--tolerance", "1e-18"}, 4, "tolerance: 1e-18 is not reachable");
  expect_error({"--tolerance", "1e-3", "--scale", "40"}, 4, "not reachable");
  expect_error({"--tolerance", "1e-3", "--degree", "0"}, 4, "degree 0");
  expect_error({"--degree", "30", "--max-memory", "100K"}, 5, "rank 5456 and need 872960 bytes, more than 102400");
  expect_error({"--degree", "2", "-o", "missing/ab"}, 2, "");  // -o twice
  const Outcome outcome = run(directory_.path(), {"factors", "q.npy", "k.npy", "--degree", "2", "-o", "missing/ab"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.err.find("missing"), std::string::npos) << outcome.err;

  directory_.put("q.npy", npy_file("(2, 3)", std::vector<double>{1, 2, 3, 4, std::nan(""), 6}));
  expect_error({"--degree", "2"}, 3, "q.npy: expected finite numbers, got NaN at batch 0, head 0, row 1, column 1");
  directory_.put("q.npy", npy_file("(2, 2)", std::vector<double>{1, 2, 3, 4}));
  expect_error({"--degree", "2"}, 3, "Q (q.npy, (2, 2)) and K (k.npy, (11, 3)) do not fit");
  directory_.put("ab-u2.npy", npy_file("(2, 3)", std::vector<double>{1, 2, 3, 4, 5, 6}));
  const Outcome overwriting = run(directory_.path(), {"factors", "ab-u2.npy", "k.npy", "--degree", "2", "-o", "ab"});
  EXPECT_EQ(overwriting.code, 3);
  EXPECT_NE(overwriting.err.find("ab-u2.npy"), std::string::npos) << overwriting.err;
  EXPECT_EQ(directory_.list(), (Words{"ab-u2.npy", "k.npy", "q.npy", "v.npy"}));
}

TEST_F(FactorFiles, OfOrderThree) {
  const SmallProblem p = SmallProblem{.heads = 2, .key_heads = 1}.filled();
  put_problem(directory_, p, 3);
  std::vector<double> more;  // [1, 4, 3]
  for (int e = 0; e < 12; ++e) more.push_back(0.1 * e - 0.6);
  directory_.put("k2.npy", npy_file("(1, 4, 3)", more));
  const Outcome outcome = factors({"k2.npy", "--tolerance", "1e-5", "--scale", "0.5", "--json", "report.json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("coordinates (Alman and Song 2024, Lemma E.1: "), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("|sum_a U1 U2 ... - exp(s)| <= "), std::string::npos) << outcome.out;
  const Json json = Json::parse(directory_.get("report.json"));
  EXPECT_EQ(json["order"], 3);
  EXPECT_EQ(json["files"], (Words{"ab-u1.npy", "ab-u2.npy", "ab-u3.npy"}));
  const auto rank = json["rank"].get<std::size_t>();
  std::vector<std::vector<double>> u;
  for (const char* name : {"ab-u1.npy", "ab-u2.npy", "ab-u3.npy"}) u.push_back(parse_npy(directory_.get(name)).second);
  ASSERT_EQ(u[2].size(), 4 * rank);
  const double bound = json["bound"].get<double>() + json["heads"][0]["dot_product"].get<double>();
  double worst = 0.0;
  for (std::size_t i = 0; i < u[0].size() / rank; ++i) {
    for (std::size_t j1 = 0; j1 < u[1].size() / rank; ++j1) {
      for (std::size_t j2 = 0; j2 < 4; ++j2) {
        double product = 0.0;
        for (std::size_t a = 0; a < rank; ++a)
          product += u[0][i * rank + a] * u[1][j1 * rank + a] * u[2][j2 * rank + a];
        double score = 0.0;
        for (std::size_t l = 0; l < 3; ++l) score += 0.5 * p.q[3 * i + l] * p.k[3 * j1 + l] * more[3 * j2 + l];
        worst = std::max(worst, std::fabs(product / std::exp(score) - 1.0));
      }
    }
  }
  EXPECT_LE(worst, bound * (1.0 + 1e-9));
  EXPECT_LE(json["bound"].get<double>(), 1e-5);
}

TEST_F(FactorFiles, EmptyQueries) {
  directory_.put("q.npy", npy_file("(0, 3)", std::vector<double>{}));
  directory_.put("k.npy", npy_file("(2, 3)", std::vector<double>{1, 2, 3, 4, 5, 6}));
  const Json json = report({"--tolerance", "1e-3"});
  EXPECT_EQ(json["rank"], 1);
  EXPECT_EQ(parse_npy(directory_.get("ab-u1.npy")).first, "(0, 1)");
}

}  // namespace
}  // namespace polyattn::test
