#include "support/hard_heads.hpp"

#include "engines/polynomial/key_shells.hpp"
#include "engines/polynomial/outlying_keys.hpp"
#include "numerics/exp_polynomial.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <istream>
#include <limits>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace polyattn::test {
namespace {

using base::usize;

constexpr std::array<const char*, kHeadFamilies> kNames{"split",  "spread", "outside", "chains",   "underflow", "far",
                                                        "ladder", "scales", "few",     "outlying", "layers"};

/// The radius the table is made for.
double table_radius(const HardHead& hard, const engines::Frame& frame) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double radius = frame.radius;
  if (hard.row >= 0) {
    std::vector<double> centred;
    for (std::int64_t l = 0; l < hard.head.dim; ++l) {
      centred.push_back(hard.head.q[usize(hard.row * hard.head.dim + l)] - frame.query_centre[usize(l)]);
    }
    radius = engines::row_radius(frame, centred.data()).radius;
  }
  if (hard.nudge != 0) {
    radius = std::max(0.0, std::nextafter(radius, hard.nudge > 0 ? kInfinity : -kInfinity));
  }
  radius = std::ldexp(radius, hard.octaves);
  return radius <= numerics::kMaxRadius ? radius : numerics::kMaxRadius;
}

/// Those to be summed exactly: one visible key at least stays.
std::vector<std::int64_t> farthest_keys(const HardHead& hard, const engines::Frame& frame) {
  std::vector<std::pair<double, std::int64_t>> ranked;
  for (std::int64_t j = 0; j < hard.head.n_kv && hard.apart > 0; ++j) {
    if (frame.log_weight[usize(j)] != -std::numeric_limits<double>::infinity()) {
      const double* key = hard.head.k.data() + j * hard.head.dim;
      ranked.emplace_back(-engines::centred_square(frame.metric, key, frame.key_centre), j);
    }
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::int64_t> keys;
  for (std::size_t i = 0; i + 1 < ranked.size() && i < usize(hard.apart); ++i) {
    keys.push_back(ranked[i].second);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace

const char* name_of(HeadFamily family) noexcept { return kNames[static_cast<std::size_t>(family)]; }

std::ostream& operator<<(std::ostream& out, const HeadGenome& genome) {
  out << name_of(genome.family) << ' ' << genome.seed;
  for (const std::uint64_t change : genome.changes) {
    out << ' ' << change;
  }
  return out;
}

std::optional<HeadGenome> parse_head_genome(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string family;
  if (!(words >> family)) {
    return std::nullopt;
  }
  HeadGenome genome;
  const auto* const at = std::find(kNames.begin(), kNames.end(), family);
  if (at == kNames.end() || !(words >> genome.seed)) {
    throw std::runtime_error("not a head genome: " + line);
  }
  genome.family = static_cast<HeadFamily>(at - kNames.begin());
  for (std::uint64_t next = 0; words >> next;) {
    genome.changes.push_back(next);
  }
  if (!words.eof()) {
    throw std::runtime_error("not a head genome: " + line);
  }
  return genome;
}

HardHead grown(const HeadGenome& genome) {
  HardHead hard = draw_hard_head(genome.family, genome.seed);
  for (const std::uint64_t seed : genome.changes) {
    change_hard_head(hard, seed);
  }
  return hard;
}

PolynomialSetup setup_of(const HardHead& hard) {
  const engines::HeadProblem problem = hard.head.problem();
  const base::Context context = serial_context();
  PolynomialSetup setup;
  const engines::QueryExtent extent = engines::query_extent(problem, context);
  setup.frame = engines::make_frame(problem, extent, context);
  setup.values = planning::value_range(problem, setup.frame.log_weight.data(), setup.frame.log_scale, context);
  std::vector<std::int64_t> apart = farthest_keys(hard, setup.frame);
  if (!apart.empty()) {
    setup.frame = engines::set_apart(problem, setup.frame, extent, std::move(apart), context);
  }
  if (hard.kept < 1.0 && std::isfinite(setup.frame.radius)) {
    const engines::KeyShells shells = engines::key_shells(problem, setup.frame, context);
    const auto kept = static_cast<std::size_t>(std::ceil(hard.kept * static_cast<double>(shells.shells.size())));
    engines::leave_out(setup.frame, extent, shells, std::clamp<std::size_t>(kept, 1, shells.shells.size()));
    engines::hide_far_keys(setup.frame, shells);
  }
  const std::int64_t value_dim = hard.head.value_dim;
  setup.features = hard.prefix < 0 ? engines::make_features(hard.head.dim, hard.degree, value_dim, hard.spread)
                                   : engines::make_features_with(hard.head.dim, hard.degree, value_dim, hard.spread,
                                                                 std::min(hard.prefix, hard.degree));
  setup.table = engines::make_table(table_radius(hard, setup.frame), hard.degree, hard.steps);
  return setup;
}

}  // namespace polyattn::test
