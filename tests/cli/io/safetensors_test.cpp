#include "io/safetensors.hpp"

#include "cli/support/files.hpp"
#include "io/element.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

const std::vector<double> values{0.0, -1.5, 0.25, 64.0};

/// "m" in F16, BF16, F32 and F64, all holding `values` as [2, 2].
std::string all_types() {
  std::vector<std::uint16_t> f16;
  std::vector<std::uint16_t> bf16;
  std::vector<float> f32;
  for (const double value : values) {
    f16.push_back(float16_bits(value));
    bf16.push_back(bfloat16_bits(value));
    f32.push_back(static_cast<float>(value));
  }
  return safetensors_bytes(R"({"__metadata__": {"format": "pt"},
    "m.f16": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
    "m.bf16": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [8, 16]},
    "m.f32": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]},
    "m.f64": {"dtype": "F64", "shape": [2, 2], "data_offsets": [32, 64]},
    "steps": {"dtype": "I64", "shape": [], "data_offsets": [64, 72]}}  )",
                           raw(f16) + raw(bf16) + raw(f32) + raw(values) + std::string(8, '\0'));
}

std::string refusal(const std::string& bytes, const std::string& tensor = "x") {
  const TemporaryDirectory directory;
  const std::string path = directory.put("m.safetensors", bytes);
  try {
    io::read_tensor(path + ":" + tensor, io::Role::tensor);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with(path)) << message;
    return message.substr(std::min(message.size(), path.size()));
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Safetensors, SplitsNames) {
  const auto whole = io::split_name("a/b.safetensors");
  EXPECT_EQ(whole.path, "a/b.safetensors");
  EXPECT_TRUE(whole.safetensors);
  EXPECT_EQ(whole.tensor, "");
  const auto part = io::split_name("a:1/b.safetensors:layers.0:q");
  EXPECT_EQ(part.path, "a:1/b.safetensors");
  EXPECT_EQ(part.tensor, "layers.0:q");
  EXPECT_FALSE(io::split_name("a.npy:x").safetensors);
  EXPECT_EQ(io::split_name("a.npy:x").path, "a.npy:x");
}

TEST(Safetensors, ReadsEveryTypeWhateverItsAlignment) {
  // One byte more or less of white space in the header moves all elements off their alignment.
  for (std::size_t shift = 0; shift < 8; ++shift) {
    const std::string bytes = all_types();
    const std::size_t length =
        static_cast<unsigned char>(bytes[0]) + std::size_t{256} * static_cast<unsigned char>(bytes[1]);
    const std::string header = bytes.substr(8, length) + std::string(shift, ' ');
    const TemporaryDirectory directory;
    const std::string path = directory.put("m.safetensors", safetensors_bytes(header, bytes.substr(8 + length)));
    for (const auto& [name, dtype] : {std::pair{"m.f16", DType::float16}, std::pair{"m.bf16", DType::bfloat16},
                                      std::pair{"m.f32", DType::float32}, std::pair{"m.f64", DType::float64}}) {
      const auto tensor = io::read_tensor(path + ":" + name, io::Role::tensor);
      EXPECT_EQ(tensor.dtype, dtype);
      EXPECT_EQ(tensor.dims, (std::vector<std::int64_t>{2, 2}));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data) % size_of(dtype), 0U);
      for (std::size_t k = 0; k < values.size(); ++k) {
        EXPECT_EQ(io::element(tensor.data, dtype, static_cast<std::int64_t>(k)), values[k]);
      }
    }
  }
}

TEST(Safetensors, ListsWhatThereIs) {
  const TemporaryDirectory directory;
  const io::MappedFile file(directory.put("m.safetensors", all_types()));
  const auto entries = io::list_safetensors(file);
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[4].name, "steps");
  EXPECT_EQ(entries[4].dtype, "I64");
  EXPECT_TRUE(entries[4].shape.empty());
  EXPECT_EQ(entries[0].end - entries[0].begin, 8);
}

struct Malformed {
  std::string bytes;
  const char* message;
};

TEST(Safetensors, SaysWhatIsWrongWithMalformedFiles) {
  const std::string data(16, '\0');
  const auto file = [&](const std::string& header) { return safetensors_bytes(header, data); };
  const auto x = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return file(R"({"x": {"dtype": )" + dtype + R"(, "shape": )" + shape + R"(, "data_offsets": )" + offsets + "}}");
  };
  const std::string good = x("\"F32\"", "[2, 2]", "[0, 16]");
  const std::array cases{
      Malformed{"", ": is empty (0 bytes)"},
      Malformed{"abc", ": truncated: a .safetensors file begins with a length of 8 bytes, this file has 3"},
      Malformed{"\x93NUMPY and more", "truncated or not a .safetensors file: it announces a header of"},
      Malformed{good.substr(0, 30), "bytes, but only 22 follow"},
      Malformed{good.substr(0, good.size() - 1), ":x: data_offsets [0, 16] do not lie inside the 15 bytes"},
      Malformed{good + "y", "longer than its header says: 1 bytes at its end belong to no tensor"},
      Malformed{file("{\"x\": "), "malformed .safetensors header: "},
      Malformed{file(""), "malformed .safetensors header: "},
      Malformed{file("[]"), "malformed .safetensors header: expected a JSON object"},
      Malformed{file("{\"x\": 3}"), "expected an object with dtype, shape and data_offsets"},
      Malformed{file(R"({"x": {"dtype": "F32", "shape": [2, 2]}})"),
                "expected an object with dtype, shape and data_offsets"},
      Malformed{x("7", "[2, 2]", "[0, 16]"), "dtype must be a string"},
      Malformed{x("\"F32\"", "4", "[0, 16]"), "shape a list"},
      Malformed{x("\"F32\"", "[2, 2]", "[0, 8, 16]"), "data_offsets a list of two integers"},
      Malformed{x("\"F32\"", "[2, -2]", "[0, 16]"), "expected a non-negative integer, found -2"},
      Malformed{x("\"F32\"", "[2, 2.0]", "[0, 16]"), "expected a non-negative integer, found 2.0"},
      Malformed{x("\"F32\"", "[2, null]", "[0, 16]"), "expected a non-negative integer, found null"},
      Malformed{x("\"F32\"", "[2, 99999999999999999999]", "[0, 16]"), "expected a non-negative integer"},
      Malformed{x("\"F32\"", "[4294967296, 4294967296]", "[0, 16]"), "its size in bytes does not fit 63 bits"},
      Malformed{x("\"F32\"", "[2, 2]", "[16, 0]"), "data_offsets [16, 0] do not lie inside"},
      Malformed{x("\"F32\"", "[2, 2]", "[0, 9223372036854775807]"), "do not lie inside the 16 bytes"},
      Malformed{x("\"F32\"", "[2, 3]", "[0, 16]"), "shape (2, 3) of F32 needs 24 bytes, but data_offsets hold 16"},
      Malformed{x("\"F32\"", "[1, 1]", "[0, 4]"), "longer than its header says: 12 bytes"},
      Malformed{x("\"F32\"", "[1, 2]", "[8, 16]"), "8 bytes before the tensor 'x' belong to no tensor"},
      Malformed{file(R"({"x": {"dtype": "F32", "shape": [3, 1], "data_offsets": [0, 12]},
                         "y": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]}})"),
                "the tensors 'x' and 'y' overlap"},
      Malformed{file(R"({"x": {"dtype": "F32", "shape": [4, 1], "data_offsets": [0, 16]},
                         "x": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}})"),
                "the name 'x' occurs twice"},
      Malformed{x("\"I32\"", "[2, 2]", "[0, 16]"), ":x: holds I32, expected F16, BF16, F32 or F64"},
      Malformed{x("\"F8_E4M3\"", "[4, 4]", "[0, 16]"), ":x: holds F8_E4M3"},
      Malformed{x("\"F32\"", "[4]", "[0, 16]"), "has shape (4,) (1 dimensions), expected [n, d]"},
      Malformed{x("\"F32\"", "[1, 1, 1, 2, 2]", "[0, 16]"), "(5 dimensions), expected [n, d]"},
  };
  for (const Malformed& malformed : cases) {
    EXPECT_NE(refusal(malformed.bytes).find(malformed.message), std::string::npos)
        << "got: " << refusal(malformed.bytes) << "\nexpected: " << malformed.message;
  }
}

TEST(Safetensors, ListsTheNamesIfOneIsMissing) {
  EXPECT_EQ(refusal(all_types(), "y"), ": has no tensor 'y'; it holds: m.bf16, m.f16, m.f32, m.f64, steps");
  EXPECT_EQ(refusal(all_types(), ""),
            ": name one of its tensors as FILE:NAME; it holds: m.bf16, m.f16, m.f32, m.f64, steps");
  EXPECT_EQ(refusal(safetensors_bytes("{}", ""), "y"), ": has no tensor 'y'; it holds: nothing");
}

// A damaged file is either refused or still consistent with its size.
RC_GTEST_PROP(Safetensors, DamagedFilesAreRefusedOrConsistent, ()) {
  std::string bytes = all_types();
  for (int change = *rc::gen::inRange(1, 4); change > 0; --change) {
    bytes[*rc::gen::inRange<std::size_t>(0, bytes.size() - 72)] = *rc::gen::arbitrary<char>();
  }
  const TemporaryDirectory directory;
  const io::MappedFile file(directory.put("m.safetensors", bytes));
  try {
    for (const auto& entry : io::list_safetensors(file)) {
      RC_ASSERT(entry.begin <= entry.end);
      RC_ASSERT(static_cast<std::size_t>(entry.end) <= bytes.size());
    }
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace polyattn::test
