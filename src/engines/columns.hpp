#pragma once

/// Rows of a tensor as columns of float64.

#include "base/rows.hpp"

#include <cstdint>

namespace polyattn::engines {

/// out[c * ld + r] = element (first + r, c), as base::load_columns; numbers that lie side by side go through registers.
void load_columns(const base::Rows& rows, std::int64_t first, std::int64_t count, double* out,
                  std::int64_t ld) noexcept;

}  // namespace polyattn::engines
