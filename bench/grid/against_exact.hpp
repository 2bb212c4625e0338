#pragma once

/// One problem, whole calls, in turns with exact.

#include "polynomial/inputs.hpp"
#include "support/driver.hpp"

#include <string>

namespace polyattn::bench::grid {

/// 1e-4 of the value range.
inline constexpr double kTolerance = 1e-4;
/// Of the values' waves.
inline constexpr double kFrequency = 3.0;

/// A case of pairs; the engine is that of the problem. Beside the speed-up stand certified bound, measured error, what
/// mean(V) costs, rows per engine.
void measure_against_exact(benchmark::State& state, const polynomial::Setting& setting, Engine engine);

/// The figures of such a case under `prefix`: speed-up, mean(V) over the tolerance, bound and measured error over the
/// tolerance, share of rows left to exact.
void add_figures(const Rows& rows, const std::string& case_name, Figures& figures);

/// Pairs of a case.
inline constexpr int kPairs = 11;

}  // namespace polyattn::bench::grid
