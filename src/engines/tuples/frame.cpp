#include "engines/tuples/frame.hpp"

#include "engines/tuples/rescaling.hpp"
#include "engines/tuples/set_frame.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::product_above;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The least product of norms over exponents with sum 1 / p_s = 1 / 2: all of them 2m, or 2 for one set or 4 for two
/// and infinity for the others.
double least_product(const std::vector<SetNorms>& norms) noexcept {
  double best = 1.0;
  for (const SetNorms& norm : norms) {
    best = product_above(best, norm.all);
  }
  for (std::size_t a = 0; a < norms.size(); ++a) {
    for (std::size_t b = a; b < norms.size(); ++b) {
      double product = 1.0;
      for (std::size_t s = 0; s < norms.size(); ++s) {
        const SetNorms& norm = norms[s];
        product = product_above(product, s != a && s != b ? norm.largest : a == b ? norm.two : norm.four);
      }
      best = std::min(best, product);
    }
  }
  return best;
}

/// [low, high] becomes the hull of the products of its numbers and those of [other_low, other_high].
void multiply_hull(double& low, double& high, double other_low, double other_high) noexcept {
  double least = kInfinity;
  double most = -kInfinity;
  for (const double a : {low, high}) {
    for (const double b : {other_low, other_high}) {
      const double product = a * b;
      if (std::isnan(product)) {  // 0 times a product that overflowed: nothing is known
        low = -kInfinity;
        high = kInfinity;
        return;
      }
      const bool exact = a == 0.0 || b == 0.0 || (std::fabs(product) > 0x1p-900 && std::fma(a, b, -product) == 0.0);
      least = std::min(least, exact ? product : std::nextafter(product, -kInfinity));
      most = std::max(most, exact ? product : std::nextafter(product, kInfinity));
    }
  }
  low = least;
  high = most;
}

ValueRange product_range(const std::vector<TupleSet>& sets) {
  ValueRange out = sets.front().values;
  for (std::size_t s = 1; s < sets.size(); ++s) {
    for (std::size_t c = 0; c < out.low.size(); ++c) {
      multiply_hull(out.low[c], out.high[c], sets[s].values.low[c], sets[s].values.high[c]);
    }
  }
  out.max_abs = 0.0;
  for (std::size_t c = 0; c < out.low.size(); ++c) {
    out.max_abs = std::max({out.max_abs, std::fabs(out.low[c]), std::fabs(out.high[c])});
  }
  return out;
}

/// Extents, scales and radius of the virtual keys.
void set_virtual_frame(const TupleProblem& problem, const Rescaling& rescaling, const QueryNorms& queries,
                       const std::vector<SetNorms>& norms, TupleFrame& out) {
  Frame& frame = out.frame;
  const std::size_t dim = usize(problem.dim());
  const double scale = std::fabs(problem.scale);
  frame.query_centre.assign(dim, 0.0);
  frame.key_centre.assign(dim, 0.0);
  frame.key_scale.assign(dim, 1.0);  // of virtual keys: they have their sets' own
  frame.query_half = queries.half;
  double before = 1.0;
  for (const SetNorms& norm : norms) {
    before = product_above(before, norm.before);
  }
  // Factors that a sample suggests may be a little worse than none.
  const double rescaled = least_product(norms) * rescaling.slack;
  const bool plain = queries.norm_before * before <= queries.norm * rescaled;
  const double query_norm = plain ? queries.norm_before : queries.norm;
  frame.key_norm = product_above(scale, plain ? before : rescaled) * (1.0 + 1e-12);
  double box = 0.0;
  bool sound = true;
  for (std::size_t l = 0; l < dim; ++l) {
    double reach = scale;
    double z = problem.scale * power_of_two_above(queries.half[l]);
    sound = sound && queries.half[l] < 0x1p990;
    for (const TupleSet& set : out.sets) {
      reach = product_above(reach, set.frame.key_half[l]);
      z *= set.frame.key_scale[l];
      sound = sound && (problem.scale == 0.0 || std::fabs(z) >= 0x1p-1000);  // no later set brings back what is lost
      sound = sound && set.frame.key_half[l] < 0x1p990;
    }
    const double metric = plain ? 1.0 : rescaling.query[l] * rescaling.query[l];
    frame.metric.push_back(metric);
    frame.key_half.push_back(reach / metric * (1.0 + 1e-12));
    frame.query_scale.push_back(power_of_two_above(queries.half[l]));
    frame.z.push_back(z);
    box += queries.half[l] * reach;
    sound = sound && std::isfinite(z);
  }
  const double least = static_cast<double>(dim) * kRadiusUnderflow;
  frame.radius = std::min(query_norm * frame.key_norm, box + least) * (1.0 + 1e-5);
  frame.radius_before = queries.norm_before * product_above(scale, before) * (1.0 + 1e-5);
  for (const TupleSet& set : out.sets) {
    frame.weight_error += set.frame.weight_error;
    frame.log_scale += set.frame.log_scale;
  }
  if (!sound || !(frame.radius < kInfinity)) {
    frame.radius = kInfinity;  // no row will be served
  }
}

}  // namespace

// Intervals of rows only ever move on.
bool sees_everything(const TupleProblem& problem) noexcept {
  for (std::size_t s = 0; s < problem.sets.size() && problem.n_q() > 0; ++s) {
    if (problem.range(s, 0).last != problem.sets[s].size() || problem.range(s, problem.n_q() - 1).first != 0) {
      return false;
    }
  }
  return true;
}

TupleFrame make_tuple_frame(const TupleProblem& problem, const base::Context& context) {
  TupleFrame out;
  out.problem.batch = problem.batch;
  out.problem.head = problem.head;
  out.problem.queries = problem.queries;
  out.problem.values.columns = problem.value_dim();
  out.problem.non_finite = problem.non_finite;
  out.everything_seen = sees_everything(problem);
  std::vector<KeyRange> seen;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    seen.push_back(problem.n_q() == 0 ? KeyRange{}
                                      : KeyRange{problem.range(s, 0).first, problem.range(s, problem.n_q() - 1).last});
  }
  const Rescaling rescaling = rescale(problem, seen);
  const QueryNorms queries = measure_queries(out.problem, rescaling.query, context);
  std::vector<SetNorms> norms;
  for (std::size_t s = 0; s < problem.sets.size(); ++s) {
    TupleSet set = make_tuple_set(problem, s, seen[s]);
    norms.push_back(measure_set(rescaling.keys[s], static_cast<int>(problem.sets.size()), context, set));
    out.sets.push_back(std::move(set));
  }
  out.values = product_range(out.sets);
  out.far_queries = queries.far;
  set_virtual_frame(problem, rescaling, queries, norms, out);
  return out;
}

}  // namespace polyattn::engines
