#include "tools/looseness_heads.hpp"

#include <array>
#include <cmath>

namespace polyattn::test {
namespace {

using base::usize;

enum class Kind : std::uint8_t { cloud, kernel, biased };

/// Points of N(0, 1) coordinates; those of kernels may also be uniform, in clusters, or with tails as columns of tables
/// have them.
void draw_places(HeadData& head, Kind kind, Random& random) {
  const std::int64_t shape = kind == Kind::kernel ? random.integer(0, 3) : 0;
  std::vector<double> centres(usize(4 * head.dim));
  for (double& c : centres) {
    c = random.normal();
  }
  const auto fill = [&](std::vector<double>& points, std::int64_t rows) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t cluster = random.integer(0, 3);
      const double tail = std::exp(0.6 * random.normal());
      for (std::int64_t l = 0; l < head.dim; ++l) {
        points.push_back(shape == 0   ? random.normal()
                         : shape == 1 ? random.uniform(-1.7, 1.7)
                         : shape == 2 ? 0.6 * tail * random.normal()
                                      : centres[usize(cluster * head.dim + l)] + 0.3 * random.normal());
      }
    }
  };
  fill(head.k, head.n_kv);
  if (kind == Kind::kernel) {
    head.q.assign(head.k.begin(), head.k.begin() + head.n_q * head.dim);  // smoothing: queries are data
  } else {
    fill(head.q, head.n_q);
  }
}

void draw_values(HeadData& head, Random& random) {
  const std::int64_t kind = random.integer(0, 2);
  std::vector<double> directions(usize(head.dim * head.value_dim));
  for (double& x : directions) {
    x = random.normal() / std::sqrt(static_cast<double>(head.dim));
  }
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    for (std::int64_t c = 0; c < head.value_dim; ++c) {
      double along = 0.0;
      for (std::int64_t l = 0; l < head.dim; ++l) {
        along += directions[usize(c * head.dim + l)] * head.k[usize(j * head.dim + l)];
      }
      const std::array<double, 3> choices{std::sin(2.0 * along), std::exp(1.5 * along), random.normal()};
      head.v.push_back(choices[usize(kind)]);
    }
  }
}

}  // namespace

HeadData looseness_head(std::int64_t index) {
  constexpr std::array<std::int64_t, 7> kDims{2, 3, 4, 6, 8, 12, 16};
  constexpr std::array<std::int64_t, 3> kColumns{1, 4, 16};
  constexpr std::array<double, 4> kSpreads{0.15, 0.3, 0.6, 1.0};  // standard deviation of the scores
  constexpr std::array<double, 4> kBandwidths{0.7, 1.0, 1.5, 2.5};
  Random random(static_cast<std::uint64_t>(index) + 1000);
  const auto kind = static_cast<Kind>(index % 3);
  HeadData head;
  head.n_q = kLoosenessRows;
  head.n_kv = kind == Kind::kernel ? 4 * kLoosenessKeys : kLoosenessKeys;
  head.dim = kDims[usize(random.integer(0, kind == Kind::kernel ? 2 : 6))];
  head.value_dim = kColumns[usize((index / 3) % 3)];
  draw_places(head, kind, random);
  if (kind == Kind::kernel) {
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth.assign(usize(head.dim), kBandwidths[usize(random.integer(0, 3))]);
  } else {
    head.score.scale = kSpreads[usize(random.integer(0, 3))] / std::sqrt(static_cast<double>(head.dim));
  }
  if (kind == Kind::biased) {
    const double width = random.log_uniform(0.5, 5.0);
    for (std::int64_t j = 0; j < head.n_kv; ++j) {
      head.bias.push_back(width * random.normal());
    }
  }
  draw_values(head, random);
  return head;
}

}  // namespace polyattn::test
