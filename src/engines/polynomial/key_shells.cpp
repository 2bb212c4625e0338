#include "engines/polynomial/key_shells.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

namespace polyattn::engines {
namespace {

using base::usize;

constexpr std::int64_t kRows = 4096;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
/// Shells reach this many octaves of the norm below the farthest key; all nearer keys are one shell.
constexpr std::uint64_t kOctaves = 8;
/// Entries of a row's table of charges.
constexpr std::size_t kCharges = 1024;

/// Four steps an octave of the square: its exponent and the first two bits of its mantissa. Monotone.
std::uint64_t step_of(double square) noexcept { return std::bit_cast<std::uint64_t>(square) >> 50; }

/// A shell while keys are added: its mass is exp(largest) total.
struct OpenShell {
  KeyShell shell;
  double largest = -kInfinity;
  double total = 0.0;

  void add_mass(double log_weight, double mass) noexcept {
    if (log_weight > largest) {
      total = total * std::exp(largest - log_weight) + mass;
      largest = log_weight;
    } else if (log_weight > -kInfinity) {
      total += mass * std::exp(log_weight - largest);
    }
  }
};

void join(OpenShell& into, const OpenShell& part) {
  if (into.shell.half.empty()) {
    into = part;
    return;
  }
  into.add_mass(part.largest, part.total);
  for (std::size_t l = 0; l < part.shell.half.size(); ++l) {
    into.shell.half[l] = std::max(into.shell.half[l], part.shell.half[l]);
  }
  if (part.shell.square > into.shell.square) {
    into.shell.square = part.shell.square;
    into.shell.farthest = part.shell.farthest;
  }
}

/// Squares of the norms of keys [first, first + count), and their shells from step `lowest` on.
std::map<std::uint64_t, OpenShell> open_shells(const Frame& frame, const double* rows, std::int64_t first,
                                               std::int64_t count, const double* square, std::uint64_t lowest) {
  const std::size_t dim = usize(frame.dim());
  std::map<std::uint64_t, OpenShell> shells;
  for (std::int64_t r = 0; r < count; ++r) {
    if (square[r] < 0.0) {
      continue;
    }
    OpenShell& open = shells[std::max(step_of(square[r]), lowest)];
    open.shell.half.resize(dim, 0.0);
    for (std::size_t l = 0; l < dim; ++l) {
      open.shell.half[l] = std::max(open.shell.half[l], std::fabs(rows[usize(r) * dim + l] - frame.key_centre[l]));
    }
    if (square[r] >= open.shell.square) {
      open.shell.square = square[r];
      open.shell.farthest = first + r;
    }
    open.add_mass(frame.log_weight[usize(first + r)] - frame.log_scale, 1.0);
  }
  return shells;
}

}  // namespace

KeyShells key_shells(const HeadProblem& problem, const Frame& frame, const base::Context& context) {
  const std::size_t dim = usize(frame.dim());
  const std::int64_t n = problem.n_kv();
  const std::int64_t blocks = base::blocks_of(n, kRows);
  KeyShells out;
  out.square = base::Buffer<double>(n, context.memory);
  const auto load = [&](std::int64_t block, std::vector<double>& rows) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, n - first);
    rows.resize(usize(count) * dim);
    base::load_rows(problem.keys, first, count, rows.data(), frame.dim());
    return std::pair{first, count};
  };
  std::vector<double> largest(usize(blocks), 0.0);
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    std::vector<double> rows;
    const auto [first, count] = load(block, rows);
    for (std::int64_t r = 0; r < count; ++r) {
      double& square = out.square[usize(first + r)];
      square = frame.log_weight[usize(first + r)] == -kInfinity
                   ? -1.0
                   : centred_square(frame.metric, rows.data() + usize(r) * dim, frame.key_centre);
      largest[usize(block)] = std::max(largest[usize(block)], square);
    }
  });
  const double farthest = largest.empty() ? 0.0 : *std::max_element(largest.begin(), largest.end());
  const std::uint64_t top = step_of(farthest);
  const std::uint64_t lowest = top - std::min(top, 8 * kOctaves);
  std::vector<std::map<std::uint64_t, OpenShell>> parts(usize(blocks));
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    std::vector<double> rows;
    const auto [first, count] = load(block, rows);
    parts[usize(block)] = open_shells(frame, rows.data(), first, count, out.square.data() + first, lowest);
  });
  std::map<std::uint64_t, OpenShell> all;
  for (const auto& part : parts) {
    for (const auto& [step, open] : part) {
      join(all[step], open);
    }
  }
  // Log weights are off by weight_error; sums of n exponentials, rescaled at most once a block and a key, by far less
  // than the 1e-6 added.
  for (auto& [step, open] : all) {
    KeyShell& shell = open.shell;
    shell.norm = metric_norm(shell.square, dim);
    shell.log_mass = open.largest + std::log(open.total) + frame.weight_error + 1e-6;
    out.shells.push_back(std::move(shell));
  }
  return out;
}

double far_mass(const KeyShells& keys, std::size_t first, double norm) noexcept {
  double mass = 0.0;  // with more than an exponential loses by underflow
  for (std::size_t b = first; b < keys.shells.size(); ++b) {
    mass += std::exp(keys.shells[b].log_mass + norm * keys.shells[b].norm * (1.0 + 1e-6) + 1e-9) + 0x1p-1000;
  }
  return mass * (1.0 + 1e-12);
}

void leave_out(Frame& frame, const QueryExtent& extent, const KeyShells& keys, std::size_t first) {
  KeyExtent kept;
  kept.half.assign(usize(frame.dim()), 0.0);
  frame.far_keys.clear();
  for (std::size_t b = 0; b < first; ++b) {
    const KeyShell& shell = keys.shells[b];
    kept.norm = std::max(kept.norm, shell.norm);
    for (std::size_t l = 0; l < kept.half.size(); ++l) {
      kept.half[l] = std::max(kept.half[l], shell.half[l]);
    }
    if (b + kFarKeys >= first) {
      frame.far_keys.push_back(shell.farthest);
    }
  }
  set_key_extent(frame, extent, kept);
  frame.cut_square = first < keys.shells.size() ? keys.shells[first - 1].square : kInfinity;
  frame.far = FarCharge{};
  if (first < keys.shells.size()) {
    frame.far.step = extent.norm * (1.0 + 1e-4) / static_cast<double>(kCharges - 2);
    for (std::size_t i = 0; i < kCharges; ++i) {
      frame.far.mass.push_back(far_mass(keys, first, static_cast<double>(i) * frame.far.step * (1.0 + 1e-12)));
    }
  }
}

void hide_far_keys(Frame& frame, const KeyShells& keys) noexcept {
  for (std::size_t j = 0; j < keys.square.size(); ++j) {
    if (keys.square[j] > frame.cut_square) {
      frame.log_weight[j] = -kInfinity;
    }
  }
}

}  // namespace polyattn::engines
