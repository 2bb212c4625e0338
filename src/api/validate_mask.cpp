#include "api/validate_mask.hpp"

#include "base/error.hpp"
#include "engines/capabilities.hpp"

#include <memory>
#include <string>
#include <utility>

namespace polyattn::api {

namespace {

using base::fail;
using engines::Feature;

std::string sizes(const CallShape& shape) {
  return "batch " + std::to_string(shape.batch) + ", heads " + std::to_string(shape.query_heads) + ", n_q " +
         std::to_string(shape.n_q) + ", n_kv " + std::to_string(shape.n_kv);
}

/// Index along an axis that repeats if its size is 1.
std::int64_t repeated(std::int64_t size, std::int64_t index) noexcept { return size == 1 ? 0 : index; }

void check_window(const std::vector<std::int64_t>& window, std::size_t key_sets) {
  if (window.size() != key_sets) {
    fail(ErrorCode::invalid_argument, "window", "one width per key set (" + std::to_string(key_sets) + ")",
         std::to_string(window.size()));
  }
  for (const std::int64_t width : window) {
    if (width < 1) {
      fail(ErrorCode::invalid_argument, "window", "a width of at least 1", std::to_string(width));
    }
  }
}

void check_offsets(const char* name, const std::vector<std::int64_t>& offsets, const char* what, std::int64_t end) {
  if (offsets.size() < 2) {
    fail(ErrorCode::invalid_argument, name, "at least two offsets: where the first sequence begins and ends",
         std::to_string(offsets.size()));
  }
  if (offsets.front() != 0) {
    fail(ErrorCode::invalid_argument, name, "offsets that begin with 0", std::to_string(offsets.front()));
  }
  for (std::size_t s = 1; s < offsets.size(); ++s) {
    if (offsets[s] < offsets[s - 1]) {
      fail(ErrorCode::invalid_argument, name, "offsets that do not decrease",
           std::to_string(offsets[s]) + " after " + std::to_string(offsets[s - 1]) + " at position " +
               std::to_string(s));
    }
  }
  if (offsets.back() != end) {
    fail(ErrorCode::invalid_argument, name, "offsets that end with " + std::string(what) + " " + std::to_string(end),
         std::to_string(offsets.back()));
  }
}

void check_segments(const Segments& segments, const CallShape& shape) {
  check_offsets("segments.query_offsets", segments.query_offsets, "n_q", shape.n_q);
  check_offsets("segments.key_offsets", segments.key_offsets, "n_kv", shape.n_kv);
  if (segments.query_offsets.size() != segments.key_offsets.size()) {
    fail(ErrorCode::invalid_argument,
         "segments.query_offsets and segments.key_offsets: expected as many of one as of the other, got " +
             std::to_string(segments.query_offsets.size()) + " and " + std::to_string(segments.key_offsets.size()));
  }
}

/// A mask over pairs, boolean or additive. One row for all counts as key bias, which more engines have.
template <class AnyView>
void check_pairs(const char* name, const AnyView& view, Engine engine, Feature feature, const CallShape& shape) {
  const std::size_t order = shape.set_keys.size() + 1;
  if (order > 2) {  // there are no pairs
    require(engine, feature, order);
  }
  check_view(name, view);
  const auto fits = [](std::int64_t size, std::int64_t full) { return size == 1 || size == full; };
  if (!fits(view.shape[0], shape.batch) || !fits(view.shape[1], shape.query_heads) || !fits(view.shape[2], shape.n_q) ||
      view.shape[3] != shape.n_kv) {
    fail(ErrorCode::invalid_argument, name, "[batch or 1, heads or 1, n_q or 1, n_kv] with " + sizes(shape),
         text(view.shape));
  }
  require(engine, view.shape[2] == 1 ? Feature::key_bias : feature);
}

void check_key_bias(const std::vector<ConstView>& views, const CallShape& shape, std::size_t key_sets) {
  if (views.size() != key_sets) {
    fail(ErrorCode::invalid_argument, "key_bias", "one view per key set (" + std::to_string(key_sets) + ")",
         std::to_string(views.size()));
  }
  for (std::size_t s = 0; s < key_sets; ++s) {
    const ConstView& bias = views[s];
    const std::string name = key_sets > 1 ? "key_bias[" + std::to_string(s) + "]" : "key_bias";
    check_view(name.c_str(), bias);
    const bool fits = (bias.shape[0] == 1 || bias.shape[0] == shape.batch) &&
                      (bias.shape[1] == 1 || bias.shape[1] == shape.query_heads) &&
                      bias.shape[2] == shape.set_keys[s] && bias.shape[3] == 1;
    if (!fits) {
      fail(ErrorCode::invalid_argument, name.c_str(),
           "[n_kv], [heads, n_kv] or [batch, heads, n_kv] with batch " + std::to_string(shape.batch) + ", heads " +
               std::to_string(shape.query_heads) + ", n_kv " + std::to_string(shape.set_keys[s]),
           text(bias.shape));
    }
  }
}

/// Offset, in elements, of the first pair of a head.
template <class AnyView>
std::int64_t head_offset(const AnyView& view, std::int64_t batch, std::int64_t head) noexcept {
  return repeated(view.shape[0], batch) * view.strides[0] + repeated(view.shape[1], head) * view.strides[1];
}

}  // namespace

void check_mask(const Options& options, const CallShape& shape, std::size_t key_sets) {
  const Mask& mask = options.mask;
  const Visibility& visibility = mask.visibility;
  const std::size_t order = key_sets + 1;
  if (visibility.causal != Causal::none) {
    require(options.engine, Feature::causal, order);
  }
  if (!visibility.window.empty()) {
    check_window(visibility.window, key_sets);
    require(options.engine, Feature::window, order);
  }
  if (visibility.segments) {
    require(options.engine, Feature::segments, order);
    check_segments(*visibility.segments, shape);
  }
  if (mask.exclude_self) {
    require(options.engine, Feature::exclude_self, order);
  }
  if (mask.boolean) {
    check_pairs("boolean", *mask.boolean, options.engine, Feature::boolean_mask, shape);
  }
  if (mask.additive) {
    check_pairs("additive", *mask.additive, options.engine, Feature::additive_mask, shape);
  }
  if (!mask.key_bias.empty()) {
    require(options.engine, Feature::key_bias, order);
    check_key_bias(mask.key_bias, shape, key_sets);
  }
}

engines::PositionMask position_mask(const Mask& mask, std::int64_t n_q, std::int64_t n_kv, std::size_t set) {
  const Visibility& visibility = mask.visibility;
  engines::PositionMask position;
  position.causal = visibility.causal != Causal::none;
  position.lower_right = visibility.causal == Causal::lower_right;
  if (visibility.segments) {
    position.segments = std::make_shared<const Segments>(*visibility.segments);
  } else {
    position.offset = position.lower_right ? n_kv - n_q : 0;
  }
  // From this width on a window hides nothing; larger ones might overflow.
  if (!visibility.window.empty() && visibility.window[set] < n_q + n_kv) {
    position.window = visibility.window[set];
  }
  position.exclude_self = mask.exclude_self;
  return position;
}

void set_masks(engines::HeadProblem& problem, const Mask& mask) {
  if (!mask.key_bias.empty()) {
    const ConstView& bias = mask.key_bias.front();
    problem.bias.rows =
        base::head_rows(bias, repeated(bias.shape[0], problem.batch), repeated(bias.shape[1], problem.head));
  }
  if (mask.boolean && mask.boolean->data != nullptr) {
    const ConstBoolView& view = *mask.boolean;
    const bool shared = view.shape[2] == 1;
    engines::PairBoolean& pairs = shared ? problem.bias.shared.boolean : problem.pairs.boolean;
    pairs = {view.data + head_offset(view, problem.batch, problem.head), shared ? 0 : view.strides[2], view.strides[3]};
  }
  if (mask.additive && mask.additive->data != nullptr) {
    const ConstView& view = *mask.additive;
    const bool shared = view.shape[2] == 1;
    engines::PairAdditive& pairs = shared ? problem.bias.shared.additive : problem.pairs.additive;
    const auto size = static_cast<std::int64_t>(size_of(view.dtype));
    pairs = {static_cast<const std::byte*>(view.data) + head_offset(view, problem.batch, problem.head) * size,
             view.dtype, shared ? 0 : view.strides[2], view.strides[3]};
  }
}

std::vector<ByteRange> mask_ranges(const Mask& mask) {
  std::vector<ByteRange> ranges;
  for (const ConstView& bias : mask.key_bias) {
    ranges.push_back(check_view("key_bias", bias));
  }
  if (mask.boolean) {
    ranges.push_back(check_view("boolean", *mask.boolean));
  }
  if (mask.additive) {
    ranges.push_back(check_view("additive", *mask.additive));
  }
  return ranges;
}

}  // namespace polyattn::api
