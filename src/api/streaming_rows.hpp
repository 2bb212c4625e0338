#pragma once

/// Rows of keys, values and queries of a stream as they come in.

#include "polyattn/view.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace polyattn::api {

/// Where a row lies, in words.
std::string place(const char* name, std::int64_t batch, std::int64_t head, std::int64_t row);
/// Row [batch, head, row] of a view as float64.
void load_row(const ConstView& view, std::int64_t batch, std::int64_t head, std::int64_t row, double* out) noexcept;
/// Throws Error (non_finite), naming the row.
void check_finite(const char* name, std::span<const double> row, std::int64_t batch, std::int64_t head,
                  std::int64_t index);

}  // namespace polyattn::api
