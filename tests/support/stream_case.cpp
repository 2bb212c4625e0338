#include "support/stream_case.hpp"

#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace polyattn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

/// A point of the region: anywhere, or in a corner.
void place(const StreamingRegion& region, std::int64_t dim, bool corner, Random& random, double* out) {
  std::vector<double> offset(at(dim));
  double norm = 0.0;
  for (std::int64_t l = 0; l < dim; ++l) {
    const double half = region.half.empty() ? region.radius : region.half[region.half.size() == 1 ? 0 : at(l)];
    const double side = corner ? random.sign() : random.uniform(-1.0, 1.0);
    offset[at(l)] = side * std::min(half, region.radius);
    norm += offset[at(l)] * offset[at(l)];
  }
  // Rounding in centre + offset may leave the region by a hair; the largest point inside is what is wanted.
  const double shrink = std::min(1.0, region.radius / std::sqrt(std::max(norm, 1e-300))) * (1.0 - 1e-12);
  for (std::int64_t l = 0; l < dim; ++l) {
    const double centre = region.centre.empty() ? 0.0 : region.centre[at(l)];
    double x = centre + offset[at(l)] * shrink;
    const double half = region.half.empty() ? region.radius : region.half[region.half.size() == 1 ? 0 : at(l)];
    while (std::fabs(x - centre) > std::min(half, region.radius)) {
      x = std::nextafter(x, centre);
    }
    out[l] = x;
  }
}

StreamingRegion draw_region(std::int64_t dim, double half, bool tight, Random& random) {
  StreamingRegion region;
  if (random.chance(0.7)) {
    for (std::int64_t l = 0; l < dim; ++l) {
      region.centre.push_back(random.chance(0.3) ? 0.0 : random.uniform(-3.0, 3.0));
    }
  }
  if (tight || random.chance(0.7)) {
    region.half.assign(random.chance(0.5) ? 1 : at(dim), half);
    if (!tight && random.chance(0.3)) {
      region.radius = half * random.uniform(0.5, 1.5);
    }
  } else {
    region.radius = half;
  }
  return region;
}

void draw_values(StreamCase& stream, bool tight, Random& random) {
  const std::int64_t width = stream.options.value_dim;
  double half = random.log_uniform(1e-3, 1e3);
  double centre = random.chance(0.5) ? 0.0 : random.uniform(-10.0, 10.0);
  if (random.chance(0.1)) {  // numbers that underflow when they are multiplied, or nearly overflow
    half = random.chance(0.5) ? 1e-303 : 1e140;
    centre *= half;
  }
  for (std::int64_t i = 0; i < stream.tokens * stream.all_heads() * width; ++i) {
    const double unit = tight || random.chance(0.2) ? random.sign() : random.uniform(-1.0, 1.0);
    stream.value.push_back(centre + unit * half);
  }
  if (random.chance(0.6)) {
    stream.options.value_low.assign(1, centre - half);
    stream.options.value_high.assign(width > 0 && random.chance(0.5) ? at(width) : 1, centre + half);
  }
}

void draw_biases(StreamCase& stream, Random& random) {
  const std::int64_t kind = random.integer(0, 4);
  if (kind == 0) {
    return;
  }
  const double slope = random.log_uniform(0.01, 300.0);
  const std::int64_t heads = stream.all_heads();
  for (std::int64_t i = 0; i < stream.tokens * heads; ++i) {
    const std::int64_t token = i / heads;
    const auto step = static_cast<double>(token);
    double bias = kind == 1   ? random.uniform(-2.0, 2.0)
                  : kind == 2 ? slope * step
                  : kind == 3 ? -slope * step
                              : random.uniform(-slope, slope);
    stream.bias.push_back(random.chance(0.05) ? -kInfinity : bias);
  }
}

}  // namespace

StreamCase draw_stream(StreamFamily family, std::uint64_t seed) {
  Random random(seed);
  const bool tight = family == StreamFamily::tight;
  StreamCase stream;
  StreamingOptions& options = stream.options;
  options.batch = tight ? 1 : random.integer(1, 2);
  options.heads = tight ? 1 : random.integer(1, 2);
  options.dim = tight ? random.integer(1, 2) : random.integer(1, 4);
  options.value_dim = tight ? 1 : random.integer(0, 3);
  const std::int64_t highest = options.dim == 1 ? 24 : options.dim == 2 ? 14 : 9;
  options.degree = static_cast<int>(random.integer(0, tight ? 5 : highest));
  const double radius = tight ? random.log_uniform(0.2, 3.0) : random.log_uniform(0.01, 15.0);
  const double half = std::sqrt(radius);
  const auto dim = static_cast<double>(options.dim);
  if (random.chance(0.3)) {
    options.score = Gaussian{{std::sqrt(dim)}};
  } else if (random.chance(0.8)) {
    options.score = Dot{random.sign() / dim};
  }
  options.queries = draw_region(options.dim, half, tight, random);
  options.keys = draw_region(options.dim, half, tight, random);
  stream.tokens = tight ? random.integer(1, 4) : random.integer(1, 40);
  stream.queries = tight ? 1 : random.integer(1, 3);
  stream.key.resize(at(stream.tokens * stream.all_heads() * options.dim));
  for (std::int64_t i = 0; i < stream.tokens * stream.all_heads(); ++i) {
    place(options.keys, options.dim, tight || random.chance(0.2), random, &stream.key[at(i * options.dim)]);
  }
  stream.query.resize(at(stream.queries * stream.all_heads() * options.dim));
  for (std::int64_t i = 0; i < stream.queries * stream.all_heads(); ++i) {
    place(options.queries, options.dim, tight || random.chance(0.2), random, &stream.query[at(i * options.dim)]);
  }
  draw_values(stream, tight, random);
  if (tight) {
    for (std::int64_t i = 0; i < stream.tokens; ++i) {
      stream.bias.push_back(random.uniform(-3.0, 3.0));
    }
  } else {
    draw_biases(stream, random);
  }
  return stream;
}

void move_stream(StreamCase& stream, std::uint64_t seed) {
  Random random(seed);
  const std::int64_t dim = stream.options.dim;
  const std::int64_t token = random.integer(0, stream.tokens * stream.all_heads() - 1);
  switch (random.integer(0, 3)) {
    case 0:
      place(stream.options.keys, dim, random.chance(0.5), random, &stream.key[at(token * dim)]);
      break;
    case 1: {
      const std::int64_t query = random.integer(0, stream.queries * stream.all_heads() - 1);
      place(stream.options.queries, dim, random.chance(0.5), random, &stream.query[at(query * dim)]);
      break;
    }
    case 2:
      if (!stream.bias.empty()) {
        stream.bias[at(token)] = random.uniform(-5.0, 5.0);
      }
      break;
    default:
      if (stream.options.value_dim > 0) {
        const std::int64_t other = random.integer(0, stream.tokens * stream.all_heads() - 1);
        std::swap(stream.value[at(token * stream.options.value_dim)],
                  stream.value[at(other * stream.options.value_dim)]);
      }
      break;
  }
}

void append(StreamingState& state, const StreamCase& stream, std::int64_t i) {
  const StreamingOptions& options = stream.options;
  const std::int64_t heads = stream.all_heads();
  const auto part = [&](const std::vector<double>& all, std::int64_t width) {
    return tensor(all.data() + i * heads * width, {options.batch, options.heads, 1, width});
  };
  std::optional<ConstView> bias;
  if (!stream.bias.empty()) {
    bias = part(stream.bias, 1);
  }
  state.append(part(stream.key, options.dim), part(stream.value, options.value_dim), bias);
}

ConstView queries_of(const StreamCase& stream) {
  return tensor(stream.query.data(), {stream.options.batch, stream.options.heads, stream.queries, stream.options.dim});
}

Problem prefix_problem(const StreamCase& stream, std::int64_t tokens) {
  const StreamingOptions& options = stream.options;
  const std::int64_t heads = stream.all_heads();
  const auto prefix = [&](const std::vector<double>& all, std::int64_t width) {
    std::vector<double> out;
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < tokens; ++i) {
        const double* row = all.data() + (i * heads + h) * width;
        out.insert(out.end(), row, row + width);
      }
    }
    return store(DType::float64, {options.batch, options.heads, tokens, width}, out);
  };
  Problem problem;
  problem.q = store(DType::float64, {options.batch, options.heads, stream.queries, options.dim}, stream.query);
  problem.k = prefix(stream.key, options.dim);
  problem.v = prefix(stream.value, options.value_dim);
  if (!stream.bias.empty()) {
    problem.bias = prefix(stream.bias, 1);
  }
  problem.score = options.score;
  return problem;
}

Verdict judge(const StreamCase& stream, std::int64_t tokens, const StreamingAnswer& answer) {
  Result result;
  const auto copy = [](const Tensor& from) {
    Tensor to(from.dtype(), from.shape());
    std::copy_n(static_cast<const std::byte*>(from.data()), from.bytes(), static_cast<std::byte*>(to.data()));
    return to;
  };
  result.output = copy(answer.output);
  result.lse = copy(answer.lse);
  result.lse_bound = copy(answer.lse_bound);
  result.row_bounds = copy(answer.row_bounds);
  result.report.heads.resize(at(stream.all_heads()));
  for (HeadReport& head : result.report.heads) {
    head.certificate = answer.certificate;
  }
  return judge(prefix_problem(stream, tokens), result);
}

}  // namespace polyattn::test
