// A sampled guarantee: what it says, that it is true, that it is never called certified, and that it is cheaper where a
// certificate is loose.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace polyattn::test {
namespace {

struct ProblemShape {
  std::int64_t heads = 1;
  std::int64_t n = 4096;
  std::int64_t dim = 16;
  std::int64_t value_dim = 8;
};

/// Queries, keys and values uniform in [-1, 1], scale 1/dim: certificates are tens of times looser than the error. In
/// few dimensions a degree more costs less than a sample does, so there are 16.
Problem uniform_problem(const ProblemShape& shape, std::uint64_t seed, DType dtype = DType::float32) {
  Random random(seed);
  const auto draw = [&](std::int64_t columns) {
    std::vector<double> values(static_cast<std::size_t>(shape.heads * shape.n * columns));
    for (double& x : values) {
      x = 2.0 * random.unit() - 1.0;
    }
    return store(dtype, {1, shape.heads, shape.n, columns}, values);
  };
  Problem problem;
  problem.q = draw(shape.dim);
  problem.k = draw(shape.dim);
  problem.v = draw(shape.value_dim);
  problem.score = Dot{1.0 / static_cast<double>(shape.dim)};
  return problem;
}

Options sampled(double tolerance) {
  Options options;
  options.engine = Engine::polynomial;
  options.guarantee = Guarantee::sampled;
  options.tolerance.value = tolerance;
  options.threads = 1;
  // A machine on which a sample costs little beside a degree: what is chosen must not hang on the defaults.
  options.calibration = Calibration{};
  options.calibration->float32_polynomial = 4e10;
  options.calibration->float64_polynomial = 2.5e10;
  return options;
}

/// Error of every row of every head against exact in float64, that one's bound included.
std::vector<double> row_errors(const Problem& problem, const Result& result) {
  Options exact;
  exact.engine = Engine::exact;
  exact.arithmetic = Arithmetic::float64;
  exact.output_dtype = DType::float64;
  exact.want_row_bounds = true;
  const Result truth = attend(problem, exact);
  const std::vector<double> a = values_of(result.output);
  const std::vector<double> b = values_of(truth.output);
  const std::vector<double> bounds = values_of(*truth.row_bounds);
  const std::size_t columns = a.size() / bounds.size();
  std::vector<double> errors(bounds);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    double largest = 0.0;
    for (std::size_t c = 0; c < columns; ++c) {
      const double error = std::fabs(a[i * columns + c] - b[i * columns + c]);
      largest = std::isnan(error) ? kInfinity : std::max(largest, error);
    }
    errors[i] += largest;
  }
  return errors;
}

double share_above(const std::vector<double>& errors, double bound) {
  return static_cast<double>(std::count_if(errors.begin(), errors.end(), [&](double e) { return !(e <= bound); })) /
         static_cast<double>(errors.size());
}

TEST(Sampled, IsNotTheDefault) {
  Options options;
  options.tolerance.value = 1e-3;
  options.engine = Engine::polynomial;
  EXPECT_EQ(options.guarantee, Guarantee::certified);
  const HeadReport head = attend(uniform_problem({}, 1), options).report.heads.at(0);
  EXPECT_EQ(head.certificate.kind, CertificateKind::certified);
  EXPECT_EQ(head.certificate.sample.rows, 0);
  EXPECT_EQ(confidence_statement(head.certificate), "");
  EXPECT_EQ(head.certificate.bound(), head.certificate.proved_bound());
}

TEST(Sampled, TakesALowerDegreeWhereTheCertificateIsLooseAndKeepsItsWord) {
  for (const auto& [dim, tolerance] : {std::pair<std::int64_t, double>{16, 3e-4}, {16, 1e-4}, {8, 3e-6}}) {
    const Problem problem = uniform_problem({.dim = dim}, 2);
    Options options = sampled(tolerance);
    options.want_row_bounds = true;
    options.want_row_engine = true;
    const Result result = attend(problem, options);
    const HeadReport& head = result.report.heads.at(0);
    const Certificate& certificate = head.certificate;
    ASSERT_EQ(certificate.kind, CertificateKind::sampled) << head.why;
    const SampleEvidence& sample = certificate.sample;
    EXPECT_EQ(sample.attempts, 1);
    EXPECT_EQ(sample.rows, 368);  // half of the 5 % for the first attempt
    EXPECT_LE(sample.share, 0.01);
    EXPECT_EQ(sample.confidence, 0.95);
    EXPECT_GT(sample.population, sample.rows);
    EXPECT_LE(certificate.bound(), tolerance);
    EXPECT_GT(certificate.proved_bound(), tolerance);
    EXPECT_GE(certificate.bound(), sample.largest);
    EXPECT_EQ(head.rows_polynomial, 4096);

    options.guarantee = Guarantee::certified;
    const HeadReport proved = attend(problem, options).report.heads.at(0);
    EXPECT_EQ(proved.certificate.kind, CertificateKind::certified);
    EXPECT_LT(head.degree, proved.degree) << tolerance;
    EXPECT_LT(head.rank, proved.rank);

    const std::vector<double> errors = row_errors(problem, result);
    EXPECT_LE(share_above(errors, certificate.bound()), sample.share);
    const std::vector<double> bounds = values_of(*result.row_bounds);  // proved, row by row
    for (std::size_t i = 0; i < errors.size(); ++i) {
      ASSERT_LE(errors[i], bounds[i] * (1.0 + 1e-6) + 1e-9) << i;
    }
    EXPECT_EQ(*std::max_element(bounds.begin(), bounds.end()), certificate.proved_bound());
  }
}

TEST(Sampled, IsSaidInWords) {
  const Problem problem = uniform_problem({}, 2);
  const Result result = attend(problem, sampled(3e-4));
  ASSERT_EQ(result.report.heads.at(0).certificate.kind, CertificateKind::sampled);
  const std::string text = describe(result.report);
  EXPECT_NE(text.find("sampled, not certified: with confidence 95 % at most 0.997 % of the rows err by more than"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("proved |error| <="), std::string::npos) << text;
  EXPECT_EQ(text.find("certified |error|"), std::string::npos) << text;
  const PlanReport planned = plan(problem, sampled(3e-4)).report();
  EXPECT_EQ(planned.heads.at(0).kind, CertificateKind::sampled);
  EXPECT_NE(describe(planned).find(", sampled"), std::string::npos) << describe(planned);
}

TEST(Sampled, IsChosenByTheAutomaticPlannerWhereItIsCheaper) {
  const Problem problem = uniform_problem({.n = 16384}, 3);
  Options options = sampled(3e-4);
  options.engine = Engine::automatic;
  const HeadReport head = attend(problem, options).report.heads.at(0);
  ASSERT_EQ(head.engine, Engine::polynomial) << head.why;
  EXPECT_EQ(head.certificate.kind, CertificateKind::sampled);
  options.guarantee = Guarantee::certified;
  const HeadReport proved = attend(problem, options).report.heads.at(0);
  EXPECT_LT(head.predicted_seconds, proved.predicted_seconds);
}

TEST(Sampled, IsTheSameForAnyNumberOfThreadsAndTheSameSeed) {
  const Problem problem = uniform_problem({.heads = 2}, 4);
  Options options = sampled(3e-5);
  const Result one = attend(problem, options);
  options.threads = 3;
  const Result three = attend(problem, options);
  EXPECT_EQ(bits_of(one.output), bits_of(three.output));
  for (std::size_t h = 0; h < 2; ++h) {
    const SampleEvidence& a = one.report.heads.at(h).certificate.sample;
    const SampleEvidence& b = three.report.heads.at(h).certificate.sample;
    EXPECT_EQ(a.largest, b.largest);
    EXPECT_EQ(a.rows, 437);  // the risk is split between two heads
  }
  options.sampling.seed = 99;
  const SampleEvidence other = attend(problem, options).report.heads.at(0).certificate.sample;
  EXPECT_EQ(other.seed, 99U);
  EXPECT_NE(other.largest, one.report.heads.at(0).certificate.sample.largest);
}

TEST(Sampled, ShareAndConfidenceDecideHowManyRowsAreDrawn) {
  const Problem problem = uniform_problem({}, 5);
  Options options = sampled(3e-4);
  options.sampling.share = 0.05;
  options.sampling.confidence = 0.9;
  const SampleEvidence sample = attend(problem, options).report.heads.at(0).certificate.sample;
  EXPECT_EQ(sample.rows, 59);  // ln 0.05 / ln 0.95 = 58.4
  EXPECT_LE(sample.share, 0.05);
  EXPECT_EQ(sample.confidence, 0.9);
}

TEST(Sampled, IsCertifiedWhereNothingNeedsASample) {
  const Problem problem = uniform_problem({.n = 300}, 6);  // fewer rows than would be drawn
  Options options = sampled(3e-4);
  EXPECT_EQ(attend(problem, options).report.heads.at(0).certificate.kind, CertificateKind::certified);
  const Problem large = uniform_problem({}, 6);
  options = sampled(0.0);
  EXPECT_EQ(attend(large, options).report.heads.at(0).certificate.kind, CertificateKind::certified);
  for (const Engine engine : {Engine::exact, Engine::reference}) {
    options = sampled(3e-4);
    options.engine = engine;
    const HeadReport head = attend(uniform_problem({.n = 400}, 7), options).report.heads.at(0);
    EXPECT_EQ(head.certificate.kind, CertificateKind::certified);
    EXPECT_EQ(head.engine, engine);
  }
}

/// Queries along a diagonal, values that go with the sign of the scores: the errors of an even degree add up. But not
/// over the keys that a pilot looks at, whose values are random.
Problem misleading_problem() {
  Problem problem = uniform_problem({.value_dim = 2}, 8, DType::float64);
  Random random(88);
  std::vector<double> queries = problem.q.values;
  std::vector<double> values = problem.v.values;
  for (std::size_t i = 0; i < 4096; ++i) {
    double sum = 0.0;
    for (std::size_t l = 0; l < 16; ++l) {
      queries[16 * i + l] = queries[16 * i];
      sum += problem.k.values[16 * i + l];
    }
    for (std::size_t c = 0; c < 2; ++c) {
      values[2 * i + c] = i % 8 == 4 ? random.sign() : std::copysign(1.0, sum);
    }
  }
  problem.q = store(DType::float64, problem.q.shape, queries);
  problem.v = store(DType::float64, problem.v.shape, values);
  problem.score = Dot{1.5 / 16.0};
  return problem;
}

TEST(Sampled, ADegreeThatTheSampleRefusesIsNotTaken) {
  const Problem problem = misleading_problem();
  int refused = 0;
  for (const double tolerance : {1e-3, 7e-4, 5e-4, 4e-4}) {
    const HeadPlan planned = plan(problem, sampled(tolerance)).report().heads.at(0);
    ASSERT_EQ(planned.kind, CertificateKind::sampled);
    const Result result = attend(problem, sampled(tolerance));
    const HeadReport& head = result.report.heads.at(0);
    const Certificate& certificate = head.certificate;
    EXPECT_LE(certificate.bound(), tolerance);
    const bool accepted = certificate.kind == CertificateKind::sampled;  // or so high a degree that all is proved
    EXPECT_LE(share_above(row_errors(problem, result), tolerance), accepted ? certificate.sample.share : 0.0);
    if (head.degree > planned.degree) {
      ++refused;
    }
    if (accepted) {
      EXPECT_EQ(certificate.sample.attempts > 1, head.degree > planned.degree);
      constexpr std::array kRows{368, 437, 506, 575};
      EXPECT_EQ(certificate.sample.rows, kRows.at(static_cast<std::size_t>(certificate.sample.attempts - 1)));
    }
  }
  EXPECT_GE(refused, 2);  // the data is made for it
}

TEST(Sampled, RowsOfARefusedDegreeGoToExactWhereThereIsNoOther) {
  Options options = sampled(1e-3);
  options.degree = 2;
  options.want_row_engine = true;
  const Problem problem = misleading_problem();
  const Result result = attend(problem, options);
  const HeadReport& head = result.report.heads.at(0);
  EXPECT_EQ(head.certificate.kind, CertificateKind::certified);
  EXPECT_LE(head.certificate.bound(), 1e-3);
  EXPECT_GT(head.rows_exact, 368);
  EXPECT_NE(head.why.find("a sample erred by"), std::string::npos) << head.why;
  EXPECT_EQ(std::count(result.row_engine.begin(), result.row_engine.end(), Engine::exact), head.rows_exact);
  EXPECT_EQ(share_above(row_errors(problem, result), 1e-3), 0.0);
  options.strict = true;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"polynomial alone"}, [&] { attend(problem, options); }));
}

TEST(Sampled, RowsWithoutAProvedDenominatorGoToExact) {
  Problem problem = uniform_problem({.dim = 2, .value_dim = 2}, 9, DType::float64);
  std::vector<double> queries = problem.q.values;
  queries[40] = 2000.0;  // row 20: its scores reach 250
  problem.q = store(DType::float64, problem.q.shape, queries);
  Options options = sampled(1e-5);
  options.calibration->float32_fma = options.calibration->float64_fma = 1e9;  // exact is to be dear
  options.calibration->float32_exp = options.calibration->float64_exp = 1e8;
  options.want_row_engine = true;
  const Result result = attend(problem, options);
  EXPECT_EQ(result.row_engine.at(20), Engine::exact);
  EXPECT_GT(result.report.heads.at(0).rows_polynomial, 4000);
  EXPECT_LE(row_errors(problem, result).at(20), 1e-5);
}

TEST(Sampled, CausalRowsAreDrawnToo) {
  Problem problem = uniform_problem({}, 10);
  problem.causal = Causal::lower_right;
  Options options = sampled(5e-4);
  options.degree = 2;
  const Result result = attend(problem, options);
  const HeadReport& head = result.report.heads.at(0);
  ASSERT_EQ(head.certificate.kind, CertificateKind::sampled) << describe(plan(problem, options).report());
  EXPECT_LE(head.certificate.bound(), 5e-4);
  EXPECT_GT(head.certificate.proved_bound(), 5e-4);
  EXPECT_LE(share_above(row_errors(problem, result), head.certificate.bound()), head.certificate.sample.share);
}

TEST(Sampled, SixteenBitStorageIsReportedApart) {
  const Problem problem = uniform_problem({}, 11);
  Options options = sampled(1e-4);
  options.output_dtype = DType::float16;  // its half ulp, up to 2^-12, is more than the tolerance
  const Result result = attend(problem, options);
  const Certificate& certificate = result.report.heads.at(0).certificate;
  ASSERT_EQ(certificate.kind, CertificateKind::sampled);
  EXPECT_LE(certificate.bound(), 1e-4);
  EXPECT_GT(certificate.storage, 1e-5);
  EXPECT_LE(share_above(row_errors(problem, result), certificate.bound() + certificate.storage),
            certificate.sample.share);
}

TEST(Sampled, LogSumExpAndItsToleranceStayProved) {
  const Problem problem = uniform_problem({}, 12);
  Options options = sampled(3e-4);
  options.want_lse = true;
  const Result result = attend(problem, options);
  ASSERT_EQ(result.report.heads.at(0).certificate.kind, CertificateKind::sampled);
  Options exact;
  exact.engine = Engine::exact;
  exact.arithmetic = Arithmetic::float64;
  exact.want_lse = true;
  const Result truth = attend(problem, exact);
  const std::vector<double> found = values_of(*result.lse);
  const std::vector<double> bounds = values_of(*result.lse_bound);
  const std::vector<double> expected = values_of(*truth.lse);
  const std::vector<double> doubt = values_of(*truth.lse_bound);
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_LE(std::fabs(found[i] - expected[i]), bounds[i] + doubt[i]) << i;
  }
  options.lse_tolerance = 1e-7;  // more than the degree that the output needs can certify
  for (const double bound : values_of(*attend(problem, options).lse_bound)) {
    ASSERT_LE(bound, 1e-7);
  }
}

TEST(Sampled, WhatIsNotANumberFailsTheSample) {
  // Values so large that a float32 output overflows: no bound, so no sample speaks for those rows.
  Problem problem = uniform_problem({.dim = 2, .value_dim = 1}, 13, DType::float64);
  std::vector<double> values = problem.v.values;
  for (double& x : values) {
    x *= 1e300;
  }
  problem.v = store(DType::float64, problem.v.shape, values);
  Options options = sampled(3e-4);
  options.tolerance.kind = ToleranceKind::of_value_range;
  options.output_dtype = DType::float32;
  EXPECT_TRUE(fails_with(ErrorCode::not_reachable, {"tolerance"}, [&] { attend(problem, options); }));
}

TEST(Sampled, IsRefusedByPreparedKeysAndWithSharesThatAreNone) {
  const Problem problem = uniform_problem({.n = 50, .dim = 2, .value_dim = 1}, 14);
  const ConstView keys[] = {problem.k.view()};
  const ConstView values[] = {problem.v.view()};
  QueryDomain domain;
  domain.low = {-1.0, -1.0};
  domain.high = {1.0, 1.0};
  PrepareOptions prepared;
  prepared.options.guarantee = Guarantee::sampled;
  prepared.options.tolerance.value = 1e-3;
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"guarantee sampled", "prepared keys"},
                         [&] { prepare(keys, values, domain, prepared); }));
  for (const double wrong : {0.0, 1.0, -0.5, std::nan("")}) {
    Options options = sampled(3e-4);
    options.sampling.share = wrong;
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"sampling.share"}, [&] { attend(problem, options); }));
    options = sampled(3e-4);
    options.sampling.confidence = wrong;
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"sampling.confidence"}, [&] { attend(problem, options); }));
  }
}

}  // namespace
}  // namespace polyattn::test
