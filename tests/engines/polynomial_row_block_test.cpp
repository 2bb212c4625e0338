// The certificate in lanes (row_block.cpp) against its scalar reference (row_certificate.cpp) and against what its
// bounds must be, in long double, on the same sums.

#include "engines/polynomial/row_certificate.hpp"
#include "numerics/rounding.hpp"
#include "support/hard_heads.hpp"
#include "support/row_blocks.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <vector>

namespace polyattn::test {
namespace {

using base::usize;
constexpr long double kLess = 1.0L - 1e-12L;  // what float64 may round away of a bound
constexpr long double kMore = 1.0L + 1e-9L;
/// Bounds themselves may underflow: weights sum to about 1 or more, and rounding, which is added, is never this small.
constexpr long double kUnderflow = 0x1p-1000L;
constexpr long double kFar = 1.2L;  // a twin that is looser than this is not the same certificate

long double wide(double x) { return static_cast<long double>(x); }

/// One head between its sums and its answers.
template <class T>
struct Certified {
  PolynomialSetup setup;
  engines::PreparedMoments<T> moments;
  engines::RowBlock<T> rows;
};

template <class T>
Certified<T> certified_block(const HardHead& hard) {
  const engines::HeadProblem problem = hard.head.problem();
  const base::Context context = serial_context();
  PolynomialSetup setup = setup_of(hard);
  engines::MomentTotals totals = engines::make_totals(setup.features, context.memory);
  engines::sum_moments<T>(problem, setup.frame, setup.values, setup.features, 0, context, totals);
  auto moments = engines::prepare_moments<T>(setup.frame, setup.values, setup.features, setup.table, totals, nullptr);
  engines::RowBlock<T> rows(setup.features, engines::evaluation_block(setup.features.columns()), nullptr);
  sum_rows(problem, setup.frame, moments, 0, problem.n_q(), rows);
  engines::certify_row_block(setup.values, moments, rows);
  return {std::move(setup), std::move(moments), std::move(rows)};
}

/// One row of a block, and numbers it is judged by.
template <class T>
struct Row {
  const Certified<T>& block;
  std::int64_t r;
  const engines::TableEntry& entry;  ///< its polynomial

  [[nodiscard]] const engines::KeySideBounds& keys() const { return block.moments.bounds; }
  [[nodiscard]] long double gamma() const { return wide(block.moments.rounding.gamma); }
  [[nodiscard]] long double box() const { return wide(block.rows.box[r]); }
  [[nodiscard]] double sum(std::int64_t t, std::int64_t column) const {
    const std::int64_t columns = block.moments.features.columns();
    return block.rows.sums[usize((t * columns + column) * block.rows.block + r)];
  }
  [[nodiscard]] double weight_sum(std::int64_t t) const { return sum(t, block.moments.features.value_dim); }
  /// Bound of sum w s^2q.
  [[nodiscard]] long double moment() const {
    const long double weight = wide(keys().weight_high);
    const long double most = std::pow(box(), 2 * entry.q) * weight;
    return entry.q == 0 ? weight : std::min(std::max(wide(weight_sum(2 * entry.q)), 0.0L) + gamma() * most, most);
  }
  [[nodiscard]] long double slack() const {
    return wide(block.moments.class_slack[block.rows.entry[usize(r)]]) * wide(keys().weight_high);
  }
};

template <class T>
void check_choice(const Row<T>& row) {
  const engines::RowBlock<T>& rows = row.block.rows;
  const long double weight = wide(row.keys().weight_high);
  const long double alone = wide(row.entry.moment_error) * row.moment();
  const long double uniform = wide(row.entry.moment_error) * std::pow(row.box(), 2 * row.entry.q) * weight;
  const long double own = wide(row.entry.slack) * weight;
  ASSERT_GE(wide(rows.uniform[row.r]), kLess * (uniform + own) - kUnderflow);
  ASSERT_LE(wide(rows.uniform[row.r]), kMore * (uniform + row.slack()) + kUnderflow);
  ASSERT_GE(wide(rows.error[row.r]), kLess * (std::min(alone, uniform) + own) - kUnderflow);
  ASSERT_LE(wide(rows.error[row.r]), kMore * (std::min(alone, uniform) + row.slack()) + kUnderflow);
}

/// (1 + m / 16)^16 of the lanes, of which exp(m) is the reference.
long double jensen_of_lanes(long double mean) { return std::pow(std::max(1.0L + mean / 16.0L, 0.0L), 16); }

template <class T>
void check_denominator(const Row<T>& row) {
  const engines::RowBlock<T>& rows = row.block.rows;
  const long double high = wide(row.keys().weight_high);
  const long double low = wide(row.keys().weight_low);
  long double denominator = 0.0L;
  long double size = 0.0L;
  long double absolute = 0.0L;
  for (std::size_t t = 0; t < row.entry.coefficients.size(); ++t) {
    const long double term = wide(row.entry.coefficients[t]) * wide(row.weight_sum(static_cast<std::int64_t>(t)));
    denominator += term;
    size += std::fabs(term);
    absolute += std::fabs(wide(row.entry.coefficients[t])) * std::pow(row.box(), static_cast<int>(t));
  }
  ASSERT_LE(std::fabs(wide(rows.denominator[row.r]) - denominator), 1e-14L * size);
  ASSERT_GE(wide(rows.rounding_scale[row.r]), kLess * row.gamma() * absolute - kUnderflow);
  ASSERT_LE(wide(rows.rounding_scale[row.r]), kMore * row.gamma() * absolute + kUnderflow);
  const long double rounding = row.gamma() * absolute * high + wide(rows.tiny[row.r]);
  ASSERT_GE(wide(rows.rounding_denominator[row.r]), kLess * rounding - kUnderflow);
  ASSERT_LE(wide(rows.rounding_denominator[row.r]), kMore * rounding + kUnderflow);
  const bool linear = row.block.moments.features.degree() >= 1;
  const long double first = linear ? wide(row.weight_sum(1)) : 0.0L;
  const long double sum = first - (linear ? row.gamma() * row.box() * high + wide(rows.tiny[row.r]) : row.box() * high);
  const long double mean = sum >= 0.0L ? sum / high : sum / low;
  const long double jensen = low > 0.0L ? low * std::exp(mean) : 0.0L;
  const long double computed =
      wide(rows.denominator[row.r]) - wide(rows.rounding_denominator[row.r]) - wide(rows.error[row.r]);
  const long double doubt =
      256.0L * wide(numerics::kU64) *
      (std::fabs(wide(rows.denominator[row.r])) + wide(rows.rounding_denominator[row.r]) + wide(rows.error[row.r]));
  ASSERT_LE(wide(rows.denominator_low[row.r]), std::max(computed + doubt, jensen));
  const long double least = std::max(computed - doubt, low * jensen_of_lanes(mean));
  ASSERT_GE(wide(rows.denominator_low[row.r]), (1.0L - 1e-9L) * least - 1e-30L * low);
}

/// Bound of one column as the lanes take it: with `share` of what sums may be off by.
template <class T>
long double column_bound(const Row<T>& row, std::int64_t c, double answer, long double share) {
  const engines::KeySideBounds& keys = row.keys();
  const engines::RowBlock<T>& rows = row.block.rows;
  const auto at = usize(c);
  const long double t = wide(answer);
  const long double low = wide(keys.low[at]);
  const long double high = wide(keys.high[at]);
  const long double spread = std::max(high - t, t - low);
  const long double away = t - wide(keys.mean[at]);
  long double bound =
      std::min(wide(rows.error[row.r]) * spread,
               wide(rows.uniform[row.r]) * (wide(keys.deviation[at]) + away * away * wide(keys.half_inverse[at])));
  const long double scale = row.gamma() * std::pow(row.box(), 2 * row.entry.q);
  const engines::EntryBounds& known = row.block.moments.entry_bounds[rows.entry[usize(row.r)]][usize(row.entry.q)];
  if (rows.moments.size() != 0 && low <= t && t <= high && high > low) {
    const long double loss = 2.0L * scale * wide(keys.weight_high) + wide(known.moment_loss);
    const long double off =
        share * (scale * wide(keys.absolute[at]) + loss * (std::max(std::fabs(low), std::fabs(high)) + 1.0L));
    const long double weight = wide(row.weight_sum(2 * row.entry.q));
    const long double weighted = wide(row.sum(2 * row.entry.q, c));
    const long double above = std::max(high * weight + off - weighted, 0.0L);
    const long double below = std::max(weighted - low * weight + off, 0.0L);
    const long double chord = ((t - low) * above + (high - t) * below) / (high - low);
    bound = std::min(bound, wide(row.entry.moment_error) * chord + row.slack() * spread);
  }
  if (row.block.moments.features.spread && row.entry.q == engines::kSpreadDegree / 2) {
    const long double off = share * (scale * wide(keys.absolute[at]) + wide(known.moment_loss));
    const long double sum = wide(row.sum(engines::kSpreadDegree, row.block.moments.features.value_dim + 1 + c)) + off;
    bound = std::min(bound, wide(row.entry.moment_error) * (sum + std::fabs(t) * row.moment()));
  }
  return bound;
}

template <class T>
void check_finish(const Row<T>& row) {
  const engines::RowBlock<T>& rows = row.block.rows;
  long double least = 0.0L;
  long double most = 0.0L;
  long double rounding = 0.0L;
  for (std::int64_t c = 0; c < row.block.moments.features.value_dim; ++c) {
    double numerator = 0.0;
    for (std::int64_t t = row.block.moments.features.degree(); t >= 0; --t) {
      numerator = std::fma(row.entry.coefficients[usize(t)], row.sum(t, c), numerator);
    }
    const double answer = numerator * (1.0 / rows.denominator[row.r]);
    least = std::max(least, column_bound(row, c, answer, 0.5L));
    most = std::max(most, column_bound(row, c, answer, 1.0L));
    rounding = std::max(rounding, wide(rows.rounding_scale[row.r]) * wide(row.keys().absolute[usize(c)]) +
                                      wide(rows.tiny[row.r]) +
                                      std::fabs(wide(answer)) * wide(rows.rounding_denominator[row.r]));
  }
  const long double low = wide(rows.denominator_low[row.r]);
  ASSERT_GE(wide(rows.approximation[row.r]), kLess * least / low - kUnderflow);
  ASSERT_LE(wide(rows.approximation[row.r]), kFar * most / low + kUnderflow);
  ASSERT_GE(wide(rows.rounding[row.r]), kLess * rounding / low - kUnderflow);
  ASSERT_LE(wide(rows.rounding[row.r]), kMore * rounding / low + kUnderflow);
}

/// Against the scalar reference: the same or another polynomial, but no worse by what decides; numbers in step.
template <class T>
void check_twin(const Row<T>& row, const engines::RowCertificate& scalar) {
  const engines::RowBlock<T>& rows = row.block.rows;
  const engines::PreparedMoments<T>& moments = row.block.moments;
  const std::size_t at = rows.entry[usize(row.r)];
  ASSERT_GE(moments.class_lost[at], scalar.lost * (1.0 - 1e-12));
  const double ahead = std::min(moments.table.radii[at], 700.0) - std::min(rows.radius[row.r], 700.0);
  ASSERT_LE(moments.class_lost[at], scalar.lost * std::exp(ahead) * (1.0 + 1e-9));
  if (scalar.polynomial != &row.entry) {
    return;  // scores that tie up to rounding or slack, or the lanes know value-weighted moments
  }
  ASSERT_LE(std::fabs(rows.denominator[row.r] - scalar.denominator), 4.0 * scalar.rounding_denominator + 1e-300);
  const long double slack = kMore * row.slack();
  ASSERT_GE(wide(rows.error[row.r]), kLess * wide(scalar.error) - 1e-12L * slack - kUnderflow);
  ASSERT_LE(wide(rows.error[row.r]), kFar * wide(scalar.error) + slack + kUnderflow);
  ASSERT_LE(wide(rows.uniform[row.r]), kFar * wide(scalar.uniform) + slack + kUnderflow);
  ASSERT_GE(wide(rows.rounding_scale[row.r]), kLess * wide(scalar.rounding_scale) - kUnderflow);
  ASSERT_LE(wide(rows.rounding_scale[row.r]), kFar * wide(scalar.rounding_scale) + kUnderflow);
  ASSERT_GE(wide(rows.tiny[row.r]), kLess * wide(scalar.tiny) - kUnderflow);
  ASSERT_LE(wide(rows.tiny[row.r]), kFar * wide(scalar.tiny) + kUnderflow);
  ASSERT_GE(wide(rows.moment_loss[row.r]), kLess * wide(scalar.moment_loss) - kUnderflow);
  ASSERT_LE(wide(rows.moment_loss[row.r]), kFar * wide(scalar.moment_loss) + kUnderflow);
}

struct Counts {
  std::int64_t rows = 0;
  std::int64_t refused = 0;
  std::int64_t same = 0;
};

template <class T>
void check_block(const Certified<T>& block, const HardHead& hard, Counts& counts) {
  const engines::RowBlock<T>& rows = block.rows;
  const engines::PreparedMoments<T>& moments = block.moments;
  const engines::FeatureList& features = moments.features;
  for (std::int64_t r = 0; r < hard.head.n_q; ++r) {
    const engines::RowRadius radius{rows.radius[r], rows.box[r], rows.inside[r] != 0.0, rows.norm[r]};
    const engines::RowCertificate scalar =
        engines::certify_row(block.setup.frame, moments.bounds, moments.rounding, moments.table, features.rank(),
                             moments.key_count, radius, block.setup.frame.far.at(rows.norm[r]),
                             rows.sums.data() + features.value_dim * rows.block + r, features.columns() * rows.block);
    ++counts.rows;
    if (rows.refused[usize(r)] != 0) {
      ++counts.refused;
      const bool sound = radius.inside && scalar.polynomial != nullptr && scalar.denominator_low > 0.0 &&
                         std::isfinite(scalar.denominator) && scalar.denominator != 0.0;
      // exp of a mean below -16 is lost on the lanes; beyond that they refuse what the reference refuses.
      ASSERT_FALSE(sound && scalar.denominator_low > 1.2e-7 * moments.bounds.weight_low) << "row " << r;
      continue;
    }
    ASSERT_NE(scalar.polynomial, nullptr);
    const engines::TableEntry& entry = moments.table.entries[rows.entry[usize(r)]][static_cast<std::size_t>(rows.q[r])];
    ASSERT_LE(rows.radius[r], moments.table.radii[rows.entry[usize(r)]]);
    const Row<T> row{block, r, entry};
    counts.same += scalar.polynomial == &entry ? 1 : 0;
    check_twin(row, scalar);
    check_choice(row);
    check_denominator(row);
    if (std::isfinite(rows.approximation[r]) && std::isfinite(rows.rounding[r])) {
      check_finish(row);
    }
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

template <class T>
class RowBlocks : public testing::Test {};
using Arithmetics = testing::Types<float, double>;
TYPED_TEST_SUITE(RowBlocks, Arithmetics);

TYPED_TEST(RowBlocks, SayWhatTheScalarReferenceSays) {
  Counts counts;
  for (int f = 0; f < kHeadFamilies; ++f) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
      HeadGenome genome{static_cast<HeadFamily>(f), seed + 5000, {}};
      HardHead hard = grown(genome);
      if (hard.head.mask.causal || hard.apart > 0) {
        continue;  // with an exact part, of which the scalar reference knows nothing
      }
      check_block(certified_block<TypeParam>(hard), hard, counts);
      if (this->HasFatalFailure()) {
        FAIL() << genome;
      }
    }
  }
  EXPECT_GE(2 * counts.same, counts.rows) << "most rows get the same polynomial";
  EXPECT_LE(4 * counts.refused, counts.rows);
  std::printf("rows %lld, refused %lld, same polynomial %lld\n", static_cast<long long>(counts.rows),
              static_cast<long long>(counts.refused), static_cast<long long>(counts.same));
}

}  // namespace
}  // namespace polyattn::test
