#include "support/head_census.hpp"

#include "support/census.hpp"
#include "support/layered_run.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace polyattn::test {
namespace {

using base::usize;
constexpr std::size_t kKept = 12;  // closest calls of each family

void keep_closest(std::vector<HeadFind>& finds) {
  std::stable_sort(finds.begin(), finds.end(), [](const HeadFind& a, const HeadFind& b) {
    return a.genome.family != b.genome.family ? a.genome.family < b.genome.family : a.clearance > b.clearance;
  });
  std::array<std::size_t, kHeadFamilies> seen{};
  std::erase_if(finds,
                [&](const HeadFind& find) { return seen[static_cast<std::size_t>(find.genome.family)]++ >= kKept; });
}

struct RowRatio {
  double answer = 0.0;  ///< measured / certified
  double lse = 0.0;
};

/// |computed - truth| / bound, the truth being off by at most `doubt`, which speaks against the bound.
template <class Real>
double ratio(double computed, Real truth, double doubt, double bound) {
  const Real away = Real(computed) < truth ? truth - Real(computed) : Real(computed) - truth;
  const double error = Real(computed) == truth ? doubt : static_cast<double>(away) + doubt;
  return clearance(error, bound);
}

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

HeadCensus in_parallel(std::int64_t count, const std::function<void(std::int64_t, HeadCensus&)>& task) {
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<HeadCensus> parts(threads);
  std::atomic<std::int64_t> next{0};
  std::vector<std::thread> workers;
  for (HeadCensus& part : parts) {
    workers.emplace_back([&] {
      for (std::int64_t i = next++; i < count; i = next++) {
        task(i, part);
      }
    });
  }
  HeadCensus all;
  for (std::size_t t = 0; t < threads; ++t) {
    workers[t].join();
    all.add(parts[t]);
  }
  return all;
}

void keep(HeadCensus& census, const HeadFind& find) {
  census.finds.push_back(find);
  if (census.finds.size() > 64 * kKept) {
    keep_closest(census.finds);
  }
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
  for (std::size_t f = 0; f < families.size(); ++f) {
    FamilyCensus& mine = families[f];
    const FamilyCensus& theirs = other.families[f];
    mine.heads += theirs.heads;
    mine.rows += theirs.rows;
    mine.answered += theirs.answered;
    mine.worst = std::max(mine.worst, theirs.worst);
    mine.worst_lse = std::max(mine.worst_lse, theirs.worst_lse);
    mine.looseness.insert(mine.looseness.end(), theirs.looseness.begin(), theirs.looseness.end());
  }
  const auto sum = [](auto& to, const auto& from) {
    std::transform(from.begin(), from.end(), to.begin(), to.begin(), std::plus<>());
  };
  sum(prefixes, other.prefixes);
  sum(degrees, other.degrees);
  sum(columns, other.columns);
  finds.insert(finds.end(), other.finds.begin(), other.finds.end());
  keep_closest(finds);
  failures.insert(failures.end(), other.failures.begin(), other.failures.end());
}

std::int64_t HeadCensus::heads() const {
  std::int64_t all = 0;
  for (const FamilyCensus& family : families) {
    all += family.heads;
  }
  return all;
}

double HeadCensus::worst() const {
  double all = 0.0;
  for (const FamilyCensus& family : families) {
    all = std::max(all, family.worst);
  }
  return all;
}

double HeadCensus::worst_lse() const {
  double all = 0.0;
  for (const FamilyCensus& family : families) {
    all = std::max(all, family.worst_lse);
  }
  return all;
}

HeadFind examine(const HeadGenome& genome, HeadCensus& census) {
  try {
    return examine_grown(genome, census);
  } catch (const std::exception& error) {
    std::ostringstream text;
    text << genome << ": " << error.what();
    census.failures.push_back(text.str());
    return {-1.0, genome, "error"};
  }
}

HeadCensus survey_heads(std::uint64_t first, std::int64_t count) {
  return in_parallel(count * kHeadFamilies, [first](std::int64_t i, HeadCensus& census) {
    const auto family = static_cast<HeadFamily>(i % kHeadFamilies);
    keep(census, examine({family, first + static_cast<std::uint64_t>(i / kHeadFamilies), {}}, census));
  });
}

HeadCensus search_heads(std::uint64_t first, std::int64_t climbs, int steps) {
  return in_parallel(climbs * kHeadFamilies, [first, steps](std::int64_t i, HeadCensus& census) {
    const auto family = static_cast<HeadFamily>(i % kHeadFamilies);
    HeadGenome genome{family, first + static_cast<std::uint64_t>(i / kHeadFamilies), {}};
    Random random(genome.seed * kHeadFamilies + static_cast<std::uint64_t>(family) + 0x5eedU);
    HeadFind highest = examine(genome, census);
    for (int step = 0; step < steps; ++step) {
      HeadGenome next = genome;
      next.changes.push_back(random.bits() >> 40U);
      if (random.chance(0.25)) {  // some only pay together
        next.changes.push_back(random.bits() >> 40U);
      }
      const HeadFind reached = examine(next, census);
      if (reached.clearance >= highest.clearance) {
        highest = reached;
        genome = std::move(next);
      }
    }
    keep(census, highest);
  });
}

HeadCensus replay_heads(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  HeadCensus census;
  for (std::string line; std::getline(file, line);) {
    if (const std::optional<HeadGenome> genome = parse_head_genome(line)) {
      keep(census, examine(*genome, census));
    }
  }
  keep_closest(census.finds);
  return census;
}

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
  std::ostringstream text;
  std::array<std::size_t, kHeadFamilies> seen{};
  for (const HeadFind& find : census.finds) {
    if (seen[static_cast<std::size_t>(find.genome.family)]++ < of_each) {
      text << find.genome << "  # " << find.clearance << ", " << find.note << '\n';
    }
  }
  return text.str();
}

}  // namespace polyattn::test
