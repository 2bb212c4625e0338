#include "planning/sampled.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

namespace polyattn::planning {

double attempt_risk(double confidence, std::int64_t heads, int attempt) noexcept {
  const double risk = (1.0 - confidence) / static_cast<double>(std::max<std::int64_t>(heads, 1));
  return std::ldexp(risk, -attempt) * (1.0 - 1e-12);
}

std::int64_t rows_to_sample(double share, double risk) noexcept {
  const double exact = std::log(risk) / std::log1p(-share);
  if (!(exact < 0x1p62)) {
    return std::numeric_limits<std::int64_t>::max();
  }
  auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(exact)));
  while (unseen_share(rows, risk) > share * (1.0 + 2e-12)) {  // by a rounding
    ++rows;
  }
  return rows;
}

double unseen_share(std::int64_t rows, double risk) noexcept {
  return std::min(1.0, -std::expm1(std::log(risk) / static_cast<double>(rows)) * (1.0 + 1e-12));
}

std::vector<std::int64_t> draw_indices(const DrawName& name, std::int64_t population, std::int64_t count) {
  const auto low = [](auto x) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(x)); };
  const auto high = [](auto x) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(x) >> 32); };
  const std::array words{low(name.seed), high(name.seed), low(name.batch),  high(name.batch),
                         low(name.head), high(name.head), low(name.attempt)};
  std::seed_seq sequence(words.begin(), words.end());
  std::mt19937_64 generator(sequence);
  // std distributions differ between libraries; numbers beyond the last whole multiple would favour small indices.
  const auto size = static_cast<std::uint64_t>(population);
  const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / size * size;
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(count));
  while (static_cast<std::int64_t>(rows.size()) < count) {
    const std::uint64_t bits = generator();
    if (bits < limit) {
      rows.push_back(static_cast<std::int64_t>(bits % size));
    }
  }
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

}  // namespace polyattn::planning
