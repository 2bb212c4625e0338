#pragma once

/// Problems of order 3 with standard normal queries, keys and values, and their truth by textbook loops.

#include "polyattn/attention.hpp"
#include "support/data.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace polyattn::bench::order {

struct Sizes {
  std::int64_t queries = 0;
  std::array<std::int64_t, 2> keys{};
  std::int64_t d = 0;
  std::int64_t d_v = 0;
};

/// Queries, two sets of keys and values, options, and an output allocated before anything is timed.
template <class T>
class Inputs {
 public:
  /// By the exact engine on one thread, in the arithmetic of T, no mask, scale 1/d.
  explicit Inputs(const Sizes& sizes)
      : sizes_(sizes),
        q_(normal_tokens<T>(sizes.queries, sizes.d, 1)),
        output_(static_cast<std::size_t>(sizes.queries * sizes.d_v)) {
    for (std::size_t s = 0; s < 2; ++s) {
      k_[s] = normal_tokens<T>(sizes.keys[s], sizes.d, 2 + s);
      v_[s] = normal_tokens<T>(sizes.keys[s], sizes.d_v, 4 + s);
      keys_[s] = tensor(k_[s].data(), {1, 1, sizes.keys[s], sizes.d});
      values_[s] = tensor(v_[s].data(), {1, 1, sizes.keys[s], sizes.d_v});
    }
    options.engine = Engine::exact;
    options.threads = 1;
    options.score = Dot{1.0 / static_cast<double>(sizes.d)};
  }
  Inputs(const Inputs&) = delete;
  Inputs& operator=(const Inputs&) = delete;

  /// With the first rows of Q only.
  Report attend_first(std::int64_t rows) {
    ConstView q = tensor(q_.data(), {1, 1, rows, sizes_.d});
    Destinations destinations;
    destinations.output = tensor(output_.data(), {1, 1, rows, sizes_.d_v});
    return attend_into(destinations, q, keys_, values_, options);
  }
  Report attend_all() { return attend_first(sizes_.queries); }

  [[nodiscard]] const Sizes& sizes() const noexcept { return sizes_; }
  /// Keys [first, second) of a set that a row sees under the options' causal windows.
  [[nodiscard]] std::array<std::int64_t, 2> seen(std::size_t set, std::int64_t row) const;
  /// Tuples that all rows see together.
  [[nodiscard]] double tuples() const;
  /// Largest |output - truth| over the columns of a row, the truth in long double.
  [[nodiscard]] double error(std::int64_t row) const;

  Options options;

 private:
  Sizes sizes_;
  std::vector<T> q_;
  std::array<std::vector<T>, 2> k_;
  std::array<std::vector<T>, 2> v_;
  std::array<ConstView, 2> keys_;
  std::array<ConstView, 2> values_;
  std::vector<T> output_;
};

}  // namespace polyattn::bench::order
