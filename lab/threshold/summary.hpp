#pragma once

/// What a study comes to: the crossing of each n beside the theory's, and how both grow.

#include "lab/threshold/crossing.hpp"
#include "lab/threshold/degrees.hpp"
#include "lab/threshold/fit.hpp"
#include "lab/threshold/settings.hpp"
#include "lab/threshold/theory.hpp"

#include <span>
#include <string>
#include <vector>

namespace polyattn::lab {

struct SummaryRow {
  std::int64_t n = 0;
  std::int64_t dim = 0;
  double tolerance = 0.0;
  Crossing predicted, measured;
  TheoryThreshold ours, papers;  ///< by rank alone, no data
};

/// The theory's threshold for n = 2^log2_n far beyond what can be run.
struct FarRow {
  double log2_n = 0.0;
  TheoryThreshold ours, papers;
};

struct Summary {
  Settings settings;
  std::vector<SummaryRow> rows;
  Fit predicted, measured, ours, papers;  ///< over the n of the study
  double constant = kAbsent;              ///< A of A (log n)^(1/k) through the predicted crossings
  std::vector<FarRow> far;
  Fit far_ours, far_papers;  ///< over the upper half of `far`
  std::vector<DegreeRow> degrees;
};

Summary summarise(const Settings& settings, std::span<const Point> points);

/// For a terminal.
std::string words(const Summary& summary);
/// One line for each n.
std::string crossings_csv(const Summary& summary);
std::string degrees_csv(const Summary& summary);

}  // namespace polyattn::lab
