// How much of the certificate is looseness, and what each of its parts takes off: certified over measured error of the
// rows of some 200 heads, and the lowest degree that certifies 1e-3 of the value range for 99 % of the rows, with the
// parts switched on one after the other and with each left out alone. Prints tables in Markdown
// (docs/certificate-looseness.md). Usage: looseness [HEADS]. In float64, so that rounding hides nothing.

#include "engines/polynomial/key_shells.hpp"
#include "numerics/exp_polynomial.hpp"
#include "support/polynomial_run.hpp"
#include "support/row_blocks.hpp"
#include "tools/looseness_heads.hpp"
#include "tools/looseness_steps.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::test {
namespace {

using base::usize;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTolerance = 1e-3;  ///< of the value range
constexpr double kShareServed = 0.99;
constexpr double kMostMoments = 60000.0;
constexpr int kMostDegree = 24;

/// |q - qc| that the share of the rows which must be served does not exceed.
double served_norm(const HeadData& head, const engines::Frame& frame) {
  std::vector<double> norms;
  for (std::int64_t i = 0; i < head.n_q; ++i) {
    const double square = engines::centred_square(frame.metric, head.q.data() + i * head.dim, frame.query_centre);
    norms.push_back(engines::metric_norm(square, usize(head.dim)));
  }
  std::sort(norms.begin(), norms.end());
  return norms[usize(std::llround(kShareServed * static_cast<double>(norms.size() - 1)))];
}

/// As the planner would: a twentieth of the tolerance may be lost by the farthest row that must be served.
void leave_far_keys_out(const HeadData& head, engines::Frame& frame) {
  const base::Context context = serial_context();
  const engines::HeadProblem problem = head.problem();
  const double norm = served_norm(head, frame);
  const engines::KeyShells shells = engines::key_shells(problem, frame, context);
  double mass = 0.0;
  for (const engines::KeyShell& shell : shells.shells) {
    mass += std::exp(shell.log_mass);
  }
  std::size_t kept = shells.shells.size();
  double left_out = 0.0;
  while (kept > 1) {
    left_out += std::exp(shells.shells[kept - 1].log_mass + norm * shells.shells[kept - 1].norm);
    if (!(left_out <= 0.05 * kTolerance * mass)) {
      break;
    }
    --kept;
  }
  engines::leave_out(frame, engines::query_extent(problem, context), shells, kept);
  engines::hide_far_keys(frame, shells);
}

engines::PolynomialTable table_of(const engines::PolynomialTable& full, const Steps& steps) {
  engines::PolynomialTable table = full;
  if (!steps.ladder) {
    table.radii.resize(1);
    table.entries.resize(1);
    table.index_radii();
  }
  for (auto& entries : table.entries) {
    for (engines::TableEntry& entry : entries) {
      if (entry.q > steps.moments && steps.moments < 2) {
        entry.moment_error = entry.uniform = kInfinity;  // never chosen
      }
    }
  }
  return table;
}

/// Where chords are left out the choice is the engine's where it has none.
void choose(const Steps& steps, engines::KeySideBounds& bounds) {
  const bool few = bounds.low.size() + 1 <= usize(engines::kChordColumns);
  if (!few || (steps.choice == Choice::as_built && steps.chords)) {
    return;
  }
  bounds.largest_deviation = *std::max_element(bounds.deviation.begin(), bounds.deviation.end());
  if (steps.choice == Choice::by_chord) {
    double chord = 0.0;
    for (std::size_t c = 0; c < bounds.low.size(); ++c) {
      const double width = bounds.high[c] - bounds.low[c];
      const double share = (bounds.mean[c] - bounds.low[c]) * (bounds.high[c] - bounds.mean[c]);
      chord = std::max(chord, width > 0.0 ? 2.0 * share / width : 0.0);
    }
    bounds.range = chord;
  }
}

/// Certified error of the rows of a block under some steps, as a share of the range, and what was measured.
void certify(const PolynomialSetup& setup, const Steps& steps, double range,
             const engines::PreparedMoments<double>& moments, const HeadTruth<long double>& truth,
             engines::RowBlock<double>& rows, Outcome& out) {
  base::Buffer<double> chords;
  if (!steps.chords) {
    std::swap(chords, rows.moments);
  }
  engines::certify_row_block(setup.values, moments, rows);
  engines::complete_bounds(setup.frame, moments, {range, setup.values.max_abs}, DType::float64, rows);
  const std::int64_t value_dim = moments.features.value_dim;
  for (std::int64_t r = 0; r < rows.count; ++r) {
    double measured = 0.0;
    for (std::int64_t c = 0; c < value_dim; ++c) {
      const long double exact = truth.answer[usize((rows.first + r) * value_dim + c)];
      const double answer = rows.answer[usize(c * rows.block + r)];
      measured = std::max(measured, std::fabs(static_cast<double>(static_cast<long double>(answer) - exact)));
    }
    double certified = rows.refused[usize(r)] != 0 ? kInfinity : rows.approximation[r] + rows.rounding[r];
    if (!steps.computed && std::isfinite(certified)) {  // E / D_low with Jensen's D_low
      const double first = rows.sums[usize((moments.features.columns() + value_dim) * rows.block + r)];
      const double mean = moments.features.degree() >= 1 ? first / moments.bounds.weight_low : -rows.box[r];
      certified *= rows.denominator_low[r] / (moments.bounds.weight_low * std::exp(mean));
    }
    out.looseness.push_back(measured > 0.0 ? certified / measured : kInfinity);
    out.bound.push_back(certified / range);
    out.measured.push_back(measured / range);
  }
  if (!steps.chords) {
    std::swap(chords, rows.moments);
  }
}

/// All steps that share a frame and features, at one degree.
void certify_degree(const engines::HeadProblem& problem, PolynomialSetup& setup, int degree, bool far, bool spread,
                    const HeadTruth<long double>& truth, Outcomes& outcomes) {
  const base::Context context = serial_context();
  setup.features = engines::make_features(problem.dim(), degree, problem.value_dim(), spread);
  setup.table = engines::make_table(std::min(setup.frame.radius, numerics::kMaxRadius), degree);
  engines::MomentTotals totals = engines::make_totals(setup.features, context.memory);
  engines::sum_moments<double>(problem, setup.frame, setup.values, setup.features, 0, context, totals);
  const std::int64_t block = engines::evaluation_block(setup.features.columns());
  const double range = setup.values.range();
  for (std::int64_t first = 0; first < problem.n_q(); first += block) {
    engines::RowBlock<double> rows(setup.features, block, context.memory);
    bool summed = false;
    for (std::size_t s = 0; s < kSteps.size(); ++s) {
      const Steps& steps = kSteps[s];
      const bool spreads = steps.spread && problem.value_dim() >= engines::kChordColumns;
      if (steps.far != far || spreads != spread) {
        continue;
      }
      engines::PreparedMoments<double> moments = engines::prepare_moments<double>(
          setup.frame, setup.values, setup.features, table_of(setup.table, steps), totals, context.memory);
      if (!steps.variance) {
        moments.bounds.largest_deviation = kInfinity;
        std::fill(moments.bounds.deviation.begin(), moments.bounds.deviation.end(), kInfinity);
      }
      choose(steps, moments.bounds);
      if (!steps.jensen) {
        moments.bounds.weight_low = 0.0;
      }
      if (!summed) {
        sum_rows(problem, setup.frame, moments, first, std::min(block, problem.n_q() - first), rows);
        summed = true;
      }
      certify(setup, steps, range, moments, truth, rows, outcomes[s]);
    }
  }
}

bool serves(const std::vector<double>& bound) {
  const auto good = std::count_if(bound.begin(), bound.end(), [](double b) { return b <= kTolerance; });
  return static_cast<double>(good) >= kShareServed * static_cast<double>(bound.size());
}

/// Rises through the degrees until every step serves the head, or its features become too many.
Outcomes examine(const HeadData& head) {
  const engines::HeadProblem problem = head.problem();
  const HeadTruth<long double> truth = truth_of<long double>(head);
  std::array<PolynomialSetup, 2> setups{make_setup(problem, 0), make_setup(problem, 0)};
  leave_far_keys_out(head, setups[1].frame);
  Outcomes result;
  for (int degree = 0; degree <= kMostDegree; ++degree) {
    const auto features = engines::make_features(head.dim, degree, head.value_dim, false);
    if (features.work() > kMostMoments) {
      break;
    }
    Outcomes found;
    for (const bool far : {false, true}) {
      for (const bool spread : {false, true}) {
        if (!spread || head.value_dim >= engines::kChordColumns) {
          certify_degree(problem, setups[far ? 1 : 0], degree, far, spread, truth, found);
        }
      }
    }
    const bool first = result[kAll].lowest < 0;
    bool done = true;
    for (std::size_t s = 0; s < kSteps.size(); ++s) {
      if (result[s].lowest < 0 && serves(found[s].bound)) {
        result[s].lowest = degree;
      }
      if (first) {
        result[s].looseness = std::move(found[s].looseness);
        result[s].bound = std::move(found[s].bound);
        result[s].measured = std::move(found[s].measured);
      }
      done = done && result[s].lowest >= 0;
    }
    if (done) {
      break;
    }
  }
  return result;
}

int run(std::int64_t count) {
  std::vector<std::pair<HeadData, Outcomes>> heads;
  for (std::int64_t index = 0; index < count; ++index) {
    HeadData head = looseness_head(index);
    Outcomes outcomes = examine(head);
    heads.emplace_back(std::move(head), std::move(outcomes));
  }
  print_looseness("All", heads, [](const HeadData&) { return true; });
  print_looseness("One or four columns", heads, [](const HeadData& head) { return head.value_dim < 9; });
  print_looseness("Sixteen columns", heads, [](const HeadData& head) { return head.value_dim >= 9; });
  print_looseness("Gaussian kernels", heads,
                  [](const HeadData& head) { return head.score.kind == engines::ScoreKind::gaussian; });
  print_looseness("Biased keys", heads, [](const HeadData& head) { return !head.bias.empty(); });
  return 0;
}

}  // namespace
}  // namespace polyattn::test

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 207;
  if (argc > 2 || count <= 0) {
    std::fprintf(stderr, "usage: looseness [HEADS]\n");
    return 2;
  }
  return polyattn::test::run(count);
}
