// The draws of hard_heads.hpp.

#include "polyattn/polynomial.hpp"
#include "support/hard_heads.hpp"
#include "support/small_problem.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace polyattn::test {
namespace {

using base::usize;
constexpr double kNegative = -std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> draw_points(Random& random, std::int64_t rows, std::int64_t dim) {
  std::vector<double> points(usize(rows * dim));
  const std::int64_t kind = random.integer(0, 6);
  std::vector<double> direction(usize(dim));
  for (double& x : direction) {
    x = random.normal();
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const double along = kind == 4 ? random.sign() : random.uniform(-1.0, 1.0);
    for (std::int64_t l = 0; l < dim; ++l) {
      const std::array<double, 7> choices{random.uniform(-1.0, 1.0),
                                          random.normal(),
                                          random.sign(),
                                          along * direction[usize(l)],
                                          along * direction[usize(l)],
                                          row == 0 ? 8.0 * random.sign() : random.uniform(-1.0, 1.0),
                                          direction[usize(l)] + 0.1 * random.normal()};
      points[usize(row * dim + l)] = choices[usize(kind)];
    }
  }
  return points;
}

void set_radius(HardHead& hard, double radius, Random& random) {
  HeadData& head = hard.head;
  const double largest = largest_centred_score(head.q, head.k, head.dim);
  const double factor = largest > 1e-9 ? radius / largest : radius;
  if (random.chance(0.25)) {
    head.score.kind = engines::ScoreKind::gaussian;
    head.score.bandwidth.assign(usize(head.dim), std::sqrt(1.0 / factor));
    for (double& h : head.score.bandwidth) {
      h *= random.chance(0.5) ? 1.0 : random.uniform(0.8, 1.5);
    }
  } else {
    head.score.scale = (random.chance(0.15) ? -1.0 : 1.0) * factor;
  }
}

void draw_values(HeadData& head, Random& random) {
  head.v.resize(usize(head.n_kv * head.value_dim));
  const std::int64_t hot = random.integer(0, head.n_kv - 1);
  const bool same = random.chance(0.5);  // one kind for all columns
  std::vector<std::int64_t> kinds;
  for (std::int64_t c = 0; c < head.value_dim; ++c) {
    kinds.push_back(same && c > 0 ? kinds.front() : random.integer(0, 6));
  }
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    const double key = head.k[usize(j * head.dim)];
    for (std::int64_t c = 0; c < head.value_dim; ++c) {
      const double normal = random.normal();
      const std::array<double, 7> choices{
          normal, random.sign(),      j == hot ? 1.0 : 0.0, random.chance(0.1) ? 1.0 : 0.0, normal * normal * normal,
          key,    std::sin(3.0 * key)};
      head.v[usize(j * head.value_dim + c)] = choices[usize(kinds[usize(c)])];
    }
  }
}

void draw_bias(HeadData& head, Random& random, double width) {
  const double hidden = random.chance(0.2) ? 0.2 : 0.0;
  for (std::int64_t j = 0; j < head.n_kv; ++j) {
    head.bias.push_back(random.chance(hidden) ? kNegative : random.uniform(-width, width));
  }
}

struct Sizes {
  std::int64_t n_q = 2;
  std::int64_t n_kv = 8;
  std::int64_t dim = 1;
  std::int64_t value_dim = 1;
  int degree = 0;
  double radius = 1.0;
};

Sizes draw_sizes(HeadFamily family, Random& random) {
  Sizes s;
  s.n_q = random.integer(1, 4);
  s.n_kv = random.integer(1, random.chance(0.2) ? 60 : 14);
  s.dim = random.integer(1, 3);
  s.value_dim = random.integer(1, 3);
  s.degree = static_cast<int>(random.integer(0, 7));
  double widest = 0.3 + 0.5 * s.degree;
  switch (family) {
    case HeadFamily::split:
      s.dim = random.integer(1, 6);
      s.degree = static_cast<int>(random.integer(0, 16));
      s.value_dim = random.integer(1, 8);
      widest = 0.3 + 0.4 * s.degree;
      break;
    case HeadFamily::spread:
      s.dim = random.integer(1, 4);
      s.degree = static_cast<int>(random.integer(2, 5));
      s.value_dim = random.integer(1, 12);
      widest = 0.5 * s.degree;
      break;
    case HeadFamily::outside:
      s.degree = static_cast<int>(random.integer(0, 5));
      s.radius = s.degree + random.log_uniform(0.5, 20.0);
      return s;
    case HeadFamily::chains:
      s.n_q = random.integer(1, 2);
      s.dim = random.chance(0.2) ? 3 : random.integer(1, 2);
      s.n_kv = random.integer(500, 1100);
      s.degree = static_cast<int>(random.integer(2, s.dim == 3 ? 8 : 16));
      s.value_dim = random.chance(0.8) ? 1 : 2;
      s.radius = random.log_uniform(1e-4, 0.02 + 0.03 * s.degree);
      return s;
    case HeadFamily::far:
      s.dim = random.integer(1, 2);
      s.n_kv = random.integer(8, 60);
      s.degree = static_cast<int>(random.integer(1, 9));
      s.radius = random.log_uniform(0.5, 12.0);
      return s;
    case HeadFamily::few:
      s.n_kv = random.integer(1, 2);
      break;
    case HeadFamily::outlying:
      s.n_kv = random.integer(2, random.chance(0.1) ? 400 : 40);
      break;
    case HeadFamily::layers:
      s.dim = random.integer(2, 6);
      s.degree = static_cast<int>(random.integer(0, 9));
      s.n_kv = random.integer(1, 60);
      break;
    default:
      break;
  }
  s.radius = random.log_uniform(1e-3, widest);
  return s;
}

/// Hidden keys among the others, holding what must not be read.
void add_hidden(HeadData& head, Random& random) {
  head.bias.resize(usize(head.n_kv), 0.0);
  for (std::int64_t extra = random.integer(0, 3); extra > 0; --extra) {
    const bool front = random.chance(0.5);
    head.k.insert(front ? head.k.begin() : head.k.end(), usize(head.dim), kNan);
    head.v.insert(front ? head.v.begin() : head.v.end(), usize(head.value_dim), kNan);
    head.bias.insert(front ? head.bias.begin() : head.bias.end(), kNegative);
    ++head.n_kv;
  }
}

void stretch(HardHead& hard, Random& random) {
  HeadData& head = hard.head;
  constexpr std::array<double, 7> kSizes{0x1p-1070, 0x1p-1030, 0x1p-160, 0x1p-130, 1e-30, 1e30, 0x1p+140};
  const auto scale = [](std::vector<double>& data, std::int64_t columns, std::int64_t column, double by) {
    for (std::size_t e = usize(column); e < data.size(); e += usize(columns)) {
      data[e] *= by;
    }
  };
  for (std::int64_t l = 0; l < head.dim; ++l) {
    if (random.chance(0.5)) {
      scale(random.chance(0.5) ? head.q : head.k, head.dim, l, kSizes[usize(random.integer(0, 6))]);
    }
  }
  if (random.chance(0.5)) {  // and bring the scores back, as far as a number can
    const double largest = largest_centred_score(head.q, head.k, head.dim);
    const double back = random.log_uniform(0.01, 3.0) / largest;
    if (std::isfinite(back) && back > 0.0 && head.score.kind == engines::ScoreKind::dot) {
      head.score.scale = back;
    }
  }
  if (random.chance(0.2)) {  // one query or key alone
    std::vector<double>& data = random.chance(0.5) ? head.q : head.k;
    data[usize(random.integer(0, static_cast<std::int64_t>(data.size()) - 1))] *= kSizes[usize(random.integer(0, 6))];
  }
  for (std::int64_t c = 0; c < head.value_dim; ++c) {
    if (random.chance(0.6)) {
      scale(head.v, head.value_dim, c, std::ldexp(1.0, static_cast<int>(random.integer(-140, 120))));
    }
    const double offset = random.chance(0.4) ? random.sign() * random.log_uniform(1.0, 1e15) : 0.0;
    for (std::size_t e = usize(c); e < head.v.size(); e += usize(head.value_dim)) {
      head.v[e] += offset;
    }
  }
}

/// Some keys far out, most of them with values or weights that the others do not have.
void send_out(HardHead& hard, Random& random) {
  HeadData& head = hard.head;
  const std::int64_t count = random.integer(1, std::max<std::int64_t>(1, head.n_kv / (random.chance(0.2) ? 1 : 4)));
  const bool weighs = random.chance(0.4);
  if (weighs) {
    head.bias.assign(usize(head.n_kv), 0.0);
  }
  const double far = random.log_uniform(1.0, 100.0);
  const double most = *std::max_element(head.v.begin(), head.v.end());
  const bool same = random.chance(0.2);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t j = i * head.n_kv / count;
    const double by = same ? far : far * random.uniform(0.5, 1.0);
    for (std::int64_t l = 0; l < head.dim; ++l) {
      head.k[usize(j * head.dim + l)] = by * head.k[usize((same ? 0 : j) * head.dim + l)];
    }
    if (random.chance(0.5)) {
      head.v[usize(j * head.value_dim)] = most + random.uniform(0.0, 3.0);
    }
    if (weighs) {
      head.bias[usize(j)] = random.sign() * random.log_uniform(0.1, 900.0);
    }
  }
  hard.apart = random.chance(0.8) ? count : random.integer(1, head.n_kv);
  hard.kept = random.chance(0.2) ? random.uniform(0.1, 0.99) : 1.0;
}

/// Spectra that decay, at times with a query or a key far out along the weakest direction.
void put_in_layers(HardHead& hard, Random& random) {
  HeadData& head = hard.head;
  const double decay = random.chance(0.3) ? 0.0 : random.uniform(0.3, 6.0);
  const double lop = random.chance(0.7) ? 1.0 : random.log_uniform(1e-30, 1e30);
  const std::int64_t weakest = head.dim - 1;
  for (std::vector<double>* data : {&head.q, &head.k}) {
    for (std::size_t i = 0; i < data->size(); ++i) {
      const auto l = static_cast<double>(i % usize(head.dim));
      const bool dot = head.score.kind == engines::ScoreKind::dot;
      (*data)[i] *= std::pow(l + 1.0, -decay) * (!dot ? 1.0 : data == &head.q ? lop : 1.0 / lop);
    }
    if (random.chance(0.2)) {
      const std::int64_t rows = static_cast<std::int64_t>(data->size()) / head.dim;
      (*data)[usize(random.integer(0, rows - 1) * head.dim + weakest)] *= random.log_uniform(1.0, 300.0);
    }
  }
  hard.strong = random.integer(1, head.dim - 1);
  hard.first_degree = static_cast<int>(random.integer(0, hard.degree));
  hard.balanced = random.chance(0.5);
}

/// What only this family has.
void sharpen(HardHead& hard, HeadFamily family, Random& random) {
  HeadData& head = hard.head;
  switch (family) {
    case HeadFamily::chains:
      if (random.chance(0.6)) {  // all keys but a few the same: their roundings agree
        for (std::int64_t j = 3; j < head.n_kv; ++j) {
          const std::int64_t from = random.chance(0.9) ? 1 : j % 3;
          std::copy_n(head.k.begin() + from * head.dim, head.dim, head.k.begin() + j * head.dim);
          std::copy_n(head.v.begin() + from * head.value_dim, head.value_dim, head.v.begin() + j * head.value_dim);
        }
      }
      hard.single = random.chance(0.75);
      break;
    case HeadFamily::underflow: {
      const double depth = hard.single && random.chance(0.7) ? 110.0 : 1150.0;
      for (std::int64_t j = 0; j < head.n_kv; ++j) {
        head.bias.push_back(random.chance(0.3) ? 0.0 : -depth * random.uniform(random.chance(0.5) ? 0.85 : 0.0, 1.0));
      }
      if (random.chance(0.3)) {
        head.v[usize(random.integer(0, static_cast<std::int64_t>(head.v.size()) - 1))] *= random.log_uniform(1e3, 1e30);
      }
      break;
    }
    case HeadFamily::far:
      if (head.score.kind == engines::ScoreKind::dot) {
        head.score.scale = std::fabs(head.score.scale);
        for (std::int64_t j = 0; j < head.n_kv; ++j) {  // weights fall off as a Gaussian kernel's do
          double square = 0.0;
          for (std::int64_t l = 0; l < head.dim; ++l) {
            square += head.k[usize(j * head.dim + l)] * head.k[usize(j * head.dim + l)];
          }
          head.bias.push_back(-random.uniform(0.3, 3.0) * head.score.scale * square);
        }
      }
      hard.kept = random.uniform(0.1, 0.99);
      break;
    case HeadFamily::ladder:
      hard.row = random.integer(0, head.n_q - 1);
      hard.steps = random.chance(0.5) ? 1 : hard.degree < 6 ? engines::kLadderSteps : 2;
      hard.octaves = static_cast<int>(random.integer(0, engines::kLadderOctaves));
      hard.nudge = static_cast<int>(random.integer(-1, 1));
      break;
    case HeadFamily::scales:
      stretch(hard, random);
      break;
    case HeadFamily::few:
      add_hidden(head, random);
      break;
    case HeadFamily::outlying:
      send_out(hard, random);
      break;
    case HeadFamily::layers:
      put_in_layers(hard, random);
      break;
    default:
      break;
  }
}

}  // namespace

HardHead draw_hard_head(HeadFamily family, std::uint64_t seed) {
  Random random(seed * 16U + static_cast<std::uint64_t>(family));
  HardHead hard;
  HeadData& head = hard.head;
  Sizes sizes = draw_sizes(family, random);
  const bool causal = family == HeadFamily::split && random.chance(0.06);
  if (causal) {  // the last visible keys are answered exactly, in blocks of 128
    sizes.n_kv = random.integer(130, 280);
  }
  const bool large = family == HeadFamily::split && !causal && random.chance(0.01);
  while (feature_rank(sizes.dim, sizes.degree) * (sizes.value_dim + 1) > (large ? 60000 : 1200)) {
    --sizes.degree;
    sizes.radius = std::min(sizes.radius, 0.3 + 0.5 * sizes.degree);
  }
  head.n_q = sizes.n_q;
  head.n_kv = sizes.n_kv;
  head.dim = sizes.dim;
  head.value_dim = sizes.value_dim;
  hard.degree = sizes.degree;
  hard.single = random.chance(0.5);
  hard.steps = random.chance(0.6) ? 0 : 1;
  hard.spread = family == HeadFamily::spread || (!causal && random.chance(0.15));
  if (family == HeadFamily::split || random.chance(0.3)) {
    hard.prefix = static_cast<int>(random.integer(0, std::min<std::int64_t>(4, head.dim - 1)));
  }
  head.q = draw_points(random, head.n_q, head.dim);
  head.k = draw_points(random, head.n_kv, head.dim);
  set_radius(hard, sizes.radius, random);
  draw_values(head, random);
  if (random.chance(0.3)) {
    align_values(hard, random.integer(0, head.n_q - 1), random.integer(0, head.value_dim - 1),
                 random.uniform(1.0, 1.3));
  }
  sharpen(hard, family, random);
  if (head.bias.empty() && random.chance(0.25)) {
    draw_bias(head, random, random.log_uniform(0.1, 20.0));
  }
  if (causal) {
    head.mask.causal = true;
    head.mask.offset = head.n_kv - head.n_q;
  }
  return hard;
}

}  // namespace polyattn::test
