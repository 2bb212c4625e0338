// polyattn lab threshold: files, going on after an interrupt, flags that are refused.

#include "cli/support/program.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

const Words kSmall{"lab", "threshold", "--n", "2^10:2^12", "--entries", "1:5:8", "-o", "t"};

Words with(const Words& more) {
  Words words = kSmall;
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TEST(Threshold, WritesPointsCrossingsAndPictures) {
  const TemporaryDirectory directory;
  const Outcome outcome = run(directory.path(), with({"--json", "t.json"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(directory.list(), (Words{"t-crossing.csv", "t-degree.csv", "t.csv", "t.html", "t.json", "t.svg"}));
  EXPECT_NE(outcome.out.find("predicted: B* = "), std::string::npos) << outcome.out;
  const std::string crossings = directory.get("t-crossing.csv");
  EXPECT_EQ(std::ranges::count(crossings, '\n'), 4) << crossings;
  const Json report = Json::parse(directory.get("t.json"));
  EXPECT_EQ(report["schema"], 1);
  ASSERT_EQ(report["lengths"].size(), 3U);
  for (const Json& row : report["lengths"]) {
    EXPECT_EQ(row["predicted"]["outcome"], "crossed");
    EXPECT_LT(row["predicted"]["low"].get<double>(), row["predicted"]["high"].get<double>());
    EXPECT_EQ(row["measured"]["outcome"], "unknown");
    EXPECT_TRUE(row["measured"]["entries"].is_null());
  }
  EXPECT_TRUE(report["fits"]["predicted"]["exponent"].is_number());
  // Nothing is read from elsewhere, and it is XML.
  for (const char* name : {"t.svg", "t.html"}) {
    const std::string text = directory.get(name);
    EXPECT_EQ(text.find("src="), std::string::npos);
    EXPECT_EQ(text.find("href"), std::string::npos);
    EXPECT_EQ(text.find("@import"), std::string::npos);
    const Outcome parsed = run_shell(
        directory.path(), std::string("python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse(\"") + name + "\")'");
    EXPECT_EQ(parsed.code, 0) << name << ": " << parsed.err;
  }
}

TEST(Threshold, GoesOnToTheSameBytes) {
  const TemporaryDirectory directory;
  ASSERT_EQ(run(directory.path(), kSmall).code, 0);
  const std::string all = directory.get("t.csv");
  // Half of the lines are there already; and all of them.
  std::size_t half = 0;
  for (std::ptrdiff_t line = std::ranges::count(all, '\n') / 2; line > 0; --line) half = all.find('\n', half) + 1;
  directory.put("t.csv", all.substr(0, half));
  ASSERT_EQ(run(directory.path(), kSmall).code, 0);
  EXPECT_EQ(directory.get("t.csv"), all);
  ASSERT_EQ(run(directory.path(), kSmall).code, 0);
  EXPECT_EQ(directory.get("t.csv"), all);
}

/// Waits until `t.csv` has a point, then interrupts.
Outcome interrupted(const TemporaryDirectory& directory, const Words& words) {
  return run(directory.path(), words, [&](pid_t process) {
    for (int attempt = 0; attempt < 4000; ++attempt) {
      const Words files = directory.list();
      if (std::ranges::find(files, "t.csv") != files.end()) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ::kill(process, SIGINT);
  });
}

TEST(Threshold, KeepsFinishedPointsWhenInterrupted) {
  const TemporaryDirectory directory;
  // Minutes of work: it does not end on its own before the signal.
  Words words{"lab", "threshold", "--n", "2^12:2^22", "--entries", "0.01:5:1000", "-o", "t"};
  const Outcome outcome = interrupted(directory, words);
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("points are kept in t.csv"), std::string::npos) << outcome.err;
  EXPECT_EQ(directory.list(), Words{"t.csv"});
  const std::string kept = directory.get("t.csv");
  EXPECT_GE(std::ranges::count(kept, '\n'), 2) << kept;
  // What was kept is used: the first lines stay, byte for byte.
  words[3] = "2^12:2^12";
  words[5] = "0.01:0.0102:2";
  const Outcome more = run(directory.path(), words);
  EXPECT_EQ(more.code, 0) << more.err;
  EXPECT_TRUE(directory.get("t.csv").starts_with(kept.substr(0, kept.find('\n', kept.find('\n') + 1) + 1)));
}

TEST(Threshold, RefusesToMixStudies) {
  const TemporaryDirectory directory;
  const Words words{"lab", "threshold", "--n", "2^10", "--entries", "1:2:2", "-o", "t"};
  ASSERT_EQ(run(directory.path(), words).code, 0);
  const std::string before = directory.get("t.csv");
  for (const auto& [flags, message] :
       std::vector<std::pair<Words, std::string>>{{{"--seed", "2"}, "t.csv:2: made with seed = 1, not 2"},
                                                  {{"--dims", "1"}, "dims_per_log2_n = 0.5, not 1"},
                                                  {{"--accuracy", "1"}, "accuracy = 0.5, not 1"},
                                                  {{"--threads", "2"}, "threads = 1, not 2"},
                                                  {{"--order", "3"}, "order = 2, not 3"}}) {
    Words other = words;
    other.insert(other.end(), flags.begin(), flags.end());
    const Outcome outcome = run(directory.path(), other);
    EXPECT_EQ(outcome.code, 3) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_EQ(directory.get("t.csv"), before);
  }
  Words restart = words;
  restart.insert(restart.end(), {"--seed", "2", "--restart"});
  EXPECT_EQ(run(directory.path(), restart).code, 0);
  EXPECT_NE(directory.get("t.csv"), before);
  directory.put("t.csv", "not a study\n");
  EXPECT_EQ(run(directory.path(), words).code, 3);
}

TEST(Threshold, RefusesWhatMakesNoSense) {
  const TemporaryDirectory directory;
  EXPECT_EQ(run(directory.path(), {"lab", "threshold"}).code, 2);
  for (const auto& [flags, message] :
       std::vector<std::pair<Words, std::string>>{{{"--order", "5"}, "--order '5'"},
                                                  {{"--n", "1000:2000"}, "powers of two"},
                                                  {{"--n", "2^12:2^10"}, "FROM up to TO"},
                                                  {{"--n", "2^10:2^11:2^12"}, "--n"},
                                                  {{"--n", "2^2"}, "powers of two"},
                                                  {{"--n", ""}, "--n"},
                                                  {{"--dims", "0"}, "--dims '0'"},
                                                  {{"--dims", "nan"}, "--dims 'nan'"},
                                                  {{"--accuracy", "-1"}, "--accuracy '-1'"},
                                                  {{"--entries", "1:2"}, "LO:HI:STEPS"},
                                                  {{"--entries", "2:1:5"}, "0 < LO < HI"},
                                                  {{"--entries", "1:101:5"}, "HI^2 at most"},
                                                  {{"--entries", "1:2:1"}, "--entries '1'"},
                                                  {{"--threads", "0"}, "--threads '0'"},
                                                  {{"--measure-limit", "1"}, "needs --measure"},
                                                  {{"--measure", "--measure-limit", "0"}, "--measure-limit '0'"},
                                                  {{"--frobnicate"}, "frobnicate"}}) {
    Words words{"lab", "threshold", "-o", "t"};
    words.insert(words.end(), flags.begin(), flags.end());
    const Outcome outcome = run(directory.path(), words);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(run(directory.path(), {"lab", "threshold", "-o", "nowhere/t"}).code, 3);
  EXPECT_TRUE(directory.list().empty());
  const Outcome help = run(directory.path(), {"lab", "threshold", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("Examples:\n"), std::string::npos);
}

}  // namespace
}  // namespace polyattn::test
