#pragma once

/// Linear codes over a finite field, and pairs of them that are closed under products of several codewords.
///
/// A pair (C, C') has the properties that [AS24] Theorem 4.4 asks for: C is systematic, its information positions come
/// first; the place-by-place product of `order` codewords of C is in C'; both are encoded by a matrix and checked by
/// encoding again; and a lower bound of the distance of each is known. C holds the constant words, so C is part of C'.
///
/// Reed-Solomon: values of polynomials of degree below k at n points of F_q, n <= q; distance n - k + 1.
/// Hermitian: values at the q^3 affine points of y^q + y = x^(q+1) over F_{q^2}, q prime, of the functions
/// x^i y^j, j < q, with pole order i q + j (q+1) <= m at infinity: the space L(m P); distance at least n - m. Genus g =
/// q (q-1) / 2, dimension m + 1 - g for 2g - 1 <= m < n. Products of functions of L(m P) are in L(order m P).
///
/// Source: Goppa 1981; Stichtenoth 1988 ("A note on Hermitian codes over GF(q^2)"). Theorem 4.4 itself needs towers of
/// curves (Shum et al. 2001), for constant alphabets at any length.

#include "lab/field.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace polyattn::lab {

using Word = std::vector<Field::Element>;

/// A linear code by a generator matrix in reduced row echelon form.
class LinearCode {
 public:
  /// The code that `rows`, words of one length >= 1, span; at least `distance` places differ between two of its words.
  LinearCode(std::shared_ptr<const Field> field, std::vector<Word> rows, int distance);

  [[nodiscard]] const Field& field() const noexcept { return *field_; }
  [[nodiscard]] const std::shared_ptr<const Field>& shared_field() const noexcept { return field_; }
  [[nodiscard]] int length() const noexcept { return length_; }
  [[nodiscard]] int dimension() const noexcept { return static_cast<int>(rows_.size()); }
  /// Proved lower bound of the minimum distance.
  [[nodiscard]] int distance() const noexcept { return distance_; }
  /// Position of each information symbol, ascending.
  [[nodiscard]] const std::vector<int>& pivots() const noexcept { return pivots_; }
  /// Row i is 1 at pivots()[i] and 0 at the other pivots and before.
  [[nodiscard]] const std::vector<Word>& rows() const noexcept { return rows_; }

  /// The codeword with `message` at the pivots. Throws Error (invalid_argument) unless there are dimension() symbols.
  [[nodiscard]] Word encode(std::span<const Field::Element> message) const;
  [[nodiscard]] bool contains(std::span<const Field::Element> word) const;

 private:
  std::shared_ptr<const Field> field_;
  int length_, distance_;
  std::vector<Word> rows_;
  std::vector<int> pivots_;
};

/// Places of words in another order: out[i] = word[order[i]].
Word permuted(std::span<const Field::Element> word, std::span<const int> order);

struct ProductCodes {
  std::string name;
  int order = 3;       ///< so many codewords of C multiply to one of C'
  LinearCode code;     ///< C, information positions 0 to dimension - 1
  LinearCode product;  ///< C'
};

/// Throws Error (invalid_argument) unless 1 <= dimension, order >= 1 and order (dimension - 1) < length <= p^degree.
ProductCodes reed_solomon(int p, int degree, int length, int dimension, int order = 3);
/// Of length q^3 over F_{q^2}, q prime up to 31; m is the least for which C has the dimension. Throws Error
/// (invalid_argument) if 1 <= dimension or order m < q^3 does not hold.
ProductCodes hermitian(int q, int dimension, int order = 3);

}  // namespace polyattn::lab
