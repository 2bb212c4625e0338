// polyattn lab nearest on files and generated instances; bad input by name; interrupts.

#include "cli/support/program.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

class LabNearest : public ::testing::Test {
 protected:
  LabNearest() {
    std::mt19937_64 random(3);
    for (auto* set : {&a_, &b_}) {
      for (int e = 0; e < rows * bits; ++e) set->push_back(static_cast<std::uint8_t>(random() >> 63));
    }
    put("a.npy", "|u1", "(30, 24)", a_);
    put("b.npy", "|b1", "(30, 24)", b_);
  }

  template <class T>
  void put(const std::string& name, const std::string& type, const std::string& shape, const std::vector<T>& elements,
           bool fortran = false) const {
    static_cast<void>(directory_.put(name, npy_bytes(npy_dict(type, shape, fortran), raw(elements))));
  }
  Outcome command(const Words& flags, const std::function<void(pid_t)>& meanwhile = {}) const {
    Words words{"lab", "nearest"};
    words.insert(words.end(), flags.begin(), flags.end());
    return run(directory_.path(), words, meanwhile);
  }
  void expect_error(const Words& flags, int code, const Words& parts) const {
    const Outcome outcome = command(flags);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    for (const std::string& part : parts) EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
  }
  /// The numbers of an .npy file of int64.
  std::vector<std::int64_t> integers(const std::string& name) const {
    const std::string bytes = directory_.get(name);
    EXPECT_NE(bytes.find("'<i8'"), std::string::npos);
    EXPECT_NE(bytes.find("(30,)"), std::string::npos);
    const std::size_t start = bytes.find('\n') + 1;
    std::vector<std::int64_t> out((bytes.size() - start) / 8);
    std::memcpy(out.data(), bytes.data() + start, out.size() * 8);
    return out;
  }
  [[nodiscard]] int distance(std::size_t i, std::size_t j) const {
    int sum = 0;
    for (std::size_t l = 0; l < bits; ++l) sum += a_[bits * i + l] != b_[bits * j + l] ? 1 : 0;
    return sum;
  }
  [[nodiscard]] int nearest(std::size_t i) const {
    int least = bits;
    for (std::size_t j = 0; j < rows; ++j) least = std::min(least, distance(i, j));
    return least;
  }

  static constexpr int rows = 30;
  static constexpr int bits = 24;
  TemporaryDirectory directory_;
  std::vector<std::uint8_t> a_, b_;
};

TEST_F(LabNearest, IndicesKeepTheRatio) {
  for (const char* shape : {"pad", "paper"}) {
    for (const char* branch : {"auto", "attention"}) {
      const Outcome outcome = command(
          {"a.npy", "b.npy", "--ratio", "1.5", "--shape", shape, "--branch", branch, "-o", "out.npy", "--verify"});
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_NE(outcome.out.find("0 rows outside"), std::string::npos) << outcome.out;
      const std::vector<std::int64_t> index = integers("out.npy");
      ASSERT_EQ(index.size(), 30U);
      for (std::size_t i = 0; i < rows; ++i) {
        ASSERT_TRUE(index[i] >= 0 && index[i] < rows);
        EXPECT_LE(2 * distance(i, static_cast<std::size_t>(index[i])), 3 * nearest(i)) << shape << ' ' << branch;
      }
    }
  }
}

TEST_F(LabNearest, DecisionsWithinADistance) {
  const Outcome outcome = command({"a.npy", "b.npy", "--within", "5", "-o", "out.npy", "--verify"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<std::int64_t> near = integers("out.npy");
  for (std::size_t i = 0; i < rows; ++i) {
    if (nearest(i) <= 5) {
      EXPECT_EQ(near[i], 1);
    }
    if (nearest(i) > 7) {
      EXPECT_EQ(near[i], 0);
    }
  }
}

TEST_F(LabNearest, FilesOfAnyTypeGiveTheSame) {
  ASSERT_EQ(command({"a.npy", "b.npy", "-o", "first.npy"}).code, 0);
  std::vector<float> columns;  // Fortran order
  for (std::size_t l = 0; l < bits; ++l) {
    for (std::size_t j = 0; j < rows; ++j) columns.push_back(static_cast<float>(b_[bits * j + l]));
  }
  put("columns.npy", "<f4", "(30, 24)", columns, true);
  put("wide.npy", "<i8", "(30, 24)", std::vector<std::int64_t>(b_.begin(), b_.end()));
  const std::string header = R"({"x":{"dtype":"U8","shape":[30,24],"data_offsets":[0,720]}})";
  static_cast<void>(directory_.put("b.safetensors", safetensors_bytes(header, raw(b_))));
  for (const char* file : {"columns.npy", "wide.npy", "b.safetensors:x"}) {
    ASSERT_EQ(command({"a.npy", file, "-o", "other.npy"}).code, 0) << file;
    EXPECT_EQ(directory_.get("other.npy"), directory_.get("first.npy")) << file;
  }
}

TEST_F(LabNearest, GeneratedInstancesAreThoseOfTheirSeed) {
  const Words flags{"--generate", "planted", "--rows", "60", "--keys", "80", "--dim",   "40",
                    "--distance", "3",       "--seed", "5",  "--json", "-",  "--verify"};
  const Outcome once = command(flags);
  ASSERT_EQ(once.code, 0) << once.err;
  Json first = Json::parse(once.out);
  Json second = Json::parse(command(flags).out);
  EXPECT_EQ(first["schema"], 1);
  EXPECT_EQ(first["outside"], 0);
  EXPECT_EQ(first["keys"], 80);
  EXPECT_GT(first["decisions"], 60);
  first.erase("seconds");
  second.erase("seconds");
  EXPECT_EQ(first, second);
}

TEST_F(LabNearest, BadInputIsNamed) {
  std::vector<std::uint8_t> two = b_;
  two[3 * bits + 7] = 2;
  put("two.npy", "|u1", "(30, 24)", two);
  std::vector<double> none(b_.begin(), b_.end());
  none.back() = std::nan("");
  put("nan.npy", "<f8", "(30, 24)", none);
  put("short.npy", "|u1", "(24, 30)", b_);
  put("flat.npy", "|u1", "(720,)", b_);
  put("none.npy", "|u1", "(0, 24)", std::vector<std::uint8_t>{});
  put("i2.npy", "<i2", "(30, 24)", std::vector<std::int16_t>(b_.begin(), b_.end()));
  expect_error({"a.npy", "two.npy"}, 3, {"two.npy", "[3, 7] is 2"});
  expect_error({"a.npy", "nan.npy"}, 3, {"nan.npy", "[29, 23] is nan"});
  expect_error({"a.npy", "short.npy"}, 3, {"short.npy", "30 bits", "24 as in a.npy"});
  expect_error({"a.npy", "flat.npy"}, 3, {"flat.npy", "(720,)", "[n, d]"});
  expect_error({"a.npy", "none.npy"}, 3, {"none.npy", "at least one row"});
  expect_error({"a.npy", "i2.npy"}, 3, {"i2.npy", "int16"});
  expect_error({"a.npy"}, 2, {"A and B"});
  expect_error({"a.npy", "b.npy", "--generate", "random"}, 2, {"A and B"});
  expect_error({"a.npy", "b.npy", "--seed", "1"}, 2, {"--generate"});
  expect_error({"a.npy", "b.npy", "--ratio", "0.9"}, 2, {"--ratio", "0.9"});
  expect_error({"a.npy", "b.npy", "--shape", "round"}, 2, {"--shape", "pad, paper"});
  expect_error({"a.npy", "b.npy", "-o", "a.npy"}, 3, {"a.npy", "overwrite"});
}

TEST_F(LabNearest, WhatFloat64OrTheOracleCannotDecideIsRefused) {
  expect_error({"--generate", "random", "--rows", "40", "--dim", "200", "--ratio", "1", "--shape", "paper"}, 4,
               {"shape paper", "exp(-690)", "d = 200", "n = 40"});
  expect_error({"a.npy", "b.npy", "--shape", "paper", "--engine", "exact"}, 4, {"oracle", "of the answer"});
  expect_error({"--generate", "random", "--dim", "200", "--branch", "table"}, 2, {"branch table", "2^28"});
}

/// Waits until the process handles SIGINT, as /proc says.
void wait_for_handler(pid_t process) {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);) {
      const bool caught =
          line.starts_with("SigCgt:") && (std::stoull(line.substr(7), nullptr, 16) >> (SIGINT - 1) & 1) != 0;
      if (caught) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL() << "SIGINT is never handled";
}

TEST_F(LabNearest, AnInterruptLeavesNothing) {
  const Outcome outcome = command({"--generate", "random", "--rows", "20000", "--dim", "400", "--seed", "1", "--engine",
                                   "reference", "--branch", "attention", "-o", "out.npy"},
                                  [](pid_t process) {
                                    wait_for_handler(process);
                                    ::kill(process, SIGINT);
                                  });
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_EQ(directory_.list(), (Words{"a.npy", "b.npy"}));
}

}  // namespace
}  // namespace polyattn::test
