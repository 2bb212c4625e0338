#pragma once

/// Surveys of problems that come in families, each grown from a genome: what the censuses of hard heads and of grids
/// have in common.

#include "support/judge.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace polyattn::test {

/// Of the problems of one family.
struct FamilyCensus {
  std::int64_t heads = 0;
  std::int64_t rows = 0;
  std::int64_t answered = 0;
  double worst = 0.0;
  double worst_lse = 0.0;
  std::vector<double> looseness;  ///< certified / measured of answered rows; infinite where the error is 0

  void add(const FamilyCensus& other) {
    heads += other.heads;
    rows += other.rows;
    answered += other.answered;
    worst = std::max(worst, other.worst);
    worst_lse = std::max(worst_lse, other.worst_lse);
    looseness.insert(looseness.end(), other.looseness.begin(), other.looseness.end());
  }
};

/// `FindType` has a clearance and a genome, which has a family, a seed and changes.
template <int Families, class FindType>
struct FamiliesCensus {
  using Find = FindType;
  using Genome = decltype(FindType::genome);
  using Family = decltype(FindType::genome.family);
  static constexpr int kFamilies = Families;
  static constexpr std::size_t kKept = 12;  ///< closest calls of each family

  std::array<FamilyCensus, std::size_t{Families}> families;
  std::vector<Find> finds;  ///< by family, closest first
  std::vector<std::string> failures;

  void add(const FamiliesCensus& other) {
    for (std::size_t f = 0; f < families.size(); ++f) {
      families[f].add(other.families[f]);
    }
    finds.insert(finds.end(), other.finds.begin(), other.finds.end());
    keep_closest();
    failures.insert(failures.end(), other.failures.begin(), other.failures.end());
  }

  void keep(const Find& find) {
    finds.push_back(find);
    if (finds.size() > 64 * kKept) {
      keep_closest();
    }
  }

  void keep_closest() {
    std::stable_sort(finds.begin(), finds.end(), [](const Find& a, const Find& b) {
      return a.genome.family != b.genome.family ? a.genome.family < b.genome.family : a.clearance > b.clearance;
    });
    std::array<std::size_t, std::size_t{Families}> seen{};
    std::erase_if(finds,
                  [&](const Find& find) { return seen[static_cast<std::size_t>(find.genome.family)]++ >= kKept; });
  }

  [[nodiscard]] std::int64_t heads() const {
    std::int64_t all = 0;
    for (const FamilyCensus& family : families) {
      all += family.heads;
    }
    return all;
  }
  [[nodiscard]] double worst() const { return largest(&FamilyCensus::worst); }
  [[nodiscard]] double worst_lse() const { return largest(&FamilyCensus::worst_lse); }

 private:
  [[nodiscard]] double largest(double FamilyCensus::*number) const {
    double all = 0.0;
    for (const FamilyCensus& family : families) {
      all = std::max(all, family.*number);
    }
    return all;
  }
};

/// |computed - truth| / bound, the truth being off by at most `doubt`, which speaks against the bound.
template <class Real>
double ratio(double computed, Real truth, double doubt, double bound) {
  const Real away = Real(computed) < truth ? truth - Real(computed) : Real(computed) - truth;
  const double error = Real(computed) == truth ? doubt : static_cast<double>(away) + doubt;
  return clearance(error, bound);
}

/// Runs task(i, census) for i in [0, count) on all cores; the sum does not depend on how many there are.
template <class Census>
Census in_parallel(std::int64_t count, const std::function<void(std::int64_t, Census&)>& task) {
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<Census> parts(threads);
  std::atomic<std::int64_t> next{0};
  std::vector<std::thread> workers;
  for (Census& part : parts) {
    workers.emplace_back([&] {
      for (std::int64_t i = next++; i < count; i = next++) {
        task(i, part);
      }
    });
  }
  Census all;
  for (std::size_t t = 0; t < threads; ++t) {
    workers[t].join();
    all.add(parts[t]);
  }
  return all;
}

/// look(genome, census), which may throw: then the genome is a failure.
template <class Census, class Look>
typename Census::Find examined(const typename Census::Genome& genome, Census& census, const Look& look) {
  try {
    return look(genome, census);
  } catch (const std::exception& error) {
    std::ostringstream text;
    text << genome << ": " << error.what();
    census.failures.push_back(text.str());
    return {-1.0, genome, {}};
  }
}

/// `count` problems of every family with seeds from `first`. Here and below examine(genome, census) is found by its
/// arguments.
template <class Census>
Census survey_families(std::uint64_t first, std::int64_t count) {
  return in_parallel<Census>(count * Census::kFamilies, [first](std::int64_t i, Census& census) {
    const auto family = static_cast<typename Census::Family>(i % Census::kFamilies);
    census.keep(examine({family, first + static_cast<std::uint64_t>(i / Census::kFamilies), {}}, census));
  });
}

/// `climbs` searches in every family, `steps` changes tried in each: one is kept if it brings measured / certified no
/// further from 1.
template <class Census>
Census search_families(std::uint64_t first, std::int64_t climbs, int steps) {
  return in_parallel<Census>(climbs * Census::kFamilies, [first, steps](std::int64_t i, Census& census) {
    const auto family = static_cast<typename Census::Family>(i % Census::kFamilies);
    typename Census::Genome genome{family, first + static_cast<std::uint64_t>(i / Census::kFamilies), {}};
    Random random(genome.seed * Census::kFamilies + static_cast<std::uint64_t>(family) + 0x5eedU);
    typename Census::Find highest = examine(genome, census);
    for (int step = 0; step < steps; ++step) {
      typename Census::Genome next = genome;
      next.changes.push_back(random.bits() >> 40U);
      if (random.chance(0.25)) {  // some only pay together
        next.changes.push_back(random.bits() >> 40U);
      }
      const typename Census::Find reached = examine(next, census);
      if (reached.clearance >= highest.clearance) {
        highest = reached;
        genome = std::move(next);
      }
    }
    census.keep(highest);
  });
}

/// Those recorded in a file, one a line; `parse` gives nothing for a line without one.
template <class Census, class Parse>
Census replay_families(const std::string& path, const Parse& parse) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  Census census;
  for (std::string line; std::getline(file, line);) {
    if (const std::optional<typename Census::Genome> genome = parse(line)) {
      census.keep(examine(*genome, census));
    }
  }
  census.keep_closest();
  return census;
}

/// The closest of each family as the file of regressions holds them; `note` says what follows the clearance.
template <class Census, class Note>
std::string closest_of_families(const Census& census, std::size_t of_each, const Note& note) {
  std::ostringstream text;
  std::array<std::size_t, std::size_t{Census::kFamilies}> seen{};
  for (const typename Census::Find& find : census.finds) {
    if (seen[static_cast<std::size_t>(find.genome.family)]++ < of_each) {
      text << find.genome << "  # " << find.clearance << ", " << note(find) << '\n';
    }
  }
  return text.str();
}

}  // namespace polyattn::test
