#include "support/census.hpp"

#include "support/families.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>

namespace polyattn::test {
namespace {

constexpr std::size_t kKept = 40;

void keep_closest(std::vector<Find>& finds) {
  std::stable_sort(finds.begin(), finds.end(), [](const Find& a, const Find& b) { return a.clearance > b.clearance; });
  finds.resize(std::min(finds.size(), kKept));
}

void keep(Census& census, const Find& find) {
  census.finds.push_back(find);
  if (census.finds.size() > 16 * kKept) {
    keep_closest(census.finds);
  }
}

/// certified / measured. A row without any error is infinitely loose, unless nothing was allowed either.
double looseness_of(const RowVerdict& row) {
  if (row.measured > 0.0) {
    return row.certified / row.measured;
  }
  return row.certified > 0.0 ? kInfinity : 1.0;
}

void count(const SmallProblem& small, const Problem& problem, const Verdict& verdict, const Certificate& certificate,
           Census& census) {
  ++census.problems;
  census.rows += static_cast<std::int64_t>(verdict.rows.size());
  for (const RowVerdict& row : verdict.rows) {
    census.looseness.push_back(looseness_of(row));
  }
  census.worst = std::max(census.worst, verdict.worst);
  census.worst_lse = std::max(census.worst_lse, verdict.worst_lse);
  if (small.output == DType::float64 && certificate.rounding >= 100.0 * certificate.approximation) {
    census.worst_rounding = std::max(census.worst_rounding, verdict.worst);
  }
  if (small.engine != Engine::polynomial) {
    return;
  }
  ++census.polynomial;
  census.polynomial_masked += small.causal != Causal::none || problem.bias ? 1 : 0;
  ++(small.arithmetic == Arithmetic::float32 ? census.polynomial_float32 : census.polynomial_float64);
  const double sharp = 0.1 * value_range(problem);
  for (const RowVerdict& row : verdict.rows) {
    ++census.polynomial_rows;
    census.polynomial_rows_sharp += row.certified < sharp ? 1 : 0;
    census.polynomial_looseness.push_back(looseness_of(row));
  }
}

/// What a report must say beside its bounds.
std::string report_fault(const SmallProblem& small, const Result& result) {
  const HeadReport& head = result.report.heads.at(0);
  const std::vector<double> lse = values_of(result.lse.value());
  const auto blind = std::count(lse.begin(), lse.end(), -kInfinity);  // rows that see no key are anybody's
  if (small.engine == Engine::polynomial && head.rows_polynomial + blind < small.n_q) {
    return "a strict polynomial answer has rows of another engine";
  }
  if (head.rows_polynomial > 0 && blind < small.n_q && small.degree && head.degree != *small.degree) {
    return "another degree than the one pinned";
  }
  if (small.arithmetic != Arithmetic::automatic && head.arithmetic != small.arithmetic) {
    return "another arithmetic than the one pinned";
  }
  if (small.tolerance.value > 0.0 && head.tolerance > 0.0 && !(head.certificate.bound() <= head.tolerance)) {
    return "certified above the tolerance";
  }
  return {};
}

std::string note_on(const SmallProblem& small, const Result& result) {
  const Certificate& c = result.report.heads.at(0).certificate;
  std::ostringstream text;
  text << name_of(small.engine) << ' ' << name_of(small.arithmetic) << (small.causal != Causal::none ? " causal" : "")
       << (small.bias.empty() ? "" : " biased") << " approximation " << c.approximation << " rounding " << c.rounding
       << " storage " << c.storage;
  return text.str();
}

}  // namespace

void Census::add(const Census& other) {
  problems += other.problems;
  refused += other.refused;
  polynomial += other.polynomial;
  polynomial_masked += other.polynomial_masked;
  polynomial_float32 += other.polynomial_float32;
  polynomial_float64 += other.polynomial_float64;
  rows += other.rows;
  polynomial_rows += other.polynomial_rows;
  polynomial_rows_sharp += other.polynomial_rows_sharp;
  worst = std::max(worst, other.worst);
  worst_lse = std::max(worst_lse, other.worst_lse);
  worst_rounding = std::max(worst_rounding, other.worst_rounding);
  looseness.insert(looseness.end(), other.looseness.begin(), other.looseness.end());
  polynomial_looseness.insert(polynomial_looseness.end(), other.polynomial_looseness.begin(),
                              other.polynomial_looseness.end());
  finds.insert(finds.end(), other.finds.begin(), other.finds.end());
  keep_closest(finds);
  failures.insert(failures.end(), other.failures.begin(), other.failures.end());
}

Find examine(const Genome& genome, Census& census) {
  const auto fail = [&](const std::string& what) {
    std::ostringstream text;
    text << genome << ": " << what;
    census.failures.push_back(text.str());
  };
  const SmallProblem small = grown(genome);
  const Problem problem = small.stored();
  try {
    const Result result = attend(problem, small.options());
    const Verdict verdict = judge(problem, result);
    count(small, problem, verdict, result.report.heads.at(0).certificate, census);
    if (const testing::AssertionResult held = within_bounds(verdict); !held) {
      fail(held.message());
    }
    if (const std::string fault = report_fault(small, result); !fault.empty()) {
      fail(fault);
    }
    return {verdict.worst, genome, note_on(small, result)};
  } catch (const Error& error) {
    // Strict, or asked for less than rounding the output to float32 costs: a refusal is an honest answer.
    const bool may_refuse = small.engine == Engine::polynomial || small.output != DType::float64;
    if (error.code() == ErrorCode::not_reachable && may_refuse) {
      ++census.refused;
    } else {
      fail(error.what());
    }
  } catch (const std::exception& error) {
    fail(error.what());
  }
  return {-1.0, genome, "refused"};
}

Census survey(std::uint64_t first, std::int64_t count) {
  return in_parallel<Census>(count, [first](std::int64_t i, Census& census) {
    keep(census, examine({Family::broad, first + static_cast<std::uint64_t>(i), {}}, census));
  });
}

Census search(std::uint64_t first, std::int64_t climbs, int steps) {
  return in_parallel<Census>(climbs, [first, steps](std::int64_t i, Census& census) {
    Genome genome{Family::tight, first + static_cast<std::uint64_t>(i), {}};
    Random random(genome.seed + 0x5eedU);
    Find highest = examine(genome, census);
    for (int step = 0; step < steps; ++step) {
      // Two moves at once now and then: some only pay together.
      Genome next = genome;
      next.moves.push_back(random.bits() >> 40U);
      if (random.chance(0.25)) {
        next.moves.push_back(random.bits() >> 40U);
      }
      const Find reached = examine(next, census);
      if (reached.clearance >= highest.clearance) {
        highest = reached;
        genome = next;
      }
    }
    keep(census, highest);
  });
}

Census replay(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  Census census;
  for (std::string line; std::getline(file, line);) {
    if (const std::optional<Genome> genome = parse_genome(line)) {
      keep(census, examine(*genome, census));
    }
  }
  keep_closest(census.finds);
  return census;
}

double median(std::vector<double> values) {
  if (values.empty()) {
    return 0.0;
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string summary(const Census& census) {
  std::ostringstream text;
  text << "certificate problems " << census.problems << " polynomial " << census.polynomial << " causal-or-biased "
       << census.polynomial_masked << " float32 " << census.polynomial_float32 << " float64 "
       << census.polynomial_float64 << " rows " << census.rows << " polynomial-rows " << census.polynomial_rows
       << " below-10%-of-range " << census.polynomial_rows_sharp << " refused " << census.refused << " worst-clearance "
       << census.worst << " worst-clearance-lse " << census.worst_lse << " worst-clearance-rounding "
       << census.worst_rounding << " median-looseness " << median(census.looseness) << " median-looseness-polynomial "
       << median(census.polynomial_looseness);
  return text.str();
}

std::string closest_calls(const Census& census, std::size_t count) {
  std::ostringstream text;
  for (std::size_t i = 0; i < std::min(count, census.finds.size()); ++i) {
    text << census.finds[i].genome << "  # " << census.finds[i].clearance << ", " << census.finds[i].note << '\n';
  }
  return text.str();
}

}  // namespace polyattn::test
