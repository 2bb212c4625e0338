// polyattn info --calibrate, and --calibration of attend and plan. What is measured is nobody's business here: only
// where it goes and what is read.

#include "cli/support/program.hpp"

#include <gtest/gtest.h>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

/// A variable of the environment for as long as this lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    const char* before = std::getenv(name);
    had_ = before != nullptr;
    before_ = had_ ? before : "";
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { had_ ? setenv(name_, before_.c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  bool had_ = false;
  std::string before_;
};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

void put_problem(const TemporaryDirectory& directory) {
  const std::vector<float> x(std::size_t{64} * 2, 0.5F);
  for (const char* name : {"q.npy", "k.npy", "v.npy"}) directory.put(name, npy_file("(64, 2)", x));
}

const Words kPlan{"plan", "q.npy", "k.npy", "v.npy", "--tolerance", "1e-3", "--json", "-", "--threads", "1"};

double exact_seconds(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return Json::parse(outcome.out)["heads"][0]["exact_seconds"].get<double>();
}

/// As fast in float64.
std::string machine(double float32_fma) {
  return Json{{"schema", 1}, {"calibration", {{"float32_fma", float32_fma}, {"float64_fma", float32_fma}}}}.dump();
}

TEST(Calibrate, PrintsAndWritesWhatAttendReads) {
  const TemporaryDirectory directory;
  const Outcome outcome = run(directory.path(), {"info", "--calibrate", "--json", "machine.json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("multiply-adds"), std::string::npos);
  const Json json = Json::parse(directory.get("machine.json"));
  for (const char* key : {"processor", "instruction_set", "version"}) EXPECT_TRUE(json[key].is_string()) << key;
  for (const char* speed : {"float32_fma", "float64_fma", "float32_exp", "float64_exp", "float32_polynomial",
                            "float64_polynomial", "memory_bytes"}) {
    EXPECT_GE(json["calibration"][speed].get<double>(), 0.0) << speed;
  }
  put_problem(directory);
  EXPECT_EQ(run(directory.path(), with(kPlan, {"--calibration", "machine.json"})).code, 0);
  EXPECT_EQ(run(directory.path(), {"info", "--calibrate", "q.npy"}).code, 2);
}

TEST(Calibration, AFileChangesPredictionsAndNoneIsTheDefault) {
  const TemporaryDirectory directory;
  put_problem(directory);
  directory.put("slow.json", machine(1e6));
  const double usual = exact_seconds(run(directory.path(), kPlan));
  EXPECT_EQ(exact_seconds(run(directory.path(), with(kPlan, {"--calibration", "none"}))), usual);
  EXPECT_GT(exact_seconds(run(directory.path(), with(kPlan, {"--calibration", "slow.json"}))), 100.0 * usual);
}

TEST(Calibration, FilesThatHoldNoneAreRefused) {
  const TemporaryDirectory directory;
  put_problem(directory);
  directory.put("text.json", "speeds");
  directory.put("other.json", "{\"schema\": 1}");
  directory.put("negative.json", machine(-1.0));
  for (const char* name : {"text.json", "other.json", "negative.json", "absent.json", "."}) {
    const Outcome outcome = run(directory.path(), with(kPlan, {"--calibration", name}));
    EXPECT_EQ(outcome.code, 3) << name;
    EXPECT_NE(outcome.err.find("expected a calibration"), std::string::npos) << outcome.err;
  }
}

TEST(Calibration, AutoIsMeasuredOnceAndKept) {
  const TemporaryDirectory directory;
  put_problem(directory);
  const Variable cache("XDG_CACHE_HOME", directory.file("cache"));
  const Words automatic = with(kPlan, {"--calibration", "auto"});
  EXPECT_EQ(run(directory.path(), automatic).code, 0);
  const std::string kept = "cache/polyattn/calibration.json";
  Json json = Json::parse(directory.get(kept));
  // What is kept is what is used.
  json["calibration"]["float32_fma"] = 1e6;
  json["calibration"]["float32_exp"] = 1e6;
  json["calibration"]["float64_fma"] = 1e6;
  json["calibration"]["float64_exp"] = 1e6;
  directory.put(kept, json.dump());
  EXPECT_GT(exact_seconds(run(directory.path(), automatic)), 1e-3);
  EXPECT_EQ(Json::parse(directory.get(kept))["calibration"]["float32_fma"], 1e6);
  // Another machine's is replaced.
  json["processor"] = "abacus";
  directory.put(kept, json.dump());
  EXPECT_EQ(run(directory.path(), automatic).code, 0);
  EXPECT_NE(Json::parse(directory.get(kept))["processor"], "abacus");
  // So is what is no calibration.
  directory.put(kept, "garbage");
  EXPECT_EQ(run(directory.path(), automatic).code, 0);
  EXPECT_TRUE(Json::parse(directory.get(kept)).contains("calibration"));
}

TEST(Calibration, ACacheThatCannotBeWrittenIsDoneWithout) {
  const TemporaryDirectory directory;
  put_problem(directory);
  directory.put("file", "in the way");
  const Variable cache("XDG_CACHE_HOME", directory.file("file"));
  const Outcome outcome = run(directory.path(), with(kPlan, {"--calibration", "auto"}));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
}

}  // namespace
}  // namespace polyattn::test
