#include "planning/pilot.hpp"

#include "engines/polynomial/key_side.hpp"
#include "engines/polynomial/row_certificate.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr std::int64_t kRanked = 2048;
constexpr int kRows = 24;
/// What rounding really does beside its bound, which lets every error point the same way.
constexpr double kTypicalRounding = 0.1;

/// Rows by ascending radius, most of them far ones.
std::vector<std::int64_t> pilot_rows(const engines::HeadProblem& problem, const engines::Frame& frame) {
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_q() / kRanked);
  std::vector<std::pair<double, std::int64_t>> ranked;
  std::vector<double> row(usize(frame.dim()));
  for (std::int64_t i = stride / 2; i < problem.n_q(); i += stride) {
    base::load_rows(problem.queries, i, 1, row.data(), frame.dim());
    for (std::size_t l = 0; l < row.size(); ++l) {
      row[l] -= frame.query_centre[l];
    }
    ranked.emplace_back(engines::row_radius(frame, row.data()).radius, i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::int64_t> rows;
  for (int i = 0; i < kRows; ++i) {
    const double near = 1.0 - (i + 1.0) / kRows;
    const double at = (1.0 - near * near) * static_cast<double>(ranked.size() - 1);
    rows.push_back(ranked[usize(std::llround(at))].second);
  }
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

/// Sampled keys in centred coordinates, with the weight each stands for.
struct PilotKeys {
  std::vector<std::int64_t> index;
  std::vector<double> rows;  ///< [count][dim]
  std::vector<double> weight;
  std::vector<double> values;  ///< [count][columns + 1], v - mu and 1
};

PilotKeys pilot_key_rows(const engines::HeadProblem& problem, const engines::Frame& frame,
                         const engines::ValueRange& values, std::int64_t count) {
  const std::int64_t dim = frame.dim();
  const std::int64_t columns = problem.value_dim();
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_kv() / count);
  PilotKeys keys;
  std::vector<double> row(usize(std::max(dim, columns)));
  for (std::int64_t j = stride / 2; j < problem.n_kv(); j += stride) {
    const double weight = std::exp(frame.log_weight[usize(j)] - frame.log_scale) * static_cast<double>(stride);
    if (!(weight > 0.0)) {
      continue;
    }
    keys.index.push_back(j);
    keys.weight.push_back(weight);
    base::load_rows(problem.keys, j, 1, row.data(), dim);
    for (std::int64_t l = 0; l < dim; ++l) {
      keys.rows.push_back(row[usize(l)] - frame.key_centre[usize(l)]);
    }
    base::load_rows(problem.values, j, 1, row.data(), columns);
    for (std::int64_t c = 0; c < columns; ++c) {
      keys.values.push_back(row[usize(c)] - values.centre[usize(c)]);
    }
    keys.values.push_back(1.0);
  }
  return keys;
}

/// Sums and exact answer of one row; of its keys, where it sees the first `visible`.
PilotRow fly_row(const engines::Frame& frame, const PilotKeys& keys, const std::vector<double>& centred, int degree,
                 std::size_t columns, double weight, std::int64_t visible) {
  PilotRow row;
  row.radius = engines::row_radius(frame, centred.data());
  const std::size_t wide = columns + 1;
  row.sums.assign(usize(degree + 1) * wide, 0.0);
  std::vector<double> exact(wide, 0.0);
  for (std::size_t j = 0; j < keys.index.size() && keys.index[j] < visible; ++j) {
    double score = 0.0;
    for (std::size_t l = 0; l < centred.size(); ++l) {
      score += frame.metric[l] * centred[l] * keys.rows[j * centred.size() + l];
    }
    const double* value = keys.values.data() + j * wide;
    const double mass = keys.weight[j] / weight * std::exp(std::min(score, 600.0));
    double power = keys.weight[j] / weight;
    for (std::size_t c = 0; c < wide; ++c) {
      exact[c] += mass * value[c];
    }
    for (std::size_t t = 0; t <= usize(degree); ++t) {
      for (std::size_t c = 0; c < wide; ++c) {
        row.sums[t * wide + c] += power * value[c];
      }
      power *= score;
    }
  }
  for (std::size_t c = 0; c < columns; ++c) {
    row.answer.push_back(exact[c] / exact[columns]);
  }
  return row;
}

}  // namespace

std::int64_t pilot_keys(const engines::HeadProblem& problem) noexcept {
  return std::clamp<std::int64_t>(problem.n_kv() / 8, 512, 4096);
}

Pilot fly_pilot(const engines::HeadProblem& problem, const engines::Frame& frame, const engines::ValueRange& values,
                int degree, std::int64_t count, const base::Context& context) {
  Pilot pilot;
  pilot.degree = degree;
  const PilotKeys keys = pilot_key_rows(problem, frame, values, count);
  const std::size_t columns = usize(problem.value_dim());
  std::vector<double> absolute(columns, 0.0);
  for (std::size_t j = 0; j < keys.weight.size(); ++j) {
    pilot.weight += keys.weight[j];
    for (std::size_t c = 0; c < columns; ++c) {
      absolute[c] += keys.weight[j] * std::fabs(keys.values[j * (columns + 1) + c]);
    }
  }
  if (!(pilot.weight > 0.0) || problem.n_q() == 0) {
    return pilot;
  }
  for (const double sum : absolute) {
    pilot.deviation = std::max(pilot.deviation, sum / pilot.weight);
  }
  std::vector<std::int64_t> rows = pilot_rows(problem, frame);
  std::erase_if(rows, [&](std::int64_t i) { return problem.mask.visible(i, problem.n_kv()) <= keys.index.front(); });
  pilot.rows.resize(rows.size());
  base::parallel_for(context, static_cast<std::int64_t>(rows.size()), [&](std::int64_t i, int) {
    std::vector<double> row(usize(frame.dim()));
    base::load_rows(problem.queries, rows[usize(i)], 1, row.data(), frame.dim());
    for (std::size_t l = 0; l < row.size(); ++l) {
      row[l] -= frame.query_centre[l];
    }
    pilot.rows[usize(i)] =
        fly_row(frame, keys, row, degree, columns, pilot.weight, problem.mask.visible(rows[usize(i)], problem.n_kv()));
  });
  return pilot;
}

PilotError pilot_error(const Pilot& pilot, const engines::HeadProblem& problem, const engines::Frame& frame,
                       const engines::ValueRange& values, const engines::PolynomialTable& table, std::int64_t rank,
                       Arithmetic arithmetic, DType output) {
  const engines::RoundingModel rounding = arithmetic == Arithmetic::float32
                                              ? engines::rounding_model<float>(table.degree, rank, problem.n_kv())
                                              : engines::rounding_model<double>(table.degree, rank, problem.n_kv());
  const std::size_t columns = usize(problem.value_dim());
  const std::size_t wide = columns + 1;
  engines::KeySideBounds bounds;
  bounds.range = values.range();
  bounds.largest_absolute = pilot.deviation;
  bounds.largest_deviation = static_cast<std::int64_t>(columns) < engines::kChordColumns
                                 ? std::numeric_limits<double>::infinity()
                                 : pilot.deviation;
  for (const double z : frame.z) {
    bounds.z_sum += std::fabs(z);
  }
  PilotError out;
  if (pilot.rows.empty()) {  // nothing is known, so nothing is promised
    return {std::numeric_limits<double>::infinity(), 1.0};
  }
  for (const PilotRow& row : pilot.rows) {
    const double* mass = row.sums.data() + columns;
    bounds.weight_low = bounds.weight_high = *mass;  // causal rows see a part of all
    const engines::RowCertificate certificate =
        engines::certify_row(frame, bounds, rounding, table, rank, static_cast<double>(problem.n_kv()) / pilot.weight,
                             row.radius, 0.0, mass, static_cast<std::ptrdiff_t>(wide));
    if (certificate.polynomial == nullptr || !(certificate.denominator_low > 0.0) || certificate.denominator == 0.0) {
      out.refused += 1.0 / static_cast<double>(pilot.rows.size());
      continue;
    }
    double error = 0.0;
    for (std::size_t c = 0; c < columns; ++c) {
      double numerator = 0.0;
      for (std::size_t t = 0; t <= usize(table.degree); ++t) {
        numerator += certificate.polynomial->coefficients[t] * row.sums[t * wide + c];
      }
      const double answer = std::clamp(numerator / certificate.denominator, values.low[c] - values.centre[c],
                                       values.high[c] - values.centre[c]);
      error = std::max(error, std::fabs(answer - row.answer[c]));
    }
    const double lost = certificate.rounding_scale * 2.0 * pilot.deviation / certificate.denominator_low +
                        bounds.range * numerics::perturbation(certificate.perturbation);
    error += kTypicalRounding * lost + (output == DType::float32 ? numerics::kU32 : numerics::kU64) * values.max_abs;
    out.largest = std::max(out.largest, error);
  }
  return out;
}

}  // namespace polyattn::planning
