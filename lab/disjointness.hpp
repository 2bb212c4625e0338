#pragma once

/// A Merlin-Arthur protocol for three-way set disjointness ([AS24] Theorem 4.5, corrected).
///
/// Alice, Bob and Charlie hold subsets of {0, ..., m-1}; is there an element in all three? The universe is cut into T
/// parts of at most rho elements, rho the dimension of a systematic code C of length n_C over F_q of characteristic
/// above T; each part of each set is encoded, as zeros and ones, by C. The places' sums mu_i = sum_t alpha^t_i beta^t_i
/// gamma^t_i form a word of the product code C', and mu_i for i < rho counts the parts in which the i-th element is in
/// all three sets: no count is above T, so none vanishes in F_q by accident.
///
///   1. Merlin sends a word mu^ of n_C symbols.        2. A place i of n_C is drawn.
///   3. Bob and Charlie send Alice their T symbols at place i each.
///   4. Alice accepts if mu^ is in C', mu^_j = 0 for all j < rho, and mu^_i = sum_t alpha^t_i beta^t_i gamma^t_i.
///
/// Statement. If no element is in all three sets, Merlin's mu^ = mu is always accepted. If one is, every mu^ is
/// accepted with probability at most 1 - delta, delta = (distance of C') / n_C. (The paper states 1/2, which needs
/// delta >= 1/2: a lower rate, or repetition.)
///
/// Proof: docs/proofs/lab-sat.md, section 2.

#include "lab/linear_code.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace polyattn::lab {

/// Bits, rounded up per symbol, that are sent for one run.
struct Communication {
  std::int64_t merlin = 0;   ///< the word of C': n_C symbols
  std::int64_t coins = 0;    ///< one place of n_C
  std::int64_t bob = 0;      ///< T symbols
  std::int64_t charlie = 0;  ///< T symbols
};

class Disjointness {
 public:
  /// The T encoded parts of a set: [T, n_C].
  using Encoded = std::vector<Word>;

  /// Throws Error (invalid_argument) unless order is 3, parts >= 1, the parts hold the universe, and the field's
  /// characteristic is above `parts`.
  Disjointness(ProductCodes codes, int universe, int parts);

  [[nodiscard]] const ProductCodes& codes() const noexcept { return codes_; }
  [[nodiscard]] const Field& field() const noexcept { return codes_.code.field(); }
  [[nodiscard]] int universe() const noexcept { return universe_; }
  [[nodiscard]] int parts() const noexcept { return parts_; }
  /// rho: elements of a part.
  [[nodiscard]] int block() const noexcept { return codes_.code.dimension(); }
  /// n_C: number of coins.
  [[nodiscard]] int length() const noexcept { return codes_.code.length(); }
  /// No word of Merlin's is accepted with a larger probability than this if the sets meet: 1 - delta.
  [[nodiscard]] double soundness() const noexcept;
  [[nodiscard]] Communication communication() const noexcept;

  /// `set[e]` says whether e is in the set.
  [[nodiscard]] Encoded encode(const std::vector<bool>& set) const;
  /// mu, what an honest Merlin sends.
  [[nodiscard]] Word honest(const Encoded& alpha, const Encoded& beta, const Encoded& gamma) const;
  /// sum_t alpha^t beta^t gamma^t at a place.
  [[nodiscard]] Field::Element sum_at(int place, const Encoded& alpha, std::span<const Field::Element> bob,
                                      std::span<const Field::Element> charlie) const noexcept;
  /// What Bob or Charlie sends: symbols of a set at a place.
  [[nodiscard]] static Word message(const Encoded& set, int place);
  /// Alice's decision.
  [[nodiscard]] bool accepts(const Word& merlin, int place, const Encoded& alpha, const Word& bob,
                             const Word& charlie) const;
  /// Number of places at which Alice accepts.
  [[nodiscard]] int accepting_places(const Word& merlin, const Encoded& alpha, const Encoded& beta,
                                     const Encoded& gamma) const;

  /// Words that pass every test of Alice's but the last: those of C' that are 0 on the first rho places. Word number c
  /// has the digits of c in base q at the free pivots.
  [[nodiscard]] int free_symbols() const noexcept { return codes_.product.dimension() - block(); }
  [[nodiscard]] Word plausible(std::span<const Field::Element> free) const;

  /// The best plausible word for a mu that is none, among `tries` that agree with mu at as many random places as can be
  /// prescribed. With a Reed-Solomon code and one common element that reaches the soundness exactly.
  [[nodiscard]] Word cheat(const Word& honest, int tries, std::mt19937_64& random) const;

 private:
  ProductCodes codes_;
  int universe_, parts_;
};

}  // namespace polyattn::lab
