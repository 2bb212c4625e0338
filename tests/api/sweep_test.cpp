// Tolerances x dimensions x radii x storage x engines: measured <= certified <= asked for, in every row. The worst
// clearance (measured / certified) over the sweep is printed.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>

namespace polyattn::test {
namespace {

struct Tally {
  int runs = 0;
  int refused = 0;
  int polynomial_rows = 0;
  double worst = 0.0;
  double worst_lse = 0.0;
};

void sweep_tolerances(const Problem& problem, Engine engine, Arithmetic arithmetic, Tally& tally) {
  const Truth<long double> truth = truth_of<long double>(problem);
  for (int exponent = -1; exponent >= -9; --exponent) {
    Options options = with_certificates({});
    options.engine = engine;
    options.arithmetic = arithmetic;
    options.tolerance.value = std::pow(10.0, exponent);
    options.threads = 1;
    SCOPED_TRACE("tolerance 1e" + std::to_string(exponent) + ", dim " + std::to_string(problem.q.shape[3]) + ", " +
                 name_of(problem.q.dtype) + ", " + name_of(engine) + " " + name_of(arithmetic));
    ++tally.runs;
    try {
      const Result result = attend(problem, options);
      const Verdict verdict = judge(problem, result, truth);
      EXPECT_TRUE(within_bounds(verdict));
      for (const HeadReport& head : result.report.heads) {
        EXPECT_LE(head.certificate.bound(), head.tolerance);
        EXPECT_EQ(head.tolerance, options.tolerance.value);
        tally.polynomial_rows += static_cast<int>(head.rows_polynomial);
      }
      tally.worst = std::max(tally.worst, verdict.worst);
      tally.worst_lse = std::max(tally.worst_lse, verdict.worst_lse);
    } catch (const Error& error) {
      // float64 reaches every tolerance here; float32 alone need not.
      EXPECT_EQ(error.code(), ErrorCode::not_reachable) << error.what();
      EXPECT_EQ(arithmetic, Arithmetic::float32) << error.what();
      ++tally.refused;
    }
  }
}

class Sweep : public testing::TestWithParam<Engine> {};

TEST_P(Sweep, MeasuredCertifiedAskedFor) {
  Tally tally;
  for (const std::int64_t dim : {1, 2, 5, 16, 64}) {
    for (const double radius : {1e-4, 1.0, 4.0, 10.0}) {
      for (const DType dtype : {DType::float32, DType::float64}) {
        const Problem problem = random_problem({.n_q = 12, .n_kv = 61, .dim = dim, .value_dim = 2}, radius, dtype,
                                               161 + static_cast<std::uint64_t>(dim));
        for (const Arithmetic arithmetic : {Arithmetic::automatic, Arithmetic::float32, Arithmetic::float64}) {
          sweep_tolerances(problem, GetParam(), arithmetic, tally);
        }
      }
    }
  }
  std::cout << "sweep " << name_of(GetParam()) << " runs " << tally.runs << " refused " << tally.refused
            << " polynomial-rows " << tally.polynomial_rows << " worst-clearance " << tally.worst
            << " worst-clearance-lse " << tally.worst_lse << '\n';
  EXPECT_LE(tally.worst, 1.0);
  EXPECT_LE(tally.worst_lse, 1.0);
  EXPECT_LT(tally.refused, tally.runs / 4);
  if (GetParam() == Engine::polynomial) {
    EXPECT_GT(tally.polynomial_rows, tally.runs * 12 / 4);
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Sweep, testing::Values(Engine::automatic, Engine::exact, Engine::polynomial),
                         [](const auto& engine) { return std::string(name_of(engine.param)); });

}  // namespace
}  // namespace polyattn::test
