#pragma once

/// One benchmark case: a problem, answered through the public API, and what is written beside its time.

#include "polyattn/attention.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <string>

namespace polyattn::bench {

/// Views of data that outlives the case. Of several heads the first is the one whose answer is checked.
struct Problem {
  ConstView q;
  ConstView keys;
  ConstView values;
  Options options;
};

Result attend(const Problem& problem);
Report attend_into(const Problem& problem, const View& output);

/// Largest |output - truth| over the columns of `rows` random rows, the truth from exact in float64. The output is
/// float32 or float64.
double measured_error(const Problem& problem, const ConstView& output, std::int64_t rows);

struct Deviation {
  double error = 0.0;    ///< largest |output - truth|
  double largest = 0.0;  ///< largest |truth| of the same rows
};

/// The same with the truth from textbook loops in long double, for outputs of exact itself. Scores, causal upper_left;
/// no other mask. Inputs are float32 or float64.
Deviation textbook_error(const Problem& problem, const ConstView& output, std::int64_t rows);

/// A counter of the row, left out if it is not finite: JSON has no word for such numbers.
void set_counter(benchmark::State& state, const std::string& name, double value);

/// n, d, certified bound, measured error, cost of mean(V), engine and arithmetic of the first head; instruction set.
void describe_case(benchmark::State& state, const Problem& problem, const Report& report, double measured);

/// Registers a case of `samples` iterations that reports its own times. What the library refuses as unsupported, before
/// the first iteration, is noted in the row as refused; other errors become errors of the case.
void declare_case(const std::string& name, int samples, std::function<void(benchmark::State&)> body);

}  // namespace polyattn::bench
