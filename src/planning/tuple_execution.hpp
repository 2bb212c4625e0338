#pragma once

/// The state of carrying out a decision for one head of order k >= 3. Private to planning: execute_tuples.cpp has the
/// course of things and exact, execute_tuple_polynomials.cpp the polynomials.

#include "planning/execute_tuples.hpp"
#include "planning/row_arrays.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::planning {

struct TupleExecution {
  const engines::TupleProblem& problem;
  const TupleDecision& decision;
  const Request& request;
  const base::Context& context;
  RowArrays rows;
  engines::HeadOutputs outputs{};
  HeadReport report{};

  [[nodiscard]] bool asks_for_bound() const noexcept { return planning::asks_for_bound(request); }
  [[nodiscard]] bool meets(std::int64_t i) const noexcept { return row_meets(request, rows, report.tolerance, i); }
  void run_reference();
  void run_polynomial();
  /// Rows that this choice certifies are answered by it.
  void attempt(const engines::TupleChoice& choice);
  /// Rows that no polynomial has answered.
  [[nodiscard]] std::vector<std::int64_t> refused() const;
  /// Polynomials of rising degree for what the ones before refused, as long as that is cheaper than exact.
  void try_higher(std::vector<std::int64_t>& missing);
  /// float32 where it may do, float64 where it must.
  void run_exact(engines::RowList list, bool handed_over);
  /// One arithmetic over a list of rows; returns those that miss what was asked. Unless `last`, nothing or little is
  /// computed where this arithmetic is seen not to do.
  template <class T>
  engines::RowList exact_pass(const engines::RowList& list, bool last);
  /// Whether most of a few rows miss what was asked in T. Their answers are written to the destinations; whoever
  /// answers the list writes them anew.
  template <class T>
  bool most_miss(const engines::RowList& list);
};

}  // namespace polyattn::planning
