#pragma once

/// Finds a triple by deciding rows of order-3 attention: rows in blocks until one says yes, then the two keys by
/// bisection, each half decided by attention with the keys of that half alone. Nothing but outputs is looked at.
///
/// The dichotomy of a TripleAttention has to hold for every part of its real keys, too. Cost: the rows up to the block
/// with the first yes, and 2 log2(n) calls with one query.

#include "lab/oracle.hpp"
#include "lab/three_ov.hpp"

#include <optional>

namespace polyattn::lab {

struct SearchReport {
  std::int64_t rows = 0;           ///< queries of the problem
  std::int64_t rows_answered = 0;  ///< of these, until one said yes
  std::int64_t calls = 0;          ///< of the oracle, bisection included
  std::int64_t tuples = 0;         ///< pairs of keys a query sees, pads included
  std::int64_t dim = 0;
  Decision decision;
  double absolute = 0.0;  ///< the largest bounds of any call
  double relative = 0.0;
  Engine engine = Engine::exact;  ///< of the first call
  Arithmetic arithmetic = Arithmetic::automatic;
};

struct Search {
  std::optional<Triple> found;
  SearchReport report;
};

/// Throws Error (not_reachable) if the oracle is not accurate enough, (cancelled) if `progress` says so, and what the
/// oracle throws.
Search search(const TripleAttention& problem, const Oracle& oracle, const Progress& progress = {});

/// Whether each row says yes: all of them, in blocks.
std::vector<bool> decide_rows(const TripleAttention& problem, const Oracle& oracle, const Progress& progress = {});

}  // namespace polyattn::lab
