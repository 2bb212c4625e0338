#include "order/inputs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

namespace polyattn::bench::order {

template <class T>
std::array<std::int64_t, 2> Inputs<T>::seen(std::size_t set, std::int64_t row) const {
  const Visibility& visibility = options.mask.visibility;
  const std::int64_t keys = sizes_.keys[set];
  if (visibility.causal == Causal::none) return {0, keys};
  const std::int64_t last = std::min(row + 1, keys);
  return {visibility.window.empty() ? 0 : std::max<std::int64_t>(row + 1 - visibility.window[set], 0), last};
}

template <class T>
double Inputs<T>::tuples() const {
  double sum = 0.0;
  for (std::int64_t i = 0; i < sizes_.queries; ++i) {
    const auto [first, first_end] = seen(0, i);
    const auto [second, second_end] = seen(1, i);
    sum += static_cast<double>(first_end - first) * static_cast<double>(second_end - second);
  }
  return sum;
}

template <class T>
double Inputs<T>::error(std::int64_t row) const {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const auto wide = [](T x) { return static_cast<long double>(x); };
  const auto scale = static_cast<long double>(std::get<Dot>(options.score).scale.value());
  const std::array<std::int64_t, 2> first = seen(0, row);
  const std::array<std::int64_t, 2> second = seen(1, row);
  // visit(score, first key, second key) for every tuple; there are too many scores to keep.
  const auto walk = [&](const auto& visit) {
    std::vector<long double> x(at(sizes_.d));
    for (std::int64_t j = first[0]; j < first[1]; ++j) {
      for (std::int64_t l = 0; l < sizes_.d; ++l) {
        x[at(l)] = scale * wide(q_[at(row * sizes_.d + l)]) * wide(k_[0][at(j * sizes_.d + l)]);
      }
      for (std::int64_t i = second[0]; i < second[1]; ++i) {
        long double sum = 0.0L;
        for (std::int64_t l = 0; l < sizes_.d; ++l) sum += x[at(l)] * wide(k_[1][at(i * sizes_.d + l)]);
        visit(sum, j, i);
      }
    }
  };
  long double largest = -std::numeric_limits<long double>::infinity();
  walk([&](long double score, std::int64_t, std::int64_t) { largest = std::max(largest, score); });
  std::vector<long double> sums(at(sizes_.d_v), 0.0L);
  long double total = 0.0L;
  walk([&](long double score, std::int64_t j, std::int64_t i) {
    const long double weight = std::exp(score - largest);
    total += weight;
    for (std::int64_t c = 0; c < sizes_.d_v; ++c) {
      sums[at(c)] += weight * wide(v_[0][at(j * sizes_.d_v + c)]) * wide(v_[1][at(i * sizes_.d_v + c)]);
    }
  });
  double worst = 0.0;
  for (std::int64_t c = 0; c < sizes_.d_v; ++c) {
    const long double error = std::abs(wide(output_[at(row * sizes_.d_v + c)]) - sums[at(c)] / total);
    if (std::isnan(error)) return static_cast<double>(error);
    worst = std::max(worst, static_cast<double>(error));
  }
  return worst;
}

template class Inputs<float>;
template class Inputs<double>;

}  // namespace polyattn::bench::order
