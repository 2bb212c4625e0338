#pragma once

/// Keys, values and biases of a prepared set, in pieces as they were appended.

#include "polyattn/tensor.hpp"
#include "polyattn/view.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace polyattn::api {

/// Owned, or borrowed from the caller.
struct KeyPiece {
  Tensor k;
  Tensor v;
  Tensor bias;
  ConstView key_view;
  ConstView value_view;
  std::optional<ConstView> bias_view;
  bool owned = false;

  [[nodiscard]] std::int64_t keys() const noexcept { return key_view.shape[2]; }
};
using KeyPieces = std::vector<std::shared_ptr<const KeyPiece>>;

/// Of all pieces.
std::int64_t keys_in(const KeyPieces& pieces) noexcept;

/// A copy without gaps.
Tensor copy_of(const ConstView& view);
std::shared_ptr<const KeyPiece> make_piece(const ConstView& k, const ConstView& v, const std::optional<ConstView>& bias,
                                           bool borrow);
/// `piece` after `pieces`. Owned pieces of one storage type that are no longer than what follows them are copied
/// together, so there are about log2(keys) of them, and a key is copied as often at most; the first piece and borrowed
/// ones are left alone.
KeyPieces with_piece(KeyPieces pieces, std::shared_ptr<const KeyPiece> piece);

}  // namespace polyattn::api
