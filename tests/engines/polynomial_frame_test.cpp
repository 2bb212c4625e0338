// Centring (docs/theory.md, section 2): the scores are what they were, the radius bounds them, coordinates lie in [-1,
// 1].

#include "engines/polynomial/frame.hpp"

#include "engines/polynomial_support.hpp"
#include "numerics/rounding.hpp"
#include "support/expect_error.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;
using engines::Frame;
using engines::HeadProblem;
using engines::ScoreKind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Quad wide(double x) { return static_cast<Quad>(x); }
double magnitude(Quad x) { return static_cast<double>(x < 0 ? -x : x); }

struct NamedHead {
  std::string name;
  HeadData head;
};

std::vector<NamedHead> heads() {
  std::vector<NamedHead> all;
  const auto add = [&](const std::string& name, HeadData head) { all.push_back({name, std::move(head)}); };
  HeadData plain = random_head(1, 9, 30, 3, 1);
  plain.score.scale = 0.7;
  add("dot", plain);
  HeadData negative = plain;
  negative.score.scale = -1.3;
  add("negative scale", negative);
  HeadData biased = plain;
  for (std::int64_t j = 0; j < biased.n_kv; ++j) {
    biased.bias.push_back(j % 7 == 3 ? -kInfinity : 0.9 * static_cast<double>(j) - 300.0);
  }
  add("bias", biased);
  HeadData shifted = plain;
  for (double& x : shifted.q) {
    x += 1000.0;
  }
  for (double& x : shifted.k) {
    x -= 5e6;
  }
  add("offsets", shifted);
  HeadData gaussian = shifted;
  for (double& x : gaussian.k) {
    x += 5e6 + 990.0;
  }
  gaussian.score.kind = ScoreKind::gaussian;
  gaussian.score.bandwidth = {0.5, 3.0, 1.7};
  add("gaussian", gaussian);
  gaussian.bias = biased.bias;
  add("gaussian with bias", gaussian);
  HeadData one = random_head(2, 1, 1, 2, 1);
  add("one query, one key", one);
  HeadData flat = random_head(3, 5, 12, 4, 1);
  for (std::int64_t j = 0; j < flat.n_kv; ++j) {
    flat.k[usize(4 * j + 2)] = 0.1;  // an axis without spread
  }
  add("a flat axis", flat);
  HeadData sizes = random_head(4, 5, 12, 4, 1);  // axes of very different size
  for (std::size_t i = 0; i < sizes.q.size(); ++i) {
    sizes.q[i] = std::ldexp(sizes.q[i], 60 * static_cast<int>(i % 4) - 90);
  }
  for (std::size_t i = 0; i < sizes.k.size(); ++i) {
    sizes.k[i] = std::ldexp(sizes.k[i], 90 - 60 * static_cast<int>(i % 4));
  }
  add("axes of very different size", sizes);
  return all;
}

Frame frame_of(const HeadProblem& problem) {
  const base::Context context = serial_context();
  return engines::make_frame(problem, engines::query_extent(problem, context), context);
}

/// 1/H^2 or the scale, not rounded.
Quad metric(const HeadData& head, std::int64_t l) {
  if (head.score.kind == ScoreKind::dot) {
    return wide(head.score.scale);
  }
  const Quad h = wide(head.score.bandwidth[usize(l)]);
  return 1 / (h * h);
}

/// s'_ij, and the sum of the absolute values of its terms.
struct Centred {
  Quad score = 0;
  Quad absolute = 0;
};
Centred centred_score(const HeadData& head, const Frame& frame, std::int64_t i, std::int64_t j) {
  Centred out;
  for (std::int64_t l = 0; l < head.dim; ++l) {
    const Quad q = wide(head.q[usize(i * head.dim + l)]) - wide(frame.query_centre[usize(l)]);
    const Quad k = wide(head.k[usize(j * head.dim + l)]) - wide(frame.key_centre[usize(l)]);
    const Quad term = metric(head, l) * q * k;
    out.score += term;
    out.absolute += term < 0 ? -term : term;
  }
  return out;
}

/// s_ij + b_j as stated.
Quad stated_score(const HeadData& head, std::int64_t i, std::int64_t j) {
  Quad sum = head.bias.empty() ? 0 : wide(head.bias[usize(j)]);
  for (std::int64_t l = 0; l < head.dim; ++l) {
    const Quad q = wide(head.q[usize(i * head.dim + l)]);
    const Quad k = wide(head.k[usize(j * head.dim + l)]);
    sum += head.score.kind == ScoreKind::dot ? metric(head, l) * q * k : -metric(head, l) * (q - k) * (q - k) / 2;
  }
  return sum;
}

/// The row's factor rho_i.
Quad row_factor(const HeadData& head, const Frame& frame, std::int64_t i) {
  Quad sum = 0;
  for (std::int64_t l = 0; l < head.dim; ++l) {
    const Quad c = wide(frame.query_centre[usize(l)]);
    const Quad q = wide(head.q[usize(i * head.dim + l)]) - c;
    const Quad kappa = wide(frame.key_centre[usize(l)]);
    sum += head.score.kind == ScoreKind::dot ? metric(head, l) * q * kappa
                                             : metric(head, l) * q * (kappa - c) - metric(head, l) * q * q / 2;
  }
  return sum;
}

bool hidden(const HeadData& head, std::int64_t j) { return !head.bias.empty() && head.bias[usize(j)] == -kInfinity; }

TEST(PolynomialFrame, CentredScoresAndWeightsAreTheScores) {
  for (const NamedHead& named : heads()) {
    const HeadData& head = named.head;
    const Frame frame = frame_of(head.problem());
    double largest = -kInfinity;
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      if (hidden(head, j)) {
        EXPECT_EQ(frame.log_weight[usize(j)], -kInfinity) << named.name;
        continue;
      }
      largest = std::max(largest, frame.log_weight[usize(j)]);
      for (std::int64_t i = 0; i < head.n_q; ++i) {
        const Quad log_weight =
            stated_score(head, i, j) - centred_score(head, frame, i, j).score - row_factor(head, frame, i);
        // 2^-70: the rounding of binary128, whose terms reach 10^13 here.
        ASSERT_LE(magnitude(log_weight - wide(frame.log_weight[usize(j)])), frame.weight_error + 0x1p-70) << named.name;
      }
    }
    EXPECT_EQ(frame.log_scale, largest) << named.name;
  }
}

TEST(PolynomialFrame, RowRadiusBoundsEveryScore) {
  for (const NamedHead& named : heads()) {
    const HeadData& head = named.head;
    const Frame frame = frame_of(head.problem());
    for (std::int64_t i = 0; i < head.n_q; ++i) {
      std::vector<double> row;
      for (std::int64_t l = 0; l < head.dim; ++l) {
        row.push_back(head.q[usize(i * head.dim + l)] - frame.query_centre[usize(l)]);
      }
      const engines::RowRadius radius = engines::row_radius(frame, row.data());
      EXPECT_TRUE(radius.inside) << named.name << ": a row the frame was made for";
      EXPECT_LE(radius.radius, frame.radius);
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        if (!hidden(head, j)) {
          const Centred score = centred_score(head, frame, i, j);
          ASSERT_LE(magnitude(score.score), radius.radius) << named.name;
          ASSERT_LE(magnitude(score.absolute), radius.box) << named.name;
        }
      }
    }
  }
}

// Where both norms are attained in the same direction the radius is the largest score, but for its safety factors.
TEST(PolynomialFrame, TheRadiusIsAttained) {
  HeadData head;
  head.n_q = head.n_kv = 2;
  head.dim = 3;
  head.q = {1, 2, 2, -1, -2, -2};
  head.k = {10, 20, 20, -10, -20, -20};
  head.v = {0, 1};
  const Frame frame = frame_of(head.problem());
  EXPECT_GE(frame.radius, 90.0);
  EXPECT_LE(frame.radius, 90.0 * (1.0 + 2e-5));
}

// Squares that vanish in float64 although their products do not.
TEST(PolynomialFrame, TheRadiusSurvivesUnderflowOfTheNorms) {
  for (const double k : {1.5e-162, 1e-170, 1e-200}) {
    for (const bool swapped : {false, true}) {
      HeadData head;
      head.n_q = head.n_kv = 2;
      head.dim = 64;
      for (std::int64_t i = 0; i < 2 * head.dim; ++i) {
        const double sign = i < head.dim ? 1.0 : -1.0;
        head.q.push_back(sign * (swapped ? k : 1e153));
        head.k.push_back(sign * (swapped ? 1e153 : k));
      }
      head.v = {0, 1};
      const Frame frame = frame_of(head.problem());
      const double score = 64.0 * k * 1e153;
      EXPECT_GE(frame.radius, score) << k;
      std::vector<double> row;
      for (std::int64_t l = 0; l < head.dim; ++l) {
        row.push_back(head.q[usize(l)] - frame.query_centre[usize(l)]);
      }
      EXPECT_GE(engines::row_radius(frame, row.data()).radius, score) << k;
    }
  }
}

template <class T>
void expect_coordinates_of(const NamedHead& named) {
  const HeadData& head = named.head;
  const Frame frame = frame_of(head.problem());
  const std::int64_t ld = head.n_kv + 3;
  std::vector<T> x(usize(head.dim * ld), T(7));
  std::vector<double> scratch;
  engines::load_key_coordinates(head.problem(), frame, 1, head.n_kv - 1, x.data(), ld, scratch);
  const double unit = sizeof(T) == 4 ? numerics::kU32 : numerics::kU64;
  for (std::int64_t l = 0; l < head.dim; ++l) {
    int exponent = 0;
    EXPECT_EQ(std::frexp(frame.key_scale[usize(l)], &exponent), 0.5) << named.name << ": a power of two";
    EXPECT_EQ(std::frexp(frame.query_scale[usize(l)], &exponent), 0.5) << named.name;
    EXPECT_LE(frame.query_half[usize(l)], frame.query_scale[usize(l)]) << named.name;
    EXPECT_EQ(frame.z[usize(l)], frame.metric[usize(l)] * frame.query_scale[usize(l)] * frame.key_scale[usize(l)]);
    for (std::int64_t j = 0; j < ld; ++j) {
      const auto stored = static_cast<double>(x[usize(l * ld + j)]);
      if (j + 1 >= head.n_kv) {
        ASSERT_EQ(stored, 7.0) << "beyond the keys asked for";
      } else if (hidden(head, j + 1)) {
        ASSERT_EQ(stored, 0.0) << named.name;
      } else {
        ASSERT_LE(std::fabs(stored), 1.0) << named.name;
        const Quad exact = (wide(head.k[usize((j + 1) * head.dim + l)]) - wide(frame.key_centre[usize(l)])) /
                           wide(frame.key_scale[usize(l)]);
        const double allowed = (unit * (1.0 + 1e-6) + numerics::kU64) * magnitude(exact) + 0x1p-149;
        ASSERT_LE(magnitude(exact - wide(stored)), allowed) << named.name;
      }
    }
  }
}

TEST(PolynomialFrame, KeyCoordinatesLieInTheUnitBox) {
  for (const NamedHead& named : heads()) {
    expect_coordinates_of<float>(named);
    expect_coordinates_of<double>(named);
  }
}

TEST(PolynomialFrame, QueriesOutsideTheExtentAreNotServed) {
  const HeadData head = random_head(5, 20, 30, 3, 1);
  const Frame frame = frame_of(head.problem());
  for (std::size_t l = 0; l < 3; ++l) {
    std::vector<double> row(3, 0.0);
    row[l] = frame.query_half[l];
    EXPECT_TRUE(engines::row_radius(frame, row.data()).inside);
    row[l] = -std::nextafter(frame.query_half[l], kInfinity);
    EXPECT_FALSE(engines::row_radius(frame, row.data()).inside);
    row[l] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_FALSE(engines::row_radius(frame, row.data()).inside);
    row[l] = kInfinity;
    EXPECT_FALSE(engines::row_radius(frame, row.data()).inside);
  }
}

TEST(PolynomialFrame, ShiftingQueriesOrKeysDoesNotEnlargeTheRadius) {
  const HeadData head = random_head(6, 12, 30, 2, 1);
  HeadData shifted = head;
  for (double& x : shifted.q) {
    x += 64.0;
  }
  for (double& x : shifted.k) {
    x -= 128.0;
  }
  const double radius = frame_of(head.problem()).radius;
  const Frame frame = frame_of(shifted.problem());
  // The weights follow the query centre, and the key centre follows them: it may move to the heavy keys.
  EXPECT_LE(frame.radius, 2.0 * radius * (1.0 + 1e-9));
  EXPECT_GT(frame.radius_before, 64.0 * 128.0);
}

TEST(PolynomialFrame, KeysThatAreHiddenAreNeverRead) {
  HeadData clean = random_head(7, 5, 20, 2, 1);
  clean.bias.assign(20, 0.25);
  for (const std::int64_t j : {0, 7, 19}) {
    clean.bias[usize(j)] = -kInfinity;
  }
  HeadData poisoned = clean;
  for (const std::int64_t j : {0, 7, 19}) {
    poisoned.k[usize(2 * j)] = std::numeric_limits<double>::quiet_NaN();
    poisoned.k[usize(2 * j + 1)] = kInfinity;
  }
  const Frame expected = frame_of(clean.problem());
  const Frame frame = frame_of(poisoned.problem());
  EXPECT_EQ(frame.visible_keys, 17);
  EXPECT_EQ(frame.radius, expected.radius);
  EXPECT_EQ(frame.key_centre, expected.key_centre);
  EXPECT_EQ(frame.z, expected.z);
  EXPECT_EQ(frame.weight_error, expected.weight_error);
}

TEST(PolynomialFrame, WithoutAVisibleKeyTheFrameIsEmpty) {
  HeadData head = random_head(8, 3, 4, 2, 1);
  head.bias.assign(4, -kInfinity);
  const Frame frame = frame_of(head.problem());
  EXPECT_EQ(frame.visible_keys, 0);
  EXPECT_EQ(frame.log_scale, 0.0);
  EXPECT_GE(frame.radius, 0.0);
}

TEST(PolynomialFrame, TheFirstNonFiniteNumberIsNamed) {
  HeadData head = random_head(9, 5, 9, 2, 1);
  head.q[usize(2 * 3 + 1)] = std::numeric_limits<double>::quiet_NaN();
  head.q[usize(2 * 4)] = kInfinity;
  EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q", "NaN", "row 3", "column 1"}, [&] { frame_of(head.problem()); }));
  head = random_head(9, 5, 9, 2, 1);
  head.k[usize(2 * 8)] = -kInfinity;
  EXPECT_TRUE(
      fails_with(ErrorCode::non_finite, {"k", "infinity", "row 8", "column 0"}, [&] { frame_of(head.problem()); }));
}

// More rows than one block of statistics.
TEST(PolynomialFrame, DoesNotDependOnThreads) {
  HeadData head = random_head(10, 9000, 13000, 2, 1);
  head.bias.resize(13000);
  Random random(11);
  for (double& b : head.bias) {
    b = random.chance(0.1) ? -kInfinity : random.uniform(-3.0, 3.0);
  }
  const Frame serial = frame_of(head.problem());
  base::MemoryMeter memory;
  const base::Context context{4, &memory, nullptr};
  const Frame parallel = engines::make_frame(head.problem(), engines::query_extent(head.problem(), context), context);
  EXPECT_EQ(parallel.query_centre, serial.query_centre);
  EXPECT_EQ(parallel.key_centre, serial.key_centre);
  EXPECT_EQ(parallel.z, serial.z);
  EXPECT_EQ(parallel.radius, serial.radius);
  EXPECT_EQ(parallel.weight_error, serial.weight_error);
  EXPECT_EQ(parallel.far_keys, serial.far_keys);
  EXPECT_TRUE(std::equal(parallel.log_weight.begin(), parallel.log_weight.end(), serial.log_weight.begin()));
  // Jensen's inequality is best at the weighted mean of the keys.
  double weight = 0.0;
  double first = 0.0;
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const double w = std::exp(serial.log_weight[usize(j)] - serial.log_scale);
    weight += w;
    first += w * (head.k[usize(2 * j)] - serial.key_centre[0]);
  }
  EXPECT_LE(std::fabs(first / weight), 1e-10);
}

}  // namespace
}  // namespace polyattn::test
