#include "api/streaming_rows.hpp"

#include "base/error.hpp"
#include "base/rows.hpp"

#include <cmath>

namespace polyattn::api {

std::string place(const char* name, std::int64_t batch, std::int64_t head, std::int64_t row) {
  return std::string(name) + " (batch " + std::to_string(batch) + ", head " + std::to_string(head) + ", row " +
         std::to_string(row) + ")";
}

void load_row(const ConstView& view, std::int64_t batch, std::int64_t head, std::int64_t row, double* out) noexcept {
  const std::int64_t offset = batch * view.strides[0] + head * view.strides[1] + row * view.strides[2];
  base::load_elements(view.data, view.dtype, offset, view.strides[3], view.shape[3], out);
}

void check_finite(const char* name, std::span<const double> row, std::int64_t batch, std::int64_t head,
                  std::int64_t index) {
  for (const double x : row) {
    if (!std::isfinite(x)) {
      base::fail(ErrorCode::non_finite, place(name, batch, head, index), "finite numbers", base::text(x));
    }
  }
}

}  // namespace polyattn::api
