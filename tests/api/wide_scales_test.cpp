// Coordinates near the top of float64 against keys near the bottom: the scores are small, but no power of two can scale
// the coordinates into [-1, 1]. The polynomial engine must refuse such rows, not certify them.

#include "polyattn/polyattn.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace polyattn {
namespace {

TEST(WideScales, CoordinatesBeyondEveryScaleAreNotCertifiedWrongly) {
  constexpr std::int64_t kRows = 24;
  constexpr std::int64_t kKeys = 40;
  for (const int exponent : {980, 995, 1005, 1015}) {
    std::vector<double> q(2 * kRows);
    std::vector<double> k(2 * kKeys);
    std::vector<double> v(kKeys);
    for (std::size_t i = 0; i < q.size(); ++i) {
      q[i] = std::ldexp(std::sin(1.7 * static_cast<double>(i)), exponent);
    }
    for (std::size_t j = 0; j < k.size(); ++j) {
      k[j] = std::ldexp(std::cos(2.3 * static_cast<double>(j)), -exponent);
    }
    for (std::size_t j = 0; j < v.size(); ++j) {
      v[j] = std::sin(static_cast<double>(j));
    }
    const ConstView queries = matrix(static_cast<const double*>(q.data()), kRows, 2);
    const std::array<ConstView, 1> keys{matrix(static_cast<const double*>(k.data()), kKeys, 2)};
    const std::array<ConstView, 1> values{matrix(static_cast<const double*>(v.data()), kKeys, 1)};
    Options options;
    options.score = Dot{1.0};
    options.engine = Engine::polynomial;
    options.tolerance = {1e-2, ToleranceKind::absolute};
    options.want_row_bounds = true;
    options.want_lse = true;
    const Result result = attend(queries, keys, values, options);
    options.engine = Engine::reference;
    const Result truth = attend(queries, keys, values, options);
    for (std::size_t i = 0; i < kRows; ++i) {
      const double error = std::fabs(result.output.as<double>()[i] - truth.output.as<double>()[i]);
      EXPECT_LE(error, result.row_bounds->as<double>()[i] + truth.row_bounds->as<double>()[i]) << exponent;
      EXPECT_LE(result.row_bounds->as<double>()[i], 1e-2);
      const double lse_error = std::fabs(result.lse->as<double>()[i] - truth.lse->as<double>()[i]);
      EXPECT_LE(lse_error, result.lse_bound->as<double>()[i] + truth.lse_bound->as<double>()[i]) << exponent;
    }
    if (exponent > 990) {
      EXPECT_EQ(result.report.heads[0].rows_polynomial, 0) << exponent;
    }
  }
}

}  // namespace
}  // namespace polyattn
