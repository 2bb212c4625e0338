// polyattn attend on small problems, against the textbook sums in long double. What is allowed is the bound the program
// itself certifies, plus the rounding of the textbook's result to double.

#include "cli/support/program.hpp"
#include "cli/support/small_problem.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using Json = nlohmann::json;
using Words = std::vector<std::string>;

const Words inputs{"q.npy", "k.npy", "v.npy"};

Words command(const char* name, const Words& files, const Words& flags) {
  Words words{name};
  words.insert(words.end(), files.begin(), files.end());
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

/// Runs attend with --json - and -o out.npy; fails the test unless that works.
Json attend(const TemporaryDirectory& directory, Words flags, const Words& files = inputs) {
  flags.insert(flags.end(), {"-o", "out.npy", "--json", "-"});
  const Outcome outcome = run(directory.path(), command("attend", files, flags));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return outcome.code == 0 ? Json::parse(outcome.out) : Json{{"heads", Json::array()}};
}

/// Every element of out.npy is within its head's bound of `expected`.
void expect_within_bounds(const TemporaryDirectory& directory, const Json& report, const std::string& shape,
                          const std::vector<double>& expected) {
  const auto [found_shape, output] = parse_npy(directory.get("out.npy"));
  EXPECT_EQ(found_shape, shape);
  ASSERT_EQ(output.size(), expected.size());
  ASSERT_FALSE(report["heads"].empty());
  const std::size_t per_head = output.size() / report["heads"].size();
  for (std::size_t k = 0; k < output.size(); ++k) {
    const Json& head = report["heads"][k / per_head];
    const double allowed = head["bound"].get<double>() + head["storage"].get<double>() + 1e-16;
    EXPECT_LE(std::abs(output[k] - expected[k]), allowed) << "element " << k;
  }
}

TEST(Attend, MatchesTheTextbookForEveryRank) {
  const SmallProblem one = SmallProblem{}.filled();
  const SmallProblem grouped = SmallProblem{.heads = 4, .key_heads = 2, .n = 5}.filled();
  const SmallProblem batched = SmallProblem{.batch = 2, .heads = 3, .key_heads = 3, .n = 4, .m = 6}.filled();
  for (const auto& [problem, rank, shape] :
       {std::tuple{one, 2, "(9, 2)"}, std::tuple{grouped, 3, "(4, 5, 2)"}, std::tuple{batched, 4, "(2, 3, 4, 2)"}}) {
    const TemporaryDirectory directory;
    put_problem(directory, problem, rank);
    const Json report = attend(directory, {});
    EXPECT_EQ(report["heads"].size(), static_cast<std::size_t>(problem.batch * problem.heads));
    expect_within_bounds(directory, report, shape, textbook(problem, dot(1.0 / std::sqrt(3.0))).output);
    EXPECT_EQ(directory.list(), (Words{"k.npy", "out.npy", "q.npy", "v.npy"}));
  }
}

TEST(Attend, FollowsTheFlagsOfTheScore) {
  const SmallProblem problem = SmallProblem{}.filled();
  const TemporaryDirectory directory;
  put_problem(directory, problem, 2);
  const auto gaussian = [](double h0, double h1, double h2) {
    Definition definition = dot(1.0);
    definition.score = [=](const double* q, const double* k, std::int64_t) {
      const std::vector<double> h{h0, h1, h2};
      long double sum = 0.0L;
      for (std::size_t l = 0; l < 3; ++l) {
        const long double difference = static_cast<long double>(q[l]) - static_cast<long double>(k[l]);
        const auto width = static_cast<long double>(h[l]);
        sum -= difference * difference / (2.0L * width * width);
      }
      return sum;
    };
    return definition;
  };
  const std::vector<std::pair<Words, Definition>> cases{
      {{"--scale", "-2.5"}, dot(-2.5)},
      {{"--scale=1e1"}, dot(10.0)},
      {{"--scale-rule", "inverse-dim"}, dot(1.0 / 3.0)},
      {{"--scale-rule", "inverse-sqrt-dim"}, dot(1.0 / std::sqrt(3.0))},
      {{"--score", "dot"}, dot(1.0 / std::sqrt(3.0))},
      {{"--score", "gaussian", "--bandwidth", "0.5"}, gaussian(0.5, 0.5, 0.5)},
      {{"--score", "gaussian", "--bandwidth", "0.5,1,2"}, gaussian(0.5, 1.0, 2.0)},
      {{"--tolerance", "1e-3"}, dot(1.0 / std::sqrt(3.0))},
      {{"--tolerance", "1e-4", "--tolerance-kind", "of_value_range", "--engine", "polynomial"},
       dot(1.0 / std::sqrt(3.0))},
      {{"--engine", "reference"}, dot(1.0 / std::sqrt(3.0))},
      {{"--engine", "exact", "--arithmetic", "float64", "--threads", "2"}, dot(1.0 / std::sqrt(3.0))},
      {{"--order", "2", "--max-memory", "1G"}, dot(1.0 / std::sqrt(3.0))},
  };
  for (const auto& [flags, definition] : cases) {
    SCOPED_TRACE(flags[0] + " " + (flags.size() > 1 ? flags[1] : ""));
    const Json report = attend(directory, flags);
    expect_within_bounds(directory, report, "(9, 2)", textbook(problem, definition).output);
  }
}

TEST(Attend, MasksAsAsked) {
  const SmallProblem problem = SmallProblem{.heads = 2, .key_heads = 2, .n = 6, .m = 9}.filled();
  const TemporaryDirectory directory;
  put_problem(directory, problem, 3);
  constexpr double hidden = -std::numeric_limits<double>::infinity();
  std::vector<float> line(9, 0.5F);
  line[0] = -2.0F;
  line[4] = static_cast<float>(hidden);
  directory.put("line.npy", npy_file("(9,)", line));
  std::vector<double> heads(18, 0.0);
  heads[3] = hidden;
  heads[10] = 1.25;
  directory.put("heads.npy", npy_file("(2, 9)", heads));

  Definition plain = dot(1.0 / std::sqrt(3.0));
  Definition upper_left = plain;
  upper_left.sees = [](std::int64_t i, std::int64_t j) { return j <= i; };
  Definition lower_right = plain;
  lower_right.sees = [](std::int64_t i, std::int64_t j) { return j <= i + 3; };
  Definition with_line = upper_left;
  with_line.bias = [&](std::int64_t, std::int64_t, std::int64_t j) {
    return static_cast<double>(line[static_cast<std::size_t>(j)]);
  };
  Definition with_heads = plain;
  with_heads.bias = [&](std::int64_t, std::int64_t h, std::int64_t j) {
    return heads[static_cast<std::size_t>(h * 9 + j)];
  };
  for (const auto& [flags, definition] :
       std::vector<std::pair<Words, Definition>>{{{"--causal", "upper_left"}, upper_left},
                                                 {{"--causal", "lower_right"}, lower_right},
                                                 {{"--causal", "upper_left", "--key-bias", "line.npy"}, with_line},
                                                 {{"--key-bias", "heads.npy"}, with_heads}}) {
    const Json report = attend(directory, flags);
    expect_within_bounds(directory, report, "(2, 6, 2)", textbook(problem, definition).output);
  }
}

TEST(Attend, WritesLogSumExpAndBounds) {
  const SmallProblem problem = SmallProblem{.heads = 2, .key_heads = 2}.filled();
  const TemporaryDirectory directory;
  put_problem(directory, problem, 3);
  const Json report = attend(directory, {"--lse", "lse.npy", "--bounds", "bounds.npy", "--tolerance", "1e-6"});
  const Answer expected = textbook(problem, dot(1.0 / std::sqrt(3.0)));
  expect_within_bounds(directory, report, "(2, 9, 2)", expected.output);
  const auto [lse_shape, lse] = parse_npy(directory.get("lse.npy"));
  EXPECT_EQ(lse_shape, "(2, 9)");
  ASSERT_EQ(lse.size(), expected.lse.size());
  for (std::size_t k = 0; k < lse.size(); ++k) {
    EXPECT_LE(std::abs(lse[k] - expected.lse[k]), report["heads"][k / 9]["lse_bound"].get<double>() + 1e-15);
  }
  const auto [bounds_shape, bounds] = parse_npy(directory.get("bounds.npy"));
  const std::vector<double> output = parse_npy(directory.get("out.npy")).second;
  EXPECT_EQ(bounds_shape, "(2, 9)");
  ASSERT_EQ(bounds.size(), 18U);
  for (std::size_t row = 0; row < bounds.size(); ++row) {
    EXPECT_LE(bounds[row], report["heads"][row / 9]["bound"].get<double>());
    for (std::size_t c = 0; c < 2; ++c) {
      EXPECT_LE(std::abs(output[2 * row + c] - expected.output[2 * row + c]), bounds[row] + 1e-16);
    }
  }
}

TEST(Attend, WritesTheTypeAskedFor) {
  const SmallProblem problem = SmallProblem{}.filled();
  const TemporaryDirectory directory;
  put_problem(directory, problem, 2);
  const std::vector<double> expected = textbook(problem, dot(1.0 / std::sqrt(3.0))).output;
  for (const auto& [type, descr] : {std::pair{"float16", "<f2"}, {"float32", "<f4"}, {"float64", "<f8"}}) {
    const Json report = attend(directory, {"--dtype", type});
    EXPECT_NE(directory.get("out.npy").find(descr), std::string::npos);
    expect_within_bounds(directory, report, "(9, 2)", expected);
  }
}

/// The files of `problem` as .safetensors tensors q, k and v of 16 bits.
void put_safetensors(const TemporaryDirectory& directory, const SmallProblem& problem, const std::string& dtype,
                     std::uint16_t (*bits)(double)) {
  std::string header = "{";
  std::string data;
  const auto add = [&](const char* name, const std::vector<double>& values, std::int64_t columns) {
    const std::size_t begin = data.size();
    for (const double value : values) data += raw(std::vector<std::uint16_t>{bits(value)});
    header += (header == "{" ? "\"" : ", \"") + std::string(name) + "\": {\"dtype\": \"" + dtype + "\", \"shape\": [" +
              std::to_string(static_cast<std::int64_t>(values.size()) / columns) + ", " + std::to_string(columns) +
              "], \"data_offsets\": [" + std::to_string(begin) + ", " + std::to_string(data.size()) + "]}";
  };
  add("q", problem.q, problem.d);
  add("k", problem.k, problem.d);
  add("v", problem.v, problem.d_v);
  directory.put("m.safetensors", safetensors_bytes(header + "}", data));
}

TEST(Attend, GivesTheSameForEveryOrderAndStorage) {
  const SmallProblem problem = SmallProblem{.n = 40, .m = 50, .d = 5, .d_v = 3}.filled();
  const TemporaryDirectory directory;
  const auto single = [](const std::vector<double>& values, std::int64_t columns, bool fortran_order) {
    std::vector<float> stored(values.size());
    const std::size_t width = static_cast<std::size_t>(columns);
    const std::size_t rows = values.size() / width;
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t c = 0; c < width; ++c) {
        stored[fortran_order ? c * rows + i : i * width + c] = static_cast<float>(values[i * width + c]);
      }
    }
    return npy_file(shape_text({static_cast<std::int64_t>(rows), columns}), stored, fortran_order);
  };
  const auto put = [&](bool fortran_order) {
    directory.put("q.npy", single(problem.q, problem.d, fortran_order));
    directory.put("k.npy", single(problem.k, problem.d, fortran_order));
    directory.put("v.npy", single(problem.v, problem.d_v, fortran_order));
  };
  for (const Words& flags : {Words{}, Words{"--tolerance", "1e-3", "--engine", "polynomial"}}) {
    put(false);
    attend(directory, flags);
    const std::string expected = directory.get("out.npy");
    EXPECT_NE(expected.find("<f4"), std::string::npos);
    put(true);
    attend(directory, flags);
    EXPECT_EQ(directory.get("out.npy"), expected) << "Fortran order";
    for (const auto& [dtype, bits] : {std::pair{"F16", &float16_bits}, std::pair{"BF16", &bfloat16_bits}}) {
      put_safetensors(directory, problem, dtype, bits);
      attend(directory, flags, {"m.safetensors:q", "m.safetensors:k", "m.safetensors:v"});
      EXPECT_EQ(directory.get("out.npy"), expected) << dtype << ", of which float32 is the default output";
    }
  }
}

TEST(Attend, ReportsInJson) {
  const SmallProblem problem = SmallProblem{.heads = 2, .key_heads = 1}.filled();
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem(problem), 3);
  const Json report = attend(directory, {"--tolerance", "0.01", "--verify", "5", "--seed", "7"});
  EXPECT_EQ(report["schema"], 1);
  for (const char* key : {"threads", "seconds", "planning_seconds", "peak_bytes"}) {
    EXPECT_TRUE(report[key].is_number()) << key;
  }
  for (const char* key : {"instruction_set", "version"}) EXPECT_TRUE(report[key].is_string()) << key;
  ASSERT_EQ(report["heads"].size(), 2U);
  for (std::size_t h = 0; h < 2; ++h) {
    const Json& head = report["heads"][h];
    EXPECT_EQ(head["batch"], 0);
    EXPECT_EQ(head["head"], h);
    for (const char* key : {"engine", "arithmetic", "why"}) EXPECT_TRUE(head[key].is_string()) << key;
    for (const char* key : {"degree", "rank", "bound", "approximation", "rounding", "storage", "tolerance", "seconds",
                            "predicted_seconds", "mean_answer_error", "measured_error"}) {
      EXPECT_TRUE(head[key].is_number()) << key;
    }
    for (const char* key : {"radius", "radius_before", "relative", "smallest_denominator"}) {
      ASSERT_TRUE(head.contains(key)) << key;
      EXPECT_TRUE(head[key].is_number() || head[key].is_null()) << key;
    }
    std::int64_t rows = 0;
    for (const char* engine : {"reference", "exact", "polynomial", "grid", "clustered"}) {
      rows += head["rows"][engine].get<std::int64_t>();
    }
    EXPECT_EQ(rows, 9);
    EXPECT_EQ(head["rows"]["total"], 9);
    EXPECT_DOUBLE_EQ(head["bound"].get<double>(), head["approximation"].get<double>() + head["rounding"].get<double>());
    EXPECT_LE(head["bound"].get<double>(), 0.01);
    EXPECT_LE(head["measured_error"].get<double>(), head["bound"].get<double>());
  }
  const Json& verify = report["verify"];
  EXPECT_EQ(verify["rows"], 5);
  EXPECT_EQ(verify["seed"], 7);
  EXPECT_EQ(verify["outside"], 0);
  EXPECT_EQ(verify["every_row"], false);
  EXPECT_TRUE(verify["worst"].is_number());
  EXPECT_TRUE(verify["seconds"].is_number());
  // Two heads share the 5 %.
  EXPECT_NEAR(verify["unseen_share"].get<double>(), 1.0 - std::pow(0.025, 1.0 / 5.0), 1e-12);
  EXPECT_NE(verify["statement"].get<std::string>().find("with confidence 95 %"), std::string::npos);
}

TEST(Attend, ReportsInWordsAndWritesJsonToAFile) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{}.filled(), 2);
  const Outcome outcome =
      run(directory.path(), command("attend", inputs, {"-o", "out.npy", "--json", "r.json", "--verify", "100"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("exact"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("verify: all 9 rows of each head"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("rows outside: 0"), std::string::npos) << outcome.out;
  const Json report = Json::parse(directory.get("r.json"));
  EXPECT_EQ(report["verify"]["every_row"], true);
  EXPECT_EQ(report["verify"]["unseen_share"], 0.0);
  EXPECT_EQ(directory.list(), (Words{"k.npy", "out.npy", "q.npy", "r.json", "v.npy"}));
}

TEST(Attend, SummarisesManyHeads) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{.batch = 2, .heads = 12, .key_heads = 12}.filled(), 4);
  const Outcome outcome = run(directory.path(), command("attend", inputs, {"-o", "out.npy"}));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("24 heads: exact in float64"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("batch 1: heads 0-11"), std::string::npos) << outcome.out;
  EXPECT_LT(std::ranges::count(outcome.out, '\n'), 10);
}

TEST(Attend, GivesTheSameBitsForAnyThreads) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{.heads = 3, .key_heads = 3, .n = 70, .m = 90}.filled(), 3);
  attend(directory, {"--threads", "1", "--tolerance", "1e-3"});
  const std::string expected = directory.get("out.npy");
  for (const char* threads : {"2", "5", "0"}) {
    attend(directory, {"--threads", threads, "--tolerance", "1e-3"});
    EXPECT_EQ(directory.get("out.npy"), expected);
  }
}

TEST(Attend, AnswersNoQueries) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{.n = 0}.filled(), 2);
  attend(directory, {"--verify", "10"});
  EXPECT_EQ(parse_npy(directory.get("out.npy")).first, "(0, 2)");
}

TEST(Attend, ReplacesAnOldOutput) {
  const TemporaryDirectory directory;
  put_problem(directory, SmallProblem{}.filled(), 2);
  directory.put("out.npy", "something else");
  attend(directory, {});
  EXPECT_EQ(parse_npy(directory.get("out.npy")).first, "(9, 2)");
}

}  // namespace
}  // namespace polyattn::test
