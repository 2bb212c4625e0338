#pragma once

/// One cell of the table of peers: a problem every peer can state, and its data.

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::bench::peers {

enum class Kind : std::uint8_t {
  plain,
  causal,   ///< row i sees keys j <= i
  padding,  ///< the last eighth of the keys is hidden from every row
};

constexpr const char* name_of(Kind kind) noexcept {
  switch (kind) {
    case Kind::plain:
      return "plain";
    case Kind::causal:
      return "causal";
    case Kind::padding:
      return "padding";
  }
  return "unknown";
}

/// One batch; as many keys as queries, d_v = d, scale 1/sqrt(d), float32.
struct Cell {
  std::int64_t heads = 1;
  std::int64_t n = 0;
  std::int64_t d = 0;
  Kind kind = Kind::plain;
};

/// Keys that padding leaves.
constexpr std::int64_t visible_keys(const Cell& cell) noexcept {
  return cell.kind == Kind::padding ? cell.n / 8 * 7 : cell.n;
}

/// q, k and v in the order [heads, n, d].
struct Tensors {
  const std::vector<float>& q;
  const std::vector<float>& k;
  const std::vector<float>& v;
};

}  // namespace polyattn::bench::peers
