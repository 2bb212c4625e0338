// Rows in two layers against the definition in long double: the error never exceeds the certificate, whatever the maps.

#include "engines/polynomial/layered_rows.hpp"
#include "numerics/balancing.hpp"
#include "support/layered_run.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;

/// Maps whose products are off by up to 1e-3, which is charged.
void spoil(engines::HeadMaps& maps, std::uint64_t seed) {
  Random random(seed);
  for (double& x : maps.key) {
    x *= 1.0 + 1e-3 * random.uniform(-1.0, 1.0);
  }
}

template <class T>
PolynomialRun run_layered(const HeadData& head, const engines::LayerShape& shape, bool balanced, bool spoilt = false) {
  const PolynomialSetup setup = make_setup(head.problem(), 2);
  engines::HeadMaps maps = balanced ? balanced_maps(head, setup.frame) : identity_maps(setup.frame);
  if (spoilt) {
    spoil(maps, 9);
  }
  return run_layers<T>(head, setup.frame, setup.values, maps, shape);
}

/// Largest error / bound over answered rows; NaN counts as infinity.
double worst_of(const HeadData& head, const PolynomialRun& run) {
  const HeadTruth<long double> truth = truth_of<long double>(head);
  double worst = 0.0;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    for (std::int64_t c = 0; run.answered[usize(i)] != 0 && c < head.value_dim; ++c) {
      const auto at = usize(i * head.value_dim + c);
      const double error =
          static_cast<double>(std::fabs(static_cast<long double>(run.output[at]) - truth.answer[at])) - truth.doubt[at];
      const double ratio = error <= 0.0 ? 0.0 : error / run.bound(i);
      worst = ratio <= worst ? worst : (std::isnan(ratio) ? std::numeric_limits<double>::infinity() : ratio);
    }
  }
  return worst;
}

/// Hard for layers: spectra that decay or do not, turned or not, spikes along weak directions, a few rows or keys far
/// out there, directions without any variance, biases, hidden keys, tiny and huge coordinates that cancel.
HeadData hard_head(std::uint64_t seed) {
  Random random(seed);
  const auto pick = [&](int count) { return static_cast<int>(random.unit() * count); };
  HeadData head = random_head(seed + 1000, 1 + pick(6), 1 + pick(60), 2 + pick(6), 1 + pick(3) * pick(4));
  const double decay = 3.0 * random.unit();
  const double size = std::exp(4.0 * random.unit() - 3.0);
  const double lop = pick(3) == 0 ? std::exp2(pick(200) - 100) : 1.0;
  for (std::vector<double>* data : {&head.q, &head.k}) {
    for (std::size_t i = 0; i < data->size(); ++i) {
      const auto l = static_cast<double>(i % usize(head.dim));
      (*data)[i] *= size * std::pow(l + 1.0, -decay) * (data == &head.q ? lop : 1.0 / lop);
      if (pick(8) == 0 && seed % 5 == 0) {
        (*data)[i] = 0.0;
      }
    }
  }
  const std::size_t last = usize(head.dim) - 1;
  if (seed % 3 == 0) {  // one key, or one query, far out along the weakest direction
    std::vector<double>& data = pick(2) == 0 ? head.k : head.q;
    data[last] *= std::exp(6.0 * random.unit());
  }
  if (seed % 7 == 0) {  // a direction without variance
    for (std::size_t j = last; j < head.k.size(); j += last + 1) {
      head.k[j] = head.k[last];
    }
  }
  if (seed % 4 == 0) {  // turned in one plane
    const double angle = 6.0 * random.unit();
    for (std::vector<double>* data : {&head.q, &head.k}) {
      for (std::size_t i = 0; i < data->size(); i += last + 1) {
        const double a = (*data)[i];
        const double b = (*data)[i + last];
        (*data)[i] = std::cos(angle) * a - std::sin(angle) * b;
        (*data)[i + last] = std::sin(angle) * a + std::cos(angle) * b;
      }
    }
  }
  if (seed % 6 == 1) {
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(pick(5) == 0 && j > 0 ? -std::numeric_limits<double>::infinity() : 8.0 * random.normal());
    }
  }
  if (seed % 6 == 2) {
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth.assign(usize(head.dim), 1.0);
    if (lop != 1.0) {
      head.q = random_head(seed, head.n_q, 1, head.dim, 1, size).q;
      head.k = random_head(seed + 1, head.n_kv, head.n_kv, head.dim, 1, size).k;
    }
  }
  head.round_to_float32();
  return head;
}

template <class T>
class PolynomialLayers : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(PolynomialLayers, Arithmetics);

TYPED_TEST(PolynomialLayers, ErrorsStayBelowTheCertificate) {
  std::int64_t answered = 0;
  double worst = 0.0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    const HeadData head = hard_head(seed);
    Random random(seed + 77);
    engines::LayerShape shape;
    shape.strong = 1 + static_cast<std::int64_t>(random.unit() * static_cast<double>(head.dim - 1));
    shape.degree = static_cast<int>(random.unit() * 9.0);
    shape.first_degree = std::min(shape.degree, static_cast<int>(random.unit() * 6.0));
    const PolynomialRun run = run_layered<TypeParam>(head, shape, seed % 2 == 0, seed % 9 == 0);
    const double here = worst_of(head, run);
    ASSERT_LE(here, 1.0) << "seed " << seed;
    worst = std::max(worst, here);
    answered += std::count(run.answered.begin(), run.answered.end(), std::uint8_t{1});
  }
  EXPECT_GT(answered, 2000) << "most rows have a certificate";
  EXPECT_GT(worst, 0.1) << "and some of them nearly need it";
}

TYPED_TEST(PolynomialLayers, ServesDecayingSpectra) {
  HeadData head = random_head(5, 64, 512, 12, 2);
  for (std::vector<double>* data : {&head.q, &head.k}) {
    for (std::size_t i = 0; i < data->size(); ++i) {
      (*data)[i] *= 0.55 * std::exp2(-0.9 * static_cast<double>(i % 12));
    }
  }
  head.round_to_float32();
  const PolynomialRun run = run_layered<TypeParam>(head, {3, 7, 5}, true);
  EXPECT_LE(worst_of(head, run), 1.0);
  for (std::size_t i = 0; i < 64; ++i) {
    ASSERT_EQ(run.answered[i], 1) << i;
    EXPECT_LE(run.bound(static_cast<std::int64_t>(i)), 1e-2) << i;
  }
}

// Errors of rounding are far below their bounds, so each term is looked at by itself.
TYPED_TEST(PolynomialLayers, JoinsWhatTheSecondListMayLose) {
  const HeadData head = random_head(8, 64, 100, 5, 2, 0.5);
  const engines::HeadProblem problem = head.problem();
  const base::Context context = serial_context();
  const PolynomialSetup setup = make_setup(problem, 2);
  const engines::TurnedHead turned = engines::turn_head(problem, setup.frame, identity_maps(setup.frame), 2, context);
  EXPECT_GT(turned.frame.weight_error, setup.frame.weight_error) << "the maps' own rounding";
  const auto layers =
      engines::prepare_layers<TypeParam>(turned, setup.values, {2, 4, 3}, turned.strong_frame.radius, context);
  const engines::FeatureList& first = layers.first.features;
  const std::int64_t block = engines::evaluation_block(first.columns());
  engines::RowBlock<TypeParam> rows(layers.strong.features, block, nullptr, true);
  engines::RowBlock<TypeParam> weak(layers.weak.features, block, nullptr);
  engines::load_row_block(turned.strong, turned.strong_frame, layers.strong.features, 0, 64, rows);
  engines::load_row_block(turned.weak, turned.weak_frame, layers.weak.features, 0, 64, weak);
  std::fill(rows.sums.begin(), rows.sums.end(), 0.0);
  std::fill(weak.sums.begin(), weak.sums.end(), 0.0);
  for (std::int64_t r = 0; r < block; ++r) {
    rows.sums[usize(2 * block + r)] = 100.0;  // W
  }
  engines::begin_certificates(layers.strong, rows);
  std::vector<std::vector<double>> before;
  for (const double* array : {rows.box, rows.rounding_scale, rows.rounding_denominator, rows.tiny, rows.lost}) {
    before.emplace_back(array, array + 64);
  }
  const std::vector<double> sums(usize((first.degree() + 1) * first.columns() * block), 0.0);
  engines::join_layers(layers, weak, sums.data(), rows);
  const double weight = layers.first.bounds.weight_high;
  for (std::size_t r = 0; r < 64; ++r) {
    ASSERT_EQ(rows.refused[r], 0);
    EXPECT_GE(rows.box[r], before[0][r] + weak.box[r]);
    const double least =
        layers.first.rounding.gamma * weak.box[r];  // p_1 is near exp: |c_0| is about 1, and the rest adds to it
    EXPECT_GE(rows.rounding_scale[r] - before[1][r], 0.9 * least);
    EXPECT_LE(rows.rounding_scale[r] - 1.1 * before[1][r], 1.2 * least * std::exp(before[0][r]));
    EXPECT_GE(rows.rounding_denominator[r] - before[2][r], 0.9 * least * weight);
    EXPECT_GT(rows.tiny[r], before[3][r]);
    EXPECT_GE(rows.lost[r], before[4][r] * std::exp(weak.radius[r]));
    EXPECT_LE(rows.denominator_low[r], rows.denominator[r] - rows.rounding_denominator[r] - rows.error[r]);
  }
}

TEST(SecondOrder, BoundsTheRemainder) {
  for (double r = 1e-12; r < 600.0; r *= 1.3) {
    const long double t = static_cast<long double>(r);
    long double truth = 0.5L;
    long double term = 0.5L;
    for (int k = 1; k < 3000; ++k) {
      term *= t / static_cast<long double>(k + 2);
      truth += term;
    }
    EXPECT_GE(static_cast<long double>(engines::second_order(r)), truth) << r;
    EXPECT_LE(static_cast<long double>(engines::second_order(r)), truth * 1.001L) << r;
  }
  EXPECT_EQ(engines::second_order(701.0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(engines::second_order(std::numeric_limits<double>::quiet_NaN()), std::numeric_limits<double>::infinity());
}

// The two terms of the weak coordinates, summed over keys that sit anywhere, spikes included.
TEST(FirstOrder, BoundsTheWeakTerms) {
  double closest = 0.0;
  double closest_uniform = 0.0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Random random(seed);
    const double radius = std::exp(3.0 * random.unit() - 2.0);
    const double reach = std::exp(6.0 * random.unit() - 5.0);
    const int degree = static_cast<int>(random.unit() * 6.0);
    const engines::PolynomialTable table = engines::make_table(radius, degree);
    const int keys = 1 + static_cast<int>(random.unit() * 20.0);
    engines::LayerMoments moments{{}, 9, 0.0, 0.0, radius, reach};
    std::vector<double> s(usize(keys));
    std::vector<double> t(usize(keys));
    std::vector<double> w(usize(keys));
    for (std::size_t j = 0; j < s.size(); ++j) {
      const bool edge = random.unit() < 0.3;
      s[j] = radius * (edge ? std::copysign(1.0, random.normal()) : 2.0 * random.unit() - 1.0);
      t[j] = reach * (random.unit() < 0.3 ? 1.0 : std::pow(random.unit(), 3.0) * random.sign());
      w[j] = std::exp(4.0 * random.normal());
      moments.weight += w[j] * (1.0 + 1e-15);
      moments.tau += w[j] * t[j] * t[j] * (1.0 + 1e-15);
    }
    for (std::size_t q = 0; q < moments.count; ++q) {
      for (std::size_t j = 0; j < s.size(); ++j) {
        moments.even[q] += w[j] * std::pow(s[j], 2 * static_cast<int>(q)) * (1.0 + 1e-14);
      }
    }
    const engines::FirstOrder first = engines::choose_first_order(table.entries.front(), moments);
    ASSERT_NE(first.polynomial, nullptr);
    long double error = 0.0L;
    long double square = 0.0L;
    for (std::size_t j = 0; j < s.size(); ++j) {
      const auto x = static_cast<long double>(s[j]);
      const auto weak = static_cast<long double>(t[j]);
      long double p = 0.0L;
      for (std::size_t u = first.polynomial->coefficients.size(); u-- > 0;) {
        p = p * x + static_cast<long double>(first.polynomial->coefficients[u]);
      }
      const long double e = weak * (p - std::exp(x)) - std::exp(x) * (std::expm1(weak) - weak);
      error += static_cast<long double>(w[j]) * std::fabs(e);
      square += static_cast<long double>(w[j]) * e * e;
    }
    const long double uniform = std::sqrt(square * static_cast<long double>(moments.weight));
    ASSERT_LE(error, static_cast<long double>(first.error)) << seed;
    ASSERT_LE(uniform, static_cast<long double>(first.uniform)) << seed;
    closest = std::max(closest, static_cast<double>(error) / first.error);
    closest_uniform = std::max(closest_uniform, static_cast<double>(uniform) / first.uniform);
  }
  EXPECT_GT(closest, 0.9) << "a spike attains it";
  EXPECT_GT(closest_uniform, 0.8);
}

TEST(Balancing, MakesBothMomentsTheSameDiagonal) {
  for (const int dim : {1, 2, 7, 33}) {
    const HeadData head = random_head(static_cast<std::uint64_t>(dim), 3 * dim + 5, 4 * dim + 9, dim, 1);
    const std::vector<double> zero(usize(dim), 0.0);
    const std::vector<double> one(usize(dim), 1.0);
    const std::vector<double> q = second_moments(head.q, dim, zero, one);
    const std::vector<double> k = second_moments(head.k, dim, zero, one);
    const std::optional<numerics::Balancing> found = numerics::balance(q, k, dim);
    ASSERT_TRUE(found);
    for (int i = 0; i < dim; ++i) {
      for (int j = 0; j < dim; ++j) {
        double identity = 0.0;
        double of_q = 0.0;
        double of_k = 0.0;
        for (int a = 0; a < dim; ++a) {
          identity += found->query[usize(a * dim + i)] * found->key[usize(a * dim + j)];
          for (int b = 0; b < dim; ++b) {
            of_q += found->query[usize(i * dim + a)] * q[usize(a * dim + b)] * found->query[usize(j * dim + b)];
            of_k += found->key[usize(i * dim + a)] * k[usize(a * dim + b)] * found->key[usize(j * dim + b)];
          }
        }
        const double target = i == j ? found->spread[usize(i)] : 0.0;
        EXPECT_NEAR(identity, i == j ? 1.0 : 0.0, 1e-9);
        EXPECT_NEAR(of_q, target, 1e-4 * found->spread[0]);
        EXPECT_NEAR(of_k, target, 1e-4 * found->spread[0]);
      }
    }
    EXPECT_TRUE(std::is_sorted(found->spread.rbegin(), found->spread.rend()));
  }
  EXPECT_FALSE(numerics::balance(std::vector<double>(4, 0.0), {1.0, 0.0, 0.0, 1.0}, 2)) << "no query varies";
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(numerics::balance({1.0, 0.0, 0.0, 1.0}, {nan, 0.0, 0.0, 1.0}, 2));
}

}  // namespace
}  // namespace polyattn::test
