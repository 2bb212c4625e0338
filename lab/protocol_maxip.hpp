#pragma once

/// 3-OV -> Gap-MaxIP through the Merlin-Arthur protocol ([AS24] Theorem 4.7, corrected).
///
/// Coordinates are (place, Bob's message, Charlie's message): n_C q^T q^T of them. Vector b of 3-OV, as the set of its
/// ones, becomes the 0-1 vector of what Bob sends at each place, whatever Charlie sends; c likewise; and every vector
/// a, for each word mu that Merlin may send, the vector of what Alice accepts. So <a^mu, b, c> is the number of places
/// at which Alice accepts:
///
///     n_C for some mu           if <a, b, c> = 0,
///     n_C - d' or less for all  if not,
///
/// Gap-MaxIP with t = n_C and eps = d' / n_C, d' the distance of the product code. (The paper has the two cases the
/// wrong way round, and takes the coins from the universe instead of the code.)
///
/// Size: q^(k' - rho) vectors for each a, k' the dimension of the product code and rho the block; 16,807 dimensions for
/// 4 clauses with T = 2, 40 million for 8 with T = 4. Vectors are implicit: a coordinate whose message no b (or no c)
/// sends is 0 in all of them and adds nothing to any inner product, so problems of attention are made of the other
/// coordinates alone, n_C |B| |C| at most, which give every inner product, and so every score, exactly as all of them
/// would.
///
/// Proof: docs/proofs/lab-sat.md, section 3.

#include "lab/disjointness.hpp"
#include "lab/gap_maxip.hpp"
#include "lab/three_ov.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace polyattn::lab {

class ProtocolMaxIp {
 public:
  /// Most dimensions of vectors that are materialised in full.
  static constexpr std::int64_t most_materialised = std::int64_t{1} << 22;

  /// Throws Error (invalid_argument) if the protocol is for another universe, (unsupported) if there are more than 2^40
  /// vectors for each a or 2^28 coordinates that matter.
  ProtocolMaxIp(const ThreeOv& instance, Disjointness protocol);

  [[nodiscard]] const Disjointness& protocol() const noexcept { return protocol_; }
  /// Words Merlin may send.
  [[nodiscard]] std::int64_t messages() const noexcept { return messages_; }
  /// Vectors of the three sets; vector number a * messages() + c of the first is a with the word c.
  [[nodiscard]] const std::array<std::int64_t, 3>& counts() const noexcept { return counts_; }
  [[nodiscard]] std::int64_t threshold() const noexcept { return protocol_.length(); }
  [[nodiscard]] double gap() const noexcept { return 1.0 - protocol_.soundness(); }
  /// n_C q^(2T)
  [[nodiscard]] double dimension() const noexcept;
  /// Coordinates whose messages some b and some c send.
  [[nodiscard]] std::int64_t support() const noexcept { return support_; }

  /// The inner product of a triple, from the protocol.
  [[nodiscard]] std::int64_t inner_product(const Triple& triple) const;
  /// The vector of 3-OV behind one of the first set.
  [[nodiscard]] std::int64_t origin(std::int64_t row) const noexcept { return row / messages_; }

  /// Vectors on the coordinates that matter. Borrows this.
  [[nodiscard]] GapMaxIp on_support() const;
  /// Vectors in full, coordinate (place q^T + Bob's message) q^T + Charlie's. Borrows this. Throws Error (unsupported)
  /// if there are more than `most_materialised` dimensions.
  [[nodiscard]] GapMaxIp materialised() const;

 private:
  /// Messages seen at a place, and which of them each vector sends.
  struct Side {
    std::vector<Word> messages;
    std::vector<std::int64_t> sent;  // [count]
  };
  struct Place {
    std::array<Side, 2> side;  // Bob, Charlie
    std::int64_t offset = 0;   // of its coordinates
  };
  [[nodiscard]] Word merlin(std::int64_t row) const;
  void look_at(int place);
  [[nodiscard]] Word accepted_if(const Disjointness::Encoded& alice) const;
  void write_alice(std::int64_t row, const Word& accepted, std::span<float> out) const;
  void write_other(std::size_t side, std::int64_t index, std::span<float> out) const;
  void write_alice_in_full(std::int64_t row, std::span<float> out) const;
  void write_other_in_full(std::size_t side, std::int64_t index, std::span<float> out) const;
  [[nodiscard]] std::size_t number_of(const Word& message) const noexcept;
  [[nodiscard]] Word message_of(std::size_t number) const;

  Disjointness protocol_;
  std::array<std::vector<Disjointness::Encoded>, 3> encoded_;
  std::array<std::int64_t, 3> counts_{};
  std::int64_t messages_ = 1;
  std::int64_t support_ = 0;
  std::vector<Place> places_;
};

}  // namespace polyattn::lab
