// plan() then execute is attend; the plan and the report say what was considered and what happened.

#include "polyattn/attention.hpp"
#include "polyattn/polynomial.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/judge.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

namespace polyattn::test {
namespace {

Options at_tolerance(double tolerance) {
  Options options;
  options.tolerance.value = tolerance;
  options.threads = 2;
  return with_certificates(options);
}

/// Many keys, few dimensions, a small radius: a problem the polynomial engine wins.
/// More dimensions than the grid takes.
Problem easy() {
  return random_problem({.heads = 2, .n_q = 6000, .n_kv = 6000, .dim = 9, .value_dim = 4}, 1.0, DType::float32, 61);
}

TEST(Plan, ExecuteIsAttendBitForBit) {
  const Problem small = random_problem({.heads = 2, .n_q = 40, .n_kv = 50}, 1.0, DType::float32, 62);
  std::vector<Options> variants{at_tolerance(0.0), at_tolerance(1e-2)};
  for (const Choice& choice : choices()) {
    variants.push_back(with_certificates(forced(choice)));
  }
  for (const Problem& problem : {small, easy()}) {
    for (const Options& options : variants) {
      if (options.engine == Engine::reference && problem.q.shape[2] > 100) {
        continue;  // slow, and nothing new
      }
      const Result direct = attend(problem, options);
      const Plan made = plan(problem, options);
      for (int repeat = 0; repeat < 2; ++repeat) {
        const Result executed = made.execute();
        EXPECT_EQ(bits_of(executed.output), bits_of(direct.output));
        EXPECT_EQ(bits_of(executed.row_bounds.value()), bits_of(direct.row_bounds.value()));
        EXPECT_EQ(bits_of(executed.lse.value()), bits_of(direct.lse.value()));
        EXPECT_EQ(bits_of(executed.lse_bound.value()), bits_of(direct.lse_bound.value()));
      }
    }
  }
}

TEST(Plan, IsThreadSafe) {
  const Problem problem = easy();
  const Plan made = plan(problem, at_tolerance(1e-2));
  const std::vector<std::byte> expected = bits_of(made.execute().output);
  std::array<std::vector<std::byte>, 2> found;
  std::vector<std::thread> threads;
  for (auto& bits : found) {
    threads.emplace_back([&made, &bits] { bits = bits_of(made.execute().output); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(found[0], expected);
  EXPECT_EQ(found[1], expected);
}

TEST(Plan, SaysWhatWasConsidered) {
  const Problem problem = easy();
  const PlanReport report = plan(problem, at_tolerance(1e-2)).report();
  EXPECT_EQ(report.instruction_set, instruction_set());
  EXPECT_EQ(report.threads, 2);
  ASSERT_EQ(report.heads.size(), 2U);
  for (const HeadPlan& head : report.heads) {
    EXPECT_FALSE(head.why.empty());
    EXPECT_TRUE(head.statistics_known);
    EXPECT_EQ(head.engine, Engine::polynomial);
    EXPECT_EQ(head.rank, feature_rank(9, head.degree));
    EXPECT_DOUBLE_EQ(head.tolerance, 1e-2);
    EXPECT_LE(head.predicted_bound, 1e-2);
    EXPECT_LT(head.predicted_seconds, head.exact_seconds);
    const auto chosen =
        std::count_if(head.candidates.begin(), head.candidates.end(), [](const Candidate& c) { return c.chosen; });
    EXPECT_EQ(chosen, 1);
    for (const Engine engine : {Engine::exact, Engine::polynomial}) {
      for (const Arithmetic arithmetic : {Arithmetic::float32, Arithmetic::float64}) {
        EXPECT_EQ(std::count_if(head.candidates.begin(), head.candidates.end(),
                                [&](const Candidate& c) { return c.engine == engine && c.arithmetic == arithmetic; }),
                  1);
      }
    }
    for (const Candidate& candidate : head.candidates) {
      EXPECT_FALSE(candidate.reason.empty()) << name_of(candidate.engine);
      if (candidate.chosen) {
        EXPECT_TRUE(candidate.usable);
        EXPECT_EQ(candidate.engine, head.engine);
        EXPECT_EQ(candidate.arithmetic, head.arithmetic);
        EXPECT_EQ(candidate.degree, head.degree);
      }
    }
  }
  const std::string words = describe(report);
  EXPECT_NE(words.find("polynomial"), std::string::npos);
  EXPECT_NE(words.find("exact"), std::string::npos);
}

TEST(Plan, StatisticsAreMeasured) {
  Problem problem = random_problem({.n_q = 300, .n_kv = 400, .dim = 2, .value_dim = 2}, 1.0, DType::float64, 63);
  std::vector<double> hidden(400, 0.0);
  std::fill_n(hidden.begin(), 150, -kInfinity);
  problem.bias = store(DType::float64, {1, 1, 400, 1}, hidden);
  const HeadPlan head = plan(problem, at_tolerance(1e-3)).report().heads.at(0);
  ASSERT_TRUE(head.statistics_known);
  const auto largest = [](const std::vector<double>& values, std::size_t from) {
    double most = 0.0;
    for (std::size_t i = from; i < values.size(); ++i) {
      most = std::max(most, std::abs(values[i]));
    }
    return most;
  };
  EXPECT_EQ(head.statistics.queries, 300);
  EXPECT_EQ(head.statistics.keys, 400);
  EXPECT_EQ(head.statistics.visible_keys, 250);
  EXPECT_EQ(head.statistics.dim, 2);
  EXPECT_EQ(head.statistics.value_dim, 2);
  EXPECT_EQ(head.statistics.max_abs_query, largest(problem.q.values, 0));
  EXPECT_EQ(head.statistics.max_abs_key, largest(problem.k.values, 300));
  EXPECT_EQ(head.statistics.max_abs_value, largest(problem.v.values, 300));
  EXPECT_EQ(head.statistics.value_range, value_range(problem));
}

TEST(Plan, RadiusBeforeAndAfterCentring) {
  // Keys far from the origin: large scores as given, small ones after centring.
  Problem problem = random_problem({.n_q = 600, .n_kv = 600, .dim = 2}, 1.0, DType::float64, 64);
  std::vector<double> keys = problem.k.values;
  for (double& k : keys) {
    k += 100.0;
  }
  problem.k = store(DType::float64, problem.k.shape, keys);
  const InputStatistics statistics = plan(problem, at_tolerance(1e-3)).report().heads.at(0).statistics;
  EXPECT_GT(statistics.radius_before, 50.0);
  EXPECT_LT(statistics.radius_after, 4.0);
}

TEST(Plan, BoundsProvedAheadHold) {
  for (const double radius : {0.25, 1.0, 2.0}) {
    for (const int degree : {2, 4, 7}) {
      const Problem problem = random_problem({.n_q = 64, .n_kv = 200, .dim = 2}, radius, DType::float64, 65);
      const Options options = with_certificates(forced({Engine::polynomial, Arithmetic::float64}, degree));
      const Plan made = plan(problem, options);
      const Verdict verdict = judge(problem, made.execute());
      EXPECT_TRUE(within_bounds(verdict));
      const auto& candidates = made.report().heads.at(0).candidates;
      const auto chosen =
          std::find_if(candidates.begin(), candidates.end(), [](const Candidate& c) { return c.chosen; });
      ASSERT_NE(chosen, candidates.end());
      EXPECT_EQ(chosen->degree, degree);
      EXPECT_LE(verdict.worst_measured, chosen->a_priori_bound);
      EXPECT_LE(verdict.worst_measured, chosen->papers_bound);
    }
  }
}

TEST(Plan, EstimatesTheErrorOfTheMean) {
  const Problem problem = easy();
  const HeadPlan head = plan(problem, at_tolerance(1e-2)).report().heads.at(0);
  EXPECT_GT(head.mean_answer_rows, 0);
  EXPECT_LE(head.mean_answer_rows, 64);
  const HeadReport found = attend(problem, at_tolerance(1e-2)).report.heads.at(0);
  EXPECT_GT(head.mean_answer_error, 0.0);
  EXPECT_LE(head.mean_answer_error, found.mean_answer_error + 1e-2);  // a maximum over fewer rows
}

TEST(Report, SaysWhatHappened) {
  const Problem problem = easy();
  Options options = at_tolerance(1e-2);
  options.want_row_engine = true;
  const Result result = attend(problem, options);
  ASSERT_EQ(result.report.heads.size(), 2U);
  ASSERT_EQ(result.row_engine.size(), 12000U);
  EXPECT_EQ(result.report.instruction_set, instruction_set());
  EXPECT_EQ(result.report.threads, 2);
  EXPECT_GT(result.report.peak_bytes, 0U);
  for (std::size_t h = 0; h < 2; ++h) {
    const HeadReport& head = result.report.heads[h];
    EXPECT_EQ(head.engine, Engine::polynomial);
    EXPECT_FALSE(head.why.empty());
    EXPECT_EQ(head.rows_total, 6000);
    EXPECT_EQ(head.rows_reference + head.rows_exact + head.rows_polynomial + head.rows_grid + head.rows_clustered,
              6000);
    const auto first = result.row_engine.begin() + static_cast<std::ptrdiff_t>(h * 6000);
    EXPECT_EQ(std::count(first, first + 6000, Engine::polynomial), head.rows_polynomial);
    EXPECT_EQ(std::count(first, first + 6000, Engine::exact), head.rows_exact);
    EXPECT_LE(head.certificate.bound(), 1e-2);
    EXPECT_GT(head.certificate.approximation, 0.0);
    EXPECT_GT(head.certificate.rounding, 0.0);
    EXPECT_EQ(head.certificate.kind, CertificateKind::certified);
    EXPECT_GT(head.smallest_denominator, 0.0);
    EXPECT_GE(head.lse_bound, 0.0);
    EXPECT_GE(head.seconds, 0.0);
  }
  EXPECT_NE(describe(result.report).find("polynomial"), std::string::npos);
}

TEST(Report, SmallestDenominatorIsALowerBound) {
  // D_i / W in the centred scores of the plan is at least the certified number; unbiased, D_i / W >= 1 by Jensen, and
  // exp(radius) is the most it can be.
  const Problem problem = random_problem({.n_q = 64, .n_kv = 100, .dim = 2}, 1.0, DType::float64, 66);
  const HeadReport head = attend(problem, forced({Engine::polynomial, Arithmetic::float64}, 8)).report.heads.at(0);
  EXPECT_GT(head.smallest_denominator, 0.0);
  EXPECT_LE(head.smallest_denominator, std::exp(head.radius_after));
}

TEST(Report, MeanAnswerError) {
  for (const bool biased : {false, true}) {
    Problem problem = random_problem({.n_q = 33, .n_kv = 90, .dim = 2, .value_dim = 2}, 2.0, DType::float64, 67);
    if (biased) {
      problem.bias = random_bias(problem, -2.0, 2.0, 68);
    }
    for (const Choice& choice : choices()) {
      const Result result = attend(problem, with_certificates(forced(choice)));
      const std::vector<double> rows = values_of(result.output);
      double expected = 0.0;
      for (std::size_t c = 0; c < 2; ++c) {
        double sum = 0.0;
        double mass = 0.0;
        for (std::size_t j = 0; j < 90; ++j) {
          const double weight = biased ? std::exp(problem.bias->values[j]) : 1.0;
          sum += weight * problem.v.values[2 * j + c];
          mass += weight;
        }
        for (std::size_t row = 0; row < 33; ++row) {
          expected = std::max(expected, std::abs(rows[2 * row + c] - sum / mass));
        }
      }
      // Two sums of 90 terms with values below 2: 2 * (90 + 3) * 2^-53 * 2 each way, rounded up; exact sums values in
      // its own arithmetic where they are not weighted.
      const bool narrow = choice.engine == Engine::exact && choice.arithmetic == Arithmetic::float32 && !biased;
      EXPECT_NEAR(result.report.heads.at(0).mean_answer_error, expected, narrow ? 0x1p-15 : 0x1p-43) << choice.name();
    }
  }
}

TEST(AttendRows, ExactRowsWithTheMasksOfTheWhole) {
  Problem problem = random_problem({.batch = 2, .heads = 2, .n_q = 30, .n_kv = 40, .dim = 3}, 2.0, DType::float32, 69);
  problem.bias = random_bias(problem, -2.0, 2.0, 70);
  problem.causal = Causal::lower_right;
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  const std::vector<std::int64_t> rows{29, 0, 7, 7};
  const Result picked = attend_rows(problem.q.view(), keys, values, rows, problem.options(with_certificates({})));
  EXPECT_EQ(picked.output.dtype(), DType::float64);
  EXPECT_EQ(picked.output.shape(), (Shape{2, 2, 4, 3}));
  const Answer whole = answer(problem, forced({Engine::reference, Arithmetic::float64}));
  const Answer part = answer_of(picked);
  for (std::size_t head = 0; head < 4; ++head) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const std::size_t from = head * 30 + static_cast<std::size_t>(rows[r]);
      const std::size_t at = head * rows.size() + r;
      for (std::size_t c = 0; c < 3; ++c) {
        EXPECT_LE(std::abs(part.output[at * 3 + c] - whole.output[from * 3 + c]), part.bounds[at] + whole.bounds[from]);
      }
    }
  }
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{30}}) {
    const std::vector<std::int64_t> outside{0, bad};
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"row", std::to_string(bad)},
                           [&] { attend_rows(problem.q.view(), keys, values, outside, problem.options()); }));
  }
}

}  // namespace
}  // namespace polyattn::test
