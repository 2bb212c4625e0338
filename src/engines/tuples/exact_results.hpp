#pragma once

/// From the sums of a query to its outputs and certificate.

#include "engines/tuple_problem.hpp"
#include "engines/tuples/exact_certificate.hpp"
#include "engines/tuples/exact_join.hpp"
#include "engines/tuples/exact_sets.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::engines {

/// What the rows of a head share.
template <class T>
struct TupleResults {
  const TupleProblem& problem;
  const RowList& rows;
  const HeadOutputs& out;
  const SetOrder& order;
  const std::vector<SetFacts>& facts;
  const TupleCertifier<T>& certifier;
  double shift;        ///< PackedKeys::shift
  double value_scale;  ///< PackedKeys::value_scale
};

/// Row `index` of the list from the states of its segments, in their order, of which the first is used up; none: the
/// query sees no tuple. Throws Error (non_finite) as exact_tuples does.
template <class T>
void write_tuple_row(const TupleResults<T>& results, std::int64_t index, std::span<JoinState> states);

}  // namespace polyattn::engines
