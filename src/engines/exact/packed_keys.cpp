#include "engines/exact/packed_keys.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/exact/key_packer.hpp"
#include "engines/finite.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kRowGroup;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
void scale_large_values(PackedKeys<T>& packed) noexcept {
  if (packed.statistics.finite && packed.statistics.largest_value() > kLargestValue<T>) {
    packed.value_scale = 0x1p32;
    for (T& v : packed.values) {
      v *= T(0x1p-32);
    }
  }
}

template <class T, class Source>
Position pack(const Source& source, const double* bias, const KeyRange& seen, PackedKeys<T>& packed,
              const base::Context& context) {
  packed.blocks = base::blocks_of(packed.count, kKeyBlock);
  const std::int64_t rows = base::checked_mul(packed.blocks, kKeyBlock, "keys");
  packed.keys = base::Buffer<T>(base::checked_mul(rows, packed.dim, "keys"), context.memory);
  packed.values = base::Buffer<T>(base::checked_mul(rows, packed.value_dim, "values"), context.memory);
  packed.finite_values.assign(usize(packed.blocks), 1);
  packed.statistics.keys = packed.count;
  packed.biases = PackedBias<T>(bias, packed.count, seen, packed.statistics, context.memory);

  using Packer = KeyPacker<T, Source>;
  std::vector<Packer> packers;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    packers.emplace_back(source, packed.count, packed.dim, packed.value_dim, seen);
  }
  const std::int64_t first = seen.first / kKeyBlock;
  const std::int64_t last = base::blocks_of(seen.last, kKeyBlock);
  base::parallel_for(context, last - first, [&](std::int64_t item, int thread) {
    const std::int64_t b = first + item;
    const BlockFinite finite =
        packers[usize(thread)].pack(b, packed.biases, packed.keys.data() + b * kKeyBlock * packed.dim,
                                    packed.values.data() + b * kKeyBlock * packed.value_dim);
    packed.finite_values[usize(b)] = finite.values ? 1 : 0;
  });
  Packer::prepare(packed.statistics, packed.dim, packed.value_dim);
  Position bad = kNowhere;
  for (const Packer& packer : packers) {
    packer.merge_into(packed.statistics);
    bad = std::min(bad, packer.bad());
  }
  if (bias != nullptr) {
    packed.statistics.value_sum.clear();  // the mean the report wants is weighted
  }
  scale_large_values(packed);
  return bad;
}

}  // namespace

template <class T>
simd::ExactBlock<T> PackedKeys<T>::block(std::int64_t b) const noexcept {
  const std::int64_t in_block = std::min(count - b * kKeyBlock, static_cast<std::int64_t>(kKeyBlock));
  return {keys.data() + b * kKeyBlock * dim,
          values.data() + b * kKeyBlock * value_dim,
          biases.block(b),
          biases.offset(b),
          0,
          base::blocks_of(in_block, kRowGroup)};
}

template <class T>
BlockFacts PackedKeys<T>::facts(std::int64_t b) const noexcept {
  return {b * kKeyBlock, std::min(count - b * kKeyBlock, static_cast<std::int64_t>(kKeyBlock)),
          finite_values[usize(b)] != 0, statistics.finite};
}

void fail_at(const HeadProblem& problem, const Position& bad) {
  const auto [tensor, row, column] = bad;
  const base::Rows& rows = tensor == 0 ? problem.keys : problem.values;
  std::vector<double> wide(usize(rows.columns));
  base::load_rows(rows, row, 1, wide.data(), rows.columns);
  require_finite(problem, tensor == 0 ? "keys" : "values", wide.data(), row, 1, rows.columns);
  base::fail(ErrorCode::non_finite, "keys or values are not finite");
}

base::Buffer<double> checked_bias(const HeadProblem& problem, const base::Context& context) {
  if (!problem.has_bias()) {
    return {};
  }
  base::Buffer<double> bias(problem.n_kv(), context.memory);
  load_bias(problem, 0, problem.n_kv(), bias.data());
  for (std::int64_t j = 0; j < problem.n_kv() && problem.non_finite == NonFinite::error; ++j) {
    if (!(bias[usize(j)] < kInfinity)) {
      base::fail(ErrorCode::non_finite, "key_bias", "finite numbers or -infinity",
                 std::string(std::isnan(bias[usize(j)]) ? "NaN" : "infinity") + " at batch " +
                     std::to_string(problem.batch) + ", head " + std::to_string(problem.head) + ", key " +
                     std::to_string(j));
    }
  }
  return bias;
}

template <class T>
PackedKeys<T> pack_keys(const HeadProblem& problem, const base::Context& context) {
  PackedKeys<T> packed;
  packed.count = problem.n_kv();
  packed.dim = problem.dim();
  packed.value_dim = problem.value_dim();
  packed.statistics.keys_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.keys);
  packed.statistics.values_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.values);
  const base::Buffer<double> bias = checked_bias(problem, context);
  const Position bad = pack(ProblemSource<T>(problem), bias.data(), seen_keys(problem), packed, context);
  if (problem.non_finite == NonFinite::error && bad != kNowhere) {
    fail_at(problem, bad);
  }
  return packed;
}

template <class T>
PackedKeys<T> pack_matrix(const KeyMatrix<T>& matrix, const base::Context& context) {
  PackedKeys<T> packed;
  packed.count = matrix.count;
  packed.dim = matrix.dim;
  packed.value_dim = matrix.value_dim;
  pack(MatrixSource<T>(matrix), matrix.bias, {0, matrix.count}, packed, context);
  return packed;
}

std::int64_t packed_bytes(std::int64_t n_kv, std::int64_t dim, std::int64_t value_dim, std::int64_t element) {
  const std::int64_t rows = base::round_up_to(n_kv, kKeyBlock);
  return base::checked_mul(base::checked_mul(rows, dim + value_dim + 1, "keys"), element, "keys") +
         rows / kKeyBlock * (element + 2) + n_kv * 8;
}

template struct PackedKeys<float>;
template struct PackedKeys<double>;
template PackedKeys<float> pack_keys<float>(const HeadProblem&, const base::Context&);
template PackedKeys<double> pack_keys<double>(const HeadProblem&, const base::Context&);
template PackedKeys<float> pack_matrix<float>(const KeyMatrix<float>&, const base::Context&);
template PackedKeys<double> pack_matrix<double>(const KeyMatrix<double>&, const base::Context&);

}  // namespace polyattn::engines
