#include "lab/three_ov.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace polyattn::lab {

namespace {

/// A clause as one part sees it: an assignment x leaves it false if x & care == wrong.
struct Pattern {
  std::uint64_t care = 0;
  std::uint64_t wrong = 0;
  bool always_true = false;  ///< holds a variable of this part and its negation
};

Pattern pattern_of(const Clause& clause, const std::vector<int>& part) {
  Pattern pattern;
  for (std::size_t b = 0; b < part.size(); ++b) {
    const std::uint64_t bit = std::uint64_t{1} << b;
    const bool plain = std::ranges::find(clause, part[b]) != clause.end();
    const bool negated = std::ranges::find(clause, -part[b]) != clause.end();
    if (plain || negated) pattern.care |= bit;
    if (negated) pattern.wrong |= bit;
    pattern.always_true |= plain && negated;
  }
  return pattern;
}

BitVectors vectors_of(const Cnf& formula, const std::vector<int>& part) {
  BitVectors vectors(std::int64_t{1} << part.size(), static_cast<std::int64_t>(formula.clauses.size()));
  for (std::size_t clause = 0; clause < formula.clauses.size(); ++clause) {
    const Pattern pattern = pattern_of(formula.clauses[clause], part);
    if (pattern.always_true) continue;
    for (std::int64_t x = 0; x < vectors.count(); ++x) {
      const bool falsified = (static_cast<std::uint64_t>(x) & pattern.care) == pattern.wrong;
      if (falsified) vectors.set(x, static_cast<std::int64_t>(clause), true);
    }
  }
  return vectors;
}

}  // namespace

std::int64_t inner_product(const ThreeOv& instance, const Triple& triple) noexcept {
  return inner_product(instance.sets[0][triple[0]], instance.sets[1][triple[1]], instance.sets[2][triple[2]]);
}

Parts split(const Cnf& formula) {
  std::vector<int> occurring;
  for (const Clause& clause : formula.clauses) {
    for (const int literal : clause) occurring.push_back(std::abs(literal));
  }
  std::ranges::sort(occurring);
  occurring.erase(std::unique(occurring.begin(), occurring.end()), occurring.end());
  if (occurring.size() > most_split_variables) {
    throw Error(ErrorCode::invalid_argument, "variables: expected at most " + std::to_string(most_split_variables) +
                                                 " that occur, got " + std::to_string(occurring.size()));
  }
  Parts parts;
  for (std::size_t p = 0; p < 3; ++p) {
    const auto at = [&](std::size_t i) {
      return occurring.begin() + static_cast<std::ptrdiff_t>(occurring.size() * i / 3);
    };
    parts[p].assign(at(p), at(p + 1));
  }
  return parts;
}

ThreeOv list(const Cnf& formula, const Parts& parts) {
  return {{vectors_of(formula, parts[0]), vectors_of(formula, parts[1]), vectors_of(formula, parts[2])}};
}

Assignment assignment(const Cnf& formula, const Parts& parts, const Triple& triple) {
  Assignment model(static_cast<std::size_t>(formula.variables), false);
  for (std::size_t p = 0; p < 3; ++p) {
    for (std::size_t b = 0; b < parts[p].size(); ++b) {
      model[static_cast<std::size_t>(parts[p][b]) - 1] = (static_cast<std::uint64_t>(triple[p]) >> b & 1U) != 0;
    }
  }
  return model;
}

}  // namespace polyattn::lab
