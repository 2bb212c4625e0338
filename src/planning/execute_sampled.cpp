// The course of a sampled guarantee: answers first, then the draw, then exact for the rows drawn.

#include "base/error.hpp"
#include "base/rows.hpp"
#include "engines/exact/exact.hpp"
#include "planning/execution.hpp"
#include "planning/sampled.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Largest |a - b| over a row; infinity if a number is NaN.
double distance(const double* a, const double* b, std::size_t columns) noexcept {
  double largest = 0.0;
  for (std::size_t c = 0; c < columns; ++c) {
    const double error = std::fabs(a[c] - b[c]);
    largest = std::isnan(error) ? kInfinity : std::max(largest, error);
  }
  return largest;
}

}  // namespace

AttemptedRows Execution::attempt(const Attempt& attempt) {
  const PolynomialChoice& choice = *decision.polynomial;
  const bool planned = attempt.degree == choice.features.degree();
  const engines::FeatureList other =
      planned ? engines::FeatureList{} : engines::make_features(problem.dim(), attempt.degree, problem.value_dim());
  const engines::PolynomialTable table =
      planned ? choice.table : engines::make_table(decision.sampled->radius, attempt.degree);
  std::vector<std::uint8_t> answered(usize(problem.n_q()), 0);
  evaluate(attempt.arithmetic, planned ? choice.features : other, table, acceptance(), answered);
  report.degree = attempt.degree;
  report.rank = attempt.rank;
  report.arithmetic = attempt.arithmetic;
  AttemptedRows out;
  for (std::int64_t i = 0; i < problem.n_q(); ++i) {
    const bool sound = answered[usize(i)] != 0 && std::isfinite(rows.bound(i));
    (sound ? out.sound : out.refused).push_back(i);
    if (sound && !(rows.bound(i) <= tolerance)) {
      out.open.push_back(i);
    }
  }
  return out;
}

double Execution::largest_error(const std::vector<std::int64_t>& list) {
  const std::size_t columns = usize(problem.value_dim());
  engines::RowList drawn;
  drawn.all = false;
  drawn.rows = list;
  for (std::size_t i = 0; i < list.size(); ++i) {
    drawn.targets.push_back(static_cast<std::int64_t>(i));
  }
  const auto count = static_cast<std::int64_t>(list.size());
  base::Buffer<double> exact(count * problem.value_dim(), context.memory);
  base::Buffer<double> bounds(count, context.memory);
  engines::HeadOutputs out;
  out.output = {exact.data(), DType::float64, problem.value_dim(), 1};
  out.rounding = bounds.data();
  if (group.few(drawn)) {
    group.few_rows<double>(problem, drawn, out, context);
  } else {
    engines::exact_rows(problem, group.packed<double>(problem, context), drawn, out, context);
  }
  base::Rows stored;
  const base::RowSink& output = outputs.output;
  stored.pieces.push_back({output.data, output.dtype, 0, problem.n_q(), output.row_stride, output.column_stride});
  stored.rows = problem.n_q();
  stored.columns = problem.value_dim();
  std::vector<double> row(columns);
  double largest = 0.0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    base::load_rows(stored, list[i], 1, row.data(), problem.value_dim());
    const double seen = distance(row.data(), exact.data() + i * columns, columns) * (1.0 + 1e-15);
    const double error = (std::max(seen - rows.stored(list[i]), 0.0) + bounds[i]) * (1.0 + 1e-15);
    largest = std::isnan(error) ? kInfinity : std::max(largest, error);
  }
  return largest;
}

void Execution::run_sampled() {
  const SampledChoice& sampled = *decision.sampled;
  const Sampling& wanted = request.sampling;
  SampleEvidence evidence;
  evidence.confidence = wanted.confidence;
  evidence.seed = wanted.seed;
  std::vector<std::int64_t> left;  // for exact
  std::size_t next = 0;
  while (evidence.attempts < kMaxAttempts && next < sampled.attempts.size()) {
    const Attempt& tried = sampled.attempts[next];
    AttemptedRows now = attempt(tried);
    left = std::move(now.refused);
    ++evidence.attempts;
    const double risk = attempt_risk(wanted.confidence, request.heads, evidence.attempts);
    evidence.rows = rows_to_sample(wanted.share, risk);
    evidence.population = static_cast<std::int64_t>(now.sound.size());
    evidence.share = unseen_share(evidence.rows, risk);
    if (static_cast<std::int64_t>(now.open.size()) <=
        evidence.rows) {  // all of them by exact are no dearer, and proved
      left.insert(left.end(), now.open.begin(), now.open.end());
      break;
    }
    const DrawName name{wanted.seed, problem.batch, problem.head, evidence.attempts};
    std::vector<std::int64_t> drawn = draw_indices(name, evidence.population, evidence.rows);
    std::transform(drawn.begin(), drawn.end(), drawn.begin(), [&](std::int64_t i) { return now.sound[usize(i)]; });
    evidence.largest = largest_error(drawn);
    if (evidence.largest <= tolerance) {
      report.certificate.kind = CertificateKind::sampled;
      break;
    }
    next = next_attempt(sampled, next, evidence.largest / tried.error, tolerance);
    if (evidence.attempts == kMaxAttempts || next >= sampled.attempts.size()) {
      left.insert(left.end(), now.open.begin(), now.open.end());
      report.why += "; a sample erred by " + base::text(evidence.largest) + ", so rows not proved went to exact";
    }
  }
  std::sort(left.begin(), left.end());
  hand_over(left);
  if (report.certificate.kind == CertificateKind::sampled) {
    for (const std::int64_t i : left) {
      evidence.proved = std::max(evidence.proved, rows.bound(i));
    }
    report.certificate.sample = evidence;
  }
}

}  // namespace polyattn::planning
