#include "api/validate.hpp"

#include "api/validate_mask.hpp"
#include "api/views.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/predict.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace polyattn::api {

namespace {

using base::fail;
using engines::Feature;

constexpr std::size_t kMostSets = 15;  ///< order 16

void same(const std::string& first, const std::string& second, const char* what, std::int64_t a, std::int64_t b) {
  if (a != b) {
    fail(ErrorCode::invalid_argument, first + " and " + second + ": expected the same " + what + ", got " +
                                          std::to_string(a) + " and " + std::to_string(b));
  }
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
    require(options.engine, Feature::dot_score, key_sets + 1);
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
  require(options.engine, Feature::gaussian_score, key_sets + 1);
}

}  // namespace

void require(Engine engine, Feature feature, std::size_t order) {
  // Rows of an engine chosen by the planner may end with exact, so exact must do it too.
  if (engines::supports(engine == Engine::automatic ? Engine::exact : engine, feature, order)) {
    return;
  }
  const std::string able = engines::engines_with(feature, order);
  const bool none = engine == Engine::automatic && able == "none";
  const bool higher = order > 2 && feature != Feature::higher_order;
  fail(ErrorCode::unsupported,
       std::string(engines::name_of(feature)) + (higher ? " at order " + std::to_string(order) : "") +
           ": not supported by " +
           (none ? std::string("any engine of this version") : "engine " + std::string(name_of(engine))) +
           "; engines that support it: " + able);
}

namespace {

/// Checks a key set against the queries.
void check_set(const ConstView& q, const ConstView& k, const ConstView& v, const std::string& keys,
               const std::string& values) {
  check_view(keys.c_str(), k);
  check_view(values.c_str(), v);
  same("q", keys, "batch", q.shape[0], k.shape[0]);
  same("q", keys, "dim", q.shape[3], k.shape[3]);
  same(keys, values, "batch", k.shape[0], v.shape[0]);
  same(keys, values, "number of heads", k.shape[1], v.shape[1]);
  same(keys, values, "sequence length", k.shape[2], v.shape[2]);
  if (k.shape[1] == 0 ? q.shape[1] != 0 : q.shape[1] % k.shape[1] != 0) {
    fail(ErrorCode::invalid_argument, "q and " + keys +
                                          ": expected a number of query heads that is a multiple of the key heads, "
                                          "got " +
                                          std::to_string(q.shape[1]) + " and " + std::to_string(k.shape[1]));
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
  if (keys.size() > kMostSets) {
    fail(ErrorCode::unsupported,
         "order " + std::to_string(keys.size() + 1) + ": the highest order is " + std::to_string(kMostSets + 1));
  }
  check_view("q", q);
  const ConstView& k = keys.front();
  const ConstView& v = values.front();
  CallShape shape{q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3]};
  for (std::size_t s = 0; s < keys.size(); ++s) {
    const std::string index = keys.size() > 1 ? "[" + std::to_string(s) + "]" : "";
    check_set(q, keys[s], values[s], "keys" + index, "values" + index);
    same("values[0]", "values" + index, "dim", v.shape[3], values[s].shape[3]);
    shape.set_keys.push_back(keys[s].shape[2]);
  }
  if (q.shape[3] < 1 || q.shape[3] > 65535) {
    fail(ErrorCode::invalid_argument, "q", "a dim of 1 to 65535", std::to_string(q.shape[3]));
  }
  return shape;
}

void check_options(const Options& options, const CallShape& shape, std::size_t key_sets) {
  const std::size_t order = key_sets + 1;
  require(options.engine, order > 2 ? Feature::higher_order : Feature::order_2, order);
  check_score(options, shape, key_sets);
  check_mask(options, shape, key_sets);
  if (options.soft_cap) {
    check_positive("soft_cap", options.soft_cap);
    require(options.engine, Feature::soft_cap, order);
  }
  if (!(std::isfinite(options.tolerance.value) && options.tolerance.value >= 0.0)) {
    fail(ErrorCode::invalid_argument, "tolerance", "a finite number of at least 0",
         base::text(options.tolerance.value));
  }
  check_positive("lse_tolerance", options.lse_tolerance);
  for (const auto& [name, value] :
       {std::pair{"sampling.share", options.sampling.share}, {"sampling.confidence", options.sampling.confidence}}) {
    if (!(value > 0.0 && value < 1.0)) {
      fail(ErrorCode::invalid_argument, name, "a number between 0 and 1, neither of them", base::text(value));
    }
  }
  if (options.guarantee == Guarantee::sampled) {
    require(options.engine, Feature::sampled_guarantee, order);
  }
  check_positive("density_tolerance", options.density_tolerance);
  check_positive("density_unit", options.density_unit);
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
    require(options.engine, Feature::row_maximum, order);
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

planning::Request make_request(const Options& options, const ConstView& q, std::span<const ConstView> keys,
                               std::span<const ConstView> values) {
  planning::Request request;
  request.tolerance = options.tolerance;
  request.lse_tolerance = options.lse_tolerance;
  request.density_share = options.density_tolerance;
  request.density_tolerance = options.density_tolerance;
  if (request.density_tolerance && options.density_absolute) {
    *request.density_tolerance *= options.density_unit;
  }
  request.density_absolute = options.density_absolute;
  request.guarantee = options.guarantee;
  request.sampling = options.sampling;
  request.heads = q.shape[0] * q.shape[1];
  request.engine = options.engine;
  request.arithmetic = options.arithmetic;
  request.degree = options.degree;
  request.strict = options.strict;
  request.output = output_dtype(q, options);
  const auto narrow = [](const ConstView& view) { return view.dtype != DType::float64; };
  request.native_float32 =
      narrow(q) && std::all_of(keys.begin(), keys.end(), narrow) && std::all_of(values.begin(), values.end(), narrow);
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
  const engines::PositionMask position = position_mask(options.mask, shape.n_q, shape.n_kv);
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
      problem.score = score;
      problem.soft_cap = options.soft_cap.value_or(0.0);
      problem.mask = position;
      set_masks(problem, options.mask);
      problem.non_finite = options.non_finite;
      problem.sharing = shape.query_heads / shape.key_heads;
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

}  // namespace polyattn::api
