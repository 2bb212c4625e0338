#pragma once

/// A few rows and keys of a head in balanced coordinates, and what layers of features would certify for them: the
/// estimates that the search for layers goes by.

#include "engines/polynomial/layers.hpp"
#include "planning/predict.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::planning {

/// Moments of one sampled row for one number of strong coordinates, per unit of weight.
struct LayerRow {
  double radius = 0.0;       ///< of the strong scores
  double reach = 0.0;        ///< of the weak ones
  std::vector<double> even;  ///< sum w s_1^2q
  double tau = 0.0;          ///< sum w t^2
  double mass = 0.0;         ///< sum w e^s
  double typical = 0.0;      ///< what errors of the strong part are multiplied with, by chords where there are any
  double farthest = 0.0;     ///< of the values from the answer
  double curvature = 0.0;    ///< bound of |e^s - (1 + t) e^s_1| / t^2
  double size = 0.0;         ///< of the terms of the polynomials, about
};

struct LayerSample {
  engines::HeadMaps maps;
  std::vector<double> queries;  ///< [rows][dim], balanced
  std::vector<double> share;    ///< [rows] of all rows, that each stands for
  std::vector<double> keys;     ///< [keys][dim]
  std::vector<double> weight;   ///< [keys], sums to 1
  std::vector<double> values;   ///< [keys][value_dim]
  std::vector<double> strong;   ///< [dim + 1] largest norm of the first so many coordinates of a key, estimated
  std::vector<double> weak;     ///< [dim + 1] of the others
  std::vector<double> half;     ///< [dim] largest |coordinate| of a key
  double sum_weight = 1.0;      ///< estimate of W in the units of the frame's weights
  double deviation = 0.0;       ///< of the values, largest of a column
  std::int64_t dim = 0;
};

/// What does not depend on the coordinates that are called strong.
struct LayerAnswers {
  std::vector<double> score;  ///< [rows][keys]
  std::vector<LayerRow> rows;
};

/// Maps from evenly spaced rows and keys; none where there is nothing to balance. Cost: some 6000 dim^2 + 40 dim^3.
std::optional<LayerSample> draw_layer_sample(const engines::HeadProblem& problem, const engines::Frame& frame,
                                             const engines::ValueRange& values);

/// Cost: rows * keys * dim.
LayerAnswers layer_answers(const LayerSample& sample, const engines::ValueRange& values);
/// Cost: rows * keys * (strong + degree).
std::vector<LayerRow> layer_rows(const LayerSample& sample, const LayerAnswers& answers, std::int64_t strong,
                                 int degree);

/// Errors of the strong part of each row under one table: sum w |p - e^s_1| at most, and the same uniformly.
struct StrongErrors {
  std::vector<std::size_t> at;  ///< [rows] ladder step
  std::vector<double> moment;
  std::vector<double> uniform;
};
StrongErrors strong_errors(const std::vector<LayerRow>& rows, const ErrorTable& table);

/// Bounds of one shape for the sampled rows, rounding included. Tables are of one radius, at least that of the rows.
std::vector<double> layer_bounds(const LayerSample& sample, const std::vector<LayerRow>& rows,
                                 const engines::ValueRange& values, const StrongErrors& strong, int degree,
                                 const ErrorTable& first_table, const engines::RoundingModel& rounding, DType output);

}  // namespace polyattn::planning
