// Features in layers (engines/polynomial/layers.hpp): which coordinates are strong, and which degrees they take. Maps
// that balance queries and keys are found from a sample, then every number of strong coordinates in a short list is
// tried with all degrees that cost less than what was found before.

#include "base/error.hpp"
#include "engines/capabilities.hpp"
#include "planning/chosen.hpp"
#include "planning/cost_model.hpp"
#include "planning/layer_sample.hpp"
#include "planning/planner.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

/// Not for less than this: seconds of one thread.
constexpr double kWorthwhile = 0.01;
/// The search may take this share of what it plans.
constexpr double kSearchShare = 0.1;
/// It must be this much cheaper than without.
constexpr double kGain = 0.85;
constexpr double kPredictionMargin = 0.9;
constexpr int kHighestDegree = 16;
constexpr int kHighestFirst = 10;
constexpr std::array<std::int64_t, 14> kStrong{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32};
/// Seconds: of a token for each entry of a map; of a row, for joining its layers.
constexpr double kMapEntry = 3e-11;
constexpr double kCoordinate = 1.5e-9;
constexpr double kJoinedRow = 1e-7;

/// Seconds of the search: of the maps, of sampled rows under them, and of trying shapes.
constexpr double kBalance = 2e-8;
constexpr double kSampling = 2e-6;
constexpr double kTries = 3e-3;

/// What layers are to be found for.
struct Search {
  const engines::HeadProblem& problem;
  const Request& request;
  CostModel cost;
  double exact_seconds;
  double tolerance;
};

struct Layers {
  engines::LayerShape shape;
  Arithmetic arithmetic = Arithmetic::float32;
  double seconds = 0.0;
  double bound = 0.0;
  double failing = 0.0;
};

double layer_seconds(const Search& search, const engines::LayerShape& shape, Arithmetic arithmetic) {
  const engines::HeadProblem& problem = search.problem;
  const auto dim = static_cast<double>(problem.dim());
  const double weak = dim - static_cast<double>(shape.strong);
  const double pairs = (weak + 1.0) * (weak + 2.0) / 2.0 / static_cast<double>(problem.value_dim() + 1);
  const std::int64_t rank = engines::layered_rank(problem.dim(), shape);
  PolynomialSize size{rank + static_cast<std::int64_t>(pairs), shape.degree + shape.first_degree + 3};
  size.layered = true;
  const auto queries = static_cast<double>(problem.n_q());
  return search.cost.polynomial_seconds(problem, queries, size, arithmetic) +
         (queries + static_cast<double>(problem.n_kv())) * (kMapEntry * dim + kCoordinate) * dim + queries * kJoinedRow;
}

/// One number of strong coordinates.
struct Tried {
  const LayerSample& sample;
  const engines::ValueRange& values;
  std::vector<LayerRow> rows;
  std::vector<ErrorTable> tables;  ///< by degree
};

/// A shape in one arithmetic, if it is better than what was found before.
void try_shape(const Search& search, const Tried& tried, const engines::LayerShape& shape, const StrongErrors& strong,
               Layers& best) {
  const std::int64_t rank = engines::layered_rank(search.problem.dim(), shape);
  for (const Arithmetic arithmetic : arithmetics(search.request)) {
    const double seconds = rank < 0 ? best.seconds : layer_seconds(search, shape, arithmetic);
    if (seconds >= best.seconds) {
      continue;
    }
    const auto rounding = arithmetic == Arithmetic::float32
                              ? engines::rounding_model<float>(shape.degree + 1, rank, search.problem.n_kv())
                              : engines::rounding_model<double>(shape.degree + 1, rank, search.problem.n_kv());
    const std::vector<double> bounds =
        layer_bounds(tried.sample, tried.rows, tried.values, strong, shape.degree,
                     tried.tables[base::usize(shape.first_degree)], rounding, search.request.output);
    Layers here{shape, arithmetic, seconds, 0.0, 0.0};
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      const bool fails = !(bounds[i] <= kPredictionMargin * search.tolerance);
      here.failing += fails ? tried.sample.share[i] : 0.0;
      here.bound = std::max(here.bound, fails ? 0.0 : bounds[i]);
    }
    here.seconds += here.failing * search.exact_seconds;
    if (here.failing < 0.5 && here.seconds < best.seconds) {
      best = here;
    }
  }
}

/// Degrees for one number of strong coordinates; `best` is what is to be beaten.
void try_strong(const Search& search, const LayerSample& sample, const LayerAnswers& answers,
                const engines::ValueRange& values, std::int64_t strong, Layers& best) {
  engines::LayerShape shape{strong, 0, 0};
  int highest = -1;
  while (highest < kHighestDegree && shape.degree <= kHighestDegree &&
         layer_seconds(search, shape, Arithmetic::float32) < best.seconds) {
    highest = shape.degree++;
  }
  if (highest < 0) {
    return;
  }
  Tried tried{sample, values, layer_rows(sample, answers, strong, highest), {}};
  double radius = 0.0;
  for (const LayerRow& row : tried.rows) {
    radius = std::max(radius, row.radius);
  }
  if (!(radius < kMaxRadius) || !(radius > 0.0)) {
    return;
  }
  ErrorSeries series(radius, highest);
  for (shape.degree = 0; shape.degree <= highest; ++shape.degree) {
    tried.tables.push_back(series.table(shape.degree));
    const StrongErrors errors = strong_errors(tried.rows, tried.tables.back());
    for (shape.first_degree = 0; shape.first_degree <= std::min(shape.degree, kHighestFirst); ++shape.first_degree) {
      try_shape(search, tried, shape, errors, best);
    }
  }
}

/// Where features in layers are offered at all.
bool may_layer(const engines::HeadProblem& problem, const Request& request) {
  return request.engine == Engine::automatic && request.guarantee == Guarantee::certified && !request.degree &&
         !request.want_row_max && !request.want_lse && !request.lse_tolerance && !request.density_tolerance &&
         problem.non_finite == NonFinite::error && request.tolerance.value > 0.0 && !problem.mask.causal &&
         engines::supports_polynomial(problem) && problem.dim() >= 3 && problem.dim() <= 256 && problem.n_q() > 0 &&
         problem.n_kv() > 0 && problem.value_dim() > 0;
}

double layer_bytes(const engines::HeadProblem& problem, const Layers& layers) {
  PolynomialSize size{engines::layered_rank(problem.dim(), layers.shape), layers.shape.degree};
  size.layered = true;
  return static_cast<double>(polynomial_bytes(problem, size, layers.arithmetic, 1)) +
         8.0 * static_cast<double>((problem.n_q() + problem.n_kv()) * problem.dim());
}

std::string describe(const engines::LayerShape& shape, std::int64_t dim) {
  return "degree " + std::to_string(shape.degree) + " in " + std::to_string(shape.strong) + " of " +
         std::to_string(dim) + " balanced directions, the others to first order with degree " +
         std::to_string(shape.first_degree);
}

void take(const Search& search, const Layers& found, engines::HeadMaps maps, double threads, HeadDecision& decision) {
  const engines::HeadProblem& problem = search.problem;
  HeadPlan& plan = decision.plan;
  const std::string shape = describe(found.shape, problem.dim());
  Candidate candidate;
  candidate.arithmetic = found.arithmetic;
  candidate.degree = found.shape.degree;
  candidate.rank = engines::layered_rank(problem.dim(), found.shape);
  candidate.seconds = found.seconds / threads;
  candidate.bytes = layer_bytes(problem, found);
  candidate.predicted_bound = found.bound;
  candidate.fallback_share = found.failing;
  candidate.reason =
      shape + "; expected to certify " + base::text(std::round(1000.0 * (1.0 - found.failing)) / 10.0) + " % of rows";
  plan.tolerance = search.tolerance;
  candidate.engine = Engine::polynomial;
  choose(plan, std::move(candidate), "layers of features", "by " + shape);
  decision.layers = std::make_shared<const LayerChoice>(LayerChoice{std::move(maps), found.shape});
}

/// Frame and values of the head with all its keys, wherever they are by now. Null: to be measured.
struct Known {
  const engines::Frame* frame = nullptr;
  const engines::ValueRange* values = nullptr;
};

Known known_of(std::optional<HeadFacts>& facts, const HeadDecision& decision) {
  if (decision.polynomial != nullptr) {
    const engines::Frame& frame = decision.polynomial->frame;
    const bool all = frame.far.mass.empty() && frame.log_weight.size() != 0;
    return all ? Known{&frame, &decision.polynomial->values} : Known{};
  }
  if (!facts) {
    return {};
  }
  facts->restore();
  return {&facts->frame, &facts->values};
}

/// What the plan says of the inputs, where nothing was measured before.
void set_statistics(const HeadFacts& facts, HeadPlan& plan) {
  plan.statistics_known = true;
  plan.statistics.visible_keys = facts.frame.visible_keys;
  plan.statistics.max_abs_query = facts.extent.max_abs;
  plan.statistics.max_abs_key = facts.frame.max_abs_key;
  plan.statistics.max_abs_value = facts.values.max_abs;
  plan.statistics.value_range = facts.values.range();
  plan.statistics.radius_before = facts.frame.radius_before;
  plan.statistics.radius_after = facts.frame.radius;
}

/// Best layers for a head; seconds stay those given where none are better.
Layers search_layers(const Search& search, const LayerSample& sample, const engines::ValueRange& values,
                     double seconds) {
  Layers best;
  best.seconds = seconds;
  const LayerAnswers answers = layer_answers(sample, values);
  for (const std::int64_t strong : kStrong) {
    if (strong < search.problem.dim()) {
      try_strong(search, sample, answers, values, strong, best);
    }
  }
  return best;
}

}  // namespace

void try_layers(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                std::optional<HeadFacts>& facts, bool settle, HeadDecision& decision) {
  const double threads = std::max(1, context.threads);
  const double before = decision.plan.predicted_seconds * threads;
  if (!may_layer(problem, request) || before < kWorthwhile) {
    return;
  }
  Search search{problem, request, CostModel(request.calibration, 1), decision.plan.exact_seconds * threads, 0.0};
  Known known = known_of(facts, decision);
  const auto dim = static_cast<double>(problem.dim());
  const double looking = (known.frame != nullptr ? 0.0 : search.cost.search_seconds(problem)) +
                         (kBalance * dim + kSampling) * dim * dim + kTries;
  const double bytes = static_cast<double>((problem.n_q() + problem.n_kv()) * problem.dim()) * 8.0;
  if (looking > kSearchShare * before || bytes > 0.25 * static_cast<double>(context.memory->limit()) ||
      layer_seconds(search, {1, 1, 0}, Arithmetic::float32) + looking >= kGain * before) {
    return;
  }
  std::optional<HeadFacts> seen;
  if (known.frame == nullptr) {
    seen = look(problem, context, nullptr);
    known = {&seen->frame, &seen->values};
  }
  search.tolerance = absolute_tolerance(request.tolerance, known.values->range());
  if (!(search.tolerance > 0.0) || known.frame->visible_keys == 0 || !std::isfinite(known.frame->radius)) {
    return;
  }
  std::optional<LayerSample> sample = draw_layer_sample(problem, *known.frame, *known.values);
  if (!sample) {
    return;
  }
  const double to_beat = kGain * before - looking;
  const Layers best = search_layers(search, *sample, *known.values, to_beat);
  if (!(best.seconds < to_beat) || layer_bytes(problem, best) > static_cast<double>(context.memory->limit())) {
    return;
  }
  take(search, best, std::move(sample->maps), threads, decision);
  if (seen && !decision.plan.statistics_known) {
    set_statistics(*seen, decision.plan);
  }
  HeadFacts* source = seen ? &*seen : (known.frame == (facts ? &facts->frame : nullptr) ? &*facts : nullptr);
  if (settle && source != nullptr) {
    auto choice = std::make_shared<PolynomialChoice>();
    choice->frame = std::move(source->frame);
    choice->values = std::move(source->values);
    choice->arithmetic = best.arithmetic;
    decision.polynomial = std::move(choice);
  }
}

}  // namespace polyattn::planning
