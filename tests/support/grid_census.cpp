#include "support/grid_census.hpp"

#include "support/census.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace polyattn::test {
namespace {

using base::usize;
constexpr std::size_t kKept = 12;  // closest calls of each family
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void keep_closest(std::vector<GridFind>& finds) {
  std::stable_sort(finds.begin(), finds.end(), [](const GridFind& a, const GridFind& b) {
    return a.genome.family != b.genome.family ? a.genome.family < b.genome.family : a.clearance > b.clearance;
  });
  std::array<std::size_t, kGridFamilies> seen{};
  std::erase_if(finds,
                [&](const GridFind& find) { return seen[static_cast<std::size_t>(find.genome.family)]++ >= kKept; });
}

void keep(GridCensus& census, const GridFind& find) {
  census.finds.push_back(find);
  if (census.finds.size() > 64 * kKept) {
    keep_closest(census.finds);
  }
}

struct RowRatio {
  double answer = 0.0;  ///< measured / certified; -1: refused
  double lse = 0.0;
};

/// The truth is off by at most `doubt`, which speaks against the bound.
template <class Real>
double ratio(double computed, Real truth, double doubt, double bound) {
  const Real away = Real(computed) < truth ? truth - Real(computed) : Real(computed) - truth;
  const double error = Real(computed) == truth ? doubt : static_cast<double>(away) + doubt;
  return clearance(error, bound);
}

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
  GridFamilyCensus& family = census.families[static_cast<std::size_t>(genome.family)];
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

GridCensus in_parallel(std::int64_t count, const std::function<void(std::int64_t, GridCensus&)>& task) {
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<GridCensus> parts(threads);
  std::atomic<std::int64_t> next{0};
  std::vector<std::thread> workers;
  for (GridCensus& part : parts) {
    workers.emplace_back([&] {
      for (std::int64_t i = next++; i < count; i = next++) {
        task(i, part);
      }
    });
  }
  GridCensus all;
  for (std::size_t t = 0; t < threads; ++t) {
    workers[t].join();
    all.add(parts[t]);
  }
  return all;
}

}  // namespace

void GridCensus::add(const GridCensus& other) {
  for (std::size_t f = 0; f < families.size(); ++f) {
    GridFamilyCensus& mine = families[f];
    const GridFamilyCensus& theirs = other.families[f];
    mine.heads += theirs.heads;
    mine.rows += theirs.rows;
    mine.answered += theirs.answered;
    mine.worst = std::max(mine.worst, theirs.worst);
    mine.worst_lse = std::max(mine.worst_lse, theirs.worst_lse);
    mine.looseness.insert(mine.looseness.end(), theirs.looseness.begin(), theirs.looseness.end());
  }
  finds.insert(finds.end(), other.finds.begin(), other.finds.end());
  keep_closest(finds);
  failures.insert(failures.end(), other.failures.begin(), other.failures.end());
}

std::int64_t GridCensus::heads() const {
  std::int64_t all = 0;
  for (const GridFamilyCensus& family : families) {
    all += family.heads;
  }
  return all;
}

double GridCensus::worst() const {
  double all = 0.0;
  for (const GridFamilyCensus& family : families) {
    all = std::max(all, family.worst);
  }
  return all;
}

double GridCensus::worst_lse() const {
  double all = 0.0;
  for (const GridFamilyCensus& family : families) {
    all = std::max(all, family.worst_lse);
  }
  return all;
}

GridFind examine(const GridGenome& genome, GridCensus& census) {
  try {
    return examine_grown(genome, census);
  } catch (const std::exception& error) {
    std::ostringstream text;
    text << genome << ": " << error.what();
    census.failures.push_back(text.str());
    return {-1.0, genome, 0};
  }
}

GridCensus survey_grids(std::uint64_t first, std::int64_t count) {
  return in_parallel(count * kGridFamilies, [first](std::int64_t i, GridCensus& census) {
    const auto family = static_cast<GridFamily>(i % kGridFamilies);
    keep(census, examine({family, first + static_cast<std::uint64_t>(i / kGridFamilies), {}}, census));
  });
}

GridCensus search_grids(std::uint64_t first, std::int64_t climbs, int steps) {
  return in_parallel(climbs * kGridFamilies, [first, steps](std::int64_t i, GridCensus& census) {
    const auto family = static_cast<GridFamily>(i % kGridFamilies);
    GridGenome genome{family, first + static_cast<std::uint64_t>(i / kGridFamilies), {}};
    Random random(genome.seed * kGridFamilies + static_cast<std::uint64_t>(family) + 0x5eedU);
    GridFind highest = examine(genome, census);
    for (int step = 0; step < steps; ++step) {
      GridGenome changed = highest.genome;
      changed.changes.push_back(random.bits() >> 40U);
      const GridFind found = examine(changed, census);
      if (found.clearance >= highest.clearance) {
        highest = found;
      }
    }
    keep(census, highest);
  });
}

GridCensus replay_grids(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  GridCensus census;
  std::string line;
  while (std::getline(file, line)) {
    if (const std::optional<GridGenome> genome = parse_grid_genome(line)) {
      keep(census, examine(*genome, census));
    }
  }
  keep_closest(census.finds);
  return census;
}

std::string summary(const GridCensus& census) {
  std::ostringstream text;
  text << "certificate grids " << census.heads() << " worst-clearance " << census.worst() << " log-sum-exp "
       << census.worst_lse() << '\n';
  for (std::size_t f = 0; f < census.families.size(); ++f) {
    const GridFamilyCensus& family = census.families[f];
    text << "  " << name_of(static_cast<GridFamily>(f)) << ": heads " << family.heads << ", rows " << family.answered
         << " of " << family.rows << " answered, worst " << family.worst << ", log-sum-exp " << family.worst_lse
         << ", median looseness " << median(family.looseness) << '\n';
  }
  return text.str();
}

std::string closest_grids(const GridCensus& census, std::size_t of_each) {
  std::ostringstream text;
  std::array<std::size_t, kGridFamilies> seen{};
  for (const GridFind& find : census.finds) {
    if (seen[static_cast<std::size_t>(find.genome.family)]++ < of_each) {
      text << find.genome << "  # " << find.clearance << ", rounding " << find.rounding << " % of the bound\n";
    }
  }
  return text.str();
}

}  // namespace polyattn::test
