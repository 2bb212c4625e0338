#pragma once

/// The format streams are saved in. Numbers are stored as the machine stores them.
///
///     magic (8 bytes), byte order mark (4), version (4), size of all in bytes (8),
///     the declaration, the sums of every head,
///     CRC-64 of everything before it (8)
///
/// A list is its length (8 bytes) and its float64 numbers.

#include "api/streaming_state.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace polyattn::api {

std::vector<std::byte> stream_to_bytes(const detail::StreamState& state);

/// Throws Error: invalid_argument for what is no such state, cut short or damaged, unsupported for a newer version or
/// the other byte order. Nothing is allocated before the sizes in the bytes are known to agree with their number.
std::unique_ptr<detail::StreamState> stream_from_bytes(std::span<const std::byte> bytes,
                                                       const StreamingResources& resources);

/// Streams of these options can be merged.
bool declared_alike(const StreamingOptions& a, const StreamingOptions& b);

}  // namespace polyattn::api
