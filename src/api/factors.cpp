#include "polyattn/factors.hpp"

#include "api/factor_groups.hpp"
#include "api/validate.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"
#include "engines/factors/entries.hpp"
#include "engines/factors/scan.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace polyattn {

namespace {

using api::FactorGroup;
using base::fail;
using base::usize;
using engines::FactorFrame;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRowBlock = 64;
/// An entry, computed and stored, costs about as much as this many scores per coordinate.
constexpr double kScoresPerEntry = 16.0;
/// Where norms find no degree, all scores of order 3 and above are looked at without being asked for up to this cost, a
/// few seconds.
constexpr double kMostProducts = 1e10;

void check_options(const FactorOptions& options) {
  if (!options.tolerance && !options.degree) {
    fail(ErrorCode::invalid_argument, "tolerance", "a tolerance or a degree", "neither");
  }
  if (options.tolerance && !(*options.tolerance > 0.0 && *options.tolerance < 1.0)) {
    fail(ErrorCode::invalid_argument, "tolerance", "a number between 0 and 1, both excluded",
         base::text(*options.tolerance));
  }
  if (options.degree && (*options.degree < 0 || *options.degree > numerics::kMaxRelativeDegree)) {
    fail(ErrorCode::invalid_argument, "degree", "0 to " + std::to_string(numerics::kMaxRelativeDegree),
         std::to_string(*options.degree));
  }
  if (options.dtype != DType::float64 && options.dtype != DType::float32) {
    fail(ErrorCode::invalid_argument, "dtype", "float64 or float32",
         size_of(options.dtype) == 0 ? std::to_string(static_cast<int>(options.dtype)) : name_of(options.dtype));
  }
  if (options.threads < 0 || options.threads > 4096) {
    fail(ErrorCode::invalid_argument, "threads", "0 (all) to 4096", std::to_string(options.threads));
  }
}

/// The number of variables the factors have: the same for every head.
std::int64_t common_axes(const std::vector<FactorGroup>& groups) noexcept {
  std::int64_t axes = 1;
  for (const FactorGroup& group : groups) axes = std::max(axes, group.frame.active);
  return axes;
}

/// The lowest degree that serves this group under what is known of its scores so far.
engines::LeastDegree wanted_degree(const FactorGroup& group, const FactorOptions& options, std::int64_t axes) {
  if (options.degree) return {true, *options.degree, kInfinity};
  return engines::least_degree(group.frame, *options.tolerance, axes, options.dtype);
}

bool worth_scanning(const FactorGroup& group, const engines::LeastDegree& least, std::int64_t axes, ScoreRange range) {
  const FactorFrame& frame = group.frame;
  if (frame.empty() || range == ScoreRange::bounded) return false;
  if (range == ScoreRange::scanned) return true;
  const double products = frame.scores() * static_cast<double>(frame.active);
  if (!least.found) return frame.sides.size() == 2 || products <= kMostProducts;
  if (least.degree == 0) return false;
  const std::int64_t rank = numerics::feature_rank(axes, least.degree);
  const double entries = rank < 0 ? kInfinity : frame.rows() * static_cast<double>(rank);
  return products <= kScoresPerEntry * entries;
}

[[noreturn]] void not_reachable(const FactorGroup& group, double best, int degree, const FactorOptions& options) {
  const FactorFrame& frame = group.frame;
  const std::string asked = options.degree ? "degree " + std::to_string(degree)
                                           : "no degree up to " + std::to_string(numerics::kMaxRelativeDegree);
  std::string message = "tolerance: " + base::text(options.tolerance.value_or(0.0)) + " is not reachable: at batch " +
                        std::to_string(group.batch) + ", head " + std::to_string(group.head) + " the scores lie in [" +
                        base::text(frame.low) + ", " + base::text(frame.high) + "] after centring" +
                        (frame.scanned ? "" : ", as far as norms tell") + ", where " + asked + " in " +
                        name_of(options.dtype) + " is proved that accurate";
  if (std::isfinite(best)) {
    message += "; the best proved relative error is " + base::text(best) +
               (options.degree ? "" : ", at degree " + std::to_string(degree));
  }
  fail(ErrorCode::not_reachable, message);
}

/// The degree all heads have: the highest that one of them needs.
int choose_degree(std::vector<FactorGroup>& groups, const FactorOptions& options, std::int64_t axes,
                  const base::Context& context) {
  int degree = options.degree.value_or(0);
  for (FactorGroup& group : groups) {
    engines::LeastDegree least = wanted_degree(group, options, axes);
    if (worth_scanning(group, least, axes, options.range)) {
      engines::scan_scores(group.frame, context);
      least = wanted_degree(group, options, axes);
    }
    if (!least.found) not_reachable(group, least.bound, least.degree, options);
    group.degree = least.degree;
    degree = std::max(degree, least.degree);
  }
  return degree;
}

void set_polynomials(std::vector<FactorGroup>& groups, const FactorOptions& options, int degree, std::int64_t axes) {
  const double allowed = options.tolerance.value_or(std::numeric_limits<double>::max());
  for (FactorGroup& group : groups) {
    const FactorFrame& frame = group.frame;
    group.bound = {kInfinity, kInfinity, kInfinity, kInfinity};
    if (frame.radius() <= numerics::kMaxRelativeRadius) {
      // Another head may need a degree at which rounding weighs more: then this one stays with its own.
      for (const int own : {degree, group.degree}) {
        if (group.bound.total() <= allowed) break;
        group.polynomial = numerics::relative_polynomial(frame.low, frame.high, own);
        group.polynomial.degree = degree;
        group.polynomial.coefficients.resize(usize(degree) + 1, 0.0);
        group.bound = engines::factor_bound(frame, group.polynomial, axes, options.dtype);
      }
    }
    if (!(group.bound.total() <= allowed)) not_reachable(group, group.bound.total(), degree, options);
  }
}

/// Bytes of the factors, in words where there is no such number.
std::int64_t factor_bytes(const api::CallShape& shape, std::span<const ConstView> keys, std::int64_t rank, int degree,
                          std::int64_t axes, const FactorOptions& options) {
  std::int64_t rows = base::checked_product({shape.batch, shape.query_heads, shape.n_q}, "q");
  for (const ConstView& set : keys) {
    const std::int64_t more = base::checked_product({set.shape[0], set.shape[1], set.shape[2]}, "keys");
    if (__builtin_add_overflow(rows, more, &rows)) rank = -1;
  }
  std::int64_t bytes = 0;
  const auto element = static_cast<std::int64_t>(size_of(options.dtype));
  const bool fits =
      rank >= 0 && !__builtin_mul_overflow(rows, rank, &bytes) && !__builtin_mul_overflow(bytes, element, &bytes);
  if (!fits || static_cast<std::uint64_t>(bytes) > options.max_memory) {
    fail(ErrorCode::out_of_memory, "max_memory: factors of degree " + std::to_string(degree) + " in " +
                                       std::to_string(axes) + " coordinates have rank " +
                                       (rank < 0 ? "beyond 2^63" : std::to_string(rank)) + " and need " +
                                       (fits ? std::to_string(bytes) : "more than 2^63") + " bytes" +
                                       (fits ? ", more than " + std::to_string(options.max_memory) : ""));
  }
  return bytes;
}

void fill_group(Factors& result, const FactorGroup& group, const numerics::Monomials& list,
                const base::Context& context) {
  const std::vector<double> weights = engines::factor_weights(group.polynomial, list);
  for (std::size_t side = 0; side < result.u.size(); ++side) {
    const std::int64_t sharing = side == 0 ? 1 : group.sharing[side - 1];
    if (group.head % sharing != 0) continue;  // another head's, and the same
    const std::int64_t heads = side == 0 ? group.heads : 1;
    const std::int64_t rows = result.u[side].shape()[2];
    const std::int64_t blocks = base::blocks_of(rows, kRowBlock);
    base::parallel_for(context, heads * blocks, [&](std::int64_t item, int) {
      const std::int64_t head = item / blocks;
      const std::int64_t first = item % blocks * kRowBlock;
      const std::int64_t count = std::min(kRowBlock, rows - first);
      const base::RowSink sink = base::head_sink(result.u[side].view(), group.batch, group.head / sharing + head);
      if (side == 0) {
        engines::store_query_factor(group.frame, group.polynomial, list, weights, head * rows, first, count, sink);
      } else {
        engines::store_key_factor(group.frame, side, group.polynomial, list, first, count, sink);
      }
      if (context.progress != nullptr) context.progress->add(static_cast<double>(count));
    });
  }
}

void fill(Factors& result, const std::vector<FactorGroup>& groups, const base::Context& context) {
  const numerics::Monomials list = numerics::monomials(static_cast<int>(result.axes), result.degree);
  for (Tensor& factor : result.u) {
    if (groups.empty() && factor.bytes() > 0) std::memset(factor.data(), 0, factor.bytes());
  }
  for (const FactorGroup& group : groups) fill_group(result, group, list, context);
}

FactorHead report_of(const FactorGroup& group, std::int64_t head) {
  const FactorFrame& frame = group.frame;
  return {group.batch,          group.head + head,    frame.radius_before,    frame.low,
          frame.high,           frame.radius(),       frame.scanned,          group.bound.approximation,
          group.bound.rounding, group.bound.majorant, group.bound.dot_product};
}

}  // namespace

Factors factors(const ConstView& q, std::span<const ConstView> keys, const FactorOptions& options) {
  const base::FloatEnvironment environment;
  const api::CallShape shape = api::check_shapes(q, keys, keys);
  check_options(options);
  Options call;
  call.score = options.score;
  api::check_options(call, shape, keys.size());

  base::MemoryMeter memory(options.max_memory);
  double rows = static_cast<double>(shape.batch) * static_cast<double>(shape.query_heads * shape.n_q);
  for (const ConstView& set : keys) {
    rows += static_cast<double>(set.shape[0]) * static_cast<double>(set.shape[1]) * static_cast<double>(set.shape[2]);
  }
  base::ProgressMeter progress(options.progress, rows);
  const base::Context context{options.threads == 0 ? base::hardware_threads() : options.threads, &memory, &progress};
  std::vector<FactorGroup> groups = api::factor_groups(q, keys, options, shape, context);

  Factors result;
  result.axes = common_axes(groups);
  result.degree = choose_degree(groups, options, result.axes, context);
  result.rank = numerics::feature_rank(result.axes, result.degree);
  result.papers_rank = numerics::papers_rank(shape.dim, result.degree, static_cast<int>(keys.size()) + 1);
  set_polynomials(groups, options, result.degree, result.axes);
  memory.take(static_cast<std::uint64_t>(factor_bytes(shape, keys, result.rank, result.degree, result.axes, options)));
  result.u.emplace_back(options.dtype, Shape{shape.batch, shape.query_heads, shape.n_q, result.rank});
  for (const ConstView& set : keys) {
    result.u.emplace_back(options.dtype, Shape{set.shape[0], set.shape[1], set.shape[2], result.rank});
  }
  fill(result, groups, context);
  for (const FactorGroup& group : groups) {
    for (std::int64_t head = 0; head < group.heads; ++head) result.heads.push_back(report_of(group, head));
  }
  result.peak_bytes = memory.peak();
  return result;
}

}  // namespace polyattn
