#include "numerics/tensor_products.hpp"

namespace polyattn::numerics {

namespace {

std::size_t usize(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

/// The product of two with the first moving fastest, folded over all factors.
template <class Pair>
Matrix fold(std::span<const Matrix> factors, const Pair& pair) {
  Matrix result = factors.front();
  for (const Matrix& next : factors.subspan(1)) {
    result = pair(result, next);
  }
  return result;
}

/// Contracts index `axis` of a tensor with x [shape[axis], d].
TensorOfAnyOrder contract_one(const TensorOfAnyOrder& tensor, std::size_t axis, const Matrix& x) {
  TensorOfAnyOrder result{tensor.shape, {}};
  result.shape[axis] = x.columns;
  std::int64_t inner = 1;  // entries from one value of the index to the next
  std::int64_t outer = 1;
  for (std::size_t s = 0; s < tensor.shape.size(); ++s) {
    (s < axis ? inner : outer) *= s == axis ? 1 : tensor.shape[s];
  }
  result.data.assign(usize(inner * x.columns * outer), 0.0);
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < x.rows; ++i) {
      for (std::int64_t l = 0; l < x.columns; ++l) {
        const double* from = tensor.data.data() + (o * x.rows + i) * inner;
        double* to = result.data.data() + (o * x.columns + l) * inner;
        for (std::int64_t e = 0; e < inner; ++e) {
          to[e] += from[e] * x.at(i, l);
        }
      }
    }
  }
  return result;
}

}  // namespace

Matrix hadamard(std::span<const Matrix> factors) {
  return fold(factors, [](const Matrix& a, const Matrix& b) {
    Matrix result = a;
    hadamard_in_place(result.data.data(), b.data.data(), a.rows * a.columns);
    return result;
  });
}

Matrix kronecker(std::span<const Matrix> factors) {
  return fold(factors, [](const Matrix& a, const Matrix& b) {
    Matrix result(a.rows * b.rows, a.columns * b.columns);
    for (std::int64_t i = 0; i < result.rows; ++i) {
      for (std::int64_t l = 0; l < result.columns; ++l) {
        result.at(i, l) = a.at(i % a.rows, l % a.columns) * b.at(i / a.rows, l / a.columns);
      }
    }
    return result;
  });
}

Matrix khatri_rao(std::span<const Matrix> factors) {
  return fold(factors, [](const Matrix& a, const Matrix& b) {
    Matrix result(a.rows * b.rows, a.columns);
    for (std::int64_t j = 0; j < b.rows; ++j) {
      row_products(result.data.data() + j * a.rows * a.columns, a.columns, b.data.data() + j * b.columns, a.data.data(),
                   a.columns, a.rows, a.columns);
    }
    return result;
  });
}

Matrix face_splitting(std::span<const Matrix> factors) {
  return fold(factors, [](const Matrix& a, const Matrix& b) {
    Matrix result(a.rows, a.columns * b.columns);
    for (std::int64_t i = 0; i < result.rows; ++i) {
      for (std::int64_t l = 0; l < result.columns; ++l) {
        result.at(i, l) = a.at(i, l % a.columns) * b.at(i, l / a.columns);
      }
    }
    return result;
  });
}

TensorOfAnyOrder outer_sum(std::span<const Matrix> factors) {
  // The rows of the column-wise Kronecker product, in the order of the tensor's entries, summed.
  const Matrix rows = khatri_rao(factors);
  TensorOfAnyOrder result;
  for (const Matrix& factor : factors) {
    result.shape.push_back(factor.rows);
  }
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    double sum = 0.0;
    for (std::int64_t a = 0; a < rows.columns; ++a) {
      sum += rows.at(i, a);
    }
    result.data.push_back(sum);
  }
  return result;
}

TensorOfAnyOrder contract(const TensorOfAnyOrder& tensor, std::span<const Matrix> matrices) {
  TensorOfAnyOrder result = tensor;
  for (std::size_t s = 0; s < matrices.size(); ++s) {
    result = contract_one(result, s, matrices[s]);
  }
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.rows, b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t e = 0; e < a.columns; ++e) {
      for (std::int64_t l = 0; l < b.columns; ++l) {
        result.at(i, l) += a.at(i, e) * b.at(e, l);
      }
    }
  }
  return result;
}

Matrix transposed_product(const Matrix& a, const Matrix& b) {
  Matrix result(a.columns, b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t e = 0; e < a.columns; ++e) {
      for (std::int64_t l = 0; l < b.columns; ++l) {
        result.at(e, l) += a.at(i, e) * b.at(i, l);
      }
    }
  }
  return result;
}

Matrix transpose(const Matrix& a) {
  Matrix result(a.columns, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t l = 0; l < a.columns; ++l) {
      result.at(l, i) = a.at(i, l);
    }
  }
  return result;
}

Matrix moments_of_tuples(std::span<const Matrix> a, std::span<const Matrix> b) {
  Matrix result = transposed_product(a.front(), b.front());
  for (std::size_t s = 1; s < a.size(); ++s) {
    const Matrix next = transposed_product(a[s], b[s]);
    hadamard_in_place(result.data.data(), next.data.data(), result.rows * result.columns);
  }
  return result;
}

}  // namespace polyattn::numerics
