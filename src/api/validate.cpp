#include "api/validate.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/predict.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

namespace polyattn::api {

namespace {

using base::fail;
using engines::Feature;

std::string text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    out.append(i == 0 ? "" : ", ").append(std::to_string(shape[i]));
  }
  return out + "]";
}

struct ByteRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// Bytes a view can touch; checks that no product overflows.
ByteRange byte_range(const char* name, const void* data, std::size_t element, const Shape& shape,
                     const Shape& strides) {
  std::int64_t low = 0;
  std::int64_t high = 0;
  const auto size = static_cast<std::int64_t>(element);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 0) {
      return {};
    }
    std::int64_t span = 0;
    if (__builtin_mul_overflow(shape[axis] - 1, strides[axis], &span) || __builtin_mul_overflow(span, size, &span) ||
        __builtin_add_overflow(span < 0 ? low : high, span, span < 0 ? &low : &high)) {
      fail(ErrorCode::invalid_argument, name, "strides and sizes whose extent fits 63 bits",
           "shape " + text(shape) + ", strides " + text(strides));
    }
  }
  if (data == nullptr) {
    fail(ErrorCode::invalid_argument, name, "data", "a null pointer with shape " + text(shape));
  }
  const auto base = reinterpret_cast<std::uintptr_t>(data);
  return {base + static_cast<std::uintptr_t>(low), base + static_cast<std::uintptr_t>(high + size)};
}

ByteRange check_view(const char* name, const ConstView& view) {
  if (size_of(view.dtype) == 0) {
    fail(ErrorCode::invalid_argument, name, "a known dtype", std::to_string(static_cast<int>(view.dtype)));
  }
  std::int64_t elements = 1;
  for (const std::int64_t size : view.shape) {
    if (size < 0) {
      fail(ErrorCode::invalid_argument, name, "sizes of at least 0", "shape " + text(view.shape));
    }
    elements = base::checked_mul(elements, size, name);
  }
  base::checked_mul(elements, static_cast<std::int64_t>(size_of(view.dtype)), name);
  return byte_range(name, view.data, size_of(view.dtype), view.shape, view.strides);
}

void same(const char* first, const char* second, const char* what, std::int64_t a, std::int64_t b) {
  if (a != b) {
    fail(ErrorCode::invalid_argument, std::string(first) + " and " + second + ": expected the same " + what + ", got " +
                                          std::to_string(a) + " and " + std::to_string(b));
  }
}

void require(Engine engine, Feature feature) {
  const bool forced = engine != Engine::automatic;
  if (forced ? engines::supports(engine, feature) : engines::engines_with(feature) != "none") {
    return;
  }
  fail(ErrorCode::unsupported,
       std::string(engines::name_of(feature)) + ": not supported by " +
           (forced ? "engine " + std::string(name_of(engine)) : std::string("any engine of this version")) +
           "; engines that support it: " + engines::engines_with(feature));
}

void check_positive(const char* name, const std::optional<double>& value) {
  if (value && !(std::isfinite(*value) && *value > 0.0)) {
    fail(ErrorCode::invalid_argument, name, "a positive finite number", base::text(*value));
  }
}

void check_score(const Options& options, const CallShape& shape, std::size_t key_sets) {
  if (const auto* dot = std::get_if<Dot>(&options.score)) {
    if (dot->scale && !std::isfinite(*dot->scale)) {
      fail(ErrorCode::invalid_argument, "scale", "a finite number", base::text(*dot->scale));
    }
    if (!dot->scale && key_sets > 1) {
      fail(ErrorCode::invalid_argument, "scale", "a number: order " + std::to_string(key_sets + 1) + " has no default",
           "none");
    }
    require(options.engine, Feature::dot_score);
    return;
  }
  const auto& bandwidth = std::get<Gaussian>(options.score).bandwidth;
  if (bandwidth.size() != 1 && static_cast<std::int64_t>(bandwidth.size()) != shape.dim) {
    fail(ErrorCode::invalid_argument, "bandwidth", "one number or one per axis (" + std::to_string(shape.dim) + ")",
         std::to_string(bandwidth.size()));
  }
  for (const double h : bandwidth) {
    if (!(std::isfinite(h) && h > 0.0) || !std::isfinite(1.0 / (h * h)) || 1.0 / (h * h) == 0.0) {
      fail(ErrorCode::invalid_argument, "bandwidth", "positive numbers whose squares neither vanish nor overflow",
           base::text(h));
    }
  }
  require(options.engine, Feature::gaussian_score);
}

void check_mask(const Options& options, const CallShape& shape, std::size_t key_sets) {
  const Mask& mask = options.mask;
  if (mask.visibility.causal != Causal::none) {
    require(options.engine, Feature::causal);
  }
  if (!mask.visibility.window.empty()) {
    require(options.engine, Feature::window);
  }
  if (mask.visibility.segments) {
    require(options.engine, Feature::segments);
  }
  if (mask.boolean) {
    require(options.engine, Feature::boolean_mask);
  }
  if (mask.additive) {
    require(options.engine, Feature::additive_mask);
  }
  if (mask.exclude_self) {
    require(options.engine, Feature::exclude_self);
  }
  if (mask.key_bias.empty()) {
    return;
  }
  require(options.engine, Feature::key_bias);
  if (mask.key_bias.size() != key_sets) {
    fail(ErrorCode::invalid_argument, "key_bias", "one view per key set (" + std::to_string(key_sets) + ")",
         std::to_string(mask.key_bias.size()));
  }
  const ConstView& bias = mask.key_bias.front();
  check_view("key_bias", bias);
  const bool fits = (bias.shape[0] == 1 || bias.shape[0] == shape.batch) &&
                    (bias.shape[1] == 1 || bias.shape[1] == shape.query_heads) && bias.shape[2] == shape.n_kv &&
                    bias.shape[3] == 1;
  if (!fits) {
    fail(ErrorCode::invalid_argument, "key_bias",
         "[n_kv], [heads, n_kv] or [batch, heads, n_kv] with batch " + std::to_string(shape.batch) + ", heads " +
             std::to_string(shape.query_heads) + ", n_kv " + std::to_string(shape.n_kv),
         text({bias.shape[0], bias.shape[1], bias.shape[2], bias.shape[3]}));
  }
}

}  // namespace

CallShape check_shapes(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values) {
  if (keys.empty()) {
    fail(ErrorCode::invalid_argument, "keys", "at least one view", "none");
  }
  if (keys.size() != values.size()) {
    fail(ErrorCode::invalid_argument, "keys and values: expected as many of one as of the other, got " +
                                          std::to_string(keys.size()) + " and " + std::to_string(values.size()));
  }
  if (keys.size() > 1) {
    fail(ErrorCode::unsupported,
         "order " + std::to_string(keys.size() + 1) +
             ": not supported by any engine of this version; engines compute order 2 (one key set)");
  }
  check_view("q", q);
  const ConstView& k = keys.front();
  const ConstView& v = values.front();
  check_view("keys", k);
  check_view("values", v);
  same("q", "keys", "batch", q.shape[0], k.shape[0]);
  same("q", "keys", "dim", q.shape[3], k.shape[3]);
  same("keys", "values", "batch", k.shape[0], v.shape[0]);
  same("keys", "values", "number of heads", k.shape[1], v.shape[1]);
  same("keys", "values", "sequence length", k.shape[2], v.shape[2]);
  if (q.shape[3] < 1 || q.shape[3] > 65535) {
    fail(ErrorCode::invalid_argument, "q", "a dim of 1 to 65535", std::to_string(q.shape[3]));
  }
  if (k.shape[1] == 0 ? q.shape[1] != 0 : q.shape[1] % k.shape[1] != 0) {
    fail(ErrorCode::invalid_argument,
         "q and keys: expected a number of query heads that is a multiple of the key heads, got " +
             std::to_string(q.shape[1]) + " and " + std::to_string(k.shape[1]));
  }
  return {q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3]};
}

void check_options(const Options& options, const CallShape& shape, std::size_t key_sets) {
  require(options.engine, Feature::order_2);
  check_score(options, shape, key_sets);
  check_mask(options, shape, key_sets);
  if (options.soft_cap) {
    check_positive("soft_cap", options.soft_cap);
    require(options.engine, Feature::soft_cap);
  }
  if (!(std::isfinite(options.tolerance.value) && options.tolerance.value >= 0.0)) {
    fail(ErrorCode::invalid_argument, "tolerance", "a finite number of at least 0",
         base::text(options.tolerance.value));
  }
  check_positive("lse_tolerance", options.lse_tolerance);
  check_positive("density_tolerance", options.density_tolerance);
  if (options.degree) {
    if (*options.degree < 0 || *options.degree > planning::kMaxPlannedDegree) {
      fail(ErrorCode::invalid_argument, "degree", "0 to " + std::to_string(planning::kMaxPlannedDegree),
           std::to_string(*options.degree));
    }
    if (options.engine != Engine::polynomial && options.engine != Engine::automatic) {
      fail(ErrorCode::invalid_argument, "degree", "engine polynomial or auto beside it", name_of(options.engine));
    }
  }
  if (options.threads < 0 || options.threads > 4096) {
    fail(ErrorCode::invalid_argument, "threads", "0 (all) to 4096", std::to_string(options.threads));
  }
  if (options.output_dtype && size_of(*options.output_dtype) == 0) {
    fail(ErrorCode::invalid_argument, "output_dtype", "a known dtype",
         std::to_string(static_cast<int>(*options.output_dtype)));
  }
  if (options.want_row_max) {
    require(options.engine, Feature::row_maximum);
  }
  if (options.engine == Engine::reference && options.arithmetic == Arithmetic::float32) {
    fail(ErrorCode::unsupported, "arithmetic float32: engine reference computes in float64");
  }
  if (options.non_finite == NonFinite::propagate && options.engine == Engine::polynomial) {
    fail(ErrorCode::unsupported,
         "non_finite propagate: not supported by engine polynomial; engines that support it: "
         "reference, exact");
  }
}

void check_destination(const char* name, const View& view, const Shape& shape, std::span<const ConstView> others) {
  if (view.shape != shape) {
    fail(ErrorCode::invalid_argument, name, "shape " + text(shape), text(view.shape));
  }
  const ByteRange target = check_view(name, view);
  for (const ConstView& other : others) {
    const ByteRange source = check_view("input", other);
    if (target.begin < source.end && source.begin < target.end) {
      fail(ErrorCode::invalid_argument, name, "memory that no input and no other destination uses", "an overlap");
    }
  }
}

planning::Request make_request(const Options& options, const ConstView& q, std::span<const ConstView> keys,
                               std::span<const ConstView> values) {
  planning::Request request;
  request.tolerance = options.tolerance;
  request.lse_tolerance = options.lse_tolerance;
  request.density_tolerance = options.density_tolerance;
  request.density_absolute = options.density_absolute;
  request.engine = options.engine;
  request.arithmetic = options.arithmetic;
  request.degree = options.degree;
  request.strict = options.strict;
  request.output = output_dtype(q, options);
  request.native_float32 =
      q.dtype != DType::float64 && keys.front().dtype != DType::float64 && values.front().dtype != DType::float64;
  request.want_lse = options.want_lse;
  request.want_row_max = options.want_row_max;
  request.calibration = options.calibration;
  return request;
}

std::vector<engines::HeadProblem> make_problems(const ConstView& q, std::span<const ConstView> keys,
                                                std::span<const ConstView> values, const Options& options,
                                                const CallShape& shape) {
  engines::HeadScore score;
  if (const auto* dot = std::get_if<Dot>(&options.score)) {
    score.kind = engines::ScoreKind::dot;
    score.scale = dot->scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.dim)));
  } else {
    score.kind = engines::ScoreKind::gaussian;
    score.bandwidth = std::get<Gaussian>(options.score).bandwidth;
    score.bandwidth.resize(static_cast<std::size_t>(shape.dim), score.bandwidth.front());
  }
  engines::PositionMask mask;
  mask.causal = options.mask.visibility.causal != Causal::none;
  mask.offset = options.mask.visibility.causal == Causal::lower_right ? shape.n_kv - shape.n_q : 0;
  std::vector<engines::HeadProblem> problems;
  problems.reserve(static_cast<std::size_t>(shape.batch * shape.query_heads));
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.query_heads; ++h) {
      const std::int64_t kv = h / (shape.query_heads / shape.key_heads);
      engines::HeadProblem problem;
      problem.batch = b;
      problem.head = h;
      problem.queries = base::head_rows(q, b, h);
      problem.keys = base::head_rows(keys.front(), b, kv);
      problem.values = base::head_rows(values.front(), b, kv);
      if (!options.mask.key_bias.empty()) {
        const ConstView& bias = options.mask.key_bias.front();
        problem.bias.rows = base::head_rows(bias, bias.shape[0] == 1 ? 0 : b, bias.shape[1] == 1 ? 0 : h);
      }
      problem.score = score;
      problem.mask = mask;
      problem.non_finite = options.non_finite;
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

}  // namespace polyattn::api
