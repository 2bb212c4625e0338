#include "api/key_pieces.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace polyattn::api {

namespace {

/// Rows of `view` to rows [first, first + view.shape[2]) of every head of `target`, which has no gaps.
void copy_rows(const ConstView& view, Tensor& target, std::int64_t first) {
  const auto size = static_cast<std::int64_t>(size_of(view.dtype));
  const auto* source = static_cast<const std::byte*>(view.data);
  auto* out = static_cast<std::byte*>(target.data());
  const Shape& s = view.shape;
  const std::int64_t rows = target.view().shape[2];
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (std::int64_t h = 0; h < s[1]; ++h) {
      for (std::int64_t i = 0; i < s[2]; ++i) {
        const std::int64_t offset = b * view.strides[0] + h * view.strides[1] + i * view.strides[2];
        std::byte* to = out + (((b * s[1] + h) * rows + first + i) * s[3]) * size;
        if (view.strides[3] == 1) {
          std::copy_n(source + offset * size, s[3] * size, to);
          continue;
        }
        for (std::int64_t c = 0; c < s[3]; ++c) {
          std::copy_n(source + (offset + c * view.strides[3]) * size, size, to + c * size);
        }
      }
    }
  }
}

Tensor joined(const ConstView& a, const ConstView& b) {
  Shape shape = a.shape;
  shape[2] += b.shape[2];
  Tensor out(a.dtype, shape);
  copy_rows(a, out, 0);
  copy_rows(b, out, a.shape[2]);
  return out;
}

std::shared_ptr<const KeyPiece> own(Tensor k, Tensor v, std::optional<Tensor> bias) {
  auto piece = std::make_shared<KeyPiece>();
  piece->owned = true;
  piece->k = std::move(k);
  piece->v = std::move(v);
  piece->key_view = std::as_const(piece->k).view();
  piece->value_view = std::as_const(piece->v).view();
  if (bias) {
    piece->bias = std::move(*bias);
    piece->bias_view = std::as_const(piece->bias).view();
  }
  return piece;
}

bool joinable(const KeyPiece& a, const KeyPiece& b) noexcept {
  const auto same = [](const ConstView& x, const ConstView& y) { return x.dtype == y.dtype; };
  // Biases may be the same for all batches or heads, which then must hold for both.
  const bool biases =
      !a.bias_view || (same(*a.bias_view, *b.bias_view) && a.bias_view->shape[0] == b.bias_view->shape[0] &&
                       a.bias_view->shape[1] == b.bias_view->shape[1]);
  return a.owned && b.owned && a.keys() <= b.keys() && same(a.key_view, b.key_view) &&
         same(a.value_view, b.value_view) && biases;
}

}  // namespace

std::int64_t keys_in(const KeyPieces& pieces) noexcept {
  std::int64_t keys = 0;
  for (const auto& piece : pieces) {
    keys += piece->keys();
  }
  return keys;
}

Tensor copy_of(const ConstView& view) {
  Tensor copy(view.dtype, view.shape);
  copy_rows(view, copy, 0);
  return copy;
}

std::shared_ptr<const KeyPiece> make_piece(const ConstView& k, const ConstView& v, const std::optional<ConstView>& bias,
                                           bool borrow) {
  if (!borrow) {
    return own(copy_of(k), copy_of(v), bias ? std::optional(copy_of(*bias)) : std::nullopt);
  }
  auto piece = std::make_shared<KeyPiece>();
  piece->key_view = k;
  piece->value_view = v;
  piece->bias_view = bias;
  return piece;
}

KeyPieces with_piece(KeyPieces pieces, std::shared_ptr<const KeyPiece> piece) {
  while (pieces.size() > 1 && joinable(*pieces.back(), *piece)) {
    const KeyPiece& last = *pieces.back();
    piece = own(joined(last.key_view, piece->key_view), joined(last.value_view, piece->value_view),
                last.bias_view ? std::optional(joined(*last.bias_view, *piece->bias_view)) : std::nullopt);
    pieces.pop_back();
  }
  pieces.push_back(std::move(piece));
  return pieces;
}

}  // namespace polyattn::api
