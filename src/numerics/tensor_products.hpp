#pragma once

/// The products of matrices that attention of order k is written in ([AS24] Definitions 2.1-2.4 and C.4), for any
/// number of factors.
///
/// A tuple of indices is one index with the *first* member moving fastest: (j_1, j_2, ...) is j_1 + n_1 (j_2 + n_2
/// (...)), as in the paper. Matrices are row-major.
///
///     hadamard          (A o B)(i, l) = A(i, l) B(i, l)
///     kronecker         rows are tuples of rows, columns tuples of columns
///     khatri_rao        column by column, rows are tuples of rows:        row (j_1, j_2) is A(j_1, :) o B(j_2, :)
///     face_splitting    row by row, columns are tuples of columns:        row i is the Kronecker product of the rows i
///     outer_sum         T(i, j, l) = sum_a A(i, a) B(j, a) C(l, a), the tensor whose rank is at most the columns'
///     contract          T(X, Y, Z)
///
/// What they are good for is [AS24] Lemma C.3: khatri_rao(A_1 ... A_m)^T khatri_rao(B_1 ... B_m) = (A_1^T B_1) o ... o
/// (A_m^T B_m), which sums over n_1 ... n_m tuples in n_1 + ... + n_m steps (`moments_of_tuples`). The engines use the
/// functions on pointers; those on matrices are the statements they are tested by, of sizes a test can afford.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace polyattn::numerics {

/// out[i] = a[i] b[i]. `out` overlaps neither. One rounding an entry, hence the same bits in any order.
template <class T>
void hadamard(T* __restrict out, const T* a, const T* b, std::int64_t n) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = a[i] * b[i];
  }
}

/// out[i] *= b[i]. `out` and `b` do not overlap.
template <class T>
void hadamard_in_place(T* __restrict out, const T* b, std::int64_t n) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] *= b[i];
  }
}

/// out = factors[0] o factors[1] o ..., from the left: factors.size() - 1 roundings. All 1 without factors.
template <class T>
void hadamard(T* __restrict out, std::span<const T* const> factors, std::int64_t n) noexcept {
  for (std::int64_t i = 0; i < n; ++i) {
    out[i] = factors.empty() ? T{1} : factors.front()[i];
  }
  for (std::size_t f = 1; f < factors.size(); ++f) {
    hadamard_in_place(out, factors[f], n);
  }
}

/// One block of a column-wise Kronecker product: out[r, :] = row o rows[r, :] for r < count, `ld` and `out_ld` elements
/// from row to row. A query times keys of one set are the queries it asks of the next set.
template <class T>
void row_products(T* __restrict out, std::int64_t out_ld, const T* row, const T* rows, std::int64_t ld,
                  std::int64_t count, std::int64_t dim) noexcept {
  for (std::int64_t r = 0; r < count; ++r) {
    hadamard(out + r * out_ld, row, rows + r * ld, dim);
  }
}

/// Row-major, owned.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<double> data{};

  Matrix() = default;
  /// Zeros.
  Matrix(std::int64_t n, std::int64_t d) : rows(n), columns(d), data(static_cast<std::size_t>(n * d), 0.0) {}
  [[nodiscard]] double& at(std::int64_t i, std::int64_t l) { return data[static_cast<std::size_t>(i * columns + l)]; }
  [[nodiscard]] double at(std::int64_t i, std::int64_t l) const {
    return data[static_cast<std::size_t>(i * columns + l)];
  }
  bool operator==(const Matrix&) const = default;
};

/// The first index moves fastest, as for tuples: entry (i_1, i_2, ...) is data[i_1 + shape[0] (i_2 + shape[1] (...))].
struct TensorOfAnyOrder {
  std::vector<std::int64_t> shape{};
  std::vector<double> data{};
  bool operator==(const TensorOfAnyOrder&) const = default;
};

/// The number of factors is at least 1 everywhere below. Extents must agree as the definitions say; nothing checks.

/// Equal shapes.
Matrix hadamard(std::span<const Matrix> factors);
/// [prod n_s, prod d_s].
Matrix kronecker(std::span<const Matrix> factors);
/// Equal numbers of columns: [prod n_s, d].
Matrix khatri_rao(std::span<const Matrix> factors);
/// Equal numbers of rows: [n, prod d_s].
Matrix face_splitting(std::span<const Matrix> factors);
/// Equal numbers of columns d, summed over: shape [n_1, n_2, ...]. Cost: prod n_s times d.
TensorOfAnyOrder outer_sum(std::span<const Matrix> factors);
/// One matrix [shape[s], d_s] for each index of the tensor: shape [d_1, d_2, ...]; entry (l_1, ...) is the sum over i
/// of tensor(i_1, ...) X_1(i_1, l_1) .... One index after the other, the first one first.
TensorOfAnyOrder contract(const TensorOfAnyOrder& tensor, std::span<const Matrix> matrices);

/// A B, and A^T B without the transpose.
Matrix product(const Matrix& a, const Matrix& b);
Matrix transposed_product(const Matrix& a, const Matrix& b);
Matrix transpose(const Matrix& a);

/// khatri_rao(a)^T khatri_rao(b) as the Hadamard product of the a_s^T b_s ([AS24] Lemma C.3): [d_1, d_2] for a_s
/// [n_s, d_1] and b_s [n_s, d_2]. Cost: sum n_s times d_1 d_2.
Matrix moments_of_tuples(std::span<const Matrix> a, std::span<const Matrix> b);

}  // namespace polyattn::numerics
