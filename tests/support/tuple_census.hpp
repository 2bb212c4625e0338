#pragma once

/// Many small problems of orders 2 to 5 through attend, each row judged against its definition: random ones, and ones
/// found by a search that climbs towards the bound.

#include "support/tuple_call.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {

struct TupleCensus {
  std::int64_t problems = 0;    ///< answered
  std::int64_t refused = 0;     ///< by the polynomial engine alone: not counted
  std::int64_t polynomial = 0;  ///< answered by the polynomial engine in every row
  std::int64_t masked = 0;      ///< of those, biased, causal or with a window
  std::int64_t by_order[6] = {};
  std::int64_t rows = 0;
  double worst = 0.0;             ///< largest measured / certified
  double worst_polynomial = 0.0;  ///< the same of the polynomial engine's
  double worst_lse = 0.0;
  std::vector<std::string> failures;

  void add(const TupleCensus& other);
};

/// A problem and how it is to be answered.
struct TupleTrial {
  TupleCall tuples;
  Options options;
  std::uint64_t seed = 0;
};
TupleTrial draw_trial(std::uint64_t seed);

/// Attends and judges: measured / certified of its worst row, -1 if it was refused.
double examine(const TupleTrial& trial, TupleCensus& census);

/// `count` problems with seeds from `first`.
TupleCensus survey_tuples(std::uint64_t first, std::int64_t count);
/// `climbs` searches of `steps` moves each: a move is kept if measured / certified does not fall.
TupleCensus search_tuples(std::uint64_t first, std::int64_t climbs, int steps);

std::string summary(const TupleCensus& census);

}  // namespace polyattn::test
