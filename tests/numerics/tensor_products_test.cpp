// [AS24] Definitions 2.1-2.4 and C.4, Lemma C.3 and every part of Lemma C.5: exactly for matrices of small whole
// numbers, and within rounding for others.

#include "numerics/tensor_products.hpp"

#include "numerics/rounding.hpp"
#include "support/random.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace polyattn::test {
namespace {

using numerics::contract;
using numerics::hadamard;
using numerics::khatri_rao;
using numerics::Matrix;
using numerics::outer_sum;
using numerics::TensorOfAnyOrder;
using Matrices = std::vector<Matrix>;

/// Whole numbers up to 3 in magnitude: all sums and products below are exact. Or numbers of any size.
Matrix draw(Random& random, std::int64_t rows, std::int64_t columns, bool whole = true) {
  Matrix result(rows, columns);
  for (double& value : result.data) {
    value = whole ? static_cast<double>(random.integer(-3, 3)) : random.sign() * random.log_uniform(1e-2, 1e2);
  }
  return result;
}

/// Several of different lengths and equal widths.
Matrices draw_sets(Random& random, std::int64_t count, std::int64_t columns, bool whole = true) {
  Matrices result;
  for (std::int64_t s = 0; s < count; ++s) {
    result.push_back(draw(random, random.integer(1, 5), columns, whole));
  }
  return result;
}

Matrix ones(std::int64_t rows, std::int64_t columns) {
  Matrix result(rows, columns);
  for (double& value : result.data) value = 1.0;
  return result;
}

Matrix absolute(Matrix matrix) {
  for (double& value : matrix.data) value = std::fabs(value);
  return matrix;
}

/// Members of the tuple with a given index, the first moving fastest.
std::vector<std::int64_t> members(std::int64_t tuple, const std::vector<std::int64_t>& extents) {
  std::vector<std::int64_t> result;
  for (const std::int64_t extent : extents) {
    result.push_back(tuple % extent);
    tuple /= extent;
  }
  return result;
}

std::vector<std::int64_t> extents_of(const Matrices& factors, std::int64_t Matrix::*extent) {
  std::vector<std::int64_t> result;
  for (const Matrix& factor : factors) result.push_back(factor.*extent);
  return result;
}

TEST(TensorProducts, AreWhatThePaperDefines) {
  Random random(1);
  for (int round = 0; round < 40; ++round) {
    const std::int64_t count = random.integer(1, 4);
    const Matrices any{draw(random, 2, 3), draw(random, 3, 1), draw(random, 1, 2), draw(random, 2, 2)};
    const Matrices factors(any.begin(), any.begin() + count);
    const Matrix product = numerics::kronecker(factors);
    const std::vector<std::int64_t> rows = extents_of(factors, &Matrix::rows);
    const std::vector<std::int64_t> columns = extents_of(factors, &Matrix::columns);
    for (std::int64_t i = 0; i < product.rows; ++i) {
      for (std::int64_t l = 0; l < product.columns; ++l) {
        double expected = 1.0;
        for (std::size_t s = 0; s < factors.size(); ++s) {
          expected *= factors[s].at(members(i, rows)[s], members(l, columns)[s]);
        }
        ASSERT_EQ(product.at(i, l), expected);
      }
    }
  }
}

TEST(TensorProducts, KhatriRaoAndFaceSplittingArePartsOfKronecker) {
  Random random(2);
  for (int round = 0; round < 40; ++round) {
    const std::int64_t count = random.integer(1, 4);
    const std::int64_t d = random.integer(1, 3);
    const Matrices factors = draw_sets(random, count, d);
    const Matrix all = numerics::kronecker(factors);
    const Matrix some = khatri_rao(factors);
    ASSERT_EQ(some.rows, all.rows);
    ASSERT_EQ(some.columns, d);
    const std::vector<std::int64_t> columns = extents_of(factors, &Matrix::columns);
    for (std::int64_t l = 0; l < all.columns; ++l) {
      const std::vector<std::int64_t> tuple = members(l, columns);
      const bool diagonal = std::ranges::count(tuple, tuple.front()) == count;
      for (std::int64_t i = 0; diagonal && i < all.rows; ++i) ASSERT_EQ(some.at(i, tuple.front()), all.at(i, l));
    }
    // Row by row it is the same thing of the transposes.
    Matrices transposes;
    for (const Matrix& factor : factors) transposes.push_back(numerics::transpose(factor));
    ASSERT_EQ(numerics::face_splitting(transposes), numerics::transpose(some));
  }
}

TEST(TensorProducts, HadamardOfPointersAndMatricesAgree) {
  Random random(3);
  const Matrices factors{draw(random, 3, 7, false), draw(random, 3, 7, false), draw(random, 3, 7, false)};
  const Matrix expected = hadamard(factors);
  std::vector<double> out(21, -1.0);
  const std::array<const double*, 3> pointers{factors[0].data.data(), factors[1].data.data(), factors[2].data.data()};
  hadamard<double>(out.data(), pointers, 21);
  EXPECT_EQ(out, expected.data);
  for (std::size_t e = 0; e < out.size(); ++e) {
    ASSERT_EQ(out[e], factors[0].data[e] * factors[1].data[e] * factors[2].data[e]);
  }
  hadamard<double>(out.data(), std::span<const double* const>(), 21);
  EXPECT_EQ(out, ones(3, 7).data);
}

// A row times rows, strides on both sides, nothing written between them.
TEST(TensorProducts, RowProductsKeepTheirStrides) {
  const std::vector<float> row{2.0F, -1.0F};
  const std::vector<float> rows{1.0F, 2.0F, 99.0F, 3.0F, 4.0F, 99.0F};
  std::vector<float> out(8, 7.0F);
  numerics::row_products(out.data(), 4, row.data(), rows.data(), 3, 2, 2);
  EXPECT_EQ(out, (std::vector<float>{2.0F, -2.0F, 7.0F, 7.0F, 6.0F, -4.0F, 7.0F, 7.0F}));
}

TEST(TensorProducts, ContractionIsTheSumOverAllIndices) {
  Random random(4);
  for (int round = 0; round < 40; ++round) {
    TensorOfAnyOrder tensor{{random.integer(1, 3), random.integer(1, 4), random.integer(1, 3)}, {}};
    const std::int64_t size = tensor.shape[0] * tensor.shape[1] * tensor.shape[2];
    for (std::int64_t e = 0; e < size; ++e) tensor.data.push_back(static_cast<double>(random.integer(-3, 3)));
    Matrices sides;
    for (const std::int64_t extent : tensor.shape) sides.push_back(draw(random, extent, random.integer(1, 3)));
    const TensorOfAnyOrder result = contract(tensor, sides);
    ASSERT_EQ(result.shape, extents_of(sides, &Matrix::columns));
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(result.data.size()); ++e) {
      const std::vector<std::int64_t> to = members(e, result.shape);
      double expected = 0.0;
      for (std::int64_t f = 0; f < size; ++f) {
        const std::vector<std::int64_t> from = members(f, tensor.shape);
        double term = tensor.data[static_cast<std::size_t>(f)];
        for (std::size_t s = 0; s < 3; ++s) term *= sides[s].at(from[s], to[s]);
        expected += term;
      }
      ASSERT_EQ(result.data[static_cast<std::size_t>(e)], expected);
    }
  }
}

/// |one - other| <= allowed, entry by entry; NaN fails.
void expect_within(const Matrix& one, const Matrix& other, const Matrix& size, double relative) {
  ASSERT_EQ(one.rows, other.rows);
  ASSERT_EQ(one.columns, other.columns);
  for (std::size_t e = 0; e < one.data.size(); ++e) {
    ASSERT_LE(std::fabs(one.data[e] - other.data[e]), relative * size.data[e]);
  }
}

// Lemma C.3, Part 1, for one set and more: exactly, and with rounding. (Part 2 is the cost of `moments_of_tuples`.)
TEST(TensorProducts, LemmaC3) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    const std::int64_t count = random.integer(1, 4);
    const bool whole = round % 2 == 0;
    const Matrices a = draw_sets(random, count, random.integer(1, 4), whole);
    Matrices b;
    Matrices sizes_a;
    Matrices sizes_b;
    const std::int64_t d = random.integer(1, 4);
    for (const Matrix& one : a) {
      b.push_back(draw(random, one.rows, d, whole));
      sizes_a.push_back(absolute(one));
      sizes_b.push_back(absolute(b.back()));
    }
    const Matrix wide = numerics::transposed_product(khatri_rao(a), khatri_rao(b));
    const Matrix moments = numerics::moments_of_tuples(a, b);
    if (whole) {
      ASSERT_EQ(moments, wide);
      continue;
    }
    // Either side: products of 2 count numbers, sums over at most 5 and 5^count terms.
    const double operations = 4.0 * static_cast<double>(count) + 5.0 * static_cast<double>(count) + 625.0;
    expect_within(moments, wide, numerics::moments_of_tuples(sizes_a, sizes_b),
                  2.1 * numerics::gamma(operations, numerics::kU64));
  }
}

struct LemmaC5 : testing::Test {
  Random random{6};
  std::int64_t n = 0;
  std::int64_t d = 0;
  Matrix q{};
  Matrices keys{};
  Matrices values{};
  Matrix a{};                  ///< Q (K_1 (/) K_2 ...)^T, [n, tuples]
  TensorOfAnyOrder entries{};  ///< Q (.) K_1 (.) K_2 ...

  void next() {
    const std::int64_t count = random.integer(1, 3);
    n = random.integer(1, 4);
    d = random.integer(1, 4);
    q = draw(random, n, d);
    keys = draw_sets(random, count, d);
    values.clear();
    const std::int64_t d_v = random.integer(1, 3);
    for (const Matrix& set : keys) values.push_back(draw(random, set.rows, d_v));
    a = numerics::product(q, numerics::transpose(khatri_rao(keys)));
    entries = outer_sum(with(q));
  }
  [[nodiscard]] Matrices with(const Matrix& first) const {
    Matrices all{first};
    all.insert(all.end(), keys.begin(), keys.end());
    return all;
  }
};

// Part 1: the matrix is the tensor with the indices of keys joined.
TEST_F(LemmaC5, MatrixAndTensorHaveTheSameEntries) {
  for (int round = 0; round < 100; ++round) {
    next();
    ASSERT_EQ(entries.data.size(), a.data.size());
    for (std::int64_t e = 0; e < a.rows * a.columns; ++e) {
      const std::vector<std::int64_t> at = members(e, entries.shape);
      double score = 0.0;  // sum_l q_l k1_l k2_l ...
      for (std::int64_t l = 0; l < d; ++l) {
        double term = q.at(at[0], l);
        for (std::size_t s = 0; s < keys.size(); ++s) term *= keys[s].at(at[s + 1], l);
        score += term;
      }
      ASSERT_EQ(a.at(e % n, e / n), score);
      ASSERT_EQ(entries.data[static_cast<std::size_t>(e)], score);
    }
  }
}

// Part 2: row sums, by contracting the tensor with ones, and by contracting its factors.
TEST_F(LemmaC5, RowSumsAreContractions) {
  for (int round = 0; round < 100; ++round) {
    next();
    const Matrix sums = numerics::product(a, ones(a.columns, 1));
    Matrix identity(n, n);
    for (std::int64_t i = 0; i < n; ++i) identity.at(i, i) = 1.0;
    Matrices sides{identity};
    Matrices summed{q};
    for (const Matrix& set : keys) {
      sides.push_back(ones(set.rows, 1));
      summed.push_back(numerics::transposed_product(ones(set.rows, 1), set));  // 1^T K, [1, d]
    }
    ASSERT_EQ(contract(entries, sides).data, sums.data);
    ASSERT_EQ(outer_sum(summed).data, sums.data);
  }
}

// Part 3: the products with the values of tuples, through Lemma C.3.
TEST_F(LemmaC5, ProductsWithValuesOfTuples) {
  for (int round = 0; round < 100; ++round) {
    next();
    const Matrix wide = numerics::product(a, khatri_rao(values));
    ASSERT_EQ(numerics::product(q, numerics::moments_of_tuples(keys, values)), wide);
    // Column c of it is the tensor contracted with column c of each set's values.
    for (std::int64_t c = 0; c < wide.columns; ++c) {
      Matrix identity(n, n);
      for (std::int64_t i = 0; i < n; ++i) identity.at(i, i) = 1.0;
      Matrices sides{identity};
      for (const Matrix& set : values) {
        Matrix column(set.rows, 1);
        for (std::int64_t j = 0; j < set.rows; ++j) column.at(j, 0) = set.at(j, c);
        sides.push_back(column);
      }
      const TensorOfAnyOrder found = contract(entries, sides);
      for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(found.data[static_cast<std::size_t>(i)], wide.at(i, c));
    }
  }
}

// What contracting does to a sum of outer products, on which Part 2 rests: (A (.) B (.) C)(X, Y, Z) = (X^T A) (.)
// (Y^T B) (.) (Z^T C).
TEST_F(LemmaC5, ContractingAnOuterSumContractsItsFactors) {
  for (int round = 0; round < 100; ++round) {
    next();
    const Matrices factors = with(q);
    Matrices sides;
    Matrices contracted;
    for (const Matrix& factor : factors) {
      sides.push_back(draw(random, factor.rows, random.integer(1, 3)));
      contracted.push_back(numerics::transposed_product(sides.back(), factor));
    }
    ASSERT_EQ(contract(entries, sides), outer_sum(contracted));
  }
}

}  // namespace
}  // namespace polyattn::test
