// What the program does with command lines and files that are wrong: one clear line on standard error, the right exit
// code, and a directory that looks as before.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Words = std::vector<std::string>;

class Errors : public ::testing::Test {
 protected:
  Errors() { put_problem(directory_, SmallProblem{}.filled(), 2); }

  /// Runs it; expects `code`, one line of error that says `message`, no output, and the same files as before.
  void expect_error(const Words& arguments, int code, const std::string& message) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const Words before = directory_.list();
    check(run(directory_.path(), arguments), code, message, before);
  }
  void check(const Outcome& outcome, int code, const std::string& message, const Words& before) {
    EXPECT_EQ(outcome.code, code);
    EXPECT_TRUE(outcome.err.starts_with("polyattn: error: ")) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err << "expected: " << message;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(directory_.list(), before);
  }
  /// `polyattn attend q.npy k.npy v.npy -o out.npy flags...`
  void expect_attend_error(const Words& flags, int code, const std::string& message) {
    Words words{"attend", "q.npy", "k.npy", "v.npy", "-o", "out.npy"};
    words.insert(words.end(), flags.begin(), flags.end());
    expect_error(words, code, message);
  }
  void expect_files_error(const Words& files, int code, const std::string& message) {
    Words words{"attend", "-o", "out.npy"};
    words.insert(words.end(), files.begin(), files.end());
    expect_error(words, code, message);
  }

  TemporaryDirectory directory_;
};

TEST_F(Errors, Commands) {
  expect_error({}, 2, "a command is needed");
  expect_error({"frobnicate"}, 2,
               "unknown command 'frobnicate'; there are attend, smooth, density, plan, verify, info, poly, factors");
  expect_error({"--frobnicate"}, 2, "unknown command '--frobnicate'");
  expect_error({"attend"}, 2, "needs -o OUT");
  expect_error({"info"}, 2, "needs at least one file");
  expect_error({"info", "q.npy", "--frobnicate"}, 2, "--frobnicate");
}

TEST_F(Errors, NumbersInFlags) {
  for (const char* number : {"1e-3x", "nan", "inf", "-inf", "", " 1", "1 ", "0x1p-3", "1,5", "+1", "1e-3 ", "one"}) {
    expect_attend_error({"--tolerance", number}, 2,
                        "--tolerance '" + std::string(number) + "': expected a finite number");
  }
  expect_attend_error({"--tolerance", "-1e-3"}, 2, "--tolerance '-1e-3': expected a number that is not negative");
  expect_attend_error({"--tolerance", "1e999"}, 2, "expected a number float64 can hold");
  expect_attend_error({"--scale", "nan"}, 2, "--scale 'nan'");
  expect_attend_error({"--scale", "inf"}, 2, "--scale 'inf'");
  for (const char* number : {"1.5", "-1", "2x", "99999999999999999999", "1025"}) {
    expect_attend_error({"--threads", number}, 2, "--threads '" + std::string(number) + "': expected an integer");
  }
  expect_attend_error({"--degree", "401"}, 2, "--degree '401': expected an integer from 0 to 400");
  expect_attend_error({"--degree", "400", "--tolerance", "1e-3"}, 2, "--degree: expected");
  expect_attend_error({"--verify", "0"}, 2, "--verify '0': expected an integer from 1");
  expect_attend_error({"--verify", "10", "--seed", "-1"}, 2, "--seed '-1'");
  for (const char* number : {"1.5G", "-1", "G", "iB", "1GB", "1Ki", "8 G", "18446744073709551616", "17179869184G"}) {
    expect_attend_error({"--max-memory", number}, 2,
                        "--max-memory '" + std::string(number) + "': expected a number of bytes");
  }
  for (const char* number : {"0", "-1", "1,,2", "1,", "1,0", "x"}) {
    expect_attend_error({"--score", "gaussian", "--bandwidth", number}, 2, "--bandwidth '");
  }
}

TEST_F(Errors, FlagsThatDoNotExistOrFit) {
  expect_attend_error({"--frobnicate"}, 2, "--frobnicate");
  expect_attend_error({"--tolerance"}, 2, "--tolerance");
  expect_attend_error({"--tolerance", "1", "--tolerance", "2"}, 2, "--tolerance");
  expect_attend_error({"--engine", "magic"}, 2, "--engine 'magic': expected one of auto, reference, exact");
  expect_attend_error({"--arithmetic", "float16"}, 2, "expected one of float32, float64");
  expect_attend_error({"--causal", "yes"}, 2, "expected one of upper_left, lower_right");
  expect_attend_error({"--non-finite", "ignore"}, 2, "expected one of error, propagate");
  expect_attend_error({"--tolerance", "1", "--tolerance-kind", "big"}, 2, "expected one of absolute, of_value_range");
  expect_attend_error({"--dtype", "int8"}, 2, "expected one of float16, float32, float64");
  expect_attend_error({"--dtype", "bfloat16"}, 2, ".npy has no such type; use float16 or float32");
  expect_attend_error({"--tolerance-kind", "absolute"}, 2, "--tolerance-kind needs --tolerance");
  expect_attend_error({"--scale", "1", "--scale-rule", "inverse-dim"}, 2, "exclude each other");
  expect_attend_error({"--scale-rule", "cubic"}, 2, "--scale-rule 'cubic'");
  expect_attend_error({"--score", "cosine"}, 2, "expected one of dot, gaussian");
  expect_attend_error({"--score", "gaussian"}, 2, "needs --bandwidth");
  expect_attend_error({"--bandwidth", "1"}, 2, "--bandwidth needs --score gaussian");
  expect_attend_error({"--score", "gaussian", "--bandwidth", "1", "--scale", "1"}, 2, "--scale does not go with");
  expect_attend_error({"--score", "gaussian", "--bandwidth", "1", "--scale-rule", "inverse-dim"}, 2,
                      "--scale-rule does not");
  expect_attend_error({"--score", "gaussian", "--bandwidth", "1,2"}, 2, "--bandwidth has 2 numbers; q.npy has 3 axes");
  expect_attend_error({"--strict"}, 2, "--strict needs a forced --engine");
  expect_attend_error({"--engine", "exact", "--degree", "3"}, 2, "does not go with --engine exact");
  expect_attend_error({"--seed", "1"}, 2, "--seed needs --verify");
  expect_attend_error({"--order", "1"}, 2, "--order '1': expected an integer from 2");
  expect_attend_error({"--order", "3"}, 2, "--order 3 takes 5 files (Q, 2 keys, 2 values), got 3");
  expect_attend_error({"k.npy"}, 2, "got 4 files");
  expect_files_error({"q.npy", "k.npy"}, 2, "got 2 files");
}

TEST_F(Errors, WhatNoEngineCanDo) {
  expect_attend_error({"--engine", "clustered"}, 2, "clustered");
  expect_attend_error({"--engine", "grid", "--tolerance", "1e-3", "--causal", "upper_left"}, 2, "causal");
  expect_files_error({"q.npy", "k.npy", "k.npy", "v.npy", "v.npy", "--scale", "1", "--soft-cap", "2"}, 2,
                     "soft_cap at order 3");
}

TEST_F(Errors, TolerancesOutOfReach) {
  expect_attend_error({"--tolerance", "1e-300"}, 4, "1e-300");
  expect_attend_error({"--tolerance", "1e-12", "--engine", "polynomial", "--strict", "--degree", "1"}, 4, "polynomial");
}

TEST_F(Errors, MemoryThatWouldNotSuffice) {
  put_problem(directory_, SmallProblem{.n = 300, .m = 300, .d = 64, .d_v = 64}.filled(), 2);
  expect_attend_error({"--max-memory", "1K", "--engine", "polynomial", "--tolerance", "1e-2", "--strict"}, 5, "memory");
}

TEST_F(Errors, FilesThatAreNotWhatTheyShouldBe) {
  const std::string good = directory_.get("k.npy");
  const std::vector<float> six(6, 0.0F);
  directory_.put("empty.npy", "");
  directory_.put("short.npy", good.substr(0, good.size() - 8));
  directory_.put("long.npy", good + "12345678");
  directory_.put("text.npy", "1 2 3\n4 5 6\n");
  directory_.put("big.npy", npy_bytes(npy_dict(">f4", "(2, 3)"), raw(six)));
  directory_.put("bool.npy", npy_bytes(npy_dict("|b1", "(2, 3)"), "123456"));
  directory_.put("int.npy", npy_bytes(npy_dict("<i8", "(1, 3)"), std::string(24, '\0')));
  directory_.put("version.npy", npy_bytes(npy_dict("<f4", "(2, 3)"), raw(six), 9));
  directory_.put("overflow.npy", npy_bytes(npy_dict("<f4", "(4294967296, 4294967296)"), raw(six)));
  directory_.put("word.npy", npy_bytes(npy_dict("<f4", "(two, 3)"), raw(six)));
  directory_.put("line.npy", npy_file("(6,)", six));
  directory_.put("five.npy", npy_file("(1, 1, 1, 2, 3)", six));
  directory_.put("header.npy", good.substr(0, 30));
  directory_.put("m.safetensors",
                 safetensors_bytes(R"({"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}})", raw(six)));
  directory_.put("broken.safetensors", safetensors_bytes("{", ""));
  std::filesystem::create_directory(directory_.file("sub"));
  for (const auto& [name, message] : std::vector<std::pair<std::string, std::string>>{
           {"none.npy", "none.npy: cannot be opened: No such file or directory"},
           {"sub", "sub: is a directory"},
           {"empty.npy", "empty.npy: is empty"},
           {"short.npy", "short.npy: truncated: shape (11, 3) of float64 needs 264 bytes after the header, found 256"},
           {"long.npy", "long.npy: longer than its header says"},
           {"text.npy", "text.npy: is not a .npy file"},
           {"big.npy", "big.npy: holds big-endian float32"},
           {"bool.npy", "bool.npy: holds bool"},
           {"int.npy", "int.npy: holds int64"},
           {"version.npy", "version.npy: has version 9.0"},
           {"overflow.npy", "overflow.npy: shape (4294967296, 4294967296) is impossible"},
           {"word.npy", "word.npy: malformed .npy header"},
           {"line.npy", "line.npy: has shape (6,) (1 dimensions)"},
           {"five.npy", "five.npy: has shape (1, 1, 1, 2, 3) (5 dimensions)"},
           {"header.npy", "header.npy: truncated"},
           {"m.safetensors", "m.safetensors: name one of its tensors as FILE:NAME; it holds: x"},
           {"m.safetensors:y", "m.safetensors: has no tensor 'y'; it holds: x"},
           {"none.safetensors:y", "none.safetensors: cannot be opened"},
           {"broken.safetensors:x", "broken.safetensors: malformed .safetensors header"}}) {
    expect_files_error({name, "k.npy", "v.npy"}, 3, message);
    expect_files_error({"q.npy", name, "v.npy"}, 3, message);
    expect_files_error({"q.npy", "k.npy", name}, 3, message);
    expect_error({"plan", "q.npy", name, "v.npy"}, 3, message);
    expect_error({"verify", "q.npy", "k.npy", "v.npy", name, "--tolerance", "1"}, 3, message);
    if (name != "line.npy" && name != "m.safetensors")
      expect_error({"info", name}, 3, name == "five.npy" ? "five.npy" : message);
  }
  expect_attend_error({"--key-bias", "none.npy"}, 3, "none.npy: cannot be opened");
  expect_attend_error({"--key-bias", "five.npy"}, 3, "five.npy: has shape");
}

TEST_F(Errors, ShapesThatDoNotFit) {
  const auto zeros = [](const std::string& shape, std::size_t count) {
    return npy_file(shape, std::vector<float>(count, 0.0F));
  };
  directory_.put("k4.npy", zeros("(11, 4)", 44));
  directory_.put("v10.npy", zeros("(10, 2)", 20));
  directory_.put("k3d.npy", zeros("(2, 11, 3)", 66));
  directory_.put("q3d.npy", zeros("(3, 9, 3)", 81));
  directory_.put("v3d.npy", zeros("(2, 11, 2)", 44));
  directory_.put("q4d.npy", zeros("(2, 2, 9, 3)", 108));
  directory_.put("k4d.npy", zeros("(1, 2, 11, 3)", 66));
  directory_.put("v4d.npy", zeros("(1, 2, 11, 2)", 44));
  directory_.put("v31.npy", zeros("(1, 11, 2)", 22));
  directory_.put("bias10.npy", zeros("(10,)", 10));
  directory_.put("bias3.npy", zeros("(3, 11)", 33));
  expect_files_error({"q.npy", "k4.npy", "v.npy"}, 3,
                     "Q (q.npy, (9, 3)) and K (k4.npy, (11, 4)) do not fit: their last dimensions d are 3 and 4");
  expect_files_error({"q.npy", "k.npy", "v10.npy"}, 3,
                     "K (k.npy, (11, 3)) and V (v10.npy, (10, 2)) do not fit: their lengths n are 11 and 10");
  expect_files_error({"q.npy", "k3d.npy", "v.npy"}, 3, "do not fit: they have different numbers of dimensions");
  expect_files_error({"q3d.npy", "k3d.npy", "v3d.npy"}, 3, "3 query heads are not a multiple of 2 key heads");
  expect_files_error({"k3d.npy", "k3d.npy", "v31.npy"}, 3, "do not fit: their heads are 2 and 1");
  expect_files_error({"q4d.npy", "k4d.npy", "v4d.npy"}, 3, "do not fit: their batch sizes are 2 and 1");
  expect_attend_error({"--key-bias", "bias10.npy"}, 3, "its last dimension is 10 for 11 keys");
  expect_attend_error({"--key-bias", "bias3.npy"}, 3, "its heads is 3, Q's 1");
  directory_.put("o.npy", zeros("(9, 3)", 27));
  expect_error({"verify", "q.npy", "k.npy", "v.npy", "o.npy", "--tolerance", "1"}, 3,
               "o.npy: has shape (9, 3), expected (9, 2) for the output of q.npy and v.npy");
}

TEST_F(Errors, NumbersThatAreNotFinite) {
  const SmallProblem good = SmallProblem{}.filled();
  const auto damaged = [&](std::vector<double> SmallProblem::*which, std::size_t at, double value) {
    SmallProblem problem = good;
    (problem.*which)[at] = value;
    put_problem(directory_, problem, 2);
  };
  damaged(&SmallProblem::q, 4, std::numeric_limits<double>::quiet_NaN());
  expect_attend_error({}, 3, "q.npy: expected finite numbers, got NaN at batch 0, head 0, row 1, column 1");
  damaged(&SmallProblem::k, 8, std::numeric_limits<double>::infinity());
  expect_attend_error({}, 3, "k.npy: expected finite numbers, got infinity at batch 0, head 0, row 2, column 2");
  damaged(&SmallProblem::v, 3, -std::numeric_limits<double>::infinity());
  expect_attend_error({"--tolerance", "1e-3"}, 3, "v.npy: expected finite numbers");
  expect_error({"plan", "q.npy", "k.npy", "v.npy", "--tolerance", "1e-3", "--engine", "polynomial"}, 3,
               "v.npy: expected finite");
  put_problem(directory_, good, 2);
  std::vector<double> bias(11, 0.0);
  bias[7] = std::numeric_limits<double>::quiet_NaN();
  directory_.put("bias.npy", npy_file("(11,)", bias));
  expect_attend_error({"--key-bias", "bias.npy"}, 3, "bias.npy: expected finite numbers or -inf");
}

TEST_F(Errors, OutputsThatCannotBeWritten) {
  std::filesystem::create_directory(directory_.file("sub"));
  const auto output = [](const std::string& path) { return Words{"attend", "q.npy", "k.npy", "v.npy", "-o", path}; };
  expect_error(output("none/out.npy"), 3, "none/out.npy: cannot be written: directory none: No such file or directory");
  expect_error(output("sub"), 3, "sub: cannot be written: it is a directory");
  expect_error(output("k.npy"), 3, "k.npy: would overwrite the input k.npy");
  expect_error(output("./sub/../v.npy"), 3, "would overwrite the input v.npy");
  expect_error(output("/dev/null"), 3, "/dev/null: cannot be written");
  for (const char* flag : {"--json", "--bounds", "--lse"}) {
    expect_attend_error({flag, "none/x"}, 3, "none/x: cannot be written");
    expect_attend_error({flag, "q.npy"}, 3, "q.npy: would overwrite the input");
    expect_attend_error({flag, "out.npy"}, 3, "named twice");
  }
  expect_error({"info", "q.npy", "--json", "q.npy"}, 3, "would overwrite the input");
  expect_error({"plan", "q.npy", "k.npy", "v.npy", "--json", "v.npy"}, 3, "would overwrite the input");
  EXPECT_EQ(directory_.get("q.npy").substr(1, 5), "NUMPY");
}

TEST_F(Errors, DirectoriesThatMayNotBeWritten) {
  std::filesystem::create_directory(directory_.file("sub"));
  std::filesystem::permissions(directory_.file("sub"), std::filesystem::perms{0555});
  // The superuser may write anywhere but into the kernel's own directories, which refuse the file itself.
  const bool superuser = ::geteuid() == 0;
  expect_error({"attend", "q.npy", "k.npy", "v.npy", "-o", superuser ? "/proc/out.npy" : "sub/out.npy"},
               superuser ? 5 : 3, "cannot be");
}

TEST_F(Errors, FilesBeyondALimit) {
  // 5,000 rows of 64 doubles exceed the 1 MiB the shell allows: what a full disk does to a write. Not less, because
  // the thread sanitizer keeps 512 KiB of its own in a file.
  put_problem(directory_, SmallProblem{.n = 5000, .m = 4, .d = 2, .d_v = 64}.filled(), 2);
  const Words before = directory_.list();
  const std::string command = "ulimit -f 2048; exec \"$POLYATTN\" attend q.npy k.npy v.npy -o out.npy";
  check(run_shell(directory_.path(), command), 5, "out.npy: cannot be written: File too large", before);
  check(run_shell(directory_.path(), command + " --lse lse.npy --bounds b.npy --json r.json"), 5, "File too large",
        before);
}

TEST_F(Errors, AFullStandardOutput) {
  const Outcome outcome = run_shell(directory_.path(), "exec \"$POLYATTN\" info q.npy > /dev/full");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_EQ(outcome.err, "polyattn: error: standard output: No space left on device\n");
}

}  // namespace
}  // namespace polyattn::test
