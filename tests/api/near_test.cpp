// Direct sums over the keys near each row, through the public interface: where the planner takes them, and that answers
// are within their bounds of the definition.

#include "polyattn/attention.hpp"
#include "polyattn/smoothing.hpp"
#include "support/answer.hpp"
#include "support/forced_isa.hpp"
#include "support/judge.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace polyattn::test {
namespace {

/// Points in the unit cube, few for the bandwidth: cells would hold hardly any.
Problem sparse(std::int64_t n_q, std::int64_t n_kv, double bandwidth, DType dtype = DType::float64) {
  Random random(11);
  const auto points = [&](std::int64_t rows) {
    std::vector<double> out(static_cast<std::size_t>(rows * 3));
    for (double& x : out) {
      x = random.unit();
    }
    return out;
  };
  Problem problem;
  const std::vector<double> keys = points(n_kv);
  std::vector<double> values;
  for (std::size_t j = 0; j < keys.size(); j += 3) {
    values.push_back(std::sin(9.0 * keys[j]) + std::cos(7.0 * keys[j + 1]));
  }
  problem.q = store(dtype, {1, 1, n_q, 3}, points(n_q));
  problem.k = store(dtype, {1, 1, n_kv, 3}, keys);
  problem.v = store(dtype, {1, 1, n_kv, 1}, values);
  problem.score = Gaussian{{bandwidth}};
  return problem;
}

Options on_grid(double tolerance) {
  Options options = with_certificates({});
  options.engine = Engine::grid;
  options.tolerance.value = tolerance;
  options.threads = 1;
  return options;
}

TEST(Near, NarrowBandwidthsAreSummedDirectly) {
  for (const double tolerance : {1e-2, 1e-4, 1e-9}) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      SCOPED_TRACE("tolerance " + std::to_string(std::log10(tolerance)));
      const Problem problem = sparse(60, 20000, 0.005, dtype);
      const Options options = on_grid(tolerance);
      const PlanReport planned = plan(problem, options).report();
      const std::vector<Candidate>& candidates = planned.heads.front().candidates;
      EXPECT_TRUE(std::any_of(candidates.begin(), candidates.end(), [](const Candidate& candidate) {
        return candidate.chosen && candidate.reason.find("direct sums") != std::string::npos;
      }));
      const Result result = attend(problem, options);
      EXPECT_TRUE(within_bounds(judge(problem, result)));
      const HeadReport& head = result.report.heads.front();
      EXPECT_EQ(head.rows_grid + head.rows_exact, 60);
      EXPECT_GE(head.rows_grid, 55);
      EXPECT_LE(head.certificate.bound(), head.tolerance);
      EXPECT_EQ(head.arithmetic, tolerance > 1e-3 ? Arithmetic::float32 : Arithmetic::float64);
    }
  }
}

TEST(Near, LeavesOutAndKeepsBits) {
  const Problem problem = sparse(1, 6000, 0.006);
  Options options = problem.options(on_grid(1e-4));
  options.mask.exclude_self = true;
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  const Result result = polyattn::attend(problem.k.view(), keys, values, options);
  ASSERT_GE(result.report.heads.front().rows_grid, 5900);
  Options exact = options;
  exact.engine = Engine::exact;
  exact.arithmetic = Arithmetic::float64;
  exact.tolerance.value = 0.0;
  const Result truth = polyattn::attend(problem.k.view(), keys, values, exact);
  EXPECT_TRUE(agree(answer_of(result), answer_of(truth)));
  for (const int threads : {2, 5}) {
    options.threads = threads;
    EXPECT_EQ(bits_of(polyattn::attend(problem.k.view(), keys, values, options).output), bits_of(result.output));
  }
  options.threads = 2;
  for (const simd::KernelTable* table : simd::available()) {
    const ForcedIsa forced(table->name);
    const Result again = polyattn::attend(problem.k.view(), keys, values, options);
    EXPECT_EQ(bits_of(again.output), bits_of(result.output)) << table->name;
    EXPECT_EQ(values_of(again.row_bounds.value()), values_of(result.row_bounds.value())) << table->name;
  }
}

TEST(Near, DensitiesOfEmptyRegionsNeedFewKeys) {
  // A heap in a corner of a large grid: far from it the grid's sums prove no positive density, and the rows that are
  // left are many.
  const Problem heap = sparse(1, 5000, 0.05);
  std::vector<double> queries;
  for (int i = 0; i < 9000; ++i) {
    queries.insert(queries.end(), {6.0 * (i % 30) / 30.0, 6.0 * (i / 30 % 30) / 30.0, 6.0 * (i / 900) / 10.0});
  }
  const Stored q = store(DType::float64, {1, 1, 9000, 3}, queries);
  DensityOptions options;
  options.bandwidth = {0.05};
  options.engine = Engine::grid;
  const DensityResult fast = density(heap.k.view(), q.view(), options);
  options.engine = Engine::exact;
  options.arithmetic = Arithmetic::float64;
  const DensityResult exact = density(heap.k.view(), q.view(), options);
  EXPECT_EQ(fast.report.heads.front().rows_grid + fast.report.heads.front().rows_exact, 9000);
  for (std::size_t i = 0; i < 9000; ++i) {
    const double bounds = fast.bounds.as<double>()[i] + exact.bounds.as<double>()[i];
    ASSERT_LE(fast.bounds.as<double>()[i], fast.tolerance);
    ASSERT_LE(std::fabs(fast.density.as<double>()[i] - exact.density.as<double>()[i]), bounds) << "row " << i;
  }
}

TEST(Near, AMemoryLimitIsKept) {
  const Problem problem = sparse(60, 20000, 0.005);
  Options options = on_grid(1e-4);
  options.engine = Engine::automatic;
  const Result plenty = attend(problem, options);
  options.max_memory = plenty.report.peak_bytes / 2;
  try {
    const Result little = attend(problem, options);
    EXPECT_LE(little.report.peak_bytes, options.max_memory);
    EXPECT_TRUE(within_bounds(judge(problem, little)));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  }
}

}  // namespace
}  // namespace polyattn::test
