// plan --sweep, and --guarantee sampled on attend and plan.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

class Guarantee : public testing::Test {
 protected:
  Guarantee() { put_problem(directory, SmallProblem{.heads = 2, .key_heads = 2, .n = 1500, .m = 1500}.filled(), 3); }
  [[nodiscard]] std::string done(const Words& words) const {
    const Outcome outcome = run(directory.path(), words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    return outcome.out;
  }
  void refused(const Words& words, const std::string& says) const {
    const Outcome outcome = run(directory.path(), words);
    EXPECT_EQ(outcome.code, 2) << outcome.out;
    EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  /// One head in so many dimensions that a degree less is worth a sample.
  void put_wide() const { put_problem(directory, SmallProblem{.n = 4096, .m = 4096, .d = 16, .d_v = 8}.filled(), 2); }
  TemporaryDirectory directory;
  const Words wide{"--scale-rule", "inverse-dim", "--tolerance", "3e-5", "--engine", "polynomial"};
  Words plan{"plan", "q.npy", "k.npy", "v.npy"};
  Words attend{"attend", "q.npy", "k.npy", "v.npy", "-o", "out.npy"};
};

TEST_F(Guarantee, SweepIsATableOfTolerances) {
  const std::string text = done(with(plan, {"--sweep"}));
  for (const char* expected : {"tolerance", "engine", "degree", "rank", "bound", "time", "rows to exact", "0.1", "0.01",
                               "1e-06", "batch 0, head 1", "all heads"}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
  }
  EXPECT_EQ(directory.list(), (Words{"k.npy", "q.npy", "v.npy"}));
  EXPECT_EQ(done(with(plan, {"--sweep=1e-2", "--json", "s.json"})).substr(0, 6), "sweep:");
  EXPECT_EQ(Json::parse(directory.get("s.json"))["heads"][0]["sweep"].size(), 1U);
  EXPECT_NE(done({"plan", "--sweep=1e-2", "q.npy", "k.npy", "v.npy"}).find("0.01"), std::string::npos);
}

TEST_F(Guarantee, SweepHasEverythingInJson) {
  const Json report = Json::parse(done(with(
      plan, {"--sweep", "1e-1,1e-3,1e-2", "--tolerance-kind", "of_value_range", "--json", "-", "--threads", "1"})));
  EXPECT_EQ(report["schema"], 1);
  EXPECT_TRUE(report["planning_seconds"].is_number());
  ASSERT_EQ(report["heads"].size(), 2U);
  for (const Json& head : report["heads"]) {
    EXPECT_TRUE(head["mean_answer_error"].is_number());
    const double range = head["statistics"]["value_range"];
    const std::vector<double> asked{1e-1, 1e-3, 1e-2};
    ASSERT_EQ(head["sweep"].size(), 3U);
    for (std::size_t t = 0; t < 3; ++t) {
      const Json& row = head["sweep"][t];
      EXPECT_EQ(row["tolerance"], asked[t]);
      EXPECT_DOUBLE_EQ(row["absolute"], asked[t] * range);
      EXPECT_EQ(row["reachable"], true);
      EXPECT_EQ(row["certificate"], "certified");
      for (const char* number : {"degree", "rank", "predicted_bound", "predicted_seconds", "predicted_bytes",
                                 "exact_seconds", "fallback_share"}) {
        EXPECT_TRUE(row[number].is_number()) << number;
      }
      const Json one =
          Json::parse(done(with(plan, {"--tolerance", std::to_string(asked[t]), "--tolerance-kind", "of_value_range",
                                       "--json", "-", "--threads", "1"})))["heads"][head["head"].get<std::size_t>()];
      EXPECT_EQ(row["engine"], one["engine"]);
      EXPECT_EQ(row["degree"], one["degree"]);
      EXPECT_EQ(row["predicted_seconds"], one["predicted_seconds"]);
    }
  }
}

TEST_F(Guarantee, SweepRefusesWhatIsNoListOfTolerances) {
  refused(with(plan, {"--sweep", "1e-1,-2"}), "--sweep '1e-1,-2': expected numbers that are not negative");
  refused(with(plan, {"--sweep", "1e-1,x"}), "--sweep 'x'");
  refused(with(plan, {"--sweep", "1e-1,"}), "--sweep ''");
  refused(with(plan, {"--sweep", "inf"}), "--sweep 'inf'");
  refused(with(plan, {"--sweep", "--tolerance", "1e-3"}), "--sweep and --tolerance exclude each other");
  refused({"plan", "--sweep", "q.npy", "k.npy", "v.npy"}, "where files follow --sweep, write --sweep=");
  refused(with(attend, {"--sweep"}), "--sweep");
}

TEST_F(Guarantee, SampledIsReportedAsSuch) {
  put_wide();
  const Words words =
      with(with(attend, wide), {"--guarantee", "sampled", "--seed", "7", "--verify", "200", "--json", "-"});
  const Json report = Json::parse(done(words));
  for (const Json& head : report["heads"]) {
    ASSERT_EQ(head["certificate"], "sampled") << head.dump(2);
    const Json& sample = head["sample"];
    EXPECT_EQ(sample["rows"], 368);
    EXPECT_LE(sample["share"], 0.01);
    EXPECT_EQ(sample["confidence"], 0.95);
    EXPECT_EQ(sample["seed"], 7);
    EXPECT_GE(sample["population"], 368);
    EXPECT_GE(sample["attempts"], 1);
    EXPECT_LE(sample["largest"], head["bound"]);
    EXPECT_LE(head["bound"], 3e-5);
    EXPECT_GT(head["proved_bound"], 3e-5);
    EXPECT_EQ(head["proved_bound"], head["approximation"].get<double>() + head["rounding"].get<double>());
    EXPECT_NE(sample["statement"].get<std::string>().find("with confidence 95 % at most 0.997 % of the rows err"),
              std::string::npos);
  }
  EXPECT_EQ(report["verify"]["outside"], 0);
  const std::string first = directory.get("out.npy");
  const std::string text = done(with(with(attend, wide), {"--guarantee", "sampled", "--seed", "7"}));
  EXPECT_EQ(directory.get("out.npy"), first);
  EXPECT_NE(text.find("sampled, not certified"), std::string::npos) << text;
}

TEST_F(Guarantee, CertifiedReportsHaveNoSample) {
  for (const Words& flags : {Words{}, Words{"--guarantee", "certified"}}) {
    const Json report =
        Json::parse(done(with(with(attend, {"--tolerance", "1e-2", "--engine", "polynomial", "--json", "-"}), flags)));
    EXPECT_EQ(report["heads"][0]["certificate"], "certified");
    EXPECT_FALSE(report["heads"][0].contains("sample"));
    EXPECT_EQ(report["heads"][0]["bound"], report["heads"][0]["proved_bound"]);
  }
}

TEST_F(Guarantee, ShareAndConfidenceAreFlags) {
  put_wide();
  const Json report = Json::parse(done(with(
      with(attend, wide), {"--guarantee", "sampled", "--unseen-share", "0.05", "--confidence", "0.9", "--json", "-"})));
  ASSERT_EQ(report["heads"][0]["certificate"], "sampled");
  EXPECT_EQ(report["heads"][0]["sample"]["rows"], 59);
  EXPECT_EQ(report["heads"][0]["sample"]["confidence"], 0.9);
}

TEST_F(Guarantee, PlanSaysWhatWouldBeSampled) {
  put_wide();
  const Words sampled{"--guarantee", "sampled", "--json", "-"};
  const Json one = Json::parse(done(with(with(plan, wide), sampled)));
  EXPECT_EQ(one["heads"][0]["certificate"], "sampled");
  const Json table = Json::parse(
      done(with(with(plan, {"--sweep", "3e-5", "--scale-rule", "inverse-dim", "--engine", "polynomial"}), sampled)));
  EXPECT_EQ(table["heads"][0]["sweep"][0]["certificate"], "sampled");
  EXPECT_EQ(table["heads"][0]["sweep"][0]["degree"], one["heads"][0]["degree"]);
}

TEST_F(Guarantee, WrongValuesAreUsageErrors) {
  const Words sampled{"--tolerance", "1e-2", "--guarantee", "sampled"};
  for (const Words& command : {plan, attend}) {
    refused(with(command, {"--tolerance", "1e-2", "--guarantee", "proved"}), "--guarantee 'proved'");
    refused(with(command, {"--guarantee", "sampled"}), "--guarantee sampled needs --tolerance");
    refused(with(command, {"--tolerance", "1e-2", "--unseen-share", "0.1"}),
            "--unseen-share needs --guarantee sampled");
    refused(with(command, {"--tolerance", "1e-2", "--confidence", "0.9"}), "--confidence needs --guarantee sampled");
    for (const char* wrong : {"0", "1", "-0.1", "2", "nan", "x"}) {
      refused(with(with(command, sampled), {"--unseen-share", wrong}), "--unseen-share '");
      refused(with(with(command, sampled), {"--confidence", wrong}), "--confidence '");
    }
  }
  refused(with(attend, {"--tolerance", "1e-2", "--seed", "3"}), "--seed needs --verify or --guarantee sampled");
  refused({"verify", "q.npy", "k.npy", "v.npy", "q.npy", "--tolerance", "1", "--guarantee", "sampled"}, "--guarantee");
  EXPECT_EQ(directory.list(), (Words{"k.npy", "q.npy", "v.npy"}));
}

}  // namespace
}  // namespace polyattn::test
