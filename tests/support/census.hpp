#pragma once

/// Many small problems through attend, each row judged: what the certificate tests count and assert.

#include "support/judge.hpp"
#include "support/small_problem.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {

struct Find {
  double clearance = 0.0;
  Genome genome;
  std::string note;  ///< engine and what its bound was made of
};

struct Census {
  std::int64_t problems = 0;    ///< answered
  std::int64_t refused = 0;     ///< tolerance not reachable, by the polynomial engine alone or at all: not counted
  std::int64_t polynomial = 0;  ///< answered by the polynomial engine in every row, strict
  std::int64_t polynomial_masked = 0;  ///< of those, causal or biased
  std::int64_t polynomial_float32 = 0;
  std::int64_t polynomial_float64 = 0;
  std::int64_t rows = 0;
  std::int64_t polynomial_rows = 0;
  std::int64_t polynomial_rows_sharp = 0;  ///< certified below 10 % of the value range of their problem
  double worst = 0.0;                      ///< largest measured / certified over rows
  double worst_lse = 0.0;
  double worst_rounding = 0.0;  ///< as `worst`, of problems whose bound is rounding in computing (float64 output) alone
  std::vector<double> looseness;             ///< certified / measured of every row; infinite where the error is 0
  std::vector<double> polynomial_looseness;  ///< of the rows of strict polynomial problems
  std::vector<Find> finds;                   ///< closest calls, closest first
  std::vector<std::string> failures;         ///< broken bounds and errors that should not be

  void add(const Census& other);
};

/// Draws, attends and judges one problem. The clearance found is that of its output, -1 if it was refused.
Find examine(const Genome& genome, Census& census);

/// `count` problems of the broad family with seeds from `first`.
Census survey(std::uint64_t first, std::int64_t count);
/// `climbs` searches of `steps` moves each, from problems of the tight family with seeds from `first`: a move is kept
/// if it brings measured / certified no further from 1.
Census search(std::uint64_t first, std::int64_t climbs, int steps);
/// Those recorded in a file of genomes.
Census replay(const std::string& path);

/// Median of a list with infinities; 0 if it is empty.
double median(std::vector<double> values);
/// The line `certificate problems N polynomial M ...`.
std::string summary(const Census& census);
/// Closest calls, one genome a line, as the file of regressions holds them.
std::string closest_calls(const Census& census, std::size_t count);

}  // namespace polyattn::test
