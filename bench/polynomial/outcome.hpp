#pragma once

/// What an answer cost and how far it is from the truth, written beside its times.

#include "support/case.hpp"

namespace polyattn::bench::polynomial {

/// One call, the first, whose memory and error are measured. Throws if the error exceeds its bound.
Report describe(benchmark::State& state, const Problem& problem, const View& output);

/// "polynomial float32 degree 6".
std::string name_of_answer(const HeadReport& head);

}  // namespace polyattn::bench::polynomial
