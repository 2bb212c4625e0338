// Outlying keys summed exactly, through the interface: certificates against exact, batches and heads, threads.

#include "polyattn/attention.hpp"
#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

/// Two batches of two heads, keys of the odd heads with attention sinks, one of them on the side of all queries.
Problem with_sinks(std::int64_t n, DType dtype) {
  constexpr std::int64_t kDim = 6;
  Random random(11);
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  for (std::int64_t head = 0; head < 4; ++head) {
    for (std::int64_t i = 0; i < n; ++i) {
      const bool sink = head % 2 == 1 && i % (n / 5) == 7;
      for (std::int64_t l = 0; l < kDim; ++l) {
        q.push_back(random.uniform(-0.5, 0.5) + (l == 0 ? 0.5 : 0.0));
        k.push_back(sink ? random.sign() * random.uniform(8.0, 11.0) : random.uniform(-1.0, 1.0));
      }
      v.push_back(sink ? 3.0 * random.sign() : random.uniform(-1.0, 1.0));
      v.push_back(std::sin(3.0 * k.back()));
    }
  }
  Problem problem;
  problem.q = store(dtype, {2, 2, n, kDim}, q);
  problem.k = store(dtype, {2, 2, n, kDim}, k);
  problem.v = store(dtype, {2, 2, n, 2}, v);
  problem.score = Dot{1.0};
  return problem;
}

void expect_within(const Tensor& a, const Tensor& b, const Tensor& bound_a, const Tensor& bound_b,
                   std::size_t columns) {
  const std::vector<double> x = values_of(a);
  const std::vector<double> y = values_of(b);
  const std::vector<double> of_x = values_of(bound_a);
  const std::vector<double> of_y = values_of(bound_b);
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_LE(std::fabs(x[i] - y[i]), of_x[i / columns] + of_y[i / columns]) << i;
  }
}

TEST(Outlying, HeadsWithSinksAreCertified) {
  for (const auto& [dtype, tolerance] : {std::pair{DType::float32, 1e-2}, std::pair{DType::float64, 1e-4}}) {
    const Problem problem = with_sinks(16000, dtype);
    Options options;
    options.tolerance = {tolerance, ToleranceKind::of_value_range};
    options.want_lse = true;
    options.want_row_bounds = true;
    options.threads = 1;
    const Result fast = attend(problem, options);
    for (const HeadReport& head : fast.report.heads) {
      EXPECT_EQ(head.engine, Engine::polynomial) << head.why;
      EXPECT_EQ(head.why.find("outlying keys summed exactly") != std::string::npos, head.head == 1) << head.why;
      EXPECT_LE(head.certificate.bound(), head.tolerance);
    }
    options.threads = 3;
    const Result again = attend(problem, options);
    EXPECT_EQ(values_of(again.output), values_of(fast.output));
    EXPECT_EQ(values_of(again.row_bounds.value()), values_of(fast.row_bounds.value()));
    EXPECT_EQ(values_of(again.lse.value()), values_of(fast.lse.value()));
    options.engine = Engine::exact;
    options.arithmetic = Arithmetic::float64;
    options.output_dtype = DType::float64;
    const Result truth = attend(problem, options);
    expect_within(fast.output, truth.output, fast.row_bounds.value(), truth.row_bounds.value(), 2);
    expect_within(fast.lse.value(), truth.lse.value(), fast.lse_bound.value(), truth.lse_bound.value(), 1);
  }
}

}  // namespace
}  // namespace polyattn::test
