#include "engines/exact/packed_keys.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/finite.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <type_traits>

namespace polyattn::engines {
namespace {

using base::usize;
using simd::kKeyBlock;
using simd::kRowGroup;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2E = 0x1.71547652b82fep+0;
/// Covers the at most 2^20 + 4 roundings behind a norm.
constexpr double kSlack = 1 + 0x1p-30;

/// Where NaN or infinity was met first; tensor 0 keys, 1 values.
using Position = std::tuple<int, std::int64_t, std::int64_t>;
constexpr Position kNowhere{2, 0, 0};

/// What one thread gathers of its share of the keys. Rows are staged with zeros up to a multiple of kPadding.
template <class T>
struct Gathered {
  std::int64_t key_stride, value_stride;
  base::Buffer<T> key_rows, value_rows;  // [8][stride]
  base::Buffer<T> key_min, key_max, value_min, value_max;
  base::Buffer<T> unused, smallest_value;  // [kPadding]
  double max_square = 0.0;
  bool finite = true;
  Position bad = kNowhere;

  Gathered(std::int64_t dim, std::int64_t value_dim)
      : key_stride(base::round_up_to(dim, simd::kPadding)),
        value_stride(base::round_up_to(value_dim, simd::kPadding)),
        key_rows(kRowGroup * key_stride, T(0), nullptr),
        value_rows(kRowGroup * value_stride, T(0), nullptr),
        key_min(key_stride, std::numeric_limits<T>::infinity(), nullptr),
        key_max(key_stride, -std::numeric_limits<T>::infinity(), nullptr),
        value_min(value_stride, std::numeric_limits<T>::infinity(), nullptr),
        value_max(value_stride, -std::numeric_limits<T>::infinity(), nullptr),
        unused(simd::kPadding, std::numeric_limits<T>::infinity(), nullptr),
        smallest_value(simd::kPadding, std::numeric_limits<T>::infinity(), nullptr) {}
};

/// Keys and values of a head problem.
template <class T>
class ProblemSource {
 public:
  explicit ProblemSource(const HeadProblem& problem) : problem_(&problem) {}
  void load(std::int64_t first, std::int64_t count, T* keys, std::int64_t key_stride, T* values,
            std::int64_t value_stride) const noexcept {
    base::load_rows(problem_->keys, first, count, keys, key_stride);
    base::load_rows(problem_->values, first, count, values, value_stride);
  }
  /// Is it the stored number that is not finite, rather than one T cannot hold? Then notes where.
  void inspect(int tensor, std::int64_t row, Gathered<T>& gathered) const {
    const base::Rows& rows = tensor == 0 ? problem_->keys : problem_->values;
    std::vector<double> wide(usize(rows.columns));
    base::load_rows(rows, row, 1, wide.data(), rows.columns);
    for (std::int64_t c = 0; c < rows.columns; ++c) {
      if (!std::isfinite(wide[usize(c)])) {
        gathered.bad = std::min(gathered.bad, Position{tensor, row, c});
        return;
      }
    }
  }

 private:
  const HeadProblem* problem_;
};

/// Keys and values in matrices of the arithmetic type.
template <class T>
class MatrixSource {
 public:
  explicit MatrixSource(const KeyMatrix<T>& matrix) : matrix_(&matrix) {}
  void load(std::int64_t first, std::int64_t count, T* keys, std::int64_t key_stride, T* values,
            std::int64_t value_stride) const noexcept {
    for (std::int64_t r = 0; r < count; ++r) {
      std::copy_n(matrix_->keys + (first + r) * matrix_->key_stride, matrix_->dim, keys + r * key_stride);
      if (matrix_->value_dim > 0) {
        std::copy_n(matrix_->values + (first + r) * matrix_->value_stride, matrix_->value_dim,
                    values + r * value_stride);
      }
    }
  }
  void inspect(int, std::int64_t, Gathered<T>&) const noexcept {}

 private:
  const KeyMatrix<T>* matrix_;
};

template <class T>
const simd::ExactKernels<T>& exact_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return simd::kernels().exact32;
  } else {
    return simd::kernels().exact64;
  }
}

template <class T>
bool all_finite(const T* x, std::int64_t count) noexcept {
  return std::all_of(x, x + count, [](T value) { return std::isfinite(value); });
}

/// Statistics of staged row r, visible key j, while it is in cache. Returns whether its values are finite.
template <class T, class Source>
bool note_row(const simd::ExactKernels<T>& kernels, const Source& source, std::int64_t j, std::int64_t r,
              Gathered<T>& gathered) {
  const T* key = gathered.key_rows.data() + r * gathered.key_stride;
  const T* value = gathered.value_rows.data() + r * gathered.value_stride;
  const double key_square = kernels.measure_row(key, gathered.key_stride, gathered.key_min.data(),
                                                gathered.key_max.data(), gathered.unused.data());
  const double value_square = kernels.measure_row(value, gathered.value_stride, gathered.value_min.data(),
                                                  gathered.value_max.data(), gathered.smallest_value.data());
  gathered.max_square = std::max(gathered.max_square, key_square);
  // A square may overflow although its root is finite.
  if (!std::isfinite(key_square) && !all_finite(key, gathered.key_stride)) {
    gathered.finite = false;
    source.inspect(0, j, gathered);
  }
  const bool finite = std::isfinite(value_square) || all_finite(value, gathered.value_stride);
  if (!finite) {
    gathered.finite = false;
    source.inspect(1, j, gathered);
  }
  return finite;
}

/// Writes eight staged rows of values into their column groups.
template <class T>
void pack_values(const Gathered<T>& staged, std::int64_t value_dim, std::int64_t row_in_block, T* values) noexcept {
  const std::int64_t whole = value_dim / kRowGroup * kRowGroup;
  const std::int64_t rest = value_dim - whole;
  for (std::int64_t r = 0; r < kRowGroup; ++r) {
    const T* row = staged.value_rows.data() + r * staged.value_stride;
    const std::int64_t j = row_in_block + r;
    for (std::int64_t c = 0; c < whole; c += kRowGroup) {
      std::copy_n(row + c, kRowGroup, values + c * kKeyBlock + j * kRowGroup);
    }
    std::copy_n(row + whole, rest, values + whole * kKeyBlock + j * rest);
  }
}

/// Loads and packs one key block. Hidden keys are never read and packed as zeros.
template <class T, class Source>
void pack_block(const simd::ExactKernels<T>& kernels, const Source& source, std::int64_t block, PackedKeys<T>& packed,
                Gathered<T>& gathered) {
  const T* bias = packed.bias.data() + block * kKeyBlock;
  T* values = packed.values.data() + block * kKeyBlock * packed.value_dim;
  const std::int64_t groups = packed.block(block).groups;
  if (groups < kKeyBlock / kRowGroup) {  // what no kernel reads is defined all the same
    std::fill_n(values, kKeyBlock * packed.value_dim, T(0));
    std::fill_n(packed.keys.data() + block * kKeyBlock * packed.dim, kKeyBlock * packed.dim, T(0));
  }
  bool finite = true;
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t first = block * kKeyBlock + group * kRowGroup;
    const auto hidden = [&](std::int64_t r) {
      return bias[group * kRowGroup + r] == -std::numeric_limits<T>::infinity();
    };
    for (std::int64_t r = 0; r < kRowGroup;) {
      T* keys = gathered.key_rows.data() + r * gathered.key_stride;
      if (hidden(r)) {
        std::fill_n(keys, gathered.key_stride, T(0));
        std::fill_n(gathered.value_rows.data() + r * gathered.value_stride, gathered.value_stride, T(0));
        ++r;
        continue;
      }
      std::int64_t end = r + 1;
      while (end < kRowGroup && !hidden(end)) {
        ++end;
      }
      source.load(first + r, end - r, keys, gathered.key_stride, gathered.value_rows.data() + r * gathered.value_stride,
                  gathered.value_stride);
      for (; r < end; ++r) {
        finite = note_row(kernels, source, first + r, r, gathered) && finite;
      }
    }
    kernels.interleave(gathered.key_rows.data(), gathered.key_stride, packed.dim,
                       packed.keys.data() + first * packed.dim);
    pack_values(gathered, packed.value_dim, group * kRowGroup, values);
  }
  packed.finite_values[usize(block)] = finite ? 1 : 0;
}

/// Log-weights in log2 units: a whole shift for the head, a whole offset per block, the rest in T. Offsets sit above
/// their block's largest bias, so what is left is small for the keys that matter. Natural biases come in `bias`.
template <class T>
void pack_bias(const double* bias, PackedKeys<T>& packed) noexcept {
  KeyStatistics& statistics = packed.statistics;
  const T hidden = -std::numeric_limits<T>::infinity();
  // Masks by the least finite number stay finite.
  const double floor = sizeof(T) == sizeof(float) ? -0x1p120 : -0x1p1000;
  const auto log2_units = [](double b) { return std::clamp(b, -0x1p1000, 0x1p1000) * kLog2E; };
  for (std::int64_t j = 0; j < packed.count; ++j) {
    const double b = bias == nullptr ? 0.0 : bias[j];
    if (b == -kInfinity) {
      continue;
    }
    statistics.first_visible = std::min(statistics.first_visible, j);
    ++statistics.visible;
    statistics.bias_min = std::min(statistics.bias_min, b);
    statistics.bias_max = std::max(statistics.bias_max, b);
    statistics.finite = statistics.finite && std::isfinite(b);
  }
  if (std::isfinite(statistics.bias_max)) {
    packed.shift = std::ceil(log2_units(statistics.bias_max));
  }
  for (std::int64_t block = 0; block < packed.blocks; ++block) {
    const std::int64_t first = block * kKeyBlock;
    const std::int64_t last = std::min(packed.count, first + kKeyBlock);
    double low = kInfinity;
    double high = -kInfinity;
    for (std::int64_t j = first; j < last; ++j) {
      const double b = bias == nullptr ? 0.0 : bias[j];
      low = b == -kInfinity ? low : std::min(low, b);
      high = std::max(high, b);
    }
    const bool any = high != -kInfinity;
    packed.any_visible[usize(block)] = any ? 1 : 0;
    const double top = any && std::isfinite(high) ? std::ceil(log2_units(high) - packed.shift) : 0.0;
    const T offset = static_cast<T>(std::max(top, floor));
    packed.offsets[usize(block)] = offset;
    if (any) {
      statistics.bias_spread = std::max(statistics.bias_spread, high - low);
    }
    for (std::int64_t j = first; j < first + kKeyBlock; ++j) {
      const double b = j >= packed.count ? -kInfinity : bias == nullptr ? 0.0 : bias[j];
      const double relative = log2_units(b) - (packed.shift + static_cast<double>(offset));
      packed.bias[usize(j)] =
          b == -kInfinity ? hidden : static_cast<T>(std::isfinite(b) ? std::max(relative, floor) : b);
    }
  }
}

template <class T>
void merge(const std::vector<Gathered<T>>& parts, PackedKeys<T>& packed) {
  KeyStatistics& statistics = packed.statistics;
  const auto fold = [](std::vector<double>& into, const base::Buffer<T>& part, bool larger) {
    for (std::size_t i = 0; i < into.size(); ++i) {
      const auto x = static_cast<double>(part[i]);
      into[i] = larger ? std::max(into[i], x) : std::min(into[i], x);
    }
  };
  statistics.key_min.assign(usize(packed.dim), kInfinity);
  statistics.key_max.assign(usize(packed.dim), -kInfinity);
  statistics.value_min.assign(usize(packed.value_dim), kInfinity);
  statistics.value_max.assign(usize(packed.value_dim), -kInfinity);
  double max_square = 0.0;
  for (const Gathered<T>& part : parts) {
    fold(statistics.key_min, part.key_min, false);
    fold(statistics.key_max, part.key_max, true);
    fold(statistics.value_min, part.value_min, false);
    fold(statistics.value_max, part.value_max, true);
    for (const T smallest : part.smallest_value.span()) {
      statistics.smallest_value = std::min(statistics.smallest_value, static_cast<double>(smallest));
    }
    statistics.finite = statistics.finite && part.finite;
    max_square = std::max(max_square, part.max_square);
  }
  // 2^-1000 stands for each square that underflowed.
  statistics.max_norm = std::sqrt(max_square + 0x1p-1000 * static_cast<double>(packed.dim)) * kSlack;
}

/// Values near the top of the range are packed smaller, so that sums over a superblock stay finite.
template <class T>
void scale_large_values(PackedKeys<T>& packed) noexcept {
  const double limit = sizeof(T) == sizeof(float) ? 0x1p100 : 0x1p1000;
  double largest = 0.0;
  for (std::size_t c = 0; c < packed.statistics.value_min.size(); ++c) {
    largest = std::max({largest, packed.statistics.value_max[c], -packed.statistics.value_min[c]});
  }
  if (packed.statistics.visible > 0 && packed.statistics.finite && largest > limit) {
    packed.value_scale = 0x1p32;
    for (T& v : packed.values) {
      v *= T(0x1p-32);
    }
  }
}

template <class T, class Source>
Position pack(const Source& source, const double* bias, PackedKeys<T>& packed, const base::Context& context) {
  packed.blocks = base::blocks_of(packed.count, kKeyBlock);
  const std::int64_t rows = base::checked_mul(packed.blocks, kKeyBlock, "keys");
  packed.keys = base::Buffer<T>(base::checked_mul(rows, packed.dim, "keys"), context.memory);
  packed.values = base::Buffer<T>(base::checked_mul(rows, packed.value_dim, "values"), context.memory);
  packed.bias = base::Buffer<T>(rows, context.memory);
  packed.offsets = base::Buffer<T>(packed.blocks, context.memory);
  packed.any_visible.assign(usize(packed.blocks), 0);
  packed.finite_values.assign(usize(packed.blocks), 1);
  packed.statistics.keys = packed.count;
  pack_bias(bias, packed);

  std::vector<Gathered<T>> parts;
  for (int thread = 0; thread < std::max(1, context.threads); ++thread) {
    parts.emplace_back(packed.dim, packed.value_dim);
  }
  const simd::ExactKernels<T>& kernels = exact_kernels<T>();
  base::parallel_for(context, packed.blocks, [&](std::int64_t block, int thread) {
    pack_block(kernels, source, block, packed, parts[usize(thread)]);
  });
  merge(parts, packed);
  scale_large_values(packed);
  Position bad = kNowhere;
  for (const Gathered<T>& part : parts) {
    bad = std::min(bad, part.bad);
  }
  return bad;
}

/// Throws, naming the first NaN or infinity.
void fail_at(const HeadProblem& problem, const Position& bad) {
  const auto [tensor, row, column] = bad;
  const base::Rows& rows = tensor == 0 ? problem.keys : problem.values;
  std::vector<double> wide(usize(rows.columns));
  base::load_rows(rows, row, 1, wide.data(), rows.columns);
  require_finite(problem, tensor == 0 ? "keys" : "values", wide.data(), row, 1, rows.columns);
}

}  // namespace

template <class T>
simd::ExactBlock<T> PackedKeys<T>::block(std::int64_t b) const noexcept {
  const std::int64_t in_block = std::min(count - b * kKeyBlock, static_cast<std::int64_t>(kKeyBlock));
  return {keys.data() + b * kKeyBlock * dim, values.data() + b * kKeyBlock * value_dim, bias.data() + b * kKeyBlock,
          offsets[usize(b)], base::blocks_of(in_block, kRowGroup)};
}

template <class T>
PackedKeys<T> pack_keys(const HeadProblem& problem, const base::Context& context) {
  PackedKeys<T> packed;
  packed.count = problem.n_kv();
  packed.dim = problem.dim();
  packed.value_dim = problem.value_dim();
  packed.statistics.keys_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.keys);
  packed.statistics.values_exact = sizeof(T) == sizeof(double) || base::fits_float32(problem.values);
  base::Buffer<double> bias;
  if (problem.has_bias()) {
    bias = base::Buffer<double>(packed.count, context.memory);
    load_bias(problem, 0, packed.count, bias.data());
    for (std::int64_t j = 0; j < packed.count && problem.non_finite == NonFinite::error; ++j) {
      if (!(bias[usize(j)] < kInfinity)) {
        base::fail(ErrorCode::non_finite, "key_bias", "finite numbers or -infinity",
                   std::string(std::isnan(bias[usize(j)]) ? "NaN" : "infinity") + " at batch " +
                       std::to_string(problem.batch) + ", head " + std::to_string(problem.head) + ", key " +
                       std::to_string(j));
      }
    }
  }
  const Position bad = pack(ProblemSource<T>(problem), bias.data(), packed, context);
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
  pack(MatrixSource<T>(matrix), matrix.bias, packed, context);
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
