#pragma once

/// The declaration of a stream, checked, in full, and with its degree.

#include "engines/polynomial/streaming/model.hpp"
#include "polyattn/streaming.hpp"

#include <cstdint>

namespace polyattn::api {

/// Throws Error (invalid_argument) naming the option that cannot mean anything.
engines::StreamDeclaration declare_stream(const StreamingOptions& options);

struct StreamDegree {
  int degree = 0;
  double bound = 0.0;  ///< a priori
};
/// The pinned degree, or the lowest that is sure to meet the tolerance in at most `max_memory` bytes. Throws Error
/// (not_reachable) where there is none, naming the best bound.
StreamDegree choose_degree(const StreamingOptions& options, const engines::StreamDeclaration& declared,
                           std::uint64_t max_memory);

/// Bytes of the sums of all heads; infinite where the rank does not fit 63 bits.
double stream_bytes(const StreamingOptions& options, int degree) noexcept;

/// Largest declared range of a column; 1 if values are not declared.
double declared_range(const StreamingOptions& options) noexcept;

}  // namespace polyattn::api
