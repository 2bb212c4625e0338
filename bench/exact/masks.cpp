// What a mask costs: the same inputs with and without it, in turns. Grouped heads are compared with as many key heads
// as query heads.

#include "exact/inputs.hpp"
#include "exact/parts.hpp"
#include "support/driver.hpp"
#include "support/statistics.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::bench::exact {

namespace {

constexpr int kPairs = 21;
constexpr std::int64_t kCheckedRows = 32;
constexpr std::int64_t kLength = 4096;
constexpr std::int64_t kGroupedLength = 2048;
constexpr std::int64_t kDim = 64;
constexpr std::int64_t kWindow = 512;
constexpr double kSoftCap = 30.0;
constexpr const char* kGrouped = "exact/mask/grouped_heads/d64/n2048";

/// The data the views of a mask point to.
struct MaskData {
  std::vector<float> bias;
  std::vector<std::uint8_t> boolean;
  std::vector<float> additive;
};

using Apply = void (*)(Options&, MaskData&);

constexpr std::size_t kEntries = static_cast<std::size_t>(kLength * kLength);

/// The last eighth of the keys is padding.
void key_padding(Options& options, MaskData& data) {
  data.bias.assign(static_cast<std::size_t>(kLength), 0.0F);
  for (std::size_t j = data.bias.size() / 8 * 7; j < data.bias.size(); ++j) {
    data.bias[j] = -std::numeric_limits<float>::infinity();
  }
  options.mask.key_bias = {bias(data.bias.data(), kLength)};
}

void use_boolean(Options& options, const MaskData& data) {
  const Shape shape{1, 1, kLength, kLength};
  options.mask.boolean = ConstBoolView{data.boolean.data(), shape, contiguous_strides(shape)};
}

/// Every pair of a coin's toss.
void boolean_random(Options& options, MaskData& data) {
  Random random(4);
  data.boolean.resize(kEntries);
  for (std::uint8_t& entry : data.boolean) entry = random.uniform() < 0.5 ? 1 : 0;
  use_boolean(options, data);
}

/// The lower triangle, as those write it who have no causal flag.
void boolean_causal(Options& options, MaskData& data) {
  data.boolean.resize(kEntries);
  const auto n = static_cast<std::size_t>(kLength);
  for (std::size_t at = 0; at < kEntries; ++at) data.boolean[at] = at % n <= at / n ? 1 : 0;
  use_boolean(options, data);
}

/// A mask that hides nothing, so that nothing can be skipped.
void boolean_true(Options& options, MaskData& data) {
  data.boolean.assign(kEntries, 1);
  use_boolean(options, data);
}

void additive(Options& options, MaskData& data) {
  data.additive = normal_tokens<float>(kLength, kLength, 5);
  options.mask.additive = tensor(data.additive.data(), {1, 1, kLength, kLength});
}

void causal(Options& options, MaskData& /*data*/) { options.mask.visibility.causal = Causal::upper_left; }

void window(Options& options, MaskData& data) {
  causal(options, data);
  options.mask.visibility.window = {kWindow};
}

/// Packed sequences of uneven lengths.
void segments(Options& options, MaskData& /*data*/) {
  const std::vector<std::int64_t> offsets{0, 300, 1324, 1400, 3100, kLength};
  options.mask.visibility.segments = Segments{offsets, offsets};
}

void soft_cap(Options& options, MaskData& /*data*/) { options.soft_cap = kSoftCap; }

struct MaskCase {
  const char* name;
  Apply apply;
};
constexpr MaskCase kCases[] = {
    {"exact/mask/key_padding/d64/n4096", key_padding},
    {"exact/mask/boolean_random/d64/n4096", boolean_random},
    {"exact/mask/boolean_causal/d64/n4096", boolean_causal},
    {"exact/mask/boolean_true/d64/n4096", boolean_true},
    {"exact/mask/additive/d64/n4096", additive},
    {"exact/mask/causal/d64/n4096", causal},
    {"exact/mask/window512/d64/n4096", window},
    {"exact/mask/segments/d64/n4096", segments},
    {"exact/mask/soft_cap/d64/n4096", soft_cap},
};

/// Pairs of the two problems; the ratio is the second's time over the first's.
void compare(benchmark::State& state, const Problem& plain, const Problem& masked, const View& plain_output,
             const View& masked_output) {
  const Report report = attend_into(masked, masked_output);
  const double error = measured_error(masked, masked_output, kCheckedRows);
  attend_into(plain, plain_output);  // warms up; the outputs may be one
  std::vector<double> plains;
  std::vector<double> maskeds;
  std::vector<double> ratios;
  for (auto _ : state) {
    const auto [without, with] = seconds_of_pair(
        ratios.size(), [&] { benchmark::DoNotOptimize(attend_into(plain, plain_output)); },
        [&] { benchmark::DoNotOptimize(attend_into(masked, masked_output)); });
    plains.push_back(without);
    maskeds.push_back(with);
    ratios.push_back(with / without);
    state.SetIterationTime(with);
  }
  set_counter(state, "plain_median_seconds", median(plains));
  set_counter(state, "median_seconds", median(maskeds));
  set_counter(state, "ratio", median(ratios));
  describe_case(state, masked, report, error);
}

void measure_mask(benchmark::State& state, const MaskCase& which) {
  Inputs<float> inputs(square(kLength, kDim));
  const Problem plain = inputs.problem();
  Problem masked = plain;
  MaskData data;
  which.apply(masked.options, data);
  compare(state, plain, masked, inputs.output(), inputs.output());
}

/// 8 query heads over 2 key heads against 8 over 8.
void measure_grouped(benchmark::State& state) {
  Inputs<float> plain(square(kGroupedLength, kDim, 8));
  Inputs<float> grouped({kGroupedLength, kDim, kDim, 8, 2});
  compare(state, plain.problem(), grouped.problem(), plain.output(), grouped.output());
}

void declare() {
  for (const MaskCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) { measure_mask(state, which); });
  }
  declare_case(kGrouped, repetitions(kPairs), measure_grouped);
}

void figures(const Rows& rows, Figures& figures) {
  for (const MaskCase& which : kCases) {
    figures.add_median(figure_name(which.name) + "_over_none", rows.all(which.name, "ratio"), "x");
  }
  figures.add_median(figure_name(kGrouped) + "_over_ungrouped", rows.all(kGrouped, "ratio"), "x");
}

}  // namespace

const Part kMasks{declare, figures};

}  // namespace polyattn::bench::exact
