#include "numerics/balancing.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace polyattn::numerics {

namespace {

/// A square matrix, row-major.
struct Square {
  std::size_t dim;
  std::vector<double> a;
  double& at(std::size_t i, std::size_t j) { return a[i * dim + j]; }
  [[nodiscard]] double at(std::size_t i, std::size_t j) const { return a[i * dim + j]; }
};

constexpr double kRaise = 1e-8;
constexpr int kSweeps = 30;

/// Adds kRaise of the mean eigenvalue to the diagonal; false if there is no such thing.
bool raise(Square& m) {
  double trace = 0.0;
  for (std::size_t i = 0; i < m.dim; ++i) {
    trace += m.at(i, i);
  }
  if (!(trace > 1e-200) || !(trace < 1e200)) {
    return false;
  }
  for (std::size_t i = 0; i < m.dim; ++i) {
    m.at(i, i) += kRaise * trace / static_cast<double>(m.dim);
  }
  return true;
}

/// Lower Cholesky factor, in place; false if a pivot is not positive.
bool factorise(Square& m) {
  for (std::size_t j = 0; j < m.dim; ++j) {
    for (std::size_t i = j; i < m.dim; ++i) {
      double sum = m.at(i, j);
      for (std::size_t k = 0; k < j; ++k) {
        sum -= m.at(i, k) * m.at(j, k);
      }
      if (i == j) {
        if (!(sum > 0.0)) {
          return false;
        }
        m.at(j, j) = std::sqrt(sum);
      } else {
        m.at(i, j) = sum / m.at(j, j);
      }
    }
    for (std::size_t i = 0; i < j; ++i) {
      m.at(i, j) = 0.0;
    }
  }
  return true;
}

/// C^T K C.
Square congruent(const Square& c, const Square& k) {
  const std::size_t dim = c.dim;
  Square half{dim, std::vector<double>(dim * dim, 0.0)};  // K C
  for (std::size_t i = 0; i < dim; ++i) {
    for (std::size_t l = 0; l < dim; ++l) {
      for (std::size_t j = 0; j <= l; ++j) {
        half.at(i, j) += k.at(i, l) * c.at(l, j);
      }
    }
  }
  Square out{dim, std::vector<double>(dim * dim, 0.0)};
  for (std::size_t l = 0; l < dim; ++l) {
    for (std::size_t i = 0; i <= l; ++i) {
      for (std::size_t j = 0; j < dim; ++j) {
        out.at(i, j) += c.at(l, i) * half.at(l, j);
      }
    }
  }
  return out;
}

/// One rotation of the cyclic Jacobi method, in rows and columns p and q; rows of `vectors` turn along.
void rotate(Square& m, Square& vectors, std::size_t p, std::size_t q) {
  const double theta = (m.at(q, q) - m.at(p, p)) / (2.0 * m.at(p, q));
  const double tangent = std::copysign(1.0, theta) / (std::fabs(theta) + std::hypot(theta, 1.0));
  const double cosine = 1.0 / std::hypot(tangent, 1.0);
  const double sine = tangent * cosine;
  for (std::size_t i = 0; i < m.dim; ++i) {
    const double a = m.at(i, p);
    const double b = m.at(i, q);
    m.at(i, p) = cosine * a - sine * b;
    m.at(i, q) = sine * a + cosine * b;
  }
  for (Square* rows : {&m, &vectors}) {
    for (std::size_t i = 0; i < m.dim; ++i) {
      const double a = rows->at(p, i);
      const double b = rows->at(q, i);
      rows->at(p, i) = cosine * a - sine * b;
      rows->at(q, i) = sine * a + cosine * b;
    }
  }
}

/// Eigenvalues on the diagonal of `m`, eigenvectors as rows of what is returned; none if it does not converge.
std::optional<Square> diagonalise(Square& m) {
  const std::size_t dim = m.dim;
  Square vectors{dim, std::vector<double>(dim * dim, 0.0)};
  double scale = 0.0;
  for (std::size_t i = 0; i < dim; ++i) {
    vectors.at(i, i) = 1.0;
    scale += std::fabs(m.at(i, i));
  }
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    double largest = 0.0;
    for (std::size_t p = 0; p < dim; ++p) {
      for (std::size_t q = p + 1; q < dim; ++q) {
        const double off = std::fabs(m.at(p, q));
        largest = std::max(largest, off);
        if (off > 1e-14 * scale / static_cast<double>(dim)) {
          rotate(m, vectors, p, q);
        }
      }
    }
    if (largest <= 1e-10 * scale / static_cast<double>(dim)) {
      return vectors;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Balancing> balance(std::vector<double> queries, std::vector<double> keys, int dim) {
  const auto n = static_cast<std::size_t>(dim);
  Square factor{n, std::move(queries)};
  Square key{n, std::move(keys)};
  if (n == 0 || !raise(factor) || !raise(key) || !factorise(factor)) {
    return std::nullopt;
  }
  Square middle = congruent(factor, key);
  if (!raise(middle)) {
    return std::nullopt;
  }
  const std::optional<Square> vectors = diagonalise(middle);
  if (!vectors) {
    return std::nullopt;
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return middle.at(a, a) > middle.at(b, b) || (middle.at(a, a) == middle.at(b, b) && a < b);
  });
  const double least = kRaise * kRaise * std::fabs(middle.at(order[0], order[0]));
  Balancing out;
  out.dim = dim;
  out.query.resize(n * n);
  out.key.resize(n * n);
  for (std::size_t row = 0; row < n; ++row) {
    const std::size_t i = order[row];
    const double spread = std::sqrt(std::max(middle.at(i, i), least));
    const double root = std::sqrt(spread);
    double* query_row = out.query.data() + row * n;
    double* key_row = out.key.data() + row * n;
    for (std::size_t l = n; l-- > 0;) {  // C^T x = v, from the last
      double sum = vectors->at(i, l);
      for (std::size_t k = l + 1; k < n; ++k) {
        sum -= factor.at(k, l) * query_row[k];
      }
      query_row[l] = sum / factor.at(l, l);
    }
    for (std::size_t l = 0; l < n; ++l) {
      query_row[l] *= root;
      double sum = 0.0;  // C v
      for (std::size_t k = 0; k <= l; ++k) {
        sum += factor.at(l, k) * vectors->at(i, k);
      }
      key_row[l] = sum / root;
    }
    out.spread.push_back(spread);
  }
  return out;
}

}  // namespace polyattn::numerics
