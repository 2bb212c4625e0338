// Streams keep their bits whatever floating-point settings the caller runs with, and the caller keeps them.

#include "support/float_settings.hpp"
#include "support/stream_case.hpp"

#include <gtest/gtest.h>

#include <cfenv>
#include <vector>

namespace polyattn::test {
namespace {

using base::FloatControl;

/// Half of the stream appended to each of two states, one saved and loaded between, merged and asked.
std::vector<std::byte> live(const StreamCase& stream) {
  StreamingState first(stream.options);
  StreamingState second(stream.options);
  for (std::int64_t i = 0; i < stream.tokens; ++i) {
    append(i % 2 == 0 ? first : second, stream, i);
  }
  StreamingState loaded = StreamingState::load(first.save());
  loaded.merge(second);
  std::vector<std::byte> bits = loaded.save();
  const StreamingAnswer answer = loaded.query(queries_of(stream));
  for (const Tensor* tensor : {&answer.output, &answer.lse, &answer.lse_bound, &answer.row_bounds}) {
    const std::vector<std::byte> more = bits_of(*tensor);
    bits.insert(bits.end(), more.begin(), more.end());
  }
  return bits;
}

/// Weights down to subnormal numbers.
StreamCase faint() {
  StreamCase stream = draw_stream(StreamFamily::broad, 3);
  stream.options.value_low = {-1.0};
  stream.options.value_high = {1.0};
  for (std::size_t i = 0; i < stream.value.size(); ++i) {
    stream.value[i] = i % 3 == 0 ? 1e-300 : -0.3;
  }
  stream.bias.clear();
  for (std::int64_t i = 0; i < stream.tokens * stream.all_heads(); ++i) {
    stream.bias.push_back(-720.0 * static_cast<double>(i % 5) / 4.0);
  }
  return stream;
}

TEST(StreamingEnvironment, RoundingModes) {
  const StreamCase stream = faint();
  const std::vector<std::byte> expected = live(stream);
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    ASSERT_EQ(std::fesetround(mode), 0);
    const std::vector<std::byte> bits = live(stream);
    const int after = std::fegetround();
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(after, mode) << "the caller's rounding mode was lost";
    EXPECT_EQ(bits, expected);
  }
}

#if defined(POLYATTN_TEST_FLUSHING)
TEST(StreamingEnvironment, FlushingToZero) {
  const StreamCase stream = faint();
  const std::vector<std::byte> expected = live(stream);
  for (const FloatSettingsBits flushing : kFlushings) {
    const FloatSettingsBits before = FloatControl::read();
    FloatControl::write(before | flushing);
    const std::vector<std::byte> bits = live(stream);
    const FloatSettingsBits after = FloatControl::read();
    FloatControl::write(before);
    EXPECT_EQ(after & flushing, flushing) << "the caller's setting was lost";
    EXPECT_EQ(bits, expected);
  }
}
#endif

}  // namespace
}  // namespace polyattn::test
