#include "engines/polynomial/streaming/model.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"
#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

using base::usize;
using numerics::kU64;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// |row - centre| / radius as computed: coordinates are divided first, so squares neither overflow nor vanish.
double relative_norm(const StreamRegion& region, const double* row) noexcept {
  double square = 0.0;
  for (std::size_t l = 0; l < region.centre.size(); ++l) {
    const double away = (row[l] - region.centre[l]) / region.radius;
    square += away * away;
  }
  return std::sqrt(square);
}

/// Extent of a region in the metric of the scores, rounded up.
KeyExtent extent_of(const StreamRegion& region, const std::vector<double>& metric) {
  KeyExtent extent;
  double square = 0.0;
  double widest = 0.0;
  for (std::size_t l = 0; l < metric.size(); ++l) {
    const double half = region.half[l] * (1.0 + 1e-12);
    extent.half.push_back(half);
    square += std::fabs(metric[l]) * half * half;
    widest = std::max(widest, std::fabs(metric[l]));
  }
  if (std::isfinite(region.radius)) {
    square = std::min(square, widest * region.radius * region.radius);
  }
  extent.norm = metric_norm(square, metric.size());
  return extent;
}

double sum_of_magnitudes(const std::vector<double>& numbers) noexcept {
  double sum = 0.0;
  for (const double x : numbers) {
    sum += std::fabs(x);
  }
  return sum;
}

HeadProblem shape_of(const StreamDeclaration& declared) {
  HeadProblem shape;
  shape.score = declared.score;
  shape.queries.columns = static_cast<std::int64_t>(declared.keys.centre.size());
  shape.keys.columns = shape.queries.columns;
  shape.values.columns = declared.value_dim;
  return shape;
}

/// Largest sum of the absolute terms of a log weight, its bias apart.
double largest_terms(const StreamDeclaration& declared, const Frame& frame) noexcept {
  double terms = 0.0;
  for (std::size_t l = 0; l < frame.metric.size(); ++l) {
    const double key = std::fabs(declared.keys.centre[l]) + frame.key_half[l];
    const double query = std::fabs(frame.query_centre[l]);
    const double away = key + query;
    terms +=
        std::fabs(frame.metric[l]) * (declared.score.kind == ScoreKind::gaussian ? 0.5 * away * away : query * key);
  }
  return terms * (1.0 + 1e-9);
}

/// Of the declared values: the largest range of a column, bounds on |v - mu| and |v|. Not declared: shares of the
/// range.
struct DeclaredValues {
  double range = 1.0;
  double reach = 1.0;
  double largest = 0.0;
};
DeclaredValues declared_values(const StreamDeclaration& declared) noexcept {
  DeclaredValues out;
  if (declared.value_low.empty()) {
    return out;
  }
  out.range = 0.0;
  for (std::size_t c = 0; c < declared.value_low.size(); ++c) {
    out.range = std::max(out.range, declared.value_high[c] - declared.value_low[c]);
    out.largest = std::max({out.largest, std::fabs(declared.value_low[c]), std::fabs(declared.value_high[c])});
  }
  out.range = out.range * (1.0 + 1e-15) + 8.0 * kU64 * out.largest;
  out.reach = 0.5 * out.range + 4.0 * kU64 * out.largest;
  return out;
}

/// Over the polynomials of one radius: the largest P_abs and what underflow may cost, as certify_row counts it.
struct LadderStep {
  double absolute = 0.0;
  double tiny = 0.0;
};
LadderStep ladder_step(const Frame& frame, const PolynomialTable& table, std::size_t step,
                       const RoundingModel& rounding, double rank, double weight, double key_count) noexcept {
  const double z_sum = sum_of_magnitudes(frame.z);
  LadderStep out;
  for (const TableEntry& entry : table.entries[step]) {
    double absolute = 0.0;
    double tiny = 0.0;
    double power = 1.0;
    double z_power = 1.0;
    for (const double c : entry.coefficients) {
      absolute += std::fabs(c) * power;
      tiny += std::fabs(c) * (z_power * (2.0 * table.degree * weight + 2.0 * key_count) + 3.0 * rank);
      power *= table.radii[step];
      z_power *= z_sum;
    }
    out.absolute = std::max(out.absolute, absolute);
    out.tiny = std::max(out.tiny, tiny * rounding.smallest);
  }
  return out;
}

}  // namespace

bool StreamRegion::contains(const double* row) const noexcept {
  bool inside = true;
  for (std::size_t l = 0; l < centre.size(); ++l) {
    inside = inside && std::fabs(row[l] - centre[l]) <= half[l];
  }
  return inside && (!std::isfinite(radius) || radius == 0.0 || relative_norm(*this, row) <= 1.0);
}

StreamRegion::Complaint StreamRegion::complaint(const double* row) const {
  for (std::size_t l = 0; l < centre.size(); ++l) {
    if (!(std::fabs(row[l] - centre[l]) <= half[l])) {
      return {"coordinate " + std::to_string(l) + " within " + base::text(half[l]) + " of " + base::text(centre[l]) +
                  ", as declared",
              base::text(row[l])};
    }
  }
  if (!contains(row)) {
    return {"a distance of at most " + base::text(radius) + " from the centre, as declared",
            base::text(relative_norm(*this, row)) + " times as much"};
  }
  return {};
}

Frame stream_frame(const StreamDeclaration& declared) {
  Frame frame;
  frame.metric = metric_of(shape_of(declared));
  frame.query_centre = declared.queries.centre;
  frame.key_centre = declared.keys.centre;
  const KeyExtent queries = extent_of(declared.queries, frame.metric);
  frame.query_half = queries.half;
  QueryExtent extent;
  extent.half = queries.half;
  extent.norm = queries.norm;
  set_key_extent(frame, extent, extent_of(declared.keys, frame.metric));
  if (!(frame.radius <= numerics::kMaxRadius)) {
    frame.radius = kInfinity;
  }
  return frame;
}

StreamModel make_stream_model(const StreamDeclaration& declared, int degree) {
  StreamModel model;
  model.declared = declared;
  model.shape = shape_of(declared);
  model.frame = stream_frame(declared);
  model.features = numerics::monomials(static_cast<int>(model.dim()), degree);
  model.padded = base::round_up_to(model.rank(), simd::kStreamingLanes);
  model.weights.resize(usize(model.rank()));
  numerics::multinomial_weights(model.features, model.frame.z.data(), model.weights.data());
  model.last.assign(usize(degree > 0 ? model.features.offsets[usize(degree)] : 0), 0);
  std::vector<std::ptrdiff_t> next(model.features.offsets.begin(), model.features.offsets.end() - 1);
  for (const numerics::MonomialStep& step : model.features.steps) {
    const std::ptrdiff_t feature = next[step.degree]++;
    if (step.degree < degree) {
      model.last[usize(feature)] = step.variable;
    }
  }
  model.table = make_table(model.frame.radius, degree);
  return model;
}

RoundingModel stream_rounding(const Frame& frame, int degree, std::int64_t rank, double additions, double terms,
                              double weight) noexcept {
  RoundingModel model;
  model.unit = kU64;
  const auto g = static_cast<double>(degree);
  // Roundings a term passes: g - 1 products for each monomial, the centred value, its weighing and their product; the
  // compensated sum and the sum of its two parts; 3 g for the multinomial weight, its product, the coefficient, the sum
  // over degrees; a chain and the tree of the read. 8 spare.
  const double chain = std::ceil(static_cast<double>(rank) / static_cast<double>(simd::kStreamingChains)) + 1.0;
  const double steps = 6.0 * g + chain + 24.0;
  const double summed = numerics::gamma(additions + 2.0, kU64);
  model.gamma = numerics::inflate((1.0 + numerics::gamma(steps, kU64)) * (1.0 + summed * summed) - 1.0 + 4.0 * kU64, 4);
  // Every underflow costs at most this share more than certify_row counts (theory, section on streams).
  const double growth = std::pow(std::max(1.0, sum_of_magnitudes(frame.z)), g) * std::tgamma(g + 1.0) * (1.0 + 1e-9);
  model.smallest = 0x1p-1074 * std::ceil((2.0 + g * g * growth) * std::max(1.0, weight) * (1.0 + 1e-9));
  model.lost = model.smallest;
  model.score = 2.01 * kU64 + 10.0 * kU64;
  model.weight = (1.01 + 1000.0) * kU64 + (static_cast<double>(frame.dim()) + 16.0) * kU64 * terms * (1.0 + 1e-9);
  return model;
}

double stream_bound(const StreamDeclaration& declared, const Frame& frame, const PolynomialTable& table,
                    std::int64_t rank, const StreamPromise& promise) noexcept {
  const DeclaredValues values = declared_values(declared);
  const double weight = std::max(1.0, promise.additions) * 1.01;
  const double terms = promise.bias + largest_terms(declared, frame);
  const RoundingModel rounding = stream_rounding(frame, table.degree, rank, promise.additions, terms, weight);
  const double key_count = 2.0 * promise.additions + 2.0;
  double worst = 0.0;
  for (std::size_t k = 0; k < table.radii.size(); ++k) {
    const double radius = table.radii[k];
    const LadderStep step = ladder_step(frame, table, k, rounding, static_cast<double>(rank), weight, key_count);
    // Everything relative to W >= 1/4, the lower bound of D to W exp(-radius).
    const double gamma = rounding.gamma + 8.0 * step.tiny;
    if (!(gamma * (1.0 + radius) < 1e-3)) {
      return kInfinity;
    }
    const double growth = std::exp(radius) * (1.0 + 16.0 * gamma * (1.0 + radius)) * (1.0 + 1e-9);
    const double error = table.entries[k].front().uniform * growth;
    const double rounded = gamma * (step.absolute + 1.0) * growth;
    if (!(error + rounded < 1.0)) {
      return kInfinity;
    }
    const double tiny = 8.0 * step.tiny * growth;  // in units of the values, however small they are
    const double away = (error * values.range + rounded * 2.0 * values.reach + tiny) / (1.0 - error - rounded);
    const double lost = 4.0 * key_count * rounding.smallest * std::exp(radius) * growth;
    const double perturbed = numerics::perturbation(rounding.score * radius + rounding.weight);
    worst = std::max(worst, error * (values.range + away) + 2.0 * rounded * (values.reach + away) + tiny +
                                values.range * (perturbed + lost));
  }
  double stored = 8.0 * kU64 * values.largest;
  if (declared.single_output) {
    stored += numerics::kU32 * values.largest + 0x1p-149;
  }
  return (worst + stored) * (1.0 + 1e-8);
}

void expand_features(const StreamModel& model, const double* x, double* out) noexcept {
  const std::int64_t dim = model.dim();
  const std::ptrdiff_t* offsets = model.features.offsets.data();
  out[0] = 1.0;
  std::ptrdiff_t next = 1;
  for (int t = 1; t <= model.features.degree; ++t) {
    // Children of one parent differ in their last variable and follow each other; so do those of the next parent.
    for (std::ptrdiff_t parent = offsets[t - 1]; parent < offsets[t]; ++parent) {
      const double value = out[parent];
      const std::int64_t first = model.last[usize(parent)];
      double* children = out + next - first;
      for (std::int64_t l = first; l < dim; ++l) {
        children[l] = value * x[l];
      }
      next += dim - first;
    }
  }
}

}  // namespace polyattn::engines
