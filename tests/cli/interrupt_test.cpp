// Interrupts: exit code 130 and nothing left behind, whatever the program is doing.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

using Words = std::vector<std::string>;
using std::chrono::milliseconds;

/// Waits until the process has mapped `file`, so that it is past its start and about to compute.
void wait_for_mapping(pid_t process, const std::string& file) {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.ends_with("/" + file)) return;
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  FAIL() << file << " was never opened";
}

class Interrupt : public ::testing::TestWithParam<int> {
 protected:
  // Hours of work for the reference engine on one thread: it does not end on its own before the signal.
  Interrupt() {
    const std::vector<float> zeros(std::size_t{65536} * 64, 0.0F);
    for (const char* name : {"q.npy", "k.npy", "v.npy"}) directory_.put(name, npy_file("(65536, 64)", zeros));
  }
  Outcome interrupted(const Words& arguments) {
    return run(directory_.path(), arguments, [](pid_t process) {
      wait_for_mapping(process, "v.npy");
      std::this_thread::sleep_for(milliseconds(200));
      ::kill(process, GetParam());
    });
  }
  void expect_interrupted(const Words& arguments) {
    const Words before = directory_.list();
    const Outcome outcome = interrupted(arguments);
    EXPECT_EQ(outcome.code, 130) << outcome.err;
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_EQ(directory_.list(), before);
  }

  TemporaryDirectory directory_;
};

TEST_P(Interrupt, AttendLeavesNothing) {
  expect_interrupted({"attend", "q.npy", "k.npy", "v.npy", "-o", "out.npy", "--engine", "reference", "--threads", "1",
                      "--bounds", "b.npy", "--json", "r.json"});
}

TEST_P(Interrupt, VerifyLeavesNothing) {
  directory_.put("out.npy", directory_.get("v.npy"));
  expect_interrupted({"verify", "q.npy", "k.npy", "v.npy", "out.npy", "--tolerance", "1", "--rows", "60000",
                      "--threads", "1", "--json", "r.json"});
}

/// Of 65536 different points: a minute of work for the reference engine, for each of the bandwidths tried.
class InterruptSmoothing : public Interrupt {
 protected:
  InterruptSmoothing() {
    std::vector<float> ramp(65536);
    for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i);
    directory_.put("x.npy", npy_file("(65536,)", ramp));
    directory_.put("v.npy", npy_file("(65536,)", ramp));
  }
  void expect_nothing_left(const Words& command) {
    Words words = command;
    words.insert(words.end(), {"--engine", "reference", "--threads", "1", "--json", "r.json", "--bounds", "b.npy"});
    expect_interrupted(words);
  }
};

TEST_P(InterruptSmoothing, SmoothLeavesNothing) {
  expect_nothing_left({"smooth", "x.npy", "v.npy", "--bandwidth", "1", "--std", "-o", "out.csv"});
}

TEST_P(InterruptSmoothing, ASearchForBandwidthsLeavesNothing) {
  expect_nothing_left({"smooth", "x.npy", "v.npy", "--bandwidth", "cv", "-o", "out.npy"});
}

TEST_P(InterruptSmoothing, DensityLeavesNothing) {
  expect_nothing_left({"density", "v.npy", "--bandwidth", "1", "--on-grid", "1000000", "-o", "out.npy"});
}

INSTANTIATE_TEST_SUITE_P(Signals, InterruptSmoothing, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& chosen) { return chosen.param == SIGINT ? "SIGINT" : "SIGTERM"; });

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, ::testing::Values(SIGINT, SIGTERM),
                         [](const auto& chosen) { return chosen.param == SIGINT ? "SIGINT" : "SIGTERM"; });

}  // namespace
}  // namespace polyattn::test
