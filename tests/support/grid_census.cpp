#include "support/grid_census.hpp"

#include "support/census.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace polyattn::test {
namespace {

using base::usize;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct RowRatio {
  double answer = 0.0;  ///< measured / certified; -1: refused
  double lse = 0.0;
};

template <class Real>
std::vector<RowRatio> ratios(const GridCase& grid, const GridRun& run, bool doubted) {
  const GridTruth<Real> truth = grid_truth<Real>(grid);
  std::vector<RowRatio> rows(usize(grid.n_q));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (run.answered[i] == 0) {
      rows[i].answer = -1.0;
      continue;
    }
    const double bound = run.approximation[i] + run.rounding[i];
    for (std::size_t e = i * usize(grid.value_dim); e < (i + 1) * usize(grid.value_dim); ++e) {
      const double found = ratio<Real>(run.output[e], truth.output[e], doubted ? truth.doubt[i] : 0.0, bound);
      rows[i].answer = found <= rows[i].answer ? rows[i].answer : found;
    }
    rows[i].lse = ratio<Real>(run.lse[i], truth.lse[i], doubted ? truth.lse_doubt[i] : 0.0, run.lse_bound[i]);
  }
  return rows;
}

/// In long double, and again in binary128 where that may hide something.
std::vector<RowRatio> judged(const GridCase& grid, const GridRun& run) {
  std::vector<RowRatio> rows = ratios<long double>(grid, run, true);
  const auto close = [](const RowRatio& row) { return !(row.answer <= 0.25) || !(row.lse <= 0.25); };
  return std::any_of(rows.begin(), rows.end(), close) ? ratios<Quad>(grid, run, false) : rows;
}

GridFind examine_grown(const GridGenome& genome, GridCensus& census) {
  const GridCase grid = grown(genome);
  GridFind find{-1.0, genome, 0};
  const std::optional<GridRun> run = run_grid(grid);
  if (!run) {
    return find;
  }
  FamilyCensus& family = census.families[static_cast<std::size_t>(genome.family)];
  family.rows += grid.n_q;
  double worst = 0.0;
  double worst_lse = 0.0;
  std::int64_t answered = 0;
  const std::vector<RowRatio> rows = judged(grid, *run);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].answer < 0.0) {
      continue;
    }
    ++answered;
    if (!(rows[i].answer <= worst)) {
      worst = rows[i].answer;
      find.rounding = static_cast<int>(100.0 * run->rounding[i] / (run->approximation[i] + run->rounding[i]));
    }
    worst_lse = rows[i].lse <= worst_lse ? worst_lse : rows[i].lse;
    family.looseness.push_back(rows[i].answer > 0.0 ? 1.0 / rows[i].answer : kInfinity);
  }
  if (answered == 0) {
    return find;
  }
  ++family.heads;
  family.answered += answered;
  family.worst = std::max(family.worst, worst);
  family.worst_lse = std::max(family.worst_lse, worst_lse);
  find.clearance = std::max(worst, worst_lse);
  if (!(worst <= 1.0) || !(worst_lse <= 1.0)) {
    std::ostringstream text;
    text << genome << ": measured / certified = " << worst << ", log-sum-exp " << worst_lse;
    census.failures.push_back(text.str());
  }
  return find;
}

}  // namespace

GridFind examine(const GridGenome& genome, GridCensus& census) { return examined(genome, census, examine_grown); }

GridCensus survey_grids(std::uint64_t first, std::int64_t count) { return survey_families<GridCensus>(first, count); }

GridCensus search_grids(std::uint64_t first, std::int64_t climbs, int steps) {
  return search_families<GridCensus>(first, climbs, steps);
}

GridCensus replay_grids(const std::string& path) { return replay_families<GridCensus>(path, parse_grid_genome); }

std::string summary(const GridCensus& census) {
  std::ostringstream text;
  text << "certificate grids " << census.heads() << " worst-clearance " << census.worst() << " log-sum-exp "
       << census.worst_lse() << '\n';
  for (std::size_t f = 0; f < census.families.size(); ++f) {
    const FamilyCensus& family = census.families[f];
    text << "  " << name_of(static_cast<GridFamily>(f)) << ": heads " << family.heads << ", rows " << family.answered
         << " of " << family.rows << " answered, worst " << family.worst << ", log-sum-exp " << family.worst_lse
         << ", median looseness " << median(family.looseness) << '\n';
  }
  return text.str();
}

std::string closest_grids(const GridCensus& census, std::size_t of_each) {
  return closest_of_families(census, of_each, [](const GridFind& find) {
    return "rounding " + std::to_string(find.rounding) + " % of the bound";
  });
}

}  // namespace polyattn::test
