// Inputs made to break the exact engine's bounds, all judged in long double; and its bound known beforehand.

#include "base/checked.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/heads.hpp"

namespace polyattn::engines::test {
namespace {

template <class T>
class ExactHostile : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(ExactHostile, Arithmetics);

template <class T>
void run(const Head& head, Clearance& clearance, const std::string& what, std::int64_t stride = 1) {
  judge(head, exact<T>(head), clearance, what, stride);
  Head masked = head;
  masked.mask = {true, head.n_kv - head.n_q};
  judge(masked, exact<T>(masked), clearance, what + ", causal", stride);
}

TYPED_TEST(ExactHostile, Ties) {
  Clearance clearance;
  for (const std::int64_t n : {2, 129, 500}) {
    Head head = random_head(1, 5, n, 4, 3);
    for (std::size_t j = 0; j < head.k.size(); ++j) {
      head.k[j] = head.k[j % 4];
    }
    run<TypeParam>(head, clearance, "equal keys");
    for (std::size_t j = 0; j < static_cast<std::size_t>(n); ++j) {  // two sorts of keys that tie at the top
      head.k[4 * j] = j % 2 == 0 ? 5.0 : -5.0;
      head.q[0] = 0.0;
    }
    run<TypeParam>(head, clearance, "two sorts");
  }
  clearance.print("ties");
}

TYPED_TEST(ExactHostile, LargeScores) {
  Clearance clearance;
  std::uint64_t seed = 10;
  for (const double spread : {3.0, 10.0, 100.0, 1e3, 1e6, 1e15}) {
    for (const std::int64_t d : {1, 4, 40}) {
      run<TypeParam>(random_head(seed++, 4, 300, d, 3, spread), clearance, "scores of size " + std::to_string(spread));
    }
  }
  // Scores of 1e4 that differ by little.
  for (const double shift : {1e2, 1e4}) {
    Head head = random_head(seed++, 4, 300, 1, 3);
    head.q = {1.0, 1.0, -1.0, 0.5};
    for (double& k : head.k) {
      k = shift + 0.01 * k;
    }
    run<TypeParam>(head, clearance, "offset scores");
  }
  clearance.print("large scores");
}

TYPED_TEST(ExactHostile, OneDominantKey) {
  Clearance clearance;
  for (const std::int64_t at : {0, 127, 128, 299}) {
    for (const double lead : {5.0, 30.0, 86.0, 88.0, 120.0, 700.0, 750.0, 1e5}) {
      Head head = random_head(20, 4, 300, 3, 3);
      head.bias.assign(300, 0.0);
      head.bias[static_cast<std::size_t>(at)] = lead;
      head.v[static_cast<std::size_t>(3 * at)] = 0.0;
      run<TypeParam>(head, clearance, "lead " + std::to_string(lead));
    }
  }
  clearance.print("one dominant key");
}

// The maximum grows from key to key, so that every block rescales what came before.
TYPED_TEST(ExactHostile, GrowingMaximum) {
  Clearance clearance;
  for (const double step : {1e-3, 0.1, 1.0, 30.0}) {
    Head head = random_head(30, 4, 2300, 2, 9);
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.k[static_cast<std::size_t>(2 * j)] = step * static_cast<double>(j);
    }
    head.q = {1.0, 0.0, -1.0, 0.3, 0.01, 1.0, 0.0, 0.0};
    run<TypeParam>(head, clearance, "step " + std::to_string(step));
  }
  clearance.print("growing maximum");
}

TYPED_TEST(ExactHostile, Subnormals) {
  Clearance clearance;
  std::uint64_t seed = 40;
  for (const double tiny : {1e-36, 1e-39, 1e-44, 1e-46, 1e-300, 1e-310, 5e-324}) {
    Head head = random_head(seed++, 4, 200, 3, 3);
    for (double& v : head.v) {
      v *= tiny;
    }
    run<TypeParam>(head, clearance, "values of " + std::to_string(tiny));
    head = random_head(seed++, 4, 200, 3, 3);
    for (double& k : head.k) {
      k *= tiny;
    }
    run<TypeParam>(head, clearance, "small keys");
    for (double& q : head.q) {
      q *= std::min(1 / tiny, 1e290);
    }
    run<TypeParam>(head, clearance, "small keys, large queries");
    head.score.scale = 1e-305;
    run<TypeParam>(head, clearance, "small scale");
  }
  clearance.print("subnormals");
}

TYPED_TEST(ExactHostile, LargeValues) {
  Clearance clearance;
  std::uint64_t seed = 60;
  for (const double large : {1e15, 1e29, 1e34, 3e38, 1e300, 1e308}) {
    Head head = random_head(seed++, 4, 3000, 2, 9, 0.1);
    for (double& v : head.v) {
      v = std::clamp(v, -1.7, 1.7) * large;
    }
    const Answer answer = exact<TypeParam>(head);
    if (sizeof(TypeParam) == sizeof(float) && large > 2e38) {
      EXPECT_EQ(answer.rounding[0], kInfinity);  // beyond float32: float64 has to answer
      continue;
    }
    judge(head, answer, clearance, "values of " + std::to_string(large));
    EXPECT_EQ(answer.rounding[0] < kInfinity, large < 1e308);  // there max - min overflows
  }
  clearance.print("large values");
}

TYPED_TEST(ExactHostile, GaussianNarrowAndWide) {
  Clearance clearance;
  std::uint64_t seed = 80;
  for (const double bandwidth : {1e-30, 1e-12, 1e-3, 0.05, 1.0, 1e3, 1e12, 1e30}) {
    for (const double offset : {0.0, 10.0, 1e6}) {
      for (const DType storage : {DType::float32, DType::float64}) {
        Head head = random_head(seed++, 5, 300, 3, 4);
        for (auto* numbers : {&head.q, &head.k}) {
          for (double& x : *numbers) {
            x += offset;
          }
        }
        std::copy_n(head.k.begin(), 3, head.q.begin());  // one query on a key
        head.storage = storage;
        run<TypeParam>(gaussian(head, {bandwidth}), clearance, "bandwidth " + std::to_string(bandwidth));
        run<TypeParam>(gaussian(head, {bandwidth, 2.0 * bandwidth}), clearance, "bandwidths");
      }
    }
  }
  clearance.print("gaussian");
}

TYPED_TEST(ExactHostile, DuplicatesAndFarQueries) {
  Clearance clearance;
  Head head = random_head(90, 6, 400, 4, 3);
  std::copy_n(head.k.begin(), 800, head.k.begin() + 800);
  std::copy_n(head.v.begin(), 600, head.v.begin() + 600);
  run<TypeParam>(head, clearance, "duplicates");
  for (std::size_t l = 0; l < 12; ++l) {
    head.q[l] = 1e3 * head.q[l];
  }
  run<TypeParam>(head, clearance, "far queries");
  run<TypeParam>(gaussian(head, {0.5}), clearance, "far queries, gaussian");
  clearance.print("duplicates, far queries");
}

// In these, almost all of the bound comes from one source; none may be missing.
TYPED_TEST(ExactHostile, EverySourceOfError) {
  Clearance clearance;
  // Rounding of the sums: equal weights, values of one sign that round the same way over and over.
  Head head;
  for (const std::int64_t n : {100, 128, 2048, 20000}) {
    head = random_head(100, 3, n, 1, 30, 0.0);
    head.storage = DType::float32;
    for (double& v : head.v) {
      v = 1 + 0.01 * std::fabs(v);
    }
    judge(head, exact<TypeParam>(head), clearance, "sums");
  }
  // Rounding of scores: long chains with cancellation, a value range of 1 at the two ends.
  for (std::uint64_t seed = 101; seed < 140; ++seed) {
    head = random_head(seed, 4, 2, 64, 1, 1.0);
    for (std::size_t l = 0; l < 64; ++l) {
      head.k[64 + l] = head.k[l] * (1 + 1e-6);
    }
    for (double& q : head.q) {
      q *= 30.0;
    }
    head.v = {0.5, -0.5};
    judge(head, exact<TypeParam>(head), clearance, "scores");
  }
  // Conversion of queries and keys: one long coordinate each.
  for (std::uint64_t seed = 140; seed < 180; ++seed) {
    head = random_head(seed, 4, 2, 1, 1, 3.0);
    head.v = {0.5, -0.5};
    judge(head, exact<TypeParam>(head), clearance, "conversion");
    head.bias = {1e3 / 3.0, 1e3 / 3.0 - head.k[0]};
    judge(head, exact<TypeParam>(head), clearance, "biases");
    head.mask = {true, 0};
    judge(gaussian(head, {0.3}), exact<TypeParam>(gaussian(head, {0.3})), clearance, "gaussian");
  }
  clearance.print("single sources");
}

template <class T>
ExactBound beforehand(const Head& head) {
  const Prepared prepared(head);
  const PackedKeys<T> keys = pack_keys<T>(prepared.problem, {});
  QueryStatistics queries;
  queries.query_min.assign(static_cast<std::size_t>(head.d), kInfinity);
  queries.query_max.assign(static_cast<std::size_t>(head.d), -kInfinity);
  const std::vector<double> q = prepared.q.numbers();
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    double square = 0.0;
    for (std::int64_t l = 0; l < head.d; ++l) {
      const double x = q[base::usize(i * head.d + l)];
      square += x * x;
      queries.query_min[base::usize(l)] = std::min(queries.query_min[base::usize(l)], x);
      queries.query_max[base::usize(l)] = std::max(queries.query_max[base::usize(l)], x);
    }
    queries.max_norm = std::max(queries.max_norm, std::sqrt(square) * (1 + 1e-14));
  }
  queries.queries_exact = sizeof(T) == sizeof(double) || base::fits_float32(prepared.problem.queries);
  return exact_bound<T>(head.score, keys.statistics, queries, head.output);
}

// The bound known before running covers every row's own, and is not far from it on ordinary data.
TYPED_TEST(ExactHostile, KnownBeforehand) {
  double loosest = 0.0;
  std::uint64_t seed = 200;
  for (const std::int64_t n : {1, 100, 5000}) {
    for (const double spread : {0.1, 1.0, 4.0, 1e3}) {
      for (const DType output : {DType::float32, DType::float64}) {
        Head head = random_head(seed++, 20, n, 6, 3, spread);
        head.output = output;
        head.storage = seed % 2 == 0 ? DType::float32 : DType::float64;
        std::vector<Head> heads = {head, gaussian(head, {2.0, 1.0})};
        std::mt19937_64 random(seed);
        head.bias = normal(random, n, 2.0);
        head.mask = {true, n - 10};
        heads.push_back(head);
        for (const Head& each : heads) {
          const Answer answer = exact<TypeParam>(each);
          const ExactBound bound = beforehand<TypeParam>(each);
          for (std::size_t i = 0; i < 20; ++i) {
            EXPECT_LE(answer.rounding[i], bound.rounding);
            EXPECT_LE(answer.lse_bound[i], bound.lse);
            EXPECT_LE(answer.relative[i], bound.relative);
          }
          if (spread < 2 && output == DType::float64 && each.score.kind == ScoreKind::dot && each.bias.empty()) {
            loosest =
                std::max(loosest, bound.rounding / *std::max_element(answer.rounding.begin(), answer.rounding.end()));
          }
        }
      }
    }
  }
  std::printf("[ looseness] bound known beforehand over largest row bound: at most %.2f\n", loosest);
  EXPECT_LE(loosest, 4.0);
}

// What the float32 engine certifies is useful: 1e-4 of the value range at ordinary score sizes.
TEST(ExactBound, Float32IsCertifiedBelow1eMinus4) {
  const Head head = random_head(300, 50, 4096, 64, 8);
  const Answer answer = exact<float>(head);
  for (const double rounding : answer.rounding) {
    EXPECT_LT(rounding, 8 * 1e-4);
  }
}

}  // namespace
}  // namespace polyattn::engines::test
