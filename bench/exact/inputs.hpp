#pragma once

/// Standard normal queries, keys and values, and an output allocated before anything is timed.

#include "polyattn/attention.hpp"
#include "support/case.hpp"
#include "support/data.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::bench::exact {

struct Sizes {
  std::int64_t n = 0;  ///< queries and keys
  std::int64_t d = 0;
  std::int64_t d_v = 0;
  std::int64_t heads = 1;
  std::int64_t key_heads = 1;
};

constexpr Sizes square(std::int64_t n, std::int64_t d, std::int64_t heads = 1) { return {n, d, d, heads, heads}; }

template <class T>
class Inputs {
 public:
  explicit Inputs(const Sizes& sizes)
      : sizes_(sizes),
        q_(normal_tokens<T>(sizes.heads * sizes.n, sizes.d, 1)),
        k_(normal_tokens<T>(sizes.key_heads * sizes.n, sizes.d, 2)),
        v_(normal_tokens<T>(sizes.key_heads * sizes.n, sizes.d_v, 3)),
        output_(static_cast<std::size_t>(sizes.heads * sizes.n * sizes.d_v)) {}

  /// By the exact engine on one thread, no mask, scale 1/sqrt(d).
  [[nodiscard]] Problem problem() const {
    Problem problem{tensor(q_.data(), {1, sizes_.heads, sizes_.n, sizes_.d}),
                    tensor(k_.data(), {1, sizes_.key_heads, sizes_.n, sizes_.d}),
                    tensor(v_.data(), {1, sizes_.key_heads, sizes_.n, sizes_.d_v}),
                    {}};
    problem.options.engine = Engine::exact;
    problem.options.threads = 1;
    return problem;
  }

  [[nodiscard]] View output() { return tensor(output_.data(), {1, sizes_.heads, sizes_.n, sizes_.d_v}); }
  [[nodiscard]] const std::vector<T>& q() const noexcept { return q_; }
  [[nodiscard]] const std::vector<T>& k() const noexcept { return k_; }
  [[nodiscard]] const std::vector<T>& v() const noexcept { return v_; }
  [[nodiscard]] const std::vector<T>& answer() const noexcept { return output_; }

 private:
  Sizes sizes_;
  std::vector<T> q_;
  std::vector<T> k_;
  std::vector<T> v_;
  std::vector<T> output_;
};

}  // namespace polyattn::bench::exact
