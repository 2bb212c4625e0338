#pragma once

/// SAT by the whole chain of [AS24]: formula -> 3-OV -> Merlin-Arthur protocol -> Gap-MaxIP -> order-3 attention. For
/// tiny formulas: Merlin's words multiply one of the lists, and a problem's coordinates are pairs of the others.

#include "lab/protocol_maxip.hpp"
#include "lab/sat.hpp"

#include <string>

namespace polyattn::lab {

enum class CodeFamily : std::uint8_t { reed_solomon, hermitian };

struct ProtocolOptions {
  CodeFamily family = CodeFamily::reed_solomon;
  int block = 2;  ///< rho: clauses in a part; with 1 Bob and Charlie send everything and Merlin nothing
  Shape shape = Shape::threshold;
  /// Vectors in full instead of the coordinates that matter, where they have at most 2^22.
  bool in_full = false;
  /// Most multiply-adds of attention, rows times tuples times dimensions.
  double most_work = 0x1p42;
};

/// A protocol for a universe of `clauses` elements: the fewest parts, the smallest field and the shortest code of the
/// family whose soundness is at most 1/2. Throws Error (unsupported) if there is none.
Disjointness protocol_for(int clauses, const ProtocolOptions& options);

struct ProtocolReport {
  std::string code;
  int field = 0, parts = 0, block = 0, length = 0;
  std::int64_t messages = 0;     ///< words Merlin may send
  double dimension = 0.0;        ///< of the vectors in full
  std::int64_t coordinates = 0;  ///< of the vectors that were used
  bool in_full = false;
  double gap = 0.0;
  Shape shape = Shape::threshold;
  double entry = 0.0;  ///< B, the largest entry
  Communication communication;
};

struct ProtocolAnswer {
  SatAnswer sat;
  ProtocolReport protocol;
};

/// Throws what `solve_sat` throws; Error (unsupported) if the chain would take more than the options allow, which says
/// what of it grows; Error (not_reachable) in the paper's shape if float64 cannot hold its thresholds.
ProtocolAnswer solve_sat_via_protocol(const Cnf& formula, const Oracle& oracle, const ProtocolOptions& options = {},
                                      const Progress& progress = {});

}  // namespace polyattn::lab
