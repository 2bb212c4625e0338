#include "lab/gap_maxip.hpp"

#include "polyattn/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::lab {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorCode::invalid_argument, "Gap-MaxIP: " + what); }

double pairs_of(const GapMaxIp& instance) {
  return static_cast<double>(instance.counts[1]) * static_cast<double>(instance.counts[2]);
}

/// The cube root of beta, no smaller, as float32 holds it: every statement is about "beta at least".
float entry_for(double beta) {
  auto entry = static_cast<float>(std::cbrt(beta));
  while (std::pow(static_cast<double>(entry), 3) < beta) {
    entry = std::nextafter(entry, std::numeric_limits<float>::infinity());
  }
  return entry;
}

/// [vector, tail, ..., tail], times the entry.
std::function<void(std::int64_t, std::span<float>)> extended(
    const std::function<void(std::int64_t, std::span<float>)>& vector, std::int64_t dimension, float entry, bool tail) {
  return [vector, dimension, entry, tail](std::int64_t index, std::span<float> out) {
    const auto split = static_cast<std::size_t>(dimension);
    vector(index, out.first(split));
    for (float& number : out.first(split)) number *= entry;
    std::ranges::fill(out.subspan(split), tail ? entry : 0.0F);
  };
}

std::vector<float> pad_key(std::int64_t dimension, std::int64_t ones, float entry) {
  std::vector<float> key(static_cast<std::size_t>(dimension), 0.0F);
  key.resize(static_cast<std::size_t>(dimension + ones), entry);
  return key;
}

}  // namespace

GapMaxIp gap_maxip(const std::array<BitVectors, 3>& sets, std::int64_t threshold, double gap) {
  if (threshold < 1) refuse("expected a threshold of at least 1, got " + std::to_string(threshold));
  if (!(gap > 0.0 && gap <= 1.0)) refuse("expected a gap in (0, 1], got " + std::to_string(gap));
  GapMaxIp instance;
  instance.dimension = sets[0].dimension();
  instance.threshold = threshold;
  instance.gap = gap;
  for (std::size_t s = 0; s < 3; ++s) {
    const BitVectors& set = sets[s];
    if (set.dimension() != instance.dimension) {
      refuse("expected " + std::to_string(instance.dimension) + " dimensions in every set, got " +
             std::to_string(set.dimension()));
    }
    instance.counts[s] = set.count();
    instance.vector[s] = [&set](std::int64_t i, std::span<float> out) {
      for (std::size_t l = 0; l < out.size(); ++l) out[l] = set.get(i, static_cast<std::int64_t>(l)) ? 1.0F : 0.0F;
    };
  }
  return instance;
}

double least_beta(const GapMaxIp& instance, Shape shape) {
  const auto d = static_cast<double>(instance.dimension);
  const auto t = static_cast<double>(instance.threshold);
  // 1e-9 more than the statement asks for, so that roundings here and in the scale stay inside it.
  const double rounded_up = 1.0 + 1e-9;
  if (shape == Shape::paper) return 2.0 * d * std::log(12.0 * pairs_of(instance)) / (instance.gap * t) * rounded_up;
  return (d + t) * std::log(5.0 * pairs_of(instance)) / (instance.gap * t) * rounded_up;
}

PaperRange paper_range(const GapMaxIp& instance) {
  const double beta = std::pow(static_cast<double>(entry_for(least_beta(instance, Shape::paper))), 3);
  const double share = static_cast<double>(instance.threshold) / static_cast<double>(instance.dimension);
  return {beta, 0.5 * beta * (share - 1.0) - std::log(12.0 * pairs_of(instance))};
}

namespace {

/// What tells yes from no. Throws Error (not_reachable) where float64 cannot hold it.
Decision decision_of(const GapMaxIp& instance, Shape shape) {
  if (shape != Shape::paper) return {.low = 1.0 / 6.0, .high = 1.0 / 2.4, .threshold = 7.0 / 24.0};
  const PaperRange range = paper_range(instance);
  if (!(std::fabs(range.log_threshold) <= largest_exponent)) {
    throw Error(ErrorCode::not_reachable,
                "oracle: in the paper's shape averages about exp(" + std::to_string(range.log_threshold) +
                    ") would have to be told apart, float64 ends at exp(-" +
                    std::to_string(static_cast<int>(largest_exponent)) +
                    "); d/t is too large, the pad at the threshold needs no more than constant accuracy");
  }
  const double unit = std::exp(range.log_threshold);
  return {.low = unit, .high = 3.0 * unit, .threshold = 2.0 * unit, .relative = true};
}

}  // namespace

TripleAttention maxip_attention(const GapMaxIp& instance, Shape shape) {
  if (instance.counts[1] == 0 || instance.counts[2] == 0) refuse("expected vectors in every set, got an empty one");
  const bool paper = shape == Shape::paper;
  const std::int64_t d = instance.dimension;
  if (paper && d < 1) refuse("expected at least one dimension for the paper's shape, got 0");
  const std::int64_t ones = paper ? d : instance.threshold;
  const float entry = entry_for(least_beta(instance, shape));
  TripleAttention problem;
  problem.decision = decision_of(instance, shape);
  problem.rows = instance.counts[0];
  problem.real = {instance.counts[1], instance.counts[2]};
  problem.pads = paper ? problem.real : std::array<std::int64_t, 2>{1, 1};
  problem.dim = d + ones;
  problem.scale = 1.0 / static_cast<double>(problem.dim);
  problem.query = extended(instance.vector[0], d, entry, true);
  for (std::size_t set = 0; set < 2; ++set) {
    problem.key[set] = extended(instance.vector[set + 1], d, entry, false);
  }
  problem.pad = {pad_key(d, ones, entry), pad_key(d, ones, entry)};
  return problem;
}

}  // namespace polyattn::lab
