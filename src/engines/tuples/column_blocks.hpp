#pragma once

/// Rows of a tensor block by block, as columns of float64.

#include "base/parallel.hpp"
#include "engines/columns.hpp"
#include "engines/problem.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// Rows of a block; fixed, so that sums do not depend on threads.
inline constexpr std::int64_t kColumnRows = 512;

/// Rows [first, first + count) as columns of float64, ld apart; zeros from `count` on.
struct Columns {
  std::int64_t block = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t padded = 0;  ///< a multiple of 8
  std::int64_t ld = 0;
  std::vector<double> data{};
  [[nodiscard]] double* column(std::size_t c) noexcept { return data.data() + static_cast<std::int64_t>(c) * ld; }
};

/// Calls body(Columns&), which may change them, for rows [range.first, range.last) in blocks.
template <class Body>
void for_column_blocks(const base::Rows& source, KeyRange range, const base::Context& context, const Body& body) {
  std::vector<Columns> scratch(base::usize(std::max(1, context.threads)));
  base::parallel_for(context, base::blocks_of(range.size(), kColumnRows), [&](std::int64_t block, int thread) {
    Columns& part = scratch[base::usize(thread)];
    part.block = block;
    part.first = range.first + block * kColumnRows;
    part.count = std::min(kColumnRows, range.last - part.first);
    part.padded = base::round_up_to(part.count, 8);
    part.ld = part.padded + 8;  // columns a power of two apart would share few lines of the cache
    part.data.resize(base::usize(part.ld * source.columns));
    load_columns(source, part.first, part.count, part.data.data(), part.ld);
    for (std::int64_t c = 0; c < source.columns; ++c) {
      std::fill(part.column(base::usize(c)) + part.count, part.column(base::usize(c)) + part.ld, 0.0);
    }
    body(part);
  });
}

}  // namespace polyattn::engines
