#pragma once

/// Where keys and values are packed from.

#include "base/checked.hpp"
#include "base/rows.hpp"
#include "engines/problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

namespace polyattn::engines {

/// Where NaN or infinity was met first: tensor (0 keys, 1 values), row, column.
using Position = std::tuple<int, std::int64_t, std::int64_t>;
inline constexpr Position kNowhere{2, 0, 0};

/// Row-major keys [count, dim] and values [count, value_dim] of the arithmetic type itself, all finite, with natural
/// log-weights (null: 0; -inf hides a key).
template <class T>
struct KeyMatrix {
  const T* keys = nullptr;
  std::int64_t key_stride = 0;
  const T* values = nullptr;
  std::int64_t value_stride = 0;
  const double* bias = nullptr;
  std::int64_t count = 0;
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
};
/// Keys and values of a head problem.
template <class T>
class ProblemSource {
 public:
  explicit ProblemSource(const HeadProblem& problem) : problem_(&problem) {}
  /// Rows of T that lie side by side in memory, from `row` on; null if they do not.
  [[nodiscard]] const T* keys_at(std::int64_t row) const noexcept { return at(problem_->keys, row); }
  [[nodiscard]] const T* values_at(std::int64_t row) const noexcept { return at(problem_->values, row); }
  [[nodiscard]] std::int64_t key_stride() const noexcept { return problem_->keys.pieces.front().row_stride; }
  [[nodiscard]] std::int64_t value_stride() const noexcept { return problem_->values.pieces.front().row_stride; }
  void load(std::int64_t first, std::int64_t count, T* keys, std::int64_t key_stride, T* values,
            std::int64_t value_stride) const noexcept {
    base::load_rows(problem_->keys, first, count, keys, key_stride);
    base::load_rows(problem_->values, first, count, values, value_stride);
  }
  /// Is it the stored number that is not finite, rather than one T cannot hold? Then notes where.
  void inspect(int tensor, std::int64_t row, Position& bad) const {
    const base::Rows& rows = tensor == 0 ? problem_->keys : problem_->values;
    std::vector<double> wide(base::usize(rows.columns));
    base::load_rows(rows, row, 1, wide.data(), rows.columns);
    for (std::int64_t c = 0; c < rows.columns; ++c) {
      if (!std::isfinite(wide[base::usize(c)])) {
        bad = std::min(bad, Position{tensor, row, c});
        return;
      }
    }
  }

 private:
  static const T* at(const base::Rows& rows, std::int64_t row) noexcept {
    if (rows.pieces.size() != 1 || rows.pieces.front().dtype != dtype_of<T>() ||
        rows.pieces.front().column_stride != 1) {
      return nullptr;
    }
    return static_cast<const T*>(rows.pieces.front().data) + row * rows.pieces.front().row_stride;
  }
  const HeadProblem* problem_;
};

/// Keys and values in matrices of the arithmetic type.
template <class T>
class MatrixSource {
 public:
  explicit MatrixSource(const KeyMatrix<T>& matrix) : matrix_(&matrix) {}
  [[nodiscard]] const T* keys_at(std::int64_t row) const noexcept { return matrix_->keys + row * matrix_->key_stride; }
  [[nodiscard]] const T* values_at(std::int64_t row) const noexcept {
    return matrix_->values + row * matrix_->value_stride;
  }
  [[nodiscard]] std::int64_t key_stride() const noexcept { return matrix_->key_stride; }
  [[nodiscard]] std::int64_t value_stride() const noexcept { return matrix_->value_stride; }
  void load(std::int64_t first, std::int64_t count, T* keys, std::int64_t key_stride, T* values,
            std::int64_t value_stride) const noexcept {
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(matrix_->keys + (first + r) * matrix_->key_stride, matrix_->dim, keys + r * key_stride);
      if (matrix_->value_dim > 0) {
        std::copy_n(matrix_->values + (first + r) * matrix_->value_stride, matrix_->value_dim,
                    values + r * value_stride);
      }
    }
  }
  void inspect(int, std::int64_t, Position&) const noexcept {}

 private:
  const KeyMatrix<T>* matrix_;
};

}  // namespace polyattn::engines
