#include "support/head_census.hpp"

#include "support/census.hpp"
#include "support/layered_run.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <sstream>

namespace polyattn::test {
namespace {

using base::usize;

struct RowRatio {
  double answer = 0.0;  ///< measured / certified
  double lse = 0.0;
};

template <class Real>
std::vector<RowRatio> ratios(const HeadData& head, const PolynomialRun& run, bool doubted) {
  const HeadTruth<Real> truth = truth_of<Real>(head);
  std::vector<RowRatio> rows(usize(head.n_q));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (run.answered[i] == 0) {
      rows[i].answer = -1.0;
      continue;
    }
    const double bound = run.bound(static_cast<std::int64_t>(i));
    for (std::size_t e = i * usize(head.value_dim); e < (i + 1) * usize(head.value_dim); ++e) {
      rows[i].answer =
          std::max(rows[i].answer, ratio<Real>(run.output[e], truth.answer[e], doubted ? truth.doubt[e] : 0.0, bound));
    }
    if (run.lse.empty()) {  // not offered
      continue;
    }
    rows[i].lse = ratio<Real>(run.lse[i], truth.lse[i], doubted ? truth.lse_doubt[i] : 0.0, run.lse_bound[i]);
  }
  return rows;
}

/// In long double, and again in binary128 where that may hide something.
std::vector<RowRatio> judged(const HeadData& head, const PolynomialRun& run) {
  std::vector<RowRatio> rows = ratios<long double>(head, run, true);
  const auto close = [](const RowRatio& row) { return !(row.answer <= 0.25) || !(row.lse <= 0.25); };
  return std::any_of(rows.begin(), rows.end(), close) ? ratios<Quad>(head, run, false) : rows;
}

PolynomialRun run_hard_head(const HardHead& hard, const PolynomialSetup& setup) {
  if (hard.strong > 0) {
    const engines::HeadMaps maps = hard.balanced ? balanced_maps(hard.head, setup.frame) : identity_maps(setup.frame);
    const engines::LayerShape shape{hard.strong, hard.degree, hard.first_degree};
    return hard.single ? run_layers<float>(hard.head, setup.frame, setup.values, maps, shape)
                       : run_layers<double>(hard.head, setup.frame, setup.values, maps, shape);
  }
  const engines::HeadProblem problem = hard.head.problem();
  return hard.single ? run_polynomial<float>(problem, setup) : run_polynomial<double>(problem, setup);
}

HeadFind examine_grown(const HeadGenome& genome, HeadCensus& census) {
  const HardHead hard = grown(genome);
  const PolynomialSetup setup = setup_of(hard);
  const PolynomialRun run = run_hard_head(hard, setup);
  FamilyCensus& family = census.families[static_cast<std::size_t>(genome.family)];
  ++family.heads;
  family.rows += hard.head.n_q;
  ++census.prefixes.at(std::min<std::size_t>(usize(setup.features.prefix_degree()), census.prefixes.size() - 1));
  ++census.degrees.at(usize(hard.degree));
  ++census.columns.at(usize(hard.head.value_dim));
  HeadFind find{-1.0, genome, {}};
  double lse = 0.0;
  double rounding = 0.0;
  for (const RowRatio& row : judged(hard.head, run)) {
    if (row.answer < 0.0) {
      continue;
    }
    ++family.answered;
    find.clearance = std::max(find.clearance, row.answer);
    lse = std::max(lse, row.lse);
    family.looseness.push_back(row.answer > 0.0 ? 1.0 / row.answer : std::numeric_limits<double>::infinity());
  }
  for (std::size_t i = 0; i < run.answered.size(); ++i) {
    rounding =
        std::max(rounding, run.answered[i] != 0 ? run.rounding[i] / run.bound(static_cast<std::int64_t>(i)) : 0.0);
  }
  family.worst = std::max(family.worst, find.clearance);
  family.worst_lse = std::max(family.worst_lse, lse);
  std::ostringstream note;
  note << (hard.single ? "float32" : "float64") << ", rounding " << static_cast<int>(100.0 * rounding)
       << " % of the bound";
  find.note = note.str();
  if (!(find.clearance <= 1.0) || !(lse <= 1.0)) {
    std::ostringstream text;
    text << genome << ": measured / certified = " << find.clearance << ", log-sum-exp " << lse;
    census.failures.push_back(text.str());
  }
  return find;
}

}  // namespace

void HeadCensus::add(const HeadCensus& other) {
  FamiliesCensus::add(other);
  const auto sum = [](auto& to, const auto& from) {
    std::transform(from.begin(), from.end(), to.begin(), to.begin(), std::plus<>());
  };
  sum(prefixes, other.prefixes);
  sum(degrees, other.degrees);
  sum(columns, other.columns);
}

HeadFind examine(const HeadGenome& genome, HeadCensus& census) { return examined(genome, census, examine_grown); }

HeadCensus survey_heads(std::uint64_t first, std::int64_t count) { return survey_families<HeadCensus>(first, count); }

HeadCensus search_heads(std::uint64_t first, std::int64_t climbs, int steps) {
  return search_families<HeadCensus>(first, climbs, steps);
}

HeadCensus replay_heads(const std::string& path) { return replay_families<HeadCensus>(path, parse_head_genome); }

std::string summary(const HeadCensus& census) {
  std::ostringstream text;
  text << "certificate heads " << census.heads() << " worst-clearance " << census.worst() << " worst-clearance-lse "
       << census.worst_lse() << '\n';
  for (int f = 0; f < kHeadFamilies; ++f) {
    const FamilyCensus& family = census.families[usize(f)];
    text << "  " << name_of(static_cast<HeadFamily>(f)) << " heads " << family.heads << " rows " << family.rows
         << " answered " << family.answered << " worst-clearance " << family.worst << " worst-clearance-lse "
         << family.worst_lse << " median-looseness " << median(family.looseness) << '\n';
  }
  return text.str();
}

std::string closest_heads(const HeadCensus& census, std::size_t of_each) {
  return closest_of_families(census, of_each, [](const HeadFind& find) { return find.note; });
}

}  // namespace polyattn::test
