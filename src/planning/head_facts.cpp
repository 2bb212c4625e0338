// What planning measures of a head whatever the tolerance is: once for all of a sweep.

#include "planning/planner.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace polyattn::planning {

namespace {

/// What tolerances on denominators leave the log-sum-exp of each row.
void ask_of_denominators(const Request& request, Sample& sample) {
  for (SampledRow& row : sample.rows) {
    if (request.lse_tolerance) {
      row.lse_allowed = *request.lse_tolerance;
    }
    if (request.density_tolerance) {
      const double relative =
          *request.density_tolerance / (request.density_absolute ? std::exp(row.lse) : 1.0);  // of D, on either side
      row.lse_allowed = std::min(row.lse_allowed, std::log1p(relative));
    }
  }
}

}  // namespace

void HeadFacts::restore() {
  engines::set_key_extent(frame, extent, keys);
  frame.far_keys = far_keys;
  frame.cut_square = std::numeric_limits<double>::infinity();
  frame.far = engines::FarCharge{};
}

HeadFacts look(const engines::HeadProblem& problem, const base::Context& context, const Domain* domain) {
  HeadFacts facts;
  facts.extent = domain != nullptr ? domain->extent : engines::query_extent(problem, context);
  facts.frame = engines::make_frame(problem, facts.extent, context);
  facts.values = value_range(problem, facts.frame.log_weight.data(), facts.frame.log_scale, context);
  facts.keys = {facts.frame.key_half, facts.frame.key_norm};
  facts.far_keys = facts.frame.far_keys;
  return facts;
}

engines::KeyShells Planner::measured_shells(const engines::Frame& frame) {
  if (!known->kept) {
    return engines::key_shells(problem, frame, context);
  }
  if (!known->shells) {
    known->shells = engines::key_shells(problem, frame, context);
  }
  engines::KeyShells copy;
  copy.shells = known->shells->shells;
  copy.square = base::Buffer<double>(static_cast<std::int64_t>(known->shells->square.size()), context.memory);
  std::copy(known->shells->square.begin(), known->shells->square.end(), copy.square.begin());
  return copy;
}

Sample Planner::drawn_sample(const engines::Frame& frame, const engines::ValueRange& values, const Reach& reach) {
  if (!shells.shells.empty() || reach.share != 1.0 || frame.outlying != nullptr) {
    Sample sample = draw_sample(problem, frame, values, reach.share, context);
    ask_of_denominators(request, sample);
    return sample;
  }
  if (!known->sample) {
    known->sample = draw_sample(problem, frame, values, reach.share, context);
    ask_of_denominators(request, *known->sample);
  }
  return *known->sample;
}

}  // namespace polyattn::planning
