// Query heads that share a key head are answered together, to the bits each would have with keys of its own.

#include "polyattn/attention.hpp"
#include "support/choices.hpp"
#include "support/expect_error.hpp"
#include "support/masks.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

constexpr std::int64_t kHeads = 6;
constexpr std::int64_t kKeyHeads = 2;

enum class Mask : std::uint8_t { none, causal, window, segments, exclude_self, shared_boolean, own_boolean, own_bias };
constexpr std::array kMasks{Mask::none,         Mask::causal,         Mask::window,      Mask::segments,
                            Mask::exclude_self, Mask::shared_boolean, Mask::own_boolean, Mask::own_bias};

MaskedProblem grouped(Mask mask, std::int64_t n_q, std::int64_t n_kv, DType dtype, std::uint64_t seed) {
  MaskedProblem masked;
  masked.problem = random_problem(
      {.batch = 2, .heads = kHeads, .n_q = n_q, .n_kv = n_kv, .dim = 5, .value_dim = 3, .kv_heads = kKeyHeads}, 2.0,
      dtype, seed);
  if (mask == Mask::causal || mask == Mask::window) {
    masked.problem.causal = Causal::lower_right;
  }
  if (mask == Mask::window) {
    masked.window = n_kv / 3 + 1;
  }
  if (mask == Mask::segments) {
    masked.segments = Segments{{0, n_q / 2, n_q}, {0, n_kv / 3, n_kv}};
  }
  masked.exclude_self = mask == Mask::exclude_self;
  if (mask == Mask::shared_boolean || mask == Mask::own_boolean) {
    const Shape pairs{1, mask == Mask::own_boolean ? kHeads : 1, n_q, n_kv};
    masked.boolean = StoredBooleans{pairs, std::vector<std::uint8_t>(static_cast<std::size_t>(pairs[1] * n_q * n_kv))};
    Random random(seed + 7);
    for (std::uint8_t& sees : masked.boolean->bytes) {
      sees = random.chance(0.7) ? 1 : 0;
    }
  }
  if (mask == Mask::own_bias) {
    masked.problem.bias = random_bias(masked.problem, -3.0, 3.0, seed + 1);
  }
  return masked;
}

/// Every query head with keys and values of its own.
Stored repeated(const Stored& keys) {
  const std::int64_t size = keys.shape[2] * keys.shape[3];
  std::vector<double> all;
  for (std::int64_t head = 0; head < keys.shape[0] * kHeads; ++head) {
    const auto from = keys.values.begin() + static_cast<std::ptrdiff_t>(head / (kHeads / kKeyHeads) * size);
    all.insert(all.end(), from, from + static_cast<std::ptrdiff_t>(size));
  }
  return store(keys.dtype, {keys.shape[0], kHeads, keys.shape[2], keys.shape[3]}, all);
}

MaskedProblem ungrouped(const MaskedProblem& masked) {
  MaskedProblem own = masked;
  own.problem.k = repeated(masked.problem.k);
  own.problem.v = repeated(masked.problem.v);
  return own;
}

Options everything(const Choice& choice, int threads) {
  Options options = forced(choice);
  options.want_lse = true;
  options.want_row_max = true;
  options.threads = threads;
  return options;
}

void expect_same_bits(const Result& a, const Result& b, const std::string& what) {
  EXPECT_EQ(bits_of(a.output), bits_of(b.output)) << what;
  EXPECT_EQ(bits_of(a.lse.value()), bits_of(b.lse.value())) << what;
  EXPECT_EQ(bits_of(a.row_max.value()), bits_of(b.row_max.value())) << what;
}

class GroupedHeads : public testing::TestWithParam<Arithmetic> {};

TEST_P(GroupedHeads, HaveTheBitsOfHeadsWithKeysOfTheirOwn) {
  std::uint64_t seed = 1;
  // One pass over the keys for the group, in rows and in tiles, and keys packed for the group.
  for (const std::int64_t n_q : {1, 2, 50, 90, 200}) {
    for (const Mask mask : kMasks) {
      const DType dtype = seed % 3 == 0 ? DType::bfloat16 : DType::float32;
      const MaskedProblem masked = grouped(mask, n_q, mask == Mask::exclude_self ? n_q : 300, dtype, ++seed);
      const Choice exact{Engine::exact, GetParam()};
      const Result alone = attend(ungrouped(masked), everything(exact, 1));
      for (const int threads : {1, 2, 5}) {
        const Result together = attend(masked, everything(exact, threads));
        expect_same_bits(together, alone,
                         "n_q " + std::to_string(n_q) + ", mask " + std::to_string(static_cast<int>(mask)) + ", " +
                             std::to_string(threads) + " threads");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, GroupedHeads, testing::Values(Arithmetic::float32, Arithmetic::float64));

TEST(GroupedHeadsAutomatic, RowsThatNeedFloat64GetIt) {
  MaskedProblem masked = grouped(Mask::none, 2, 200, DType::float64, 5);
  // Scores of the second head are too large for float32 to meet the tolerance.
  for (std::size_t i = 0; i < 10; ++i) {
    masked.problem.q.values[10 + i] *= 1e5;
  }
  masked.problem.q = store(DType::float64, masked.problem.q.shape, masked.problem.q.values);
  Options options = everything({Engine::exact, Arithmetic::automatic}, 1);
  options.tolerance = Tolerance{1e-3};
  const Result together = attend(masked, options);
  expect_same_bits(together, attend(ungrouped(masked), options), "automatic");
  EXPECT_EQ(together.report.heads[0].arithmetic, Arithmetic::float32);
  EXPECT_EQ(together.report.heads[1].arithmetic, Arithmetic::float64);
}

TEST(GroupedHeadsErrors, NameTheHead) {
  for (const std::int64_t n_q : {2, 90}) {
    MaskedProblem masked = grouped(Mask::none, n_q, 200, DType::float32, 6);
    masked.problem.q.values[static_cast<std::size_t>((kHeads + 4) * n_q * 5 + 5 + 2)] =
        std::numeric_limits<double>::quiet_NaN();
    masked.problem.q = store(DType::float32, masked.problem.q.shape, masked.problem.q.values);
    EXPECT_TRUE(fails_with(ErrorCode::non_finite, {"q", "batch 1", "head 4", "row 1"}, [&] {
      attend(masked, everything({Engine::exact, Arithmetic::float32}, 1));
    }));
  }
}

TEST(GroupedHeadsMemory, KeysArePackedOnce) {
  const MaskedProblem masked = grouped(Mask::none, 200, 20000, DType::float32, 7);
  const Options options = everything({Engine::exact, Arithmetic::float32}, 3);
  const std::uint64_t together = attend(masked, options).report.peak_bytes;
  const std::uint64_t alone = attend(ungrouped(masked), options).report.peak_bytes;
  EXPECT_LT(2 * together, alone);
}

}  // namespace
}  // namespace polyattn::test
