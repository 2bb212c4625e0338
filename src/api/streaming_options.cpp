#include "api/streaming_options.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "numerics/rank.hpp"
#include "planning/predict.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kLargestDim = 65535;  // variables are numbered in 16 bits

void expect_between(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    fail(ErrorCode::invalid_argument, name, std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
  }
}

void expect_within(const std::string& name, double value, double low, double high, const char* expected) {
  if (!(value >= low && value <= high)) {
    fail(ErrorCode::invalid_argument, name, expected, base::text(value));
  }
}

/// `numbers` for `count` axes: as many, or one for all.
std::vector<double> spread(const std::string& name, const std::vector<double>& numbers, std::int64_t count) {
  if (static_cast<std::int64_t>(numbers.size()) != count && numbers.size() != 1) {
    fail(ErrorCode::invalid_argument, name, "one number or " + std::to_string(count),
         std::to_string(numbers.size()) + " numbers");
  }
  std::vector<double> out = numbers;
  if (!numbers.empty()) {
    out.resize(usize(count), numbers.front());
  }
  return out;
}

engines::StreamRegion region(const std::string& name, const StreamingRegion& given, std::int64_t dim) {
  engines::StreamRegion out;
  out.centre = given.centre.empty() ? std::vector<double>(usize(dim), 0.0) : given.centre;
  if (static_cast<std::int64_t>(out.centre.size()) != dim) {
    fail(ErrorCode::invalid_argument, name + ".centre", std::to_string(dim) + " numbers or none",
         std::to_string(given.centre.size()));
  }
  for (const double x : out.centre) {
    expect_within(name + ".centre", x, -engines::kStreamLargest, engines::kStreamLargest, "numbers within 1e150 of 0");
  }
  if (std::isnan(given.radius) || given.radius < 0.0 ||
      (given.radius > engines::kStreamLargest && given.radius != kInfinity)) {
    fail(ErrorCode::invalid_argument, name + ".radius", "0 to 1e150, or infinity for no ball",
         base::text(given.radius));
  }
  out.radius = given.radius;
  if (given.half.empty()) {
    if (given.radius == kInfinity) {
      fail(ErrorCode::invalid_argument, name, "a box (half), a ball (radius), or both", "neither");
    }
    out.half.assign(usize(dim), given.radius);
    return out;
  }
  out.half = spread(name + ".half", given.half, dim);
  for (double& half : out.half) {
    expect_within(name + ".half", half, 0.0, engines::kStreamLargest, "numbers from 0 to 1e150");
    half = std::min(half, given.radius);
  }
  return out;
}

engines::HeadScore score(const StreamingOptions& options) {
  engines::HeadScore out;
  if (const auto* dot = std::get_if<Dot>(&options.score)) {
    out.scale = dot->scale.value_or(1.0 / std::sqrt(static_cast<double>(options.dim)));
    expect_within("scale", out.scale, -engines::kStreamLargest, engines::kStreamLargest, "a number within 1e150 of 0");
    return out;
  }
  out.kind = engines::ScoreKind::gaussian;
  const auto& bandwidth = std::get<Gaussian>(options.score).bandwidth;
  out.bandwidth = spread("bandwidth", bandwidth, options.dim);
  for (const double h : out.bandwidth) {
    expect_within("bandwidth", h, 1e-75, 1e75, "numbers from 1e-75 to 1e75");
  }
  return out;
}

void declare_values(const StreamingOptions& options, engines::StreamDeclaration& declared) {
  if (options.value_low.empty() && options.value_high.empty()) {
    return;
  }
  declared.value_low = spread("value_low", options.value_low, options.value_dim);
  declared.value_high = spread("value_high", options.value_high, options.value_dim);
  for (std::size_t c = 0; c < declared.value_low.size(); ++c) {
    expect_within("value_low", declared.value_low[c], -engines::kStreamLargest, engines::kStreamLargest,
                  "numbers within 1e150 of 0");
    expect_within("value_high", declared.value_high[c], declared.value_low[c], engines::kStreamLargest,
                  "numbers from value_low to 1e150");
  }
}

void check_tolerance(const StreamingOptions& options) {
  const double tolerance = options.tolerance.value;
  if (!(std::isfinite(tolerance) && tolerance >= 0.0)) {
    fail(ErrorCode::invalid_argument, "tolerance", "a finite number of at least 0", base::text(tolerance));
  }
  if (options.degree) {
    expect_between("degree", *options.degree, 0, planning::kMaxPlannedDegree);
  } else if (tolerance == 0.0) {
    fail(ErrorCode::invalid_argument, "tolerance", "a positive number, or a degree beside it",
         "0, which no polynomial meets");
  }
  if (tolerance > 0.0 && options.tolerance.kind == ToleranceKind::absolute && options.value_low.empty() &&
      options.value_dim > 0) {
    fail(ErrorCode::invalid_argument, "tolerance", "one of_value_range, or value_low and value_high beside it",
         "an absolute one for values of unknown range");
  }
  expect_within("expected_bias", options.expected_bias, 0.0, engines::kStreamLargestWeight, "0 to 2^40");
  expect_between("expected_tokens", options.expected_tokens, 0, std::int64_t{1} << 52);
}

}  // namespace

engines::StreamDeclaration declare_stream(const StreamingOptions& options) {
  expect_between("batch", options.batch, 1, std::int64_t{1} << 31);
  expect_between("heads", options.heads, 1, std::int64_t{1} << 31);
  expect_between("dim", options.dim, 1, kLargestDim);
  expect_between("value_dim", options.value_dim, 0, std::int64_t{1} << 31);
  check_tolerance(options);
  if (size_of(options.output_dtype) == 0) {
    fail(ErrorCode::invalid_argument, "output_dtype", "a known dtype",
         std::to_string(static_cast<int>(options.output_dtype)));
  }
  engines::StreamDeclaration declared;
  declared.score = score(options);
  declared.value_dim = options.value_dim;
  declared.queries = region("queries", options.queries, options.dim);
  declared.keys = region("keys", options.keys, options.dim);
  declare_values(options, declared);
  declared.single_output = options.output_dtype == DType::float32;
  return declared;
}

double declared_range(const StreamingOptions& options) noexcept {
  const auto at = [](const std::vector<double>& numbers, std::size_t c) {
    return numbers.size() == 1 ? numbers.front() : numbers[c];
  };
  double range = options.value_low.empty() ? 1.0 : 0.0;
  for (std::size_t c = 0; c < std::max(options.value_low.size(), options.value_high.size()); ++c) {
    range = std::max(range, at(options.value_high, c) - at(options.value_low, c));
  }
  return range;
}

double stream_bytes(const StreamingOptions& options, int degree) noexcept {
  const std::int64_t rank = numerics::feature_rank(options.dim, degree);
  if (rank < 0) {
    return kInfinity;
  }
  const double heads = static_cast<double>(options.batch) * static_cast<double>(options.heads);
  const double padded = static_cast<double>(rank) + static_cast<double>(simd::kStreamingLanes);
  // Sums and errors; one token's features; weights, and the list of monomials, while the model is made.
  return 8.0 * padded * (2.0 * heads * (static_cast<double>(options.value_dim) + 1.0) + 3.0);
}

StreamDegree choose_degree(const StreamingOptions& options, const engines::StreamDeclaration& declared,
                           std::uint64_t max_memory) {
  const engines::Frame frame = engines::stream_frame(declared);
  if (!std::isfinite(frame.radius)) {
    fail(ErrorCode::not_reachable, "queries and keys", "regions whose scores differ by at most 300 from their centre",
         "wider ones");
  }
  const double most = static_cast<double>(std::min(max_memory, std::uint64_t{1} << 50));
  const engines::StreamPromise promise{static_cast<double>(options.expected_tokens), options.expected_bias};
  const auto bound = [&](engines::TableSeries& series, int degree) {
    return engines::stream_bound(declared, frame, series.table(degree), numerics::feature_rank(options.dim, degree),
                                 promise);
  };
  const int highest = options.degree.value_or(planning::kMaxPlannedDegree);
  engines::TableSeries series(frame.radius, highest, engines::kLadderSteps);
  if (options.degree) {
    if (stream_bytes(options, highest) > most) {
      fail(ErrorCode::out_of_memory, "max_memory", base::text(stream_bytes(options, highest)) + " bytes or more",
           base::text(most));
    }
    return {highest, bound(series, highest)};
  }
  const double scale = options.tolerance.kind == ToleranceKind::absolute ? 1.0 : declared_range(options);
  const double limit = options.tolerance.value * scale;
  StreamDegree best{-1, kInfinity};
  for (int degree = 0; degree <= highest && stream_bytes(options, degree) <= most; ++degree) {
    const StreamDegree here{degree, bound(series, degree)};
    best = here.bound < best.bound ? here : best;
    if (here.bound <= limit) {
      return here;
    }
  }
  fail(ErrorCode::not_reachable, "tolerance",
       best.degree < 0 ? "a smaller domain: nothing can be promised for scores within " + base::text(frame.radius)
                       : "at least " + base::text(best.bound) + ", what degree " + std::to_string(best.degree) +
                             " promises for scores within " + base::text(frame.radius),
       base::text(limit));
}

}  // namespace polyattn::api
