#pragma once

/// Rows of a tensor as columns of float64.

#include "base/rows.hpp"

#include <cstdint>

namespace polyattn::engines {

/// out[c * ld + r] = element (first + r, c), as base::load_columns; numbers that lie side by side go through registers.
void load_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, double* out, std::int64_t ld);

/// out[c * ld + r] = (element (first + r, c) - centre[c]) * factor[c], in float64 and rounded to T; without factors: 1.
template <class T>
void place_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, const double* centre,
                   const double* factor, T* out, std::int64_t ld);

}  // namespace polyattn::engines
