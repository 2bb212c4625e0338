#include "engines/exact/near_keys.hpp"

#include "base/checked.hpp"
#include "engines/capabilities.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Keys copied at a time.
constexpr std::int64_t kCopied = 1024;
/// Bandwidths whose squares and their inverses are far from the ends of float64.
constexpr double kLeastBandwidth = 0x1p-450;
constexpr double kMostBandwidth = 0x1p450;

/// Biases of all keys; none: all 0.
std::vector<double> biases_of(const HeadProblem& problem) {
  std::vector<double> bias(usize(problem.has_bias() ? problem.n_kv() : 0));
  if (!bias.empty()) {
    load_bias(problem, 0, problem.n_kv(), bias.data());
  }
  return bias;
}

void weigh_blocks(const std::vector<double>& bias, NearKeys& keys) {
  keys.log_mass.resize(usize(keys.blocks()));
  const std::int64_t count = keys.order.count();
  for (std::int64_t b = 0; b < keys.blocks(); ++b) {
    double heaviest = bias.empty() ? 0.0 : -kInfinity;
    for (std::int64_t i = b * kKeyBlock; !bias.empty() && i < std::min(count, (b + 1) * kKeyBlock); ++i) {
      heaviest = std::max(heaviest, bias[usize(keys.order.rows[usize(i)])]);
    }
    const auto in_block = static_cast<double>(std::min<std::int64_t>(count - b * kKeyBlock, kKeyBlock));
    const double log_mass = heaviest + std::log(in_block);
    keys.log_mass[usize(b)] = log_mass + (1e-14 * std::fabs(heaviest) + 1e-14 * std::fabs(log_mass) + 1e-14);
  }
}

void bound_keys(NearKeys& keys) {
  keys.lowest_key.assign(usize(keys.dim()), kInfinity);
  keys.highest_key.assign(usize(keys.dim()), -kInfinity);
  for (std::int64_t l = 0; l < keys.dim(); ++l) {
    for (std::int64_t b = 0; b < keys.blocks(); ++b) {
      const std::size_t at = usize(l * keys.blocks() + b);
      keys.lowest_key[usize(l)] = std::min(keys.lowest_key[usize(l)], keys.boxes.low[at]);
      keys.highest_key[usize(l)] = std::max(keys.highest_key[usize(l)], keys.boxes.high[at]);
    }
  }
}

/// Keys and values in their order, coordinates from the middles of their blocks, in T.
template <class T>
struct Copies {
  base::Buffer<T> keys;
  base::Buffer<T> values;
  base::Buffer<double> bias;
};

template <class T>
Copies<T> copy_keys(const HeadProblem& problem, const NearKeys& keys, const base::Context& context) {
  const std::int64_t count = keys.order.count();
  const std::int64_t dim = problem.dim();
  const std::int64_t columns = problem.value_dim();
  Copies<T> out;
  out.keys = base::Buffer<T>(base::checked_mul(count, dim, "keys"), context.memory);
  out.values = base::Buffer<T>(base::checked_mul(count, columns, "values"), context.memory);
  const std::vector<double> bias = biases_of(problem);
  if (!bias.empty()) {
    out.bias = base::Buffer<double>(count, context.memory);
  }
  base::parallel_for(context, base::blocks_of(count, kCopied), [&](std::int64_t part, int) {
    for (std::int64_t i = part * kCopied; i < std::min(count, (part + 1) * kCopied); ++i) {
      const std::int64_t key = keys.order.rows[usize(i)];
      const double* x = keys.order.at(i);
      for (std::int64_t l = 0; l < dim; ++l) {
        out.keys[usize(i * dim + l)] = static_cast<T>(x[l] - block_middle<T>(keys, i / kKeyBlock, l));
      }
      base::load_rows(problem.values, key, 1, out.values.data() + i * columns, columns);
      if (!bias.empty()) {
        out.bias[usize(i)] = bias[usize(key)];
      }
    }
  });
  return out;
}

}  // namespace

bool supports_near(const HeadProblem& problem) noexcept {
  return problem.score.kind == ScoreKind::gaussian && problem.dim() >= 1 && problem.dim() <= kMostNearDim &&
         supports_grid(problem) &&
         std::all_of(problem.score.bandwidth.begin(), problem.score.bandwidth.end(),
                     [](double h) { return h >= kLeastBandwidth && h <= kMostBandwidth; });
}

NearKeys near_keys(const HeadProblem& problem, double range, const base::Context& context) {
  NearKeys keys;
  keys.range = range;
  for (const double h : problem.score.bandwidth) {
    keys.rates.push_back(0.5 / h / h * (1.0 - 1e-14));
  }
  const std::vector<double> bias = biases_of(problem);
  std::vector<std::int64_t> visible;
  visible.reserve(usize(problem.n_kv()));
  for (std::int64_t j = 0; j < problem.n_kv(); ++j) {
    if (bias.empty() || bias[usize(j)] != -kInfinity) {
      visible.push_back(j);
    }
  }
  keys.order = order_near(problem.keys, keys.rates, kKeyBlock, std::move(visible), context);
  if (problem.mask.exclude_self) {
    keys.place.assign(usize(problem.n_kv()), -1);
    for (std::int64_t i = 0; i < keys.order.count(); ++i) {
      keys.place[usize(keys.order.rows[usize(i)])] = i;
    }
  }
  keys.boxes = boxes_of(keys.order, kKeyBlock, context);
  weigh_blocks(bias, keys);
  bound_keys(keys);
  return keys;
}

template <class T>
PackedKeys<T> pack_near(const HeadProblem& problem, const NearKeys& keys, const base::Context& context) {
  const Copies<T> copies = copy_keys<T>(problem, keys, context);
  KeyMatrix<T> matrix;
  matrix.keys = copies.keys.data();
  matrix.key_stride = problem.dim();
  matrix.values = copies.values.data();
  matrix.value_stride = problem.value_dim();
  matrix.bias = problem.has_bias() ? copies.bias.data() : nullptr;
  matrix.count = keys.order.count();
  matrix.dim = problem.dim();
  matrix.value_dim = problem.value_dim();
  PackedKeys<T> packed = pack_matrix(matrix, context);
  // Scores are bounded by where keys are, not by where they are within their blocks.
  packed.statistics.key_min = keys.lowest_key;
  packed.statistics.key_max = keys.highest_key;
  packed.statistics.keys_exact = sizeof(T) == sizeof(double);
  packed.statistics.values_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.values);
  return packed;
}

std::int64_t near_bytes(std::int64_t rows, std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim,
                        std::int64_t element) {
  const std::int64_t points = std::max(rows, n_kv);
  const std::int64_t ordering = base::checked_mul(points, 8 * ((dim > 4 ? kMostNearDim : dim) + 1 + dim), "keys");
  const std::int64_t copies = base::checked_mul(n_kv, element * (dim + value_dim) + 8, "keys");
  return std::max(ordering, copies + packed_bytes(n_kv, dim, value_dim, element)) +
         base::checked_mul(rows + n_kv, 8 * dim, "queries");
}

template PackedKeys<float> pack_near<float>(const HeadProblem&, const NearKeys&, const base::Context&);
template PackedKeys<double> pack_near<double>(const HeadProblem&, const NearKeys&, const base::Context&);

}  // namespace polyattn::engines
