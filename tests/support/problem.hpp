#pragma once

/// Attention problems for tests: inputs as they are stored, and the exact numbers those bits mean.

#include "polyattn/attention.hpp"
#include "support/random.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace polyattn::test {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// `value` rounded to nearest, ties to even, in a storage type; written independently of the library.
double round_to(DType dtype, double value);

/// A contiguous tensor. `values` are the stored numbers, that is after rounding to `dtype`.
struct Stored {
  DType dtype = DType::float64;
  Shape shape{};
  std::vector<double> values;
  std::vector<std::byte> bytes;

  [[nodiscard]] ConstView view() const;
  [[nodiscard]] const double* row(std::int64_t batch, std::int64_t head, std::int64_t i) const;
};

Stored store(DType dtype, const Shape& shape, const std::vector<double>& values);
/// Writes `value` (rounded to the view's dtype) to one element of a view; for laying out inputs with odd strides.
void write_element(const View& view, const Shape& index, double value);
double read_element(const ConstView& view, const Shape& index);
/// All elements in logical order, as float64.
std::vector<double> values_of(const ConstView& view);
std::vector<double> values_of(const Tensor& tensor);
/// The bytes of a tensor, to compare bit for bit.
std::vector<std::byte> bits_of(const Tensor& tensor);

/// One order-2 attention problem. The bias has shape [batch|1, heads|1, n_kv, 1].
struct Problem {
  Stored q;
  Stored k;
  Stored v;
  std::optional<Stored> bias;
  Score score = Dot{};
  Causal causal = Causal::none;

  /// `base` with this problem's score and masks. Holds views of this problem.
  [[nodiscard]] Options options(Options base = {}) const;
};

Result attend(const Problem& problem, const Options& base = {});
Plan plan(const Problem& problem, const Options& base = {});

struct RandomShape {
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t n_q = 8;
  std::int64_t n_kv = 8;
  std::int64_t dim = 4;
  std::int64_t value_dim = 3;
  std::int64_t kv_heads = 0;  ///< 0: as many as heads
};

/// Uniform queries and keys with |score| <= radius for the scale 1/dim, values sin(3 k) + noise that depend on the
/// keys.
Problem random_problem(const RandomShape& shape, double radius, DType dtype, std::uint64_t seed);
/// Uniform in [low, high], one per key of every query head.
Stored random_bias(const Problem& problem, double low, double high, std::uint64_t seed);

}  // namespace polyattn::test
