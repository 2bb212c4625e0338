// Features in layers: the choice is made where spectra decay, and its answers keep their bounds.

#include "polyattn/polyattn.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

/// Queries and keys of 24 dimensions whose variances fall by a half from one to the next, in turned coordinates; scores
/// that are small in most directions. A share of the queries and keys may lie far out along the weakest one.
struct Decaying {
  static constexpr std::int64_t kTokens = 30'000;
  static constexpr std::int64_t kDim = 24;
  static constexpr std::int64_t kColumns = 3;
  std::vector<double> q = std::vector<double>(kTokens * kDim);
  std::vector<double> k = std::vector<double>(kTokens * kDim);
  std::vector<double> v = std::vector<double>(kTokens * kColumns);
  Options options;

  explicit Decaying(double halving = 0.5, double far = 0.0) {
    Random random(3);
    for (std::vector<double>* data : {&q, &k}) {
      for (std::int64_t i = 0; i < kTokens; ++i) {
        double* row = data->data() + i * kDim;
        for (std::int64_t l = 0; l < kDim; ++l) {
          row[l] = 0.42 * std::pow(halving, 0.5 * static_cast<double>(l)) * random.normal();
        }
        row[kDim - 1] += far > 0.0 && random.chance(far) ? 2.0 * random.sign() : 0.0;
        if (data == &k) {
          for (std::int64_t c = 0; c < kColumns; ++c) {
            v[static_cast<std::size_t>(i * kColumns + c)] = std::sin(4.0 * row[c]) + 0.1 * random.normal();
          }
        }
        for (std::int64_t l = 0; l + 1 < kDim; ++l) {  // turned in a chain of planes, queries and keys alike
          const double a = row[l];
          const double b = row[l + 1];
          row[l] = 0.6 * a - 0.8 * b;
          row[l + 1] = 0.8 * a + 0.6 * b;
        }
      }
    }
    options.score = Dot{1.0};
    options.tolerance = {1e-3, ToleranceKind::of_value_range};
    options.want_row_bounds = options.want_row_engine = true;
    options.threads = 1;
  }
  [[nodiscard]] ConstView queries() const { return matrix(q.data(), kTokens, kDim); }
  [[nodiscard]] std::array<ConstView, 1> keys() const { return {matrix(k.data(), kTokens, kDim)}; }
  [[nodiscard]] std::array<ConstView, 1> vectors() const { return {matrix(v.data(), kTokens, kColumns)}; }
  [[nodiscard]] Result attend(const Options& with) const {
    return polyattn::attend(queries(), keys(), vectors(), with);
  }
  [[nodiscard]] HeadPlan planned(const Options& with) const {
    return plan(queries(), keys(), vectors(), with).report().heads.front();
  }
};

const double* doubles(const Tensor& tensor) { return static_cast<const double*>(tensor.view().data); }

bool in_layers(const std::string& why) { return why.find("balanced directions") != std::string::npos; }

void expect_within_bounds(const Decaying& head, const Result& result) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 300; ++i) {
    rows.push_back(i * (Decaying::kTokens / 300) + i % 7);
  }
  const Result exact = attend_rows(head.queries(), head.keys(), head.vectors(), rows, head.options);
  double worst = 0.0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto row = static_cast<std::size_t>(rows[r]);
    const double allowed = doubles(*result.row_bounds)[row] + doubles(*exact.row_bounds)[r];
    for (std::size_t c = 0; c < Decaying::kColumns; ++c) {
      const double error = std::fabs(doubles(result.output)[Decaying::kColumns * row + c] -
                                     doubles(exact.output)[Decaying::kColumns * r + c]);
      ASSERT_LE(error, allowed) << "row " << row << ", column " << c;
      worst = std::max(worst, error / allowed);
    }
  }
  EXPECT_GT(worst, 0.0);
}

TEST(Layers, AreTakenWhereSpectraDecay) {
  const Decaying head;
  const HeadPlan planned = head.planned(head.options);
  EXPECT_EQ(planned.engine, Engine::polynomial);
  EXPECT_TRUE(in_layers(planned.why)) << planned.why;
  int chosen = 0;
  double other = HUGE_VAL;
  for (const Candidate& candidate : planned.candidates) {
    chosen += candidate.chosen ? 1 : 0;
    if (candidate.usable && !candidate.chosen) {
      other = std::min(other, candidate.seconds);
    }
  }
  EXPECT_EQ(chosen, 1);
  EXPECT_LT(planned.predicted_seconds, 0.9 * other);
}

TEST(Layers, AreNotTakenWhereTheyAreNotOffered) {
  const Decaying head;
  Options lse = head.options;
  lse.want_lse = true;
  Options pinned = head.options;
  pinned.degree = 3;
  Options named = head.options;
  named.engine = Engine::polynomial;
  Options causal = head.options;
  causal.mask.visibility.causal = Causal::upper_left;
  for (const Options& options : {lse, pinned, named, causal}) {
    EXPECT_FALSE(in_layers(head.planned(options).why));
  }
}

TEST(Layers, AnswersAreWithinTheirBounds) {
  const Decaying head;
  const Result result = head.attend(head.options);
  const HeadReport& report = result.report.heads.front();
  ASSERT_TRUE(in_layers(report.why)) << report.why;
  EXPECT_GT(report.rows_polynomial, Decaying::kTokens * 9 / 10);
  EXPECT_EQ(report.rows_polynomial + report.rows_exact, Decaying::kTokens);
  EXPECT_LE(report.certificate.bound(), report.tolerance);
  expect_within_bounds(head, result);
}

TEST(Layers, AnswersAreWithinTheirBoundsWithTokensFarOutAlongAWeakDirection) {
  const Decaying head(0.5, 0.01);
  const Result result = head.attend(head.options);
  EXPECT_LE(result.report.heads.front().certificate.bound(), result.report.heads.front().tolerance);
  expect_within_bounds(head, result);
}

TEST(Layers, AreTheSameBitsForAnyNumberOfThreads) {
  const Decaying head;
  const Result one = head.attend(head.options);
  ASSERT_TRUE(in_layers(one.report.heads.front().why));
  Options options = head.options;
  options.threads = 3;
  const Result other = head.attend(options);
  EXPECT_EQ(one.row_engine, other.row_engine);
  for (std::int64_t i = 0; i < Decaying::kTokens * Decaying::kColumns; ++i) {
    ASSERT_EQ(doubles(one.output)[i], doubles(other.output)[i]) << i;
  }
}

TEST(Layers, SweepsSayWhatPlansSay) {
  const Decaying head;
  const std::array tolerances{1e-2, 1e-3};
  const SweepReport swept = sweep(head.queries(), head.keys(), head.vectors(), tolerances, head.options);
  for (std::size_t i = 0; i < tolerances.size(); ++i) {
    Options options = head.options;
    options.tolerance.value = tolerances[i];
    const HeadPlan planned = head.planned(options);
    EXPECT_EQ(swept.heads.front().rows.at(i).degree, planned.degree) << planned.why;
    EXPECT_EQ(swept.heads.front().rows.at(i).predicted_seconds, planned.predicted_seconds) << planned.why;
  }
}

TEST(Layers, KeepToTheMemoryAllowed) {
  const Decaying head;
  Options options = head.options;
  options.max_memory = 12'000'000;  // a quarter is not enough for turned queries and keys
  EXPECT_FALSE(in_layers(head.planned(options).why));
}

}  // namespace
}  // namespace polyattn::test
