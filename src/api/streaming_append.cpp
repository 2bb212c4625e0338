// Tokens of a stream: checked, all of them, before the first changes anything.

#include "api/streaming_rows.hpp"
#include "api/streaming_state.hpp"
#include "api/views.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;
using detail::StreamState;
using engines::StreamScratch;

/// The tokens of one call.
struct Tokens {
  const ConstView& key;
  const ConstView& value;
  const ConstView* bias;

  [[nodiscard]] std::int64_t count() const noexcept { return key.shape[2]; }
  [[nodiscard]] double load_bias(std::int64_t batch, std::int64_t head, std::int64_t row) const noexcept {
    double out = 0.0;
    if (bias != nullptr) {
      load_row(*bias, bias->shape[0] == 1 ? 0 : batch, bias->shape[1] == 1 ? 0 : head, row, &out);
    }
    return out;
  }
};

void check_tokens(const StreamState& state, const Tokens& tokens) {
  const StreamingOptions& options = state.options;
  check_view("key", tokens.key);
  check_view("value", tokens.value);
  const std::int64_t n = tokens.count();
  const auto expect = [&](const char* name, const ConstView& view, std::int64_t width) {
    const Shape shape{options.batch, options.heads, n, width};
    if (view.shape != shape) {
      fail(ErrorCode::invalid_argument, name, "shape " + text(shape) + " as declared", text(view.shape));
    }
  };
  expect("key", tokens.key, options.dim);
  expect("value", tokens.value, options.value_dim);
  if (tokens.bias == nullptr) {
    return;
  }
  const Shape& shape = tokens.bias->shape;
  if ((shape[0] != 1 && shape[0] != options.batch) || (shape[1] != 1 && shape[1] != options.heads) || shape[2] != n ||
      shape[3] != 1) {
    fail(ErrorCode::invalid_argument, "key_bias",
         "shape " + text({options.batch, options.heads, n, 1}) + ", the first two or 1", text(shape));
  }
  check_view("key_bias", *tokens.bias);
}

/// Refuses a token before anything has changed. Leaves it in `scratch`.
void check_token(const StreamState& state, const Tokens& tokens, std::int64_t b, std::int64_t h, std::int64_t i,
                 StreamScratch& scratch) {
  const engines::StreamDeclaration& declared = state.model.declared;
  const double bias = tokens.load_bias(b, h, i);
  if (bias == -std::numeric_limits<double>::infinity()) {
    return;
  }
  if (!std::isfinite(bias)) {
    fail(ErrorCode::non_finite, place("key_bias", b, h, i), "a finite number or -infinity", base::text(bias));
  }
  load_row(tokens.key, b, h, i, scratch.key.data());
  load_row(tokens.value, b, h, i, scratch.value.data());
  check_finite("key", scratch.key, b, h, i);
  check_finite("value", scratch.value, b, h, i);
  if (!declared.keys.contains(scratch.key.data())) {
    const auto complaint = declared.keys.complaint(scratch.key.data());
    fail(ErrorCode::invalid_argument, place("key", b, h, i), complaint.expected, complaint.got);
  }
  for (std::size_t c = 0; c < scratch.value.size(); ++c) {
    const bool known = !declared.value_low.empty();
    const double low = known ? declared.value_low[c] : -engines::kStreamLargest;
    const double high = known ? declared.value_high[c] : engines::kStreamLargest;
    if (!(scratch.value[c] >= low && scratch.value[c] <= high)) {
      fail(ErrorCode::invalid_argument, place("value", b, h, i),
           "column " + std::to_string(c) + " from " + base::text(low) + " to " + base::text(high) +
               (known ? ", as declared" : ""),
           base::text(scratch.value[c]));
    }
  }
  const double terms = engines::stream_weight(state.model, scratch.key.data(), bias).terms;
  if (!(terms <= engines::kStreamLargestWeight)) {
    fail(ErrorCode::invalid_argument, place("key_bias", b, h, i), "a log weight of terms that sum to 2^40 at most",
         base::text(terms));
  }
}

}  // namespace

void append_tokens(StreamState& state, const ConstView& key, const ConstView& value, const ConstView* bias) {
  const Tokens tokens{key, value, bias};
  check_tokens(state, tokens);
  const simd::StreamingKernels& kernels = engines::stream_kernels();
  const base::Context context{state.threads, nullptr, nullptr};
  const std::int64_t heads = static_cast<std::int64_t>(state.heads.size());
  const auto for_tokens = [&](const auto& body) {
    base::parallel_for(context, heads, [&](std::int64_t item, int thread) {
      for (std::int64_t i = 0; i < tokens.count(); ++i) {
        body(item, item / state.options.heads, item % state.options.heads, i, state.scratch[usize(thread)]);
      }
    });
  };
  for_tokens([&](std::int64_t, std::int64_t b, std::int64_t h, std::int64_t i, StreamScratch& scratch) {
    check_token(state, tokens, b, h, i, scratch);
  });
  for_tokens([&](std::int64_t item, std::int64_t b, std::int64_t h, std::int64_t i, StreamScratch& scratch) {
    const double added = tokens.load_bias(b, h, i);
    if (added != -std::numeric_limits<double>::infinity()) {
      load_row(tokens.key, b, h, i, scratch.key.data());
      load_row(tokens.value, b, h, i, scratch.value.data());
    }
    engines::append_token(state.model, added, kernels, scratch, state.heads[usize(item)]);
  });
}

}  // namespace polyattn::api
