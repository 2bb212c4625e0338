#include "support/case.hpp"

#include "support/data.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <limits>
#include <span>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

namespace polyattn::bench {

namespace {

double entry(const ConstView& matrix, std::int64_t row, std::int64_t column) {
  const std::int64_t at = row * matrix.strides[2] + column * matrix.strides[3];
  switch (matrix.dtype) {
    case DType::float32:
      return static_cast<double>(static_cast<const float*>(matrix.data)[at]);
    case DType::float64:
      return static_cast<const double*>(matrix.data)[at];
    default:
      throw std::invalid_argument("outputs of benchmarks are float32 or float64");
  }
}

/// s_ij as the options state it.
long double score(const Problem& problem, std::int64_t row, std::int64_t key) {
  const std::int64_t dim = problem.q.shape[3];
  const auto* gaussian = std::get_if<Gaussian>(&problem.options.score);
  long double sum = 0.0L;
  for (std::int64_t l = 0; l < dim; ++l) {
    const auto q = static_cast<long double>(entry(problem.q, row, l));
    const auto k = static_cast<long double>(entry(problem.keys, key, l));
    if (gaussian == nullptr) {
      sum += q * k;
    } else {
      const bool one = gaussian->bandwidth.size() == 1;
      const auto h = static_cast<long double>(gaussian->bandwidth[one ? 0 : static_cast<std::size_t>(l)]);
      sum -= (q - k) * (q - k) / (2.0L * h * h);
    }
  }
  if (gaussian != nullptr) return sum;
  const double inverse_root = 1.0 / std::sqrt(static_cast<double>(dim));
  return sum * static_cast<long double>(std::get<Dot>(problem.options.score).scale.value_or(inverse_root));
}

std::vector<long double> textbook_row(const Problem& problem, std::int64_t row) {
  const bool causal = problem.options.mask.visibility.causal == Causal::upper_left;
  const std::int64_t keys = causal ? std::min(row + 1, problem.keys.shape[2]) : problem.keys.shape[2];
  std::vector<long double> scores;
  for (std::int64_t j = 0; j < keys; ++j) scores.push_back(score(problem, row, j));
  const long double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<long double> sums(static_cast<std::size_t>(problem.values.shape[3]), 0.0L);
  long double total = 0.0L;
  for (std::int64_t j = 0; j < keys; ++j) {
    const long double weight = std::exp(scores[static_cast<std::size_t>(j)] - largest);
    total += weight;
    for (std::size_t c = 0; c < sums.size(); ++c) {
      sums[c] += weight * static_cast<long double>(entry(problem.values, j, static_cast<std::int64_t>(c)));
    }
  }
  for (long double& sum : sums) sum /= total;
  return sums;
}

constexpr std::uint64_t kSeed = 0x5eed;

/// Google Benchmark wants every iteration it asked for.
void mark_refused(benchmark::State& state, const std::string& why) {
  for (auto _ : state) state.SetIterationTime(0.0);
  state.SetLabel(why);
  state.counters["refused"] = 1.0;
}

}  // namespace

Result attend(const Problem& problem) {
  return polyattn::attend(problem.q, std::array{problem.keys}, std::array{problem.values}, problem.options);
}

Report attend_into(const Problem& problem, const View& output) {
  Destinations destinations;
  destinations.output = output;
  return polyattn::attend_into(destinations, problem.q, std::array{problem.keys}, std::array{problem.values},
                               problem.options);
}

double measured_error(const Problem& problem, const ConstView& output, std::int64_t rows) {
  const std::vector<std::int64_t> indices = random_rows(rows, problem.q.shape[2], kSeed);
  const Result truth =
      attend_rows(problem.q, std::array{problem.keys}, std::array{problem.values}, indices, problem.options);
  double worst = 0.0;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t c = 0; c < output.shape[3]; ++c) {
      const double error =
          std::abs(entry(output, indices[static_cast<std::size_t>(i)], c) - entry(truth.output.view(), i, c));
      if (std::isnan(error)) return error;
      worst = std::max(worst, error);
    }
  }
  return worst;
}

Deviation textbook_error(const Problem& problem, const ConstView& output, std::int64_t rows) {
  Deviation worst;
  for (const std::int64_t row : random_rows(rows, problem.q.shape[2], kSeed)) {
    const std::vector<long double> truth = textbook_row(problem, row);
    for (std::int64_t c = 0; c < output.shape[3]; ++c) {
      const long double value = truth[static_cast<std::size_t>(c)];
      const long double error = std::abs(static_cast<long double>(entry(output, row, c)) - value);
      if (std::isnan(error)) return {std::numeric_limits<double>::quiet_NaN(), worst.largest};
      worst.error = std::max(worst.error, static_cast<double>(error));
      worst.largest = std::max(worst.largest, static_cast<double>(std::abs(value)));
    }
  }
  return worst;
}

void set_counter(benchmark::State& state, const std::string& name, double value) {
  if (std::isfinite(value)) state.counters[name] = value;
}

void describe_case(benchmark::State& state, const Problem& problem, const Report& report, double measured) {
  const HeadReport& head = report.heads.front();
  const double bound = head.certificate.bound();
  set_counter(state, "n", static_cast<double>(problem.keys.shape[2]));
  set_counter(state, "heads", static_cast<double>(problem.q.shape[1]));
  set_counter(state, "n_q", static_cast<double>(problem.q.shape[2]));
  set_counter(state, "d", static_cast<double>(problem.keys.shape[3]));
  set_counter(state, "d_v", static_cast<double>(problem.values.shape[3]));
  set_counter(state, "attend_threads", report.threads);
  set_counter(state, "tolerance", head.tolerance);
  set_counter(state, "value_range", head.value_range);
  set_counter(state, "bound", bound);
  set_counter(state, "rounding", head.certificate.rounding);
  set_counter(state, "measured_error", measured);
  set_counter(state, "mean_answer_error", head.mean_answer_error);
  set_counter(state, "rows_exact", static_cast<double>(head.rows_exact));
  set_counter(state, "rows_polynomial", static_cast<double>(head.rows_polynomial));
  set_counter(state, "rows_grid", static_cast<double>(head.rows_grid));
  if (head.degree >= 0) {
    set_counter(state, "degree", head.degree);
    set_counter(state, "rank", static_cast<double>(head.rank));
    set_counter(state, "radius", head.radius_after);
  }
  set_counter(state, "predicted_seconds", head.predicted_seconds);
  set_counter(state, "planning_seconds", report.planning_seconds);
  set_counter(state, "reported_peak_bytes", static_cast<double>(report.peak_bytes));
  state.SetLabel(std::string(name_of(head.engine)) + " " + name_of(head.arithmetic) + " " + report.instruction_set);
  if (!(measured <= bound)) throw std::runtime_error("the measured error exceeds the certified bound");
}

void declare_case(const std::string& name, int samples, std::function<void(benchmark::State&)> body) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [body = std::move(body)](benchmark::State& state) {
                                 try {
                                   body(state);
                                 } catch (const Error& error) {
                                   if (error.code() == ErrorCode::unsupported && state.iterations() == 0) {
                                     mark_refused(state, error.what());
                                   } else {
                                     state.SkipWithError(error.what());
                                   }
                                 } catch (const std::exception& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->Iterations(samples)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace polyattn::bench
