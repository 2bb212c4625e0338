// Sums that keys are added to (growing_sums.cpp), against the same sums in long double.

#include "engines/polynomial/growing_sums.hpp"

#include "engines/polynomial/key_shells.hpp"
#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial_support.hpp"
#include "numerics/rounding.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <optional>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;
using engines::GrownFrame;
using engines::MomentTotals;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

long double wide(double x) { return static_cast<long double>(x); }

/// Keys [first, last) of a head.
HeadData slice(const HeadData& head, std::int64_t first, std::int64_t last) {
  HeadData out = head;
  const auto cut = [&](const std::vector<double>& data, std::int64_t columns) {
    return std::vector<double>(data.begin() + first * columns, data.begin() + last * columns);
  };
  out.n_kv = last - first;
  out.k = cut(head.k, head.dim);
  out.v = cut(head.v, head.value_dim);
  if (!head.bias.empty()) {
    out.bias = cut(head.bias, 1);
  }
  return out;
}

struct Grown {
  PolynomialSetup setup;  ///< of the first keys
  engines::QueryExtent extent;
  GrownFrame last;
  MomentTotals totals;
};

/// The sums of keys [0, first), then of `step` at a time until the end.
template <class T>
Grown grow(const HeadData& head, std::int64_t first, std::int64_t step, int degree) {
  const HeadData old = slice(head, 0, first);
  Grown out{make_setup(old.problem(), degree), engines::query_extent(head.problem(), serial_context()), {}, {}};
  out.totals = engines::make_totals(out.setup.features, nullptr);
  engines::sum_moments<T>(old.problem(), out.setup.frame, out.setup.values, out.setup.features, 0, serial_context(),
                          out.totals);
  static_cast<engines::FrameShape&>(out.last.frame) = out.setup.frame;
  out.last.unit = engines::weight_unit(out.setup.frame);
  for (std::int64_t at = first; at < head.n_kv; at += step) {
    const HeadData added = slice(head, at, std::min(at + step, head.n_kv));
    auto next = engines::grow_frame(out.last.frame, out.last.unit, out.extent, added.problem(), serial_context());
    if (!next) {
      ADD_FAILURE() << "the frame does not carry key " << at;
      return out;
    }
    out.last = *std::move(next);
    out.totals = engines::add_keys<T>(out.totals, added.problem(), out.last, out.setup.values, out.setup.features,
                                      serial_context());
  }
  return out;
}

/// Every moment of one coordinate within gamma of the sum of absolute values, weights off by no more than the frame
/// says.
template <class T>
void expect_moments(const HeadData& head, const Grown& grown, int degree) {
  const engines::FrameShape& frame = grown.last.frame;
  const engines::RoundingModel rounding =
      engines::rounding_model<T>(degree, grown.setup.features.rank(), grown.totals.keys);
  const long double zeta = wide(frame.weight_error) + wide(rounding.weight);
  const std::int64_t columns = head.value_dim + 1;
  for (int t = 0; t <= degree; ++t) {
    for (std::int64_t c = 0; c < columns; ++c) {
      long double sum = 0.0L;
      long double absolute = 0.0L;
      long double lost = 0.0L;
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        if (head.bias[usize(j)] == -kInfinity) {
          continue;
        }
        const long double key = wide(head.k[usize(j)]);
        const long double log_weight =
            wide(head.bias[usize(j)]) + wide(frame.metric[0]) * wide(frame.query_centre[0]) * key;
        const auto x =
            static_cast<long double>(static_cast<T>((head.k[usize(j)] - frame.key_centre[0]) / frame.key_scale[0]));
        ASSERT_LE(std::fabs(x), 1.0L);
        const long double value = c == head.value_dim ? 1.0L
                                                      : wide(head.v[usize(head.value_dim * j + c)]) -
                                                            wide(grown.setup.values.centre[usize(c)]);
        const long double term = std::exp(log_weight - wide(frame.log_scale)) * std::pow(x, t) * value;
        sum += term;
        absolute += std::fabs(term);
        lost += wide(rounding.lost) * std::fabs(value);
      }
      const long double computed = wide(grown.totals.totals[usize(t * columns + c)]);
      EXPECT_LE(std::fabs(computed - sum), (wide(rounding.gamma) + std::expm1(zeta)) * absolute + lost)
          << "degree " << t << ", column " << c << ", of " << static_cast<double>(sum);
    }
  }
}

HeadData one_dimension(std::uint64_t seed, std::int64_t n, double rise) {
  HeadData head = random_head(seed, 20, n, 1, 2, 0.3);
  head.k[0] = -1.5;  // the first keys' extents hold all others
  head.k[1] = 1.5;
  Random random(seed + 1);
  for (std::int64_t j = 0; j < n; ++j) {
    const double level = j < 400 ? 0.0 : rise * static_cast<double>(j - 399);
    head.bias.push_back(j > 1 && j % 11 == 5 ? -kInfinity : level + random.uniform(-2.0, 2.0));
  }
  return head;
}

template <class T>
class GrowingSums : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(GrowingSums, Arithmetics);

TYPED_TEST(GrowingSums, AreTheMomentsOfAllKeys) {
  for (const double rise : {0.0, 0.7, 13.0, 1000.0, -0.7, -50.0}) {
    for (const std::int64_t step : {1, 37, 600}) {
      const HeadData head = one_dimension(20, 470, rise);
      expect_moments<TypeParam>(head, grow<TypeParam>(head, 400, step, 5), 5);
    }
  }
}

TYPED_TEST(GrowingSums, OldSumsMoveByAPowerOfTwo) {
  const HeadData head = one_dimension(21, 401, 25.0);
  const Grown before = grow<TypeParam>(slice(head, 0, 400), 400, 1, 3);
  HeadData hidden = head;  // the same keys, if none of the last were seen
  const Grown after = grow<TypeParam>(head, 400, 1, 3);
  EXPECT_LT(after.last.factor, 1.0);
  EXPECT_EQ(std::exp2(std::round(std::log2(after.last.factor))), after.last.factor);
  EXPECT_GE(after.last.frame.log_scale, head.bias[400] - 2.0);
  EXPECT_NEAR(after.last.frame.log_scale - before.last.frame.log_scale,
              -std::log2(after.last.factor) * std::numbers::ln2, 1e-12);
  hidden.bias[400] = -kInfinity;
  const Grown same = grow<TypeParam>(hidden, 400, 1, 3);
  EXPECT_EQ(same.last.factor, 1.0);
  EXPECT_EQ(same.last.frame.radius, before.setup.frame.radius);
  for (std::size_t i = 0; i < same.totals.totals.size(); ++i) {
    EXPECT_EQ(same.totals.totals[i], before.totals.totals[i]);
  }
}

TEST(GrownFrames, HoldTheExtentsOfAllKeys) {
  HeadData head = one_dimension(22, 420, 0.0);
  head.k[410] = 1.7;  // beyond the others, within the power of two
  head.bias[410] = 0.0;
  const Grown grown = grow<double>(head, 400, 5, 3);
  EXPECT_GE(grown.last.frame.key_half[0], 1.7 - grown.last.frame.key_centre[0]);
  EXPECT_GT(grown.last.frame.radius, grown.setup.frame.radius);
  EXPECT_EQ(grown.last.frame.key_scale, grown.setup.frame.key_scale);
  EXPECT_EQ(grown.last.frame.z, grown.setup.frame.z);
}

TEST(GrownFrames, EndWhereCoordinatesWould) {
  const HeadData head = one_dimension(23, 401, 0.0);
  const HeadData old = slice(head, 0, 400);
  const PolynomialSetup setup = make_setup(old.problem(), 3);
  const engines::QueryExtent extent = engines::query_extent(head.problem(), serial_context());
  const auto carried = [&](double key, double bias) {
    HeadData added = slice(head, 400, 401);
    added.k[0] = key;
    added.bias[0] = bias;
    return engines::grow_frame(setup.frame, engines::weight_unit(setup.frame), extent, added.problem(),
                               serial_context())
        .has_value();
  };
  EXPECT_TRUE(carried(1.0, 0.0));
  EXPECT_FALSE(carried(7.0, 0.0));
  EXPECT_TRUE(carried(7.0, -kInfinity));  // nobody sees it
  EXPECT_TRUE(carried(1.0, 1e6));
  EXPECT_FALSE(carried(1.0, 1e300));
}

// A row's charge is at least what it loses: the mass of every key beyond the cut, old or added, in the unit of the
// frame.
TEST(GrownFrames, ChargeForAddedFarKeys) {
  for (const double rise : {0.0, 30.0}) {
    HeadData head = random_head(24, 20, 900, 2, 1, 1.0);
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth = {0.5, 0.5};
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(j < 600 ? 0.0 : rise);
    }
    const HeadData old = slice(head, 0, 600);
    const HeadData added = slice(head, 600, 900);
    const engines::QueryExtent extent = engines::query_extent(head.problem(), serial_context());
    engines::Frame frame = engines::make_frame(old.problem(), extent, serial_context());
    const engines::KeyShells shells = engines::key_shells(old.problem(), frame, serial_context());
    const std::size_t first = shells.shells.size() / 2;
    engines::leave_out(frame, extent, shells, first);
    engines::hide_far_keys(frame, shells);
    const auto grown =
        engines::grow_frame(frame, engines::weight_unit(frame), extent, added.problem(), serial_context());
    ASSERT_TRUE(grown);
    std::int64_t far = 0;
    for (std::int64_t i = 0; i <= 50; ++i) {
      const double norm = static_cast<double>(i) / 50.0 * extent.norm;
      long double mass = 0.0L;
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        const double* k = head.k.data() + 2 * j;
        const double square = engines::centred_square(frame.metric, k, frame.key_centre);
        if (square <= frame.cut_square) {
          EXPECT_TRUE(j < 600 || grown->frame.log_weight[usize(j - 600)] > -kInfinity);
          continue;
        }
        EXPECT_TRUE(j < 600 || grown->frame.log_weight[usize(j - 600)] == -kInfinity);
        far += j >= 600 ? 1 : 0;
        long double log_weight = wide(head.bias[usize(j)]) - wide(grown->frame.log_scale);
        for (std::size_t l = 0; l < 2; ++l) {
          const long double away = wide(k[l]) - wide(frame.query_centre[l]);
          log_weight -= 0.5L * wide(frame.metric[l]) * away * away;
        }
        mass += std::exp(log_weight + wide(norm) * std::sqrt(wide(square)));
      }
      EXPECT_GE(wide(grown->frame.far.at(norm)), mass) << norm;
      EXPECT_LE(wide(grown->frame.far.at(norm)), 1e3L * mass + 1e-200L) << "and not needlessly far: " << norm;
    }
    EXPECT_GT(far, 0);
  }
}

}  // namespace
}  // namespace polyattn::test
