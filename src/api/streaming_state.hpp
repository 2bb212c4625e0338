#pragma once

/// What a StreamingState holds.

#include "api/streaming_options.hpp"
#include "base/memory.hpp"
#include "engines/polynomial/streaming/head.hpp"

#include <span>
#include <vector>

namespace polyattn::detail {

struct StreamState {
  StreamState(const StreamingOptions& given, const StreamingResources& resources);

  base::MemoryMeter memory;
  StreamingOptions options;  ///< as given, but for the degree, which is the one in use
  int threads = 1;
  double bound = 0.0;  ///< a priori
  engines::StreamModel model;
  std::vector<engines::StreamHead> heads;       ///< batch-major
  std::vector<engines::StreamScratch> scratch;  ///< one a thread
};

}  // namespace polyattn::detail

namespace polyattn::api {

/// Adds tokens, or throws Error with nothing changed (see StreamingState::append). `bias` may be null.
void append_tokens(detail::StreamState& state, const ConstView& key, const ConstView& value, const ConstView* bias);
/// Answers queries (see StreamingState::query_into).
Certificate answer_queries(const detail::StreamState& state, const Destinations& out, const ConstView& q);

}  // namespace polyattn::api
