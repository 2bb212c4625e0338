#pragma once

/// The sums of one head of a stream: for every feature alpha and column c
///
///     S[c][alpha] = sum_j w_j x_j^alpha (v_jc - mu_c),    and with 1 in place of v - mu in the last column,
///
/// as compensated sums (a double and what its roundings lost), relative to a power of two at the largest weight so far.
/// A token costs rank * (value_dim + 1) updates and no allocation.

#include "base/memory.hpp"
#include "engines/polynomial/streaming/model.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::engines {

/// A compensated sum.
struct StreamSum {
  double sum = 0.0;
  double error = 0.0;

  void scale(double power_of_two) noexcept;
  void add(double term) noexcept;
  [[nodiscard]] double value() const noexcept { return sum + error; }
};

/// What is known of one column of the values that were seen.
struct StreamColumn {
  double centre = 0.0;  ///< mu
  double low = 0.0;
  double high = 0.0;
  StreamSum absolute{};  ///< sum w |v - mu|
  StreamSum square{};    ///< sum w (v - mu)^2
};

struct StreamHead {
  StreamHead(const StreamModel& model, base::MemoryMeter* memory);

  std::int64_t tokens = 0;     ///< all of them
  std::int64_t visible = 0;    ///< those with a bias above -inf
  std::int64_t additions = 0;  ///< at least the additions of any sum
  double exponent = 0.0;       ///< weights are relative to 2^exponent; of no meaning without a visible token
  double terms = 0.0;          ///< largest sum of the absolute terms of a log weight
  std::vector<StreamColumn> columns;
  base::Buffer<double> sums;    ///< [value_dim + 1][padded rank]
  base::Buffer<double> errors;  ///< the same
};

/// Working memory of one thread: nothing is allocated later.
struct StreamScratch {
  StreamScratch(const StreamModel& model, base::MemoryMeter* memory);

  std::vector<double> key;
  std::vector<double> value;
  std::vector<double> x;
  std::vector<double> token;      ///< [value_dim + 1]
  std::vector<double> moments;    ///< [degree + 1]
  base::Buffer<double> features;  ///< [padded rank], zero beyond the rank
};

/// log w of a key, and the sum of the absolute values of its terms.
struct StreamWeight {
  double log = 0.0;
  double terms = 0.0;
};
StreamWeight stream_weight(const StreamModel& model, const double* key, double bias) noexcept;

/// The kernels of the instruction set in use. Throws as simd::kernels() does: asked for before anything changes.
const simd::StreamingKernels& stream_kernels();

/// Adds the token scratch.key, scratch.value, which is in the domain. A bias of -inf hides it.
void append_token(const StreamModel& model, double bias, const simd::StreamingKernels& kernels, StreamScratch& scratch,
                  StreamHead& head) noexcept;

/// Adds the sums of `other`, a stream of the same model whose values have the same centres (or none yet).
void merge_head(const StreamModel& model, const StreamHead& other, StreamHead& head) noexcept;

}  // namespace polyattn::engines
