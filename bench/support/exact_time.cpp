#include "support/exact_time.hpp"

#include "support/statistics.hpp"

#include <algorithm>
#include <limits>

namespace polyattn::bench {

namespace {

/// Pairs of the larger number of rows: about a quarter of a second of one core.
constexpr std::int64_t kPairs = 2'000'000'000;
constexpr std::int64_t kFraction = 4;  // the smaller number is a quarter of it
constexpr Arithmetic kArithmetics[] = {Arithmetic::automatic, Arithmetic::float32, Arithmetic::float64};

View first_rows(View output, std::int64_t rows) {
  output.shape[2] = rows;
  return output;
}

}  // namespace

Problem first_rows(const Problem& problem, std::int64_t rows) {
  Problem first = problem;
  first.q.shape[2] = rows;
  return first;
}

ExactTime::ExactTime(const Problem& problem, const View& output)
    : rows_(problem.q.shape[2]),
      output_(output),
      few_(problem),
      many_(first_rows(problem, std::clamp<std::int64_t>(kPairs / problem.keys.shape[2], kFraction, rows_))) {
  many_.options.engine = Engine::exact;
  double least = std::numeric_limits<double>::infinity();
  Arithmetic best = Arithmetic::automatic;
  for (const Arithmetic arithmetic : kArithmetics) {
    many_.options.arithmetic = arithmetic;
    try {
      // The first call finds out what is certified and warms up.
      const Report report = attend_into(many_, first_rows(output_, many_.q.shape[2]));
      const double seconds = seconds_of_call(many_);
      if (seconds >= least) continue;
      least = seconds;
      best = arithmetic;
      head_ = report.heads.front();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::not_reachable) throw;
    }
  }
  many_.options.arithmetic = best;
  few_ = first_rows(many_, many_.q.shape[2] / kFraction);
}

double ExactTime::seconds_of_call(const Problem& problem) const {
  const View output = first_rows(output_, problem.q.shape[2]);
  return seconds_of([&] { benchmark::DoNotOptimize(attend_into(problem, output)); });
}

double ExactTime::seconds() const {
  const double of_few = seconds_of_call(few_);
  const double of_many = seconds_of_call(many_);
  const std::int64_t few = few_.q.shape[2];
  const std::int64_t many = many_.q.shape[2];
  const double per_row = (of_many - of_few) / static_cast<double>(many - few);
  return of_many + per_row * static_cast<double>(rows_ - many);
}

}  // namespace polyattn::bench
