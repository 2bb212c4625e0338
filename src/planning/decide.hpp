#pragma once

/// The planner: for one head the cheapest engine and arithmetic whose certificate is expected to meet the tolerance.

#include "base/parallel.hpp"
#include "engines/polynomial/evaluate.hpp"
#include "engines/polynomial/frame.hpp"
#include "engines/polynomial/layers.hpp"
#include "engines/polynomial/table.hpp"
#include "planning/request.hpp"
#include "polyattn/report.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace polyattn::planning {

/// All the polynomial engine needs that was fixed by planning. For prepared keys one of the moments is there too.
struct PolynomialChoice {
  engines::Frame frame;
  engines::ValueRange values;
  engines::FeatureList features;
  engines::PolynomialTable table;
  Arithmetic arithmetic = Arithmetic::float32;
  std::shared_ptr<const engines::PreparedMoments<float>> moments32;
  std::shared_ptr<const engines::PreparedMoments<double>> moments64;
};

/// A degree that a sampled guarantee may try.
struct Attempt {
  int degree = 0;
  std::int64_t rank = 0;
  Arithmetic arithmetic = Arithmetic::float32;
  double error = 0.0;    ///< estimated, of all rows
  double seconds = 0.0;  ///< predicted, sample and rows left to exact included
  double refused = 0.0;  ///< expected share of those
};

/// What a head is to try until a sample accepts its answers: by rising time, the first is `polynomial` of the decision.
struct SampledChoice {
  std::vector<Attempt> attempts;
  double radius = 0.0;         ///< the polynomials are made for
  double exact_seconds = 0.0;  ///< of all rows
};

/// Part of the tolerance that an estimated error may take.
inline constexpr double kPilotMargin = 0.7;
inline constexpr int kMaxAttempts = 4;

/// Index of the cheapest attempt after `last` that is expected to meet `tolerance` if estimates are off by `factor`;
/// attempts.size() if there is none that costs less than exact.
std::size_t next_attempt(const SampledChoice& sampled, std::size_t last, double factor, double tolerance) noexcept;

struct PolynomialChoice;

/// Queries near each other, as a head of their own against all keys: about their own centre scores are smaller, and
/// more keys may be left out.
struct QueryGroup {
  std::vector<std::int64_t> rows;                       ///< of the head
  std::shared_ptr<const base::Buffer<double>> queries;  ///< [rows][dim], what `problem` reads
  engines::HeadProblem problem;
  std::shared_ptr<const PolynomialChoice> polynomial;  ///< none: exact
};

/// Features in two layers of turned coordinates, for a head without far keys left out.
struct LayerChoice {
  engines::HeadMaps maps;
  engines::LayerShape shape;
};

struct GridChoice;
struct NearChoice;

struct HeadDecision {
  HeadPlan plan;
  /// Arithmetic of the exact engine; automatic: the cheapest that meets the tolerance, decided when keys are packed.
  Arithmetic exact_arithmetic = Arithmetic::automatic;
  std::shared_ptr<const PolynomialChoice> polynomial;  ///< if the polynomial engine was chosen
  std::shared_ptr<const SampledChoice> sampled;        ///< if its answers are to be accepted by a sample
  std::vector<QueryGroup> groups{};                    ///< of the queries, if each is to have its own polynomials
  std::shared_ptr<const GridChoice> grid{};            ///< if the grid was chosen and can serve any row
  std::shared_ptr<const NearChoice> near{};            ///< the same by direct sums over the keys near each row
  std::shared_ptr<const LayerChoice> layers{};         ///< if features are in layers; not with groups
};

/// A head whose queries are known only as a domain: `problem.queries` then holds representatives.
struct Domain {
  engines::QueryExtent extent;
  double expected_queries = 0.0;
};

HeadDecision decide(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                    const Domain* domain = nullptr);

/// The same with groups of queries tried, where that may pay: in query_groups.cpp.
void try_query_groups(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                      HeadDecision& decision);
/// Without, and without features in layers.
HeadDecision decide_whole(const engines::HeadProblem& problem, const Request& request, const base::Context& context,
                          const Domain* domain);

/// The plans for several tolerances of the request's kind. What does not depend on the tolerance is measured once.
/// `reachable[i]` says whether some allowed engine may serve tolerance i; the plan is empty where none does.
struct PlanSeries {
  std::vector<HeadPlan> plans;
  std::vector<bool> reachable;
};
/// `decide(request)` gives the plan for one tolerance, and may throw Error (not_reachable).
PlanSeries decide_series(const Request& request, std::span<const double> tolerances,
                         const std::function<HeadPlan(const Request&)>& decide);
PlanSeries decide_each(const engines::HeadProblem& problem, const Request& request, std::span<const double> tolerances,
                       const base::Context& context);

/// The tolerance in the units of the values. For a range of 0 it is 0.
double absolute_tolerance(const Tolerance& tolerance, double range) noexcept;

}  // namespace polyattn::planning
