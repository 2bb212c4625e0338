#include "support/exact_time.hpp"

#include "support/statistics.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace polyattn::bench {

namespace {

/// Pairs of the larger number of rows: about a quarter of a second of one core.
constexpr std::int64_t kPairs = 2'000'000'000;
constexpr std::int64_t kFraction = 4;  // the smaller number is a quarter of it
constexpr Arithmetic kArithmetics[] = {Arithmetic::automatic, Arithmetic::float32, Arithmetic::float64};

ExactTime::Rows rows_of(const Problem& problem) {
  const std::int64_t all = problem.q.shape[2];
  const std::int64_t many = std::clamp<std::int64_t>(kPairs / problem.keys.shape[2], kFraction, all);
  return {many / kFraction, many, all};
}

}  // namespace

Problem first_rows(const Problem& problem, std::int64_t rows) {
  Problem first = problem;
  first.q.shape[2] = rows;
  return first;
}

ExactTime::ExactTime(Call call, const Options& options, const Rows& rows)
    : call_(std::move(call)), options_(options), rows_(rows) {
  options_.engine = Engine::exact;
  double least = std::numeric_limits<double>::infinity();
  Arithmetic best = options.arithmetic;
  for (const Arithmetic arithmetic : kArithmetics) {
    if (options.arithmetic != Arithmetic::automatic && arithmetic != options.arithmetic) continue;
    options_.arithmetic = arithmetic;
    try {
      // The first call finds out what is certified and warms up.
      const Report report = call_(rows_.many, options_);
      const double seconds = seconds_of_rows(rows_.many);
      if (seconds >= least) continue;
      least = seconds;
      best = arithmetic;
      head_ = report.heads.front();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_reachable) throw;
    }
  }
  options_.arithmetic = best;
}

ExactTime::ExactTime(const Problem& problem, const View& output)
    : ExactTime(
          [problem, output](std::int64_t rows, const Options& options) {
            Problem first = first_rows(problem, rows);
            first.options = options;
            View there = output;
            there.shape[2] = rows;
            return attend_into(first, there);
          },
          problem.options, rows_of(problem)) {}

double ExactTime::seconds_of_rows(std::int64_t rows) const {
  return seconds_of([&] { benchmark::DoNotOptimize(call_(rows, options_)); });
}

ExactTime::Seconds ExactTime::measure() const {
  const double of_few = seconds_of_rows(rows_.few);
  const double of_many = seconds_of_rows(rows_.many);
  Seconds out;
  out.per_row = (of_many - of_few) / static_cast<double>(rows_.many - rows_.few);
  out.all = of_many + out.per_row * static_cast<double>(rows_.all - rows_.many);
  return out;
}

}  // namespace polyattn::bench
