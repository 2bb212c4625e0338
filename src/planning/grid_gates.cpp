#include "planning/grid_gates.hpp"

#include "engines/capabilities.hpp"
#include "planning/cost_model.hpp"
#include "planning/glance.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::planning {
namespace {

/// Searched for beside what there is only if predicted to be so much cheaper: near a tie a search can win little and
/// lose all it costs.
constexpr double kCheaper = 0.8;
/// The same of a sketch, which has been paid for, where a grid is sure to serve.
constexpr double kSketched = 0.9;
/// A glance says the least that polynomials might take. With scores beyond this it is far too little, and the search in
/// vain takes longer than a grid.
constexpr double kPolynomialRadius = 6.0;
/// The most that a grid, and finding it, may take of the time of exact to be worth a look.
constexpr double kWorthwhile = 0.5;
/// Where it may be in vain, finding out may take this part; not where so much is to be won, nor where scores are so
/// small that a grid is sure to serve.
constexpr double kSearchShare = 0.06;
constexpr double kSureGain = 0.2;
constexpr double kSureRadius = 4.0;
constexpr double kSureFlatRadius = 100.0;  ///< the same in one or two dimensions
/// Gaussian scores do not leave rows over; what may be in vain is a search where cells are not fewer than points.
constexpr double kSureCells = 0.25;
/// What polynomials take beside what a glance says: of their search this part, from this degree on so many times as
/// long.
constexpr double kPolynomialSearch = 0.75;
constexpr int kHighDegree = 4;
constexpr double kHighDegreeFactor = 2.0;

/// Decimal digits asked for, about: how many numbers of nodes a sketch tries.
constexpr double kFewDigits = 1.0;
constexpr double kManyDigits = 6.0;
double digits_of(const Request& request) noexcept {
  const bool share = request.tolerance.kind == ToleranceKind::of_value_range;
  return share ? std::clamp(-std::log10(request.tolerance.value), kFewDigits, kManyDigits) : 4.0;
}

/// Whether a grid that takes at least `least` seconds, finding it included, is worth that search beside something that
/// takes `other` seconds; `saved` is what need not be searched for if a grid is found.
bool affordable(double least, double search, double other, double saved) noexcept {
  return least < kSureGain * other || (least < kWorthwhile * other && search < std::max(kSearchShare * other, saved));
}

/// Polynomials, search included, are likely to take less than `seconds`.
bool polynomials_take_less(const Glance& seen, double seconds) noexcept {
  const double times = seen.degree >= kHighDegree ? kHighDegreeFactor : 1.0;
  return seen.worth && seen.degree >= 0 && seen.radius <= kPolynomialRadius &&
         times * seen.seconds + kPolynomialSearch * seen.search_seconds < seconds;
}

/// What a search takes: the extents, once they are known, say how long sketches do.
double search_seconds(const engines::HeadProblem& problem, const Request& request, const GridTry& known) {
  double radius = known.seen ? known.seen->radius : 0.0;
  if (known.extents) {
    double widest = 0.0;
    for (const engines::grid::ScaledAxis& axis : engines::grid::scale_axes(problem, *known.extents, 1.0)) {
      widest = std::max(widest, axis.extent());
    }
    radius = 0.5 * widest * widest;
  }
  return known.slowness * grid_search_seconds(problem, radius, digits_of(request));
}

/// The same beside exact. Where polynomials would be searched for next, a grid that is found saves that.
bool affordable(const engines::HeadProblem& problem, const GridTry& known, double least, double search) noexcept {
  const Glance& seen = *known.seen;
  if (sure_to_serve(problem, known)) {
    return least < kClearShare * seen.exact_seconds;
  }
  return affordable(least, search, seen.exact_seconds, seen.worth ? seen.search_seconds : 0.0);
}

}  // namespace

bool may_try_grid(const engines::HeadProblem& problem, const Request& request) {
  if (request.arithmetic == Arithmetic::float32 || request.degree) {
    return false;  // the grid works in float64 and has no degree
  }
  const bool forced = request.engine == Engine::grid;
  if ((!forced && request.engine != Engine::automatic) || !(request.tolerance.value > 0.0) ||
      request.guarantee != Guarantee::certified || request.want_row_max || problem.non_finite == NonFinite::propagate ||
      !engines::supports_grid(problem) || problem.n_q() == 0 || problem.n_kv() == 0) {
    return false;
  }
  const CostModel cost(request.calibration, 1);
  const double exact = cost.exact_seconds(problem, score_pairs(problem), Arithmetic::float64);
  return forced || cost.slowness() * (least_grid_seconds(problem) + grid_search_seconds(problem, 0.0, kFewDigits)) <
                       kWorthwhile * exact;
}

bool sure_to_serve(const engines::HeadProblem& problem, const GridTry& known) noexcept {
  const double radius = known.seen ? known.seen->radius : 0.0;
  if (problem.score.kind == engines::ScoreKind::gaussian && radius > kSureRadius && problem.dim() <= 2) {
    const double cells = std::pow(2.0 * radius, 0.5 * static_cast<double>(problem.dim()));  // as long as a bandwidth
    return cells < kSureCells * static_cast<double>(problem.n_q() + problem.n_kv());
  }
  return radius > 0.0 && radius <= (problem.dim() <= 2 ? kSureFlatRadius : kSureRadius);
}

bool worth_a_look(const engines::HeadProblem& problem, const Request& request, GridTry& known) {
  const CostModel cost(request.calibration, 1);
  known.seen = glance(problem, request, cost, static_cast<double>(problem.n_q()), score_pairs(problem));
  const double search = cost.slowness() * grid_search_seconds(problem, known.seen->radius, digits_of(request));
  const double least = cost.slowness() * least_grid_seconds(problem) + search;
  return affordable(problem, known, least, search) && !polynomials_take_less(*known.seen, least);
}

bool worth_a_sketch(const engines::HeadProblem& problem, const Request& request, const GridTry& known) {
  const double search = search_seconds(problem, request, known);
  return affordable(problem, known, known.slowness * least_grid_seconds(problem) + search, search);
}

bool worth_another_look(const engines::HeadProblem& problem, const Request& request, const GridTry& known,
                        double other) {
  const double search = search_seconds(problem, request, known);
  return affordable(known.slowness * least_grid_seconds(problem) + search, search, other, 0.0);
}

bool worth_settling(const engines::HeadProblem& problem, bool first, const GridTry& known, double seconds) noexcept {
  const double share = !first ? kCheaper : sure_to_serve(problem, known) ? kSketched : kClearShare;
  return seconds < share * known.limit && !(first && polynomials_take_less(*known.seen, seconds));
}

}  // namespace polyattn::planning
