#pragma once

/// Streams for tests: a declaration, tokens inside it, queries; answers of any prefix judged against the truth.

#include "polyattn/streaming.hpp"
#include "support/judge.hpp"
#include "support/problem.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

struct StreamCase {
  StreamingOptions options;
  std::int64_t tokens = 0;
  std::int64_t queries = 1;
  std::vector<double> key;    ///< [tokens][batch * heads][dim]
  std::vector<double> value;  ///< [tokens][batch * heads][value_dim]
  std::vector<double> bias;   ///< [tokens][batch * heads], or empty
  std::vector<double> query;  ///< [batch * heads][queries][dim]

  [[nodiscard]] std::int64_t all_heads() const noexcept { return options.batch * options.heads; }
};

enum class StreamFamily : std::uint8_t {
  broad,  ///< anything that can be declared
  tight,  ///< one or two axes, everything in corners: errors near their bounds
};
StreamCase draw_stream(StreamFamily family, std::uint64_t seed);
/// Moves one token, query or bias of the case to another place inside its declaration.
void move_stream(StreamCase& stream, std::uint64_t seed);

/// Appends token `i` of the case, in float64.
void append(StreamingState& state, const StreamCase& stream, std::int64_t i);
ConstView queries_of(const StreamCase& stream);
/// The problem that the first `tokens` tokens pose to the queries.
Problem prefix_problem(const StreamCase& stream, std::int64_t tokens);
Verdict judge(const StreamCase& stream, std::int64_t tokens, const StreamingAnswer& answer);

}  // namespace polyattn::test
