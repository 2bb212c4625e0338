#pragma once

/// What stands between the two matrix products of a blocked softmax: kernels for a row of a block of scores, compiled
/// once for each instruction set.

#include <cstdint>

namespace polyattn::bench::peers {

/// What a row has seen so far. Scores are in units of log 2.
struct RowState {
  float maximum;
  float sum;
};

struct SoftmaxKernels {
  const char* name;
  /// scores[j] <- 2^(scores[j] + bias[j] - m) with m the new maximum of the row, which is brought up to date with its
  /// sum. `count` is a multiple of 16; `bias` may be null. Returns 2^(old maximum - m), by which what was added up
  /// before has to be multiplied.
  float (*weigh)(float* scores, const float* bias, std::int64_t count, RowState* row);
  /// row[c] <- row[c] * factor.
  void (*scale)(float* row, std::int64_t count, float factor);
};

extern const SoftmaxKernels kSoftmaxAvx2;
extern const SoftmaxKernels kSoftmaxAvx512;

}  // namespace polyattn::bench::peers
