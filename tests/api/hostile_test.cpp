// Inputs that break careless kernels. Every engine must answer within its certificate, and meet the tolerance.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

struct Hostile {
  std::string name;
  Problem problem;
  bool out_of_reach = false;    ///< no engine certifies a small tolerance: scores of 1e18, values that are subnormal
  bool beyond_float32 = false;  ///< float64 inputs that float32 arithmetic cannot hold: an error will do
};

constexpr std::int64_t kRows = 24;
constexpr std::int64_t kKeys = 70;

Problem plain(DType dtype, double radius = 2.0) {
  return random_problem({.n_q = kRows, .n_kv = kKeys, .dim = 3, .value_dim = 2}, radius, dtype, 151);
}

template <class Map>
Stored mapped(const Stored& stored, Map&& map) {
  std::vector<double> values = stored.values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = map(i, values[i]);
  }
  return store(stored.dtype, stored.shape, values);
}

Stored biases(const std::vector<double>& values) {
  return store(DType::float64, {1, 1, static_cast<std::int64_t>(values.size()), 1}, values);
}

void add_geometry(std::vector<Hostile>& all, DType dtype) {
  Problem problem = plain(dtype);
  problem.k = mapped(problem.k, [](std::size_t i, double) { return static_cast<double>(i % 3) - 1.0; });
  all.push_back({"all keys equal", problem});
  problem = plain(dtype);
  problem.k = mapped(problem.k, [](std::size_t i, double x) { return (i / 3) % 2 == 0 ? std::copysign(1.0, x) : 1.0; });
  problem.q = mapped(problem.q, [](std::size_t, double x) { return std::copysign(1.0, x); });
  all.push_back({"ties on the corners of a cube", problem});
  problem = plain(dtype);
  problem.k = mapped(problem.k, [&](std::size_t i, double) { return problem.k.values[i % 15]; });
  problem.v = mapped(problem.v, [&](std::size_t i, double) { return problem.v.values[i % 10]; });
  all.push_back({"five tokens again and again", problem});
  problem = plain(dtype);
  problem.k = mapped(problem.k, [](std::size_t, double x) { return x + 1e6; });
  all.push_back({"keys shifted by 1e6", problem});
  problem = plain(dtype);
  problem.q = mapped(problem.q, [](std::size_t, double x) { return x - 1e6; });
  all.push_back({"queries shifted by 1e6", problem});
  problem = plain(dtype);
  problem.k = mapped(problem.k, [](std::size_t i, double x) { return i < 3 ? 1000.0 : x; });
  all.push_back({"one outlying key", problem});
  problem = plain(dtype);
  problem.q = mapped(problem.q, [](std::size_t i, double x) { return i / 3 == 5 ? -1000.0 : x; });
  all.push_back({"one outlying query", problem});
  problem = plain(dtype);
  problem.q = mapped(problem.q, [](std::size_t i, double x) { return i / 3 == 7 ? 1e18 : x; });
  all.push_back({"one query far beyond", problem, true});
  problem = plain(dtype);
  problem.score = Gaussian{{0.05}};
  all.push_back({"gaussian narrower than the gaps", problem});
  problem.q = mapped(problem.q, [](std::size_t, double x) { return x + 100.0; });
  problem.score = Gaussian{{1.0}};
  all.push_back({"gaussian with queries far from every key", problem});
  problem.k = mapped(problem.k, [](std::size_t, double x) { return 0.01 * x + 1e4; });
  problem.q = mapped(problem.q, [](std::size_t i, double) { return 1e4 + 0.01 * static_cast<double>(i % 7); });
  problem.score = Gaussian{{0.03}};
  all.push_back({"gaussian far from the origin", problem});
}

void add_magnitudes(std::vector<Hostile>& all, DType dtype) {
  const double tiny = dtype == DType::float64 ? 0x1p-1070 : 0x1p-145;
  Problem problem = plain(dtype);
  problem.v = mapped(problem.v, [&](std::size_t, double x) { return tiny * std::round(8.0 * x); });
  all.push_back({"subnormal values", problem, dtype == DType::float64});
  problem = plain(dtype);
  problem.k = mapped(problem.k, [&](std::size_t, double x) { return tiny * std::round(8.0 * x); });
  all.push_back({"subnormal keys", problem});
  problem.q =
      mapped(problem.q, [&](std::size_t, double x) { return std::ldexp(x, dtype == DType::float64 ? 1000 : 120); });
  all.push_back({"subnormal keys, enormous queries", problem, false, dtype == DType::float64});
  problem = plain(dtype);
  problem.q = mapped(problem.q, [](std::size_t, double) { return 0.0; });
  all.push_back({"zero queries", problem});
  problem = plain(dtype);
  problem.v = mapped(problem.v, [](std::size_t, double x) { return 1e8 + 16.0 * x; });
  all.push_back({"values 1e8 and a little", problem});
  problem = plain(dtype);
  problem.v = mapped(problem.v, [&](std::size_t, double x) { return x * (dtype == DType::float64 ? 1e300 : 1e37); });
  all.push_back({"values near the largest number", problem, false, dtype == DType::float64});
  problem = plain(dtype);
  problem.v = mapped(problem.v, [](std::size_t i, double x) { return i % 2 == 0 ? 1e-12 * x : 1e6 * x; });
  all.push_back({"columns of very different size", problem});
  problem = plain(dtype, 40.0);
  all.push_back({"scores of 40", problem});
  problem = plain(dtype, 3000.0);
  all.push_back({"scores of 3000", problem});
}

void add_weights(std::vector<Hostile>& all, DType dtype) {
  Problem problem = plain(dtype);
  Random random(152);
  std::vector<double> wide(kKeys);
  for (double& b : wide) {
    b = random.uniform(-700.0, 700.0);
  }
  problem.bias = biases(wide);
  all.push_back({"biases of +-700", problem});
  problem.causal = Causal::upper_left;
  all.push_back({"biases of +-700, causal", problem});
  std::fill(wide.begin(), wide.end(), 1e5);
  wide[3] = 1e5 + 1.0;
  problem = plain(dtype);
  problem.bias = biases(wide);
  all.push_back({"biases of 1e5", problem});
  std::fill(wide.begin(), wide.end(), -1e5);
  wide[3] = -kInfinity;
  problem.bias = biases(wide);
  all.push_back({"biases of -1e5", problem});
  std::fill(wide.begin(), wide.end(), -kInfinity);
  wide[kKeys - 1] = -3.0;
  problem.bias = biases(wide);
  all.push_back({"all but the last key hidden", problem});
  problem.causal = Causal::lower_right;
  all.push_back({"all but the last key hidden, causal", problem});
  for (const double slope : {0.01, 0.5, 30.0}) {
    problem = random_problem({.n_q = kKeys, .n_kv = kKeys, .dim = 3, .value_dim = 2}, 1.0, dtype, 153);
    for (std::size_t j = 0; j < wide.size(); ++j) {
      wide[j] = slope * static_cast<double>(j);
    }
    problem.bias = biases(wide);
    problem.causal = Causal::upper_left;
    all.push_back({"ALiBi with slope " + std::to_string(slope), problem});
    std::reverse(wide.begin(), wide.end());
    problem.bias = biases(wide);
    all.push_back({"falling ALiBi with slope " + std::to_string(slope), problem});
  }
}

std::vector<Hostile> hostile() {
  std::vector<Hostile> all;
  for (const DType dtype : {DType::float32, DType::float64}) {
    add_geometry(all, dtype);
    add_magnitudes(all, dtype);
    add_weights(all, dtype);
  }
  for (Hostile& one : all) {
    one.name += std::string(", ") + name_of(one.problem.q.dtype);
  }
  return all;
}

/// An error is a failure here, but the other inputs still have their turn.
std::optional<Result> answered(const Hostile& input, const Options& options) {
  try {
    return attend(input.problem, options);
  } catch (const Error& error) {
    if (!(input.out_of_reach && error.code() == ErrorCode::not_reachable) &&
        !(input.beyond_float32 && options.arithmetic == Arithmetic::float32)) {
      ADD_FAILURE() << error.what();
    }
    return std::nullopt;
  }
}

class HostileInput : public testing::TestWithParam<Choice> {};

TEST_P(HostileInput, AnswersAreWithinTheirBounds) {
  for (const Hostile& input : hostile()) {
    SCOPED_TRACE(input.name);
    Options options = with_certificates({});
    options.engine = GetParam().engine;
    options.arithmetic = GetParam().arithmetic;
    options.threads = 2;
    if (GetParam().engine == Engine::polynomial) {
      options.tolerance = {1e-3, ToleranceKind::of_value_range};
      options.arithmetic = Arithmetic::automatic;  // rows the polynomial cannot do may need float64
    }
    const std::optional<Result> result = answered(input, options);
    if (!result) {
      continue;
    }
    EXPECT_TRUE(within_bounds(judge(input.problem, *result)));
    const std::vector<double> output = values_of(result->output);
    EXPECT_TRUE(std::all_of(output.begin(), output.end(), [](double x) { return std::isfinite(x); }));
    if (GetParam().engine == Engine::polynomial && !input.out_of_reach) {
      const HeadReport& head = result->report.heads.at(0);
      EXPECT_LE(head.certificate.bound(), head.tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, HostileInput,
                         testing::Values(Choice{Engine::reference, Arithmetic::float64},
                                         Choice{Engine::exact, Arithmetic::float32},
                                         Choice{Engine::exact, Arithmetic::float64},
                                         Choice{Engine::polynomial, Arithmetic::automatic}),
                         [](const auto& choice) { return choice.param.name(); });

TEST(HostileInputAutomatic, MeetsTheTolerance) {
  for (const Hostile& input : hostile()) {
    SCOPED_TRACE(input.name);
    for (const double tolerance : {1e-1, 1e-6}) {
      Options options = with_certificates({});
      options.tolerance = {tolerance, ToleranceKind::of_value_range};
      options.threads = 1;
      const std::optional<Result> result = answered(input, options);
      if (!result) {
        continue;
      }
      EXPECT_TRUE(within_bounds(judge(input.problem, *result)));
      const HeadReport& head = result->report.heads.at(0);
      EXPECT_TRUE(input.out_of_reach || head.certificate.bound() <= head.tolerance);
    }
  }
}

}  // namespace
}  // namespace polyattn::test
