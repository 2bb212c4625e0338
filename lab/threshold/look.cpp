#include "lab/threshold/look.hpp"

#include "lab/best_polynomial.hpp"
#include "lab/exponential/chebyshev_degree.hpp"
#include "lab/threshold/theory.hpp"
#include "polyattn/attention.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::lab {

namespace {

/// Rows of exact that share one pass over the keys; fewer take as long.
constexpr std::int64_t kTile = 48;

Options options_of(const Settings& settings, const Instance& instance, double entries, const Look& look,
                   Engine engine) {
  Options options;
  options.score = Dot{score_bound(entries, settings.order) / static_cast<double>(instance.dim())};
  options.tolerance = {tolerance_of(settings.accuracy, instance.n()), ToleranceKind::of_value_range};
  options.engine = engine;
  options.threads = settings.threads;
  options.calibration = look.calibration;
  options.progress = look.progress;
  return options;
}

void add_theory(const Settings& settings, Point& point) {
  const std::int64_t k = settings.order;
  point.score_bound = score_bound(point.entries, settings.order);
  point.theory_degree = least_degree(point.score_bound, std::log(point.tolerance), true);
  if (point.theory_degree < 0) return;
  const std::int64_t g = point.theory_degree;
  point.papers_rank = binomial_text(k * (g + point.dim), k * g);
  point.rank_same_degree = binomial_text(g + point.dim, g);
}

double attend_seconds(const Settings& settings, const Instance& instance, double entries, const Look& look,
                      Engine engine, std::int64_t rows) {
  // The best of two runs, or of up to ten where they are short.
  constexpr int most_runs = 10;
  constexpr double enough_seconds = 0.3;
  double best = std::numeric_limits<double>::infinity();
  double all = 0.0;
  const std::vector<ConstView> keys = instance.keys();
  const Options options = options_of(settings, instance, entries, look, engine);
  for (int run = 0; run < 2 || (run < most_runs && all < enough_seconds); ++run) {
    const double seconds = attend(instance.queries(rows), keys, keys, options).report.seconds;
    best = std::min(best, seconds);
    all += seconds;
  }
  return best;
}

}  // namespace

Point predict_point(const Settings& settings, const Instance& instance, double entries, const Look& look) {
  Point point;
  point.n = instance.n();
  point.dim = instance.dim();
  point.tolerance = tolerance_of(settings.accuracy, point.n);
  point.entries = entries;
  add_theory(settings, point);

  // At order 2 forced, which looks at small problems too and passes over the grid. From order 3 on a forced search ends
  // at ranks of 2^18 whatever exact costs; at order 3 the free one goes on as long as it may pay, up to 2^24. At order
  // 4 exact is so dear that this would take minutes a point, and 2^24 would still be the end.
  const Engine engine = settings.order == 3 ? Engine::automatic : Engine::polynomial;
  const std::vector<ConstView> keys = instance.keys();
  const Plan plan =
      polyattn::plan(instance.queries(point.n), keys, keys, options_of(settings, instance, entries, look, engine));
  const HeadPlan& head = plan.report().heads.front();
  point.exact_seconds = head.exact_seconds;
  point.radius = head.statistics.radius_after;
  const double range = head.statistics.value_range;
  point.mean_answer = head.mean_answer_error / range;
  if (const Candidate* best = best_polynomial(head)) {
    point.degree = best->degree;
    point.rank = best->rank;
    point.arithmetic = name_of(best->arithmetic);
    point.bound = best->predicted_bound / range;
    point.left_to_exact = best->fallback_share;
    point.polynomial_seconds = best->seconds;
  }
  return point;
}

void measure_point(const Settings& settings, const Instance& instance, const Look& look, Point& point) {
  if (point.served() && point.polynomial_seconds <= look.limit) {
    point.polynomial_measured = attend_seconds(settings, instance, point.entries, look, Engine::polynomial, point.n);
  }
  const double share = look.limit / point.exact_seconds;
  std::int64_t rows = point.n;
  if (share < 1.0) {
    const std::int64_t least = settings.order == 2 ? kTile * settings.threads : settings.threads;
    rows =
        std::clamp(static_cast<std::int64_t>(share * static_cast<double>(point.n)), std::min(least, point.n), point.n);
  }
  const double seconds = attend_seconds(settings, instance, point.entries, look, Engine::exact, rows);
  point.exact_rows = rows;
  point.exact_measured = seconds * static_cast<double>(point.n) / static_cast<double>(rows);
}

}  // namespace polyattn::lab
