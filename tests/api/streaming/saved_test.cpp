// Streams saved and loaded: the same bits go on, and nothing damaged is taken for whole.

#include "base/crc64.hpp"
#include "support/expect_error.hpp"
#include "support/random.hpp"
#include "support/stream_case.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

/// For those that do not come to anything.
template <class Source>
void try_load(const Source& source) {
  static_cast<void>(StreamingState::load(source));
}

StreamingState after(const StreamCase& stream, std::int64_t tokens) {
  StreamingState state(stream.options);
  for (std::int64_t i = 0; i < tokens; ++i) {
    append(state, stream, i);
  }
  return state;
}

void expect_same_answers(const StreamingState& a, const StreamingState& b, const StreamCase& stream) {
  const StreamingAnswer first = a.query(queries_of(stream));
  const StreamingAnswer second = b.query(queries_of(stream));
  EXPECT_EQ(bits_of(first.output), bits_of(second.output));
  EXPECT_EQ(bits_of(first.lse), bits_of(second.lse));
  EXPECT_EQ(bits_of(first.lse_bound), bits_of(second.lse_bound));
  EXPECT_EQ(bits_of(first.row_bounds), bits_of(second.row_bounds));
}

TEST(StreamingSaved, GoesOnWithTheSameBits) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    const StreamCase stream = draw_stream(StreamFamily::broad, seed);
    const std::int64_t half = stream.tokens / 2;
    StreamingState state = after(stream, half);
    const std::vector<std::byte> saved = state.save();
    StreamingState loaded = StreamingState::load(saved);
    EXPECT_EQ(loaded.save(), saved) << seed;
    expect_same_answers(state, loaded, stream);
    for (std::int64_t i = half; i < stream.tokens; ++i) {
      append(state, stream, i);
      append(loaded, stream, i);
    }
    EXPECT_EQ(loaded.save(), state.save()) << seed;
    expect_same_answers(state, loaded, stream);
    EXPECT_EQ(loaded.report().tokens, stream.tokens);
    EXPECT_EQ(loaded.report().a_priori_bound, state.report().a_priori_bound);
  }
}

StreamCase small() {
  StreamCase stream = draw_stream(StreamFamily::tight, 4);
  stream.options.degree = 1;
  return stream;
}

TEST(StreamingSaved, EveryChangedByteIsFound) {
  const StreamCase stream = small();
  std::vector<std::byte> bytes = after(stream, stream.tokens).save();
  for (std::byte& byte : bytes) {
    const std::byte whole = byte;
    for (const unsigned change : {1U, 0x10U, 0x80U, 0xffU}) {
      byte = whole ^ static_cast<std::byte>(change);
      EXPECT_THROW(try_load(bytes), Error) << "byte " << &byte - bytes.data();
    }
    byte = whole;
  }
  EXPECT_NO_THROW(try_load(bytes));
}

TEST(StreamingSaved, EveryOtherLengthIsFound) {
  const StreamCase stream = small();
  std::vector<std::byte> bytes = after(stream, stream.tokens).save();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"saved stream"}, [&] {
      try_load(std::span(bytes).first(length));
    })) << length;
  }
  bytes.push_back(std::byte{0});
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"saved stream", "bytes"}, [&] { try_load(bytes); }));
}

/// With a checksum that fits.
std::vector<std::byte> forged(std::vector<std::byte> bytes, std::size_t offset, const void* data, std::size_t count) {
  std::memcpy(bytes.data() + offset, data, count);
  const std::uint64_t checksum = base::crc64(std::span(bytes).first(bytes.size() - 8));
  std::memcpy(bytes.data() + bytes.size() - 8, &checksum, 8);
  return bytes;
}

TEST(StreamingSaved, OtherVersionsAndByteOrdersAreNamed) {
  const StreamCase stream = small();
  const std::vector<std::byte> bytes = after(stream, stream.tokens).save();
  const std::uint32_t version = 2;
  EXPECT_TRUE(
      fails_with(ErrorCode::unsupported, {"version 1", "2"}, [&] { try_load(forged(bytes, 12, &version, 4)); }));
  const std::uint32_t order = 0x04030201;
  EXPECT_TRUE(fails_with(ErrorCode::unsupported, {"byte order"}, [&] { try_load(forged(bytes, 8, &order, 4)); }));
}

TEST(StreamingSaved, SizesAreCheckedBeforeMemoryIsTaken) {
  const StreamCase stream = small();
  const std::vector<std::byte> bytes = after(stream, stream.tokens).save();
  for (const std::size_t offset : {24U, 32U, 40U, 48U}) {  // batch, heads, dim, value_dim
    for (const std::int64_t size : {std::int64_t{-1}, std::int64_t{1} << 30, std::int64_t{1} << 62}) {
      EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {}, [&] { try_load(forged(bytes, offset, &size, 8)); }))
          << offset << " " << size;
    }
  }
  for (std::size_t offset = 24; offset + 16 < bytes.size(); offset += 4) {  // lengths of lists among them
    const std::uint64_t huge = ~std::uint64_t{0} / 8;
    try {
      try_load(forged(bytes, offset, &huge, 8));
    } catch (const Error&) {
    }
  }
}

TEST(StreamingSaved, Files) {
  const StreamCase stream = small();
  const StreamingState state = after(stream, stream.tokens);
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "polyattn_streaming_files";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const std::string path = folder / "stream.bin";
  state.save(path);
  state.save(path);  // replaces it
  const StreamingState loaded = StreamingState::load(path);
  EXPECT_EQ(loaded.save(), state.save());
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) {
    ++files;
  }
  EXPECT_EQ(files, 1U) << "something was left behind";
  std::filesystem::resize_file(path, 100);
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {"saved stream"}, [&] { try_load(path); }));
  const std::string nowhere = folder / "no such folder" / "stream.bin";
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {nowhere}, [&] { state.save(nowhere); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {nowhere}, [&] { try_load(nowhere); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {folder.string()}, [&] { state.save(folder.string()); }));
  EXPECT_TRUE(fails_with(ErrorCode::invalid_argument, {folder.string()}, [&] { try_load(folder.string()); }));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace polyattn::test
