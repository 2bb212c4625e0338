#pragma once

/// One query against the sums of a head: an answer with its certificate. Cost: rank * (value_dim + 1).

#include "engines/polynomial/row_outputs.hpp"
#include "engines/polynomial/streaming/head.hpp"

namespace polyattn::engines {

/// The bounds that all queries at one moment share. Cost: value_dim.
struct StreamBounds {
  ValueRange values;
  RoundingModel rounding;
  KeySideBounds keys;
  AnswerScale scale;
  double additions = 0.0;
};
StreamBounds bound_stream(const StreamModel& model, const StreamHead& head);

/// Answers the query in scratch.key, which is in the domain, as row `row` of `out`; false if nothing can be proved of
/// it, and then nothing is written. A head without a visible token answers zero, with log-sum-exp -inf.
bool answer_query(const StreamModel& model, const StreamHead& head, const StreamBounds& bounds, std::int64_t row,
                  const simd::StreamingKernels& kernels, StreamScratch& scratch, const HeadOutputs& out) noexcept;

}  // namespace polyattn::engines
