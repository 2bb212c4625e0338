#include "polyattn/factors.hpp"

#include "api/validate.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"
#include "engines/factors/entries.hpp"
#include "engines/factors/frame.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

namespace polyattn {

namespace {

using base::fail;
using base::usize;
using engines::FactorFrame;
using numerics::RelativePolynomial;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kRowBlock = 64;
/// An entry, computed and stored, costs about as much as this many scores per coordinate.
constexpr double kScoresPerEntry = 16.0;

/// One key head and the query heads that share it.
struct Group {
  std::vector<engines::HeadProblem> heads;
  FactorFrame frame;
  RelativePolynomial polynomial;
  engines::FactorBound bound;
  int degree = 0;  ///< that it needs
};

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

std::vector<Group> make_groups(const ConstView& q, std::span<const ConstView> keys, const FactorOptions& options,
                               const api::CallShape& shape) {
  Options call;
  call.score = options.score;
  std::vector<Group> groups;
  for (engines::HeadProblem& problem : api::make_problems(q, keys, keys, call, shape)) {
    if (groups.empty() || static_cast<std::int64_t>(groups.back().heads.size()) == problem.sharing) {
      groups.emplace_back();
    }
    groups.back().heads.push_back(std::move(problem));
  }
  return groups;
}

/// The number of variables the factors have: the same for every head.
std::int64_t common_axes(const std::vector<Group>& groups) noexcept {
  std::int64_t axes = 1;
  for (const Group& group : groups) axes = std::max(axes, group.frame.active);
  return axes;
}

/// The lowest degree that serves this group under what is known of its scores so far.
engines::LeastDegree wanted_degree(const Group& group, const FactorOptions& options, std::int64_t axes) {
  if (options.degree) return {true, *options.degree, kInfinity};
  return engines::least_degree(group.frame, *options.tolerance, axes, options.dtype);
}

bool worth_scanning(const Group& group, const engines::LeastDegree& least, std::int64_t axes, ScoreRange range) {
  const FactorFrame& frame = group.frame;
  if (frame.n_q == 0 || frame.n_kv == 0 || range == ScoreRange::bounded) return false;
  if (range == ScoreRange::scanned || !least.found) return true;
  if (least.degree == 0) return false;
  const std::int64_t rank = numerics::feature_rank(axes, least.degree);
  const double entries = rank < 0 ? kInfinity : static_cast<double>(frame.n_q + frame.n_kv) * static_cast<double>(rank);
  const double scores = static_cast<double>(frame.n_q) * static_cast<double>(frame.n_kv);
  return scores * static_cast<double>(frame.active) <= kScoresPerEntry * entries;
}

[[noreturn]] void not_reachable(const Group& group, double best, int degree, const FactorOptions& options) {
  const FactorFrame& frame = group.frame;
  const std::string asked = options.degree ? "degree " + std::to_string(degree)
                                           : "no degree up to " + std::to_string(numerics::kMaxRelativeDegree);
  std::string message = "tolerance: " + base::text(options.tolerance.value_or(0.0)) + " is not reachable: at batch " +
                        std::to_string(group.heads.front().batch) + ", head " +
                        std::to_string(group.heads.front().head) + " the scores lie in [" + base::text(frame.low) +
                        ", " + base::text(frame.high) + "] after centring" +
                        (frame.scanned ? "" : ", as far as norms tell") + ", where " + asked + " in " +
                        name_of(options.dtype) + " is proved that accurate";
  if (std::isfinite(best)) {
    message += "; the best proved relative error is " + base::text(best) +
               (options.degree ? "" : ", at degree " + std::to_string(degree));
  }
  fail(ErrorCode::not_reachable, message);
}

/// The degree all heads have: the highest that one of them needs.
int choose_degree(std::vector<Group>& groups, const FactorOptions& options, std::int64_t axes,
                  const base::Context& context) {
  int degree = options.degree.value_or(0);
  for (Group& group : groups) {
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

void set_polynomials(std::vector<Group>& groups, const FactorOptions& options, int degree, std::int64_t axes) {
  const double allowed = options.tolerance.value_or(std::numeric_limits<double>::max());
  for (Group& group : groups) {
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
std::int64_t factor_bytes(const api::CallShape& shape, std::int64_t rank, int degree, std::int64_t axes,
                          const FactorOptions& options) {
  const std::int64_t rows = base::checked_product({shape.batch, shape.query_heads, shape.n_q}, "q") +
                            base::checked_product({shape.batch, shape.key_heads, shape.n_kv}, "keys");
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

void fill(Factors& result, const std::vector<Group>& groups, const api::CallShape& shape, std::int64_t axes,
          const base::Context& context) {
  if (groups.empty() && result.u[1].bytes() > 0) std::memset(result.u[1].data(), 0, result.u[1].bytes());
  const numerics::Monomials list = numerics::monomials(static_cast<int>(axes), result.degree);
  const std::int64_t query_blocks = base::blocks_of(shape.n_q, kRowBlock);
  const std::int64_t key_blocks = base::blocks_of(shape.n_kv, kRowBlock);
  for (const Group& group : groups) {
    const auto heads = static_cast<std::int64_t>(group.heads.size());
    const std::vector<double> weights = engines::factor_weights(group.polynomial, list);
    base::parallel_for(context, heads * query_blocks + key_blocks, [&](std::int64_t item, int) {
      const bool queries = item < heads * query_blocks;
      const std::int64_t head = queries ? item / query_blocks : 0;
      const std::int64_t first = (queries ? item % query_blocks : item - heads * query_blocks) * kRowBlock;
      const std::int64_t count = std::min(kRowBlock, (queries ? shape.n_q : shape.n_kv) - first);
      const engines::HeadProblem& problem = group.heads[usize(head)];
      if (queries) {
        engines::store_query_factor(group.frame, group.polynomial, list, weights, head * shape.n_q, first, count,
                                    base::head_sink(result.u[0].view(), problem.batch, problem.head));
      } else {
        engines::store_key_factor(group.frame, group.polynomial, list, first, count,
                                  base::head_sink(result.u[1].view(), problem.batch, problem.head / problem.sharing));
      }
      if (context.progress != nullptr) context.progress->add(static_cast<double>(count));
    });
  }
}

FactorHead report_of(const Group& group, const engines::HeadProblem& problem) {
  const FactorFrame& frame = group.frame;
  return {problem.batch,        problem.head,         frame.radius_before,    frame.low,
          frame.high,           frame.radius(),       frame.scanned,          group.bound.approximation,
          group.bound.rounding, group.bound.majorant, group.bound.dot_product};
}

}  // namespace

Factors factors(const ConstView& q, std::span<const ConstView> keys, const FactorOptions& options) {
  const base::FloatEnvironment environment;
  api::require_order_2("factors", keys.size());
  const api::CallShape shape = api::check_shapes(q, keys, keys);
  check_options(options);
  Options call;
  call.score = options.score;
  api::check_options(call, shape, keys.size());

  base::MemoryMeter memory(options.max_memory);
  base::ProgressMeter progress(
      options.progress,
      static_cast<double>(shape.batch) * (static_cast<double>(shape.query_heads) * static_cast<double>(shape.n_q) +
                                          static_cast<double>(shape.key_heads) * static_cast<double>(shape.n_kv)));
  const base::Context context{options.threads == 0 ? base::hardware_threads() : options.threads, &memory, &progress};
  std::vector<Group> groups = make_groups(q, keys, options, shape);
  for (Group& group : groups) {
    group.frame = engines::make_factor_frame(group.heads, engines::most_exponent(options.dtype), context);
  }
  const std::int64_t axes = common_axes(groups);

  Factors result;
  result.degree = choose_degree(groups, options, axes, context);
  result.axes = axes;
  result.rank = numerics::feature_rank(axes, result.degree);
  result.papers_rank = numerics::papers_rank(shape.dim, result.degree);
  set_polynomials(groups, options, result.degree, axes);
  memory.take(static_cast<std::uint64_t>(factor_bytes(shape, result.rank, result.degree, axes, options)));
  result.u.emplace_back(options.dtype, Shape{shape.batch, shape.query_heads, shape.n_q, result.rank});
  result.u.emplace_back(options.dtype, Shape{shape.batch, shape.key_heads, shape.n_kv, result.rank});
  fill(result, groups, shape, axes, context);
  for (const Group& group : groups) {
    for (const engines::HeadProblem& problem : group.heads) result.heads.push_back(report_of(group, problem));
  }
  result.peak_bytes = memory.peak();
  return result;
}

}  // namespace polyattn
