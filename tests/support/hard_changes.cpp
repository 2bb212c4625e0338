// The changes of hard_heads.hpp.

#include "support/hard_heads.hpp"
#include "support/small_problem.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace polyattn::test {

using base::usize;

void align_values(HardHead& hard, std::int64_t row, std::int64_t column, double slack) {
  HeadData& head = hard.head;
  const std::vector<double> q_mean = mean_of(head.q, head.dim);
  const std::vector<double> k_mean = mean_of(head.k, head.dim);
  std::vector<double> scores;
  double radius = 0.0;
  double size = 0.0;
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    double s = 0.0;
    for (std::int64_t l = 0; l < head.dim; ++l) {
      const double metric = head.score.kind == engines::ScoreKind::dot
                                ? head.score.scale
                                : 1.0 / (head.score.bandwidth[usize(l)] * head.score.bandwidth[usize(l)]);
      s += metric * (head.q[usize(row * head.dim + l)] - q_mean[usize(l)]) *
           (head.k[usize(j * head.dim + l)] - k_mean[usize(l)]);
    }
    scores.push_back(s);
    radius = std::max(radius, std::fabs(s));
    size = std::max(size, std::fabs(head.v[usize(j * head.value_dim + column)]));
  }
  if (!std::isfinite(radius) || !(radius > 0.0) || radius > 300.0 || !std::isfinite(size)) {
    return;
  }
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    double& v = head.v[usize(j * head.value_dim + column)];
    v = chebyshev_error(scores[usize(j)], slack * radius, hard.degree) >= 0.0 ? size : -size;
  }
}

void change_hard_head(HardHead& hard, std::uint64_t seed) {
  Random random(seed);
  HeadData& head = hard.head;
  const auto any_of = [&](std::vector<double>& data) -> double& {
    return data[usize(random.integer(0, static_cast<std::int64_t>(data.size()) - 1))];
  };
  const auto nudge = [&](std::vector<double>& data) {
    double& x = any_of(data);
    const double other = any_of(data);
    if (std::isfinite(x)) {  // what is hidden stays hidden
      const std::array<double, 5> choices{x * random.uniform(0.5, 2.0), -x, x + 0.3 * random.normal(),
                                          std::isfinite(other) ? other : x, x * (1.0 + 0.01 * random.normal())};
      x = choices[usize(random.integer(0, 4))];
    }
  };
  const std::int64_t kind = random.integer(0, 10);
  for (std::int64_t i = random.integer(1, 3); i > 0; --i) {
    if (kind < 2) {
      nudge(head.q);
    } else if (kind < 4) {
      nudge(head.k);
    } else if (kind < 6) {
      nudge(head.v);
    } else if (kind == 6 && !head.bias.empty()) {
      nudge(head.bias);
    } else if (kind == 7) {
      const double factor = random.uniform(0.8, 1.25);
      head.score.scale *= factor;
      for (double& h : head.score.bandwidth) {
        h *= factor;
      }
    } else if (kind == 8 && hard.kept < 1.0) {
      hard.kept = std::clamp(hard.kept + 0.1 * random.normal(), 0.05, 0.999);
    }
  }
  if (kind >= 9) {
    align_values(hard, random.integer(0, head.n_q - 1), random.integer(0, head.value_dim - 1),
                 random.uniform(1.0, 1.3));
  }
}

}  // namespace polyattn::test
