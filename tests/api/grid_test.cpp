// The grid engine through the public interface: every answer within its bound of the definition in long double, for
// shapes, scores, masks, tolerances and storage that the engine takes; what it cannot do, refused by name.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/expect_error.hpp"
#include "support/forced_isa.hpp"
#include "support/judge.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>

namespace polyattn::test {
namespace {

struct Shape4 {
  std::int64_t n_q = 200;
  std::int64_t n_kv = 300;
  std::int64_t dim = 2;
  std::int64_t value_dim = 1;
};

/// Points in the unit box, the axes from the fifth on thin; values sin(3 k).
Problem cloud(const Shape4& shape, Score score, DType dtype = DType::float64, std::uint64_t seed = 1,
              double extent = 1.0) {
  Random random(seed);
  const auto points = [&](std::int64_t rows) {
    std::vector<double> out(static_cast<std::size_t>(rows * shape.dim));
    for (std::size_t i = 0; i < out.size(); ++i) {
      const bool thin = static_cast<std::int64_t>(i) % shape.dim >= 3;
      out[i] = extent * random.unit() * (thin ? 0.02 : 1.0);
    }
    return out;
  };
  Problem problem;
  const std::vector<double> keys = points(shape.n_kv);
  std::vector<double> values(static_cast<std::size_t>(shape.n_kv * shape.value_dim));
  for (std::size_t e = 0; e < values.size(); ++e) {
    const auto j = static_cast<std::int64_t>(e) / shape.value_dim;
    const auto c = static_cast<std::int64_t>(e) % shape.value_dim;
    values[e] =
        std::sin(3.0 * keys[static_cast<std::size_t>(j * shape.dim + c % shape.dim)] / extent + static_cast<double>(c));
  }
  problem.q = store(dtype, {1, 1, shape.n_q, shape.dim}, points(shape.n_q));
  problem.k = store(dtype, {1, 1, shape.n_kv, shape.dim}, keys);
  problem.v = store(dtype, {1, 1, shape.n_kv, shape.value_dim}, values);
  problem.score = std::move(score);
  return problem;
}

Options on_grid(double tolerance) {
  Options options = with_certificates({});
  options.engine = Engine::grid;
  options.tolerance.value = tolerance;
  options.threads = 1;
  return options;
}

/// Rows the grid answered; the others went to exact.
std::int64_t judged(const Problem& problem, const Options& options) {
  const Result result = attend(problem, options);
  EXPECT_TRUE(within_bounds(judge(problem, result)));
  const HeadReport& head = result.report.heads.front();
  EXPECT_EQ(head.rows_grid + head.rows_exact, problem.q.shape[2]);
  if (options.tolerance.kind == ToleranceKind::absolute) {
    EXPECT_LE(head.certificate.bound(), options.tolerance.value);
  }
  return head.rows_grid;
}

TEST(Grid, CertifiesEveryDimension) {
  for (std::int64_t dim = 1; dim <= 8; ++dim) {
    for (const std::int64_t columns : {0, 1, 3, 17}) {
      SCOPED_TRACE("dim " + std::to_string(dim) + ", columns " + std::to_string(columns));
      const Shape4 shape{60, 150, dim, columns};
      // So few rows are cheap to answer exactly, and some are left to it.
      EXPECT_GE(judged(cloud(shape, Gaussian{{0.4}}), on_grid(1e-3)), columns == 0 ? 0 : 1);
    }
  }
  EXPECT_GE(judged(cloud({50, 120, 2, 64}, Gaussian{{0.3}}), on_grid(1e-3)), 1);
}

TEST(Grid, TolerancesFromCoarseToFine) {
  for (const double bandwidth : {0.03, 0.1, 1.0}) {
    for (int digits = 1; digits <= 11; ++digits) {
      SCOPED_TRACE("1e-" + std::to_string(digits) + ", bandwidth " + std::to_string(bandwidth));
      const std::int64_t rows =
          judged(cloud({100, 800, 2, 1}, Gaussian{{bandwidth}}), on_grid(std::pow(10.0, -digits)));
      EXPECT_GE(rows, digits <= 6 ? 50 : 0);
    }
  }
}

TEST(Grid, Extents) {
  for (const double extent : {1e-12, 1e-3, 1e3, 1e12}) {
    SCOPED_TRACE("extent 1e" + std::to_string(std::log10(extent)));
    EXPECT_GE(judged(cloud({100, 400, 2, 1}, Gaussian{{0.1 * extent}}, DType::float64, 3, extent), on_grid(1e-4)), 90);
    if (extent < 1e6) {  // beyond, exact does not reach the tolerance either
      judged(cloud({40, 100, 1, 1}, Gaussian{{0.1}}, DType::float64, 3, extent), on_grid(1e-4));
    }
  }
}

TEST(Grid, DotScoresUpToEighty) {
  for (const double largest : {1.0, 20.0, 80.0}) {
    for (const std::int64_t dim : {1, 2, 3}) {
      SCOPED_TRACE("scores to " + std::to_string(largest) + ", dim " + std::to_string(dim));
      Problem problem = cloud({100, 600, dim, 1}, Dot{4.0 * largest / static_cast<double>(dim)}, DType::float64, 5);
      for (Stored* points : {&problem.q, &problem.k}) {
        std::vector<double> centred = points->values;
        std::transform(centred.begin(), centred.end(), centred.begin(), [](double x) { return x - 0.5; });
        *points = store(DType::float64, points->shape, centred);
      }
      const std::int64_t rows = judged(problem, on_grid(1e-3));
      EXPECT_GE(rows, largest <= 20.0 && dim <= 2 ? 80 : 0);
    }
  }
  // Negative and zero scales are no Gaussian kernel: exact answers.
  EXPECT_EQ(judged(cloud({30, 60, 2, 1}, Dot{-1.0}), on_grid(1e-3)), 0);
  judged(cloud({30, 60, 2, 1}, Dot{0.0}), on_grid(1e-3));
}

TEST(Grid, PointsThatCoincide) {
  for (const std::int64_t dim : {1, 2, 3}) {
    Problem problem = cloud({20, 50, dim, 1}, Gaussian{{0.5}});
    problem.k = store(DType::float64, problem.k.shape, std::vector<double>(problem.k.values.size(), 0.25));
    judged(problem, on_grid(1e-3));
    problem.q = store(DType::float64, problem.q.shape, std::vector<double>(problem.q.values.size(), 0.25));
    EXPECT_EQ(judged(problem, on_grid(1e-3)), 20);
  }
}

TEST(Grid, ALatticeAndTwoPoints) {
  // On an unbounded lattice of alternating values the answer at a point is 0 between two keys; here the ends are far.
  Problem problem;
  std::vector<double> keys;
  std::vector<double> values;
  for (int j = -200; j < 200; ++j) {
    keys.push_back(0.1 * (j + 0.5));
    values.push_back(j % 2 == 0 ? 1.0 : -1.0);
  }
  problem.q = store(DType::float64, {1, 1, 3, 1}, {0.0, 1.0, -2.0});
  problem.k = store(DType::float64, {1, 1, 400, 1}, keys);
  problem.v = store(DType::float64, {1, 1, 400, 1}, values);
  problem.score = Gaussian{{0.5}};
  const Result result = attend(problem, on_grid(1e-5));
  for (const double answer : values_of(result.output)) {
    EXPECT_LE(std::fabs(answer), 1e-5);
  }
  Problem two;
  two.q = store(DType::float64, {1, 1, 1, 1}, {0.2});
  two.k = store(DType::float64, {1, 1, 2, 1}, {0.0, 1.0});
  two.v = store(DType::float64, {1, 1, 2, 1}, {0.0, 1.0});
  two.score = Gaussian{{1.0}};
  const double answer = values_of(attend(two, on_grid(1e-6)).output).front();
  EXPECT_NEAR(answer, 1.0 / (1.0 + std::exp(0.5 * (0.64 - 0.04))), 1e-6);
}

TEST(Grid, KeyBiasesHideAndWeigh) {
  for (const double size : {1.0, 30.0, 300.0}) {
    for (const Score& score : {Score{Gaussian{{0.1}}}, Score{Dot{5.0}}}) {
      Problem problem = cloud({80, 300, 2, 2}, score);
      problem.bias = random_bias(problem, -size, size, 7);
      std::vector<double> bias = problem.bias->values;
      for (std::size_t j = 0; j < bias.size(); j += 5) {
        bias[j] = -kInfinity;
      }
      problem.bias = store(DType::float64, problem.bias->shape, bias);
      SCOPED_TRACE("biases to " + std::to_string(size));
      judged(problem, on_grid(1e-3));
    }
  }
}

TEST(Grid, LogSumExpAndDensities) {
  for (const double tolerance : {1e-2, 1e-5}) {
    const Problem problem = cloud({100, 500, 2, 1}, Gaussian{{0.2}});
    Options options = on_grid(1e300);
    options.lse_tolerance = tolerance;
    const Result result = attend(problem, options);
    EXPECT_TRUE(within_bounds(judge(problem, result)));
    EXPECT_GE(result.report.heads.front().rows_grid, 90);
    for (const double bound : values_of(result.lse_bound.value())) {
      EXPECT_LE(bound, tolerance);
    }
  }
}

TEST(Grid, StorageTypes) {
  for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
    const Problem problem = cloud({60, 200, 2, 2}, Gaussian{{0.3}}, dtype);
    EXPECT_GE(judged(problem, on_grid(1e-3)), 55) << name_of(dtype);
    Options own = on_grid(1e-2);
    own.output_dtype = dtype;
    judged(problem, own);
  }
}

TEST(Grid, LeavesOut) {
  Problem problem = cloud({150, 150, 2, 1}, Gaussian{{0.15}});
  Options options = problem.options(on_grid(1e-4));
  options.mask.exclude_self = true;
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  const Result result = polyattn::attend(problem.k.view(), keys, values, options);
  EXPECT_GE(result.report.heads.front().rows_grid, 140);
  Options exact = options;
  exact.engine = Engine::reference;
  const Result truth = polyattn::attend(problem.k.view(), keys, values, exact);
  EXPECT_TRUE(agree(answer_of(result), answer_of(truth)));
}

TEST(Grid, TheSameBitsWithAnyThreadsAndInstructions) {
  for (const Score& score : {Score{Gaussian{{0.05}}}, Score{Dot{30.0}}}) {
    const Problem problem = cloud({3000, 2000, 2, 2}, score);
    const auto bits = [&](int threads) {
      Options options = on_grid(1e-4);
      options.threads = threads;
      const Result result = attend(problem, options);
      EXPECT_GT(result.report.heads.front().rows_grid, 2000);
      return std::pair{bits_of(result.output), values_of(result.row_bounds.value())};
    };
    const auto expected = bits(1);
    EXPECT_EQ(bits(2), expected);
    EXPECT_EQ(bits(5), expected);
    for (const simd::KernelTable* table : simd::available()) {
      const ForcedIsa forced(table->name);
      EXPECT_EQ(bits(1), expected) << table->name;
    }
  }
}

TEST(Grid, AutomaticTakesItWhereItIsFarCheaper) {
  const Problem problem = cloud({20000, 20000, 2, 1}, Gaussian{{0.02}});
  Options options;
  options.tolerance = {1e-4, ToleranceKind::of_value_range};
  options.threads = 1;
  const Result result = attend(problem, options);
  EXPECT_EQ(result.report.heads.front().engine, Engine::grid);
  EXPECT_GT(result.report.heads.front().rows_grid, 19000);
}

TEST(Grid, AutomaticKeepsWithinMemoryThatExactNeeds) {
  const Problem problem = cloud({20000, 20000, 2, 1}, Gaussian{{0.02}});
  Options options;
  options.tolerance = {1e-4, ToleranceKind::of_value_range};
  options.threads = 1;
  options.engine = Engine::exact;
  const std::uint64_t exact = attend(problem, options).report.peak_bytes;
  options.engine = Engine::automatic;
  options.max_memory = exact + exact / 4;
  const Result result = attend(problem, options);
  EXPECT_LE(result.report.peak_bytes, options.max_memory);
}

TEST(Grid, StrictFailsInsteadOfHandingRowsOver) {
  Problem problem = cloud({50, 200, 2, 1}, Gaussian{{0.1}});
  std::vector<double> queries = problem.q.values;
  queries[0] = 3.0;  // isolated
  problem.q = store(DType::float64, problem.q.shape, queries);
  Options options = on_grid(1e-4);
  EXPECT_LT(judged(problem, options), 50);
  options.strict = true;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"grid"}, [&] { attend(problem, options); }));
}

TEST(Grid, RefusesByNameWhatItCannotDo) {
  const Problem problem = cloud({20, 20, 2, 1}, Gaussian{{0.5}});
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  Options causal = problem.options(on_grid(1e-3));
  causal.mask.visibility.causal = Causal::upper_left;
  Options capped = problem.options(on_grid(1e-3));
  capped.soft_cap = 3.0;
  Options maximum = problem.options(on_grid(1e-3));
  maximum.want_row_max = true;
  for (const auto& [options, name] : {std::pair{causal, "causal"}, {capped, "soft_cap"}, {maximum, "row"}}) {
    EXPECT_TRUE(fails_with(ErrorCode::unsupported, {name, "grid"}, [&, &given = options] {
      polyattn::attend(problem.q.view(), keys, values, given);
    })) << name;
  }
}

TEST(Grid, NamesWhatIsNotFinite) {
  const Problem sound = cloud({50, 80, 2, 1}, Gaussian{{0.2}});
  const auto spoilt = [&](Stored Problem::*which, std::size_t at, double with) {
    Problem problem = sound;
    std::vector<double> values = (problem.*which).values;
    values[at] = with;
    problem.*which = store(DType::float64, (problem.*which).shape, values);
    return problem;
  };
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q", "row 15"},
                         [&] { attend(spoilt(&Problem::q, 31, kInfinity), on_grid(1e-3)); }));
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"k", "row 3"},
                         [&] { attend(spoilt(&Problem::k, 7, std::nan("")), on_grid(1e-3)); }));
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"v", "row 9"},
                         [&] { attend(spoilt(&Problem::v, 9, -kInfinity), on_grid(1e-3)); }));
}

TEST(Grid, CanBeCancelledAndHasItsMemoryCounted) {
  const Problem problem = cloud({5000, 5000, 2, 1}, Gaussian{{0.05}});
  Options options = on_grid(1e-4);
  std::atomic<int> calls{0};
  options.progress = [&](double done) {
    EXPECT_GE(done, 0.0);
    EXPECT_LE(done, 1.0);
    return ++calls < 1;
  };
  EXPECT_TRUE(fails_with(ErrorCode::cancelled, {}, [&] { attend(problem, options); }));
  options.progress = {};
  const Result result = attend(problem, options);
  EXPECT_GT(result.report.peak_bytes, 0U);
  options.max_memory = result.report.peak_bytes / 4;
  EXPECT_THROW(attend(problem, options), Error);
}

}  // namespace
}  // namespace polyattn::test
