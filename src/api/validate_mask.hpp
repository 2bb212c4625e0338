#pragma once

/// Masks at the public boundary: checked against the shapes, then brought into the form the engines see.

#include "api/validate.hpp"
#include "api/views.hpp"
#include "engines/problem.hpp"
#include "polyattn/options.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::api {

/// Throws Error (invalid_argument) naming the part of the mask that does not fit, (unsupported) naming the part that
/// the engine asked for does not have.
void check_mask(const Options& options, const CallShape& shape, std::size_t key_sets);

/// Which keys of a set rows see by position.
engines::PositionMask position_mask(const Mask& mask, std::int64_t n_q, std::int64_t n_kv, std::size_t set = 0);

/// Fills biases and masks over pairs of a problem whose batch and head are known. What is the same for every row counts
/// as key bias.
void set_masks(engines::HeadProblem& problem, const Mask& mask);

/// Memory that the masks borrow.
std::vector<ByteRange> mask_ranges(const Mask& mask);

}  // namespace polyattn::api
