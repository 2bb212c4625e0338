#include "engines/grid/field.hpp"

#include "simd/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace polyattn::engines::grid {

namespace {

using base::usize;

/// The most a pass takes off an exponent, whatever the kernel loses: what 2^kMostLoss makes of the least number that is
/// charged for a kernel is still below 1.
constexpr std::int64_t kMostLoss = 900;

/// Tensors of fewer numbers together lie in the second cache, in whichever order they are gone through.
constexpr std::int64_t kOrdered = std::int64_t{1} << 18;

/// [channel][I][(J, rest)] -> [channel][J][(rest, I)].
void turn(const double* from, std::int64_t channels, std::int64_t leading, std::int64_t second, std::int64_t rest,
          std::int64_t width_from, std::int64_t width_to, double* to) noexcept {
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < leading; ++i) {
      const double* row = from + (c * leading + i) * width_from;
      for (std::int64_t j = 0; j < second; ++j) {
        double* out = to + (c * second + j) * width_to + i;
        for (std::int64_t r = 0; r < rest; ++r) {
          out[r * leading] = row[j * rest + r];
        }
      }
    }
  }
}

/// What a thread needs to make one target.
struct Workspace {
  std::vector<const double*> sources;
  std::vector<const double*> matrices;
  std::vector<double> scaled;
  std::vector<double> made;
};

}  // namespace

Field shape_field(std::int64_t channels, std::vector<std::int64_t> nodes) {
  Field field;
  field.channels = channels;
  field.nodes = std::move(nodes);
  field.row = tensor_width(field.nodes, 0);
  field.step = channels * field.nodes.front() * field.row;
  return field;
}

Field make_field(std::int64_t cells, std::int64_t channels, std::vector<std::int64_t> nodes,
                 base::MemoryMeter* memory) {
  Field field = shape_field(channels, std::move(nodes));
  field.data = base::Buffer<double>(base::checked_mul(cells, field.size(), "memory"), 0.0, memory);
  return field;
}

std::vector<std::int64_t> pass_exponents(const PassCells& cells, const Axis& axis,
                                         const std::vector<std::int64_t>& before) {
  if (before.empty()) {
    return {};
  }
  std::vector<std::int64_t> out(cells.targets.size(), kNothing);
  const std::int64_t row = 2 * axis.far_band + 1;
  for (std::size_t t = 0; t < out.size(); ++t) {
    for (std::int64_t o = -axis.far_band; o <= axis.far_band; ++o) {
      const std::int32_t source = cells.sources[t * usize(row) + usize(o + axis.far_band)];
      if (source >= 0 && before[usize(source)] != kNothing) {
        const double gap = static_cast<double>(std::max<std::int64_t>(std::abs(o) - 1, 0)) * axis.side;
        const double loss = std::min(gap * gap * 1.4426950408889634, static_cast<double>(kMostLoss));
        out[t] = std::max(out[t], before[usize(source)] - static_cast<std::int64_t>(loss));
      }
    }
  }
  return out;
}

Field run_pass(std::span<const PassInput> inputs, const PassCells& cells, const Axis& axis,
               std::vector<std::int64_t> exponents, const base::Context& context, base::Buffer<double> storage) {
  const Field& first = *inputs.front().field;
  const std::int64_t nodes = first.nodes.front();
  const std::int64_t width = first.width();
  std::vector<std::int64_t> turned(first.nodes.begin() + 1, first.nodes.end());
  turned.push_back(nodes);
  Field out = shape_field(first.channels, turned);
  out.exponents = std::move(exponents);
  const auto targets = static_cast<std::int64_t>(cells.targets.size());
  const std::int64_t numbers = base::checked_mul(targets, out.size(), "memory");
  out.data = static_cast<std::int64_t>(storage.size()) >= numbers ? std::move(storage)
                                                                  : base::Buffer<double>(numbers, context.memory);
  std::int64_t rest = 1;
  for (std::size_t l = 2; l < first.nodes.size(); ++l) {
    rest *= first.nodes[l];
  }
  std::vector<Workspace> spaces(usize(std::max(context.threads, 1)));
  const std::int64_t row = 2 * axis.far_band + 1;
  const simd::GridKernels& kernels = simd::kernels().grid;
  const bool ordered = numbers >= kOrdered && !cells.order.empty();
  base::parallel_for(context, base::blocks_of(targets, 8), [&](std::int64_t block, int thread) {
    Workspace& space = spaces[usize(thread)];
    space.made.resize(usize(first.size()));
    for (std::int64_t item = block * 8; item < std::min(targets, block * 8 + 8); ++item) {
      const std::int64_t t = ordered ? cells.order[usize(item)] : item;
      space.sources.clear();
      space.matrices.clear();
      space.scaled.resize(inputs.size() * usize(row * nodes * nodes));
      double* scaled = space.scaled.data();
      for (const PassInput& input : inputs) {
        const std::int64_t band = input.matrices->band;
        for (std::int64_t o = -band; o <= band; ++o) {
          const std::int32_t source = cells.sources[usize(t * row + o + axis.far_band)];
          if (source < 0) {
            continue;
          }
          const double* matrix = input.matrices->blocks.data() + (o + band) * nodes * nodes;
          if (!out.exponents.empty()) {
            const std::int64_t from = input.field->exponents[usize(source)];
            if (from == kNothing || out.exponents[usize(t)] == kNothing) {
              continue;
            }
            const std::int64_t shift = from - out.exponents[usize(t)];  // at most kMostLoss
            if (shift != 0) {
              const double factor = std::ldexp(1.0, static_cast<int>(std::max<std::int64_t>(shift, -1100)));
              std::transform(matrix, matrix + nodes * nodes, scaled, [&](double k) { return k * factor; });
              matrix = scaled;
              scaled += nodes * nodes;
            }
          }
          space.sources.push_back(input.field->tensor(source));
          space.matrices.push_back(matrix);
        }
      }
      kernels.pass({space.sources.data(), space.matrices.data(), static_cast<std::ptrdiff_t>(space.sources.size()),
                    nodes, first.channels, width, space.made.data()});
      double* tensor = out.tensor(t);
      if (rest * nodes < out.width()) {
        std::fill(tensor, tensor + out.size(), 0.0);
      }
      turn(space.made.data(), first.channels, nodes, turned.front(), rest, width, out.width(), tensor);
    }
  });
  return out;
}

}  // namespace polyattn::engines::grid
