// Numbers that mean nothing are refused by name; combinations no engine can do are refused through its capability
// table.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/problem.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace polyattn::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

const Problem& small() {
  static const Problem problem = random_problem({.n_q = 6, .n_kv = 9, .dim = 3}, 1.0, DType::float64, 1);
  return problem;
}

testing::AssertionResult refused(const Options& options, std::initializer_list<std::string> parts,
                                 ErrorCode code = ErrorCode::invalid_argument) {
  const std::array keys{small().k.view()};
  const std::array values{small().v.view()};
  return fails_with(code, parts, [&] { polyattn::attend(small().q.view(), keys, values, options); });
}

TEST(OptionsChecked, Tolerances) {
  for (const double bad : {-1e-300, -1.0, -kInfinity, kNan}) {
    Options options;
    options.tolerance.value = bad;
    EXPECT_TRUE(refused(options, {"tolerance"}));
    options = {};
    options.lse_tolerance = bad;
    EXPECT_TRUE(refused(options, {"lse_tolerance"}));
    options = {};
    options.density_tolerance = bad;
    EXPECT_TRUE(refused(options, {"density_tolerance"}));
    options = {};
    options.density_unit = bad;
    EXPECT_TRUE(refused(options, {"density_unit"}));
  }
}

TEST(OptionsChecked, Score) {
  Options options;
  for (const double bad : {kNan, kInfinity, -kInfinity}) {
    options.score = Dot{bad};
    EXPECT_TRUE(refused(options, {"scale"}));
  }
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    options.score = Gaussian{{bad}};
    EXPECT_TRUE(refused(options, {"bandwidth"}));
    options.score = Gaussian{{1.0, bad, 1.0}};
    EXPECT_TRUE(refused(options, {"bandwidth"}));
  }
  options.score = Gaussian{{}};
  EXPECT_TRUE(refused(options, {"bandwidth"}));
  options.score = Gaussian{{1.0, 2.0}};  // neither one nor one per axis
  EXPECT_TRUE(refused(options, {"bandwidth", "2", "3"}));
}

TEST(OptionsChecked, ZeroAndNegativeScalesAreLegal) {
  for (const double scale : {0.0, -0.5}) {
    Problem problem = small();
    problem.score = Dot{scale};
    EXPECT_NO_THROW(attend(problem));
  }
}

TEST(OptionsChecked, DefaultScaleIsInverseRootOfDim) {
  Problem problem = random_problem({.n_q = 6, .n_kv = 9, .dim = 7}, 3.0, DType::float64, 2);
  problem.score = Dot{};
  const std::vector<std::byte> by_default = bits_of(attend(problem).output);
  problem.score = Dot{1.0 / std::sqrt(7.0)};
  EXPECT_EQ(by_default, bits_of(attend(problem).output));
}

TEST(OptionsChecked, DegreeAndThreads) {
  Options options = forced({Engine::polynomial, Arithmetic::float64});
  options.degree = -1;
  EXPECT_TRUE(refused(options, {"degree", "-1"}));
  options = {};
  options.threads = -2;
  EXPECT_TRUE(refused(options, {"threads", "-2"}));
}

TEST(OptionsChecked, RankThatOverflows) {
  const Problem wide = random_problem({.n_q = 3, .n_kv = 3, .dim = 256}, 1.0, DType::float64, 3);
  EXPECT_THROW(attend(wide, forced({Engine::polynomial, Arithmetic::float64}, 400)), Error);
}

TEST(OptionsChecked, InstructionSetFromTheEnvironment) {
  ASSERT_EQ(setenv("POLYATTN_ISA", "pentium", 1), 0);
  EXPECT_TRUE(refused({}, {"POLYATTN_ISA", "pentium", "scalar"}));
  ASSERT_EQ(unsetenv("POLYATTN_ISA"), 0);
}

bool supports(Engine engine, std::string_view feature) {
  const std::vector<Capability> table = capabilities();
  const auto found = std::find_if(table.begin(), table.end(), [&](const Capability& row) {
    return row.engine == engine && feature == row.feature;
  });
  if (found == table.end()) {
    ADD_FAILURE() << name_of(engine) << " says nothing about '" << feature << "'";
    return false;
  }
  return found->supported;
}

TEST(Capabilities, CausalAndKeyBiasEverywhere) {
  for (const Engine engine : {Engine::reference, Engine::exact, Engine::polynomial}) {
    EXPECT_TRUE(supports(engine, "causal"));
    EXPECT_TRUE(supports(engine, "key_bias"));
  }
}

/// A feature, what a message must call it, and options that ask for it.
struct Feature {
  const char* name;
  std::function<void(Options&)> ask;
};

std::vector<Feature> features() {
  static const std::vector<std::uint8_t> seen(64, 1);
  static const std::vector<double> added(64, 0.0);
  return {
      {"window",
       [](Options& o) {
         o.mask.visibility.causal = Causal::upper_left;
         o.mask.visibility.window = {3};
       }},
      {"segments",
       [](Options& o) {
         o.mask.visibility.segments = Segments{{0, 2, 6}, {0, 4, 9}};
       }},
      {"boolean",
       [](Options& o) {
         o.mask.boolean = ConstBoolView{seen.data(), {1, 1, 6, 9}, {54, 54, 9, 1}};
       }},
      {"additive",
       [](Options& o) {
         o.mask.additive = tensor(added.data(), {1, 1, 6, 9});
       }},
      {"exclude_self", [](Options& o) { o.mask.exclude_self = true; }},
      {"soft_cap", [](Options& o) { o.soft_cap = 30.0; }},
  };
}

/// The engines that lack a feature refuse it by name, and say who has it; reference has everything. The choice of the
/// planner may always end with exact, so it has what exact has.
TEST(Capabilities, WhatAnEngineLacksIsRefusedByName) {
  for (const Feature& feature : features()) {
    EXPECT_TRUE(supports(Engine::reference, feature.name)) << feature.name;
    EXPECT_FALSE(supports(Engine::polynomial, feature.name)) << feature.name;
    for (const Engine engine : {Engine::automatic, Engine::reference, Engine::exact, Engine::polynomial}) {
      Options options;
      options.engine = engine;
      options.tolerance.value = 1e-3;
      feature.ask(options);
      if (supports(engine == Engine::automatic ? Engine::exact : engine, feature.name)) {
        const std::array keys{small().k.view()};
        const std::array values{small().v.view()};
        EXPECT_NO_THROW(polyattn::attend(small().q.view(), keys, values, options)) << feature.name;
      } else {
        EXPECT_TRUE(refused(options, {feature.name, name_of(engine), "reference"}, ErrorCode::unsupported))
            << feature.name;
      }
    }
  }
}

TEST(Capabilities, EnginesThatDoNotExistYet) {
  Options options;
  options.engine = Engine::clustered;
  options.tolerance.value = 1e-3;
  EXPECT_TRUE(refused(options, {"clustered"}, ErrorCode::unsupported));
}

TEST(Capabilities, RowMaximumComesFromExactAndReferenceOnly) {
  Options options = forced({Engine::polynomial, Arithmetic::float64});
  options.want_row_max = true;
  EXPECT_TRUE(refused(options, {"polynomial", "row"}, ErrorCode::unsupported));
  options.engine = Engine::automatic;
  options.degree.reset();
  options.strict = false;
  const Result result = attend(small(), options);
  ASSERT_TRUE(result.row_max.has_value());
  EXPECT_EQ(result.report.heads.at(0).rows_polynomial, 0);
}

TEST(Capabilities, PropagateIsForExactAndReference) {
  Options options = forced({Engine::polynomial, Arithmetic::float64});
  options.non_finite = NonFinite::propagate;
  EXPECT_TRUE(refused(options, {"polynomial", "propagate"}, ErrorCode::unsupported));
}

}  // namespace
}  // namespace polyattn::test
