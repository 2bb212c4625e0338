#include "io/npy.hpp"

#include "cli/support/files.hpp"
#include "io/element.hpp"
#include "io/tensor_file.hpp"
#include "polyattn/error.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace polyattn::test {
namespace {

std::vector<float> counting(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

/// The message of the Error that reading `bytes` must throw.
std::string refusal(const std::string& bytes, io::Role role = io::Role::tensor) {
  const TemporaryDirectory directory;
  const std::string path = directory.put("x.npy", bytes);
  try {
    io::read_tensor(path, role);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    const std::string message = error.what();
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    return message.substr(std::min(message.size(), path.size() + 2));
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Npy, ReadsEveryRankInCOrder) {
  const TemporaryDirectory directory;
  const std::vector<float> values = counting(24);
  const auto read = [&](const std::string& shape) {
    return io::read_tensor(directory.put("x.npy", npy_file(shape, values)), io::Role::tensor);
  };
  for (const auto& [shape, expected] : {std::pair<std::string, Shape>{"(6, 4)", {1, 1, 6, 4}},
                                        {"(2, 3, 4)", {1, 2, 3, 4}},
                                        {"(2, 1, 3, 4)", {2, 1, 3, 4}}}) {
    const io::StoredTensor tensor = read(shape);
    EXPECT_EQ(tensor.elements, 24);
    EXPECT_EQ(tensor.bytes(), 96U);
    EXPECT_EQ(io::dims_text(tensor.dims), shape);
    EXPECT_FALSE(tensor.fortran_order);
    EXPECT_EQ(tensor.copy, nullptr) << "aligned data are used where they lie";
    const ConstView view = io::tensor_view(tensor);
    EXPECT_EQ(view.shape, expected);
    double next = 0.0;
    for (std::int64_t b = 0; b < view.shape[0]; ++b)
      for (std::int64_t h = 0; h < view.shape[1]; ++h)
        for (std::int64_t i = 0; i < view.shape[2]; ++i)
          for (std::int64_t c = 0; c < view.shape[3]; ++c) EXPECT_EQ(io::element(view, b, h, i, c), next++);
  }
}

TEST(Npy, ReadsFortranOrder) {
  const TemporaryDirectory directory;
  const auto tensor =
      io::read_tensor(directory.put("x.npy", npy_file("(2, 3, 4)", counting(24), true)), io::Role::tensor);
  EXPECT_TRUE(tensor.fortran_order);
  const ConstView view = io::tensor_view(tensor);
  for (std::int64_t h = 0; h < 2; ++h)
    for (std::int64_t i = 0; i < 3; ++i)
      for (std::int64_t c = 0; c < 4; ++c) {
        EXPECT_EQ(io::element(view, 0, h, i, c), static_cast<double>(h + 2 * i + 6 * c));
      }
}

TEST(Npy, ReadsTypesAndVersions) {
  const TemporaryDirectory directory;
  const std::vector<double> values{0.0, -1.5, 0.25, 1024.0};
  std::vector<std::uint16_t> halves(values.size());
  std::ranges::transform(values, halves.begin(), float16_bits);
  const std::string half = raw(halves);
  const std::string single = raw(std::vector<float>{0.0F, -1.5F, 0.25F, 1024.0F});
  for (const int major : {1, 2, 3}) {
    for (const auto& [descr, data, dtype] :
         {std::tuple{"<f2", half, DType::float16}, std::tuple{"<f4", single, DType::float32},
          std::tuple{"<f8", raw(values), DType::float64}}) {
      const auto tensor =
          io::read_tensor(directory.put("x.npy", npy_bytes(npy_dict(descr, "(2, 2)"), data, major)), io::Role::tensor);
      EXPECT_EQ(tensor.dtype, dtype);
      for (std::size_t k = 0; k < values.size(); ++k) {
        EXPECT_EQ(io::element(tensor.data, dtype, static_cast<std::int64_t>(k)), values[k]);
      }
    }
  }
}

TEST(Npy, ReadsEveryWayToWriteTheHeader) {
  const std::string data = raw(counting(6));
  for (const std::string header : {
           "{'shape': (2, 3), 'fortran_order': False, 'descr': '<f4'}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
           "{\"descr\":\"<f4\",\"shape\":(2,3,),\"fortran_order\":False,}",
           " {  'descr'\t: '<f4' ,\n 'fortran_order' : False , 'shape' : ( 2 , 3 ) } ",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n",
       }) {
    const TemporaryDirectory directory;
    const auto tensor = io::read_tensor(directory.put("x.npy", npy_bytes(header, data)), io::Role::tensor);
    EXPECT_EQ(tensor.dims, (std::vector<std::int64_t>{2, 3})) << header;
    EXPECT_EQ(io::element(tensor.data, tensor.dtype, 5), 5.0) << header;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data) % 4, 0U) << "elements off their alignment are copied";
  }
}

TEST(Npy, ReadsBiasesAndEmptyTensors) {
  const TemporaryDirectory directory;
  const auto bias = io::read_tensor(directory.put("b.npy", npy_file("(2, 3)", counting(6))), io::Role::bias);
  const ConstView view = io::bias_view(bias);
  EXPECT_EQ(view.shape, (Shape{1, 2, 3, 1}));
  EXPECT_EQ(view.strides, (Shape{0, 3, 1, 1}));
  const auto line = io::read_tensor(directory.put("b1.npy", npy_file("(3,)", counting(3))), io::Role::bias);
  EXPECT_EQ(io::bias_view(line).shape, (Shape{1, 1, 3, 1}));
  EXPECT_EQ(io::bias_view(line).strides, (Shape{0, 0, 1, 1}));
  const auto empty = io::read_tensor(directory.put("e.npy", npy_file("(0, 7)", counting(0))), io::Role::tensor);
  EXPECT_EQ(empty.elements, 0);
  EXPECT_EQ(io::tensor_view(empty).shape, (Shape{1, 1, 0, 7}));
}

struct Malformed {
  std::string bytes;
  const char* message;
};

TEST(Npy, SaysWhatIsWrongWithMalformedFiles) {
  const std::string data = raw(counting(6));
  const std::string good = npy_file("(2, 3)", counting(6));
  const auto with_header = [&](const std::string& header) { return npy_bytes(header, data); };
  const auto with_descr = [&](const std::string& descr) { return npy_bytes(npy_dict(descr, "(2, 3)"), data); };
  const auto with_shape = [&](const std::string& shape) { return npy_bytes(npy_dict("<f4", shape), data); };
  const std::array cases{
      Malformed{"", "is empty (0 bytes)"},
      Malformed{"\x93NUM", "truncated: a .npy file has a header, this file ends after 4 bytes"},
      Malformed{"hello, world", "is not a .npy file"},
      Malformed{"PK\x03\x04 and so on", "is a .npz (zip) archive"},
      Malformed{npy_bytes("", "", 4, 0), "has version 4.0 of the .npy format"},
      Malformed{npy_bytes("", "", 1, 1), "has version 1.1 of the .npy format"},
      Malformed{npy_bytes("", "", 0, 1), "has version 0.1 of the .npy format"},
      Malformed{std::string("\x93NUMPY\x02\x00\x10\x00", 10), "truncated: a .npy file has a header"},
      Malformed{good.substr(0, 40), "truncated: the header has"},
      Malformed{std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14), "the header has 4294967295 bytes, but only 2"},
      Malformed{good.substr(0, good.size() - 1),
                "truncated: shape (2, 3) of float32 needs 24 bytes after the header, found 23"},
      Malformed{good + "x",
                "longer than its header says: shape (2, 3) of float32 needs 24 bytes after the header, found 25"},
      Malformed{with_descr(">f4"), "big-endian float32 ('>f4')"},
      Malformed{with_descr(">f8"), "big-endian float64"},
      Malformed{with_descr("|b1"), "bool ('|b1')"},
      Malformed{with_descr("<i8"), "int64 ('<i8')"},
      Malformed{with_descr("|u1"), "uint8"},
      Malformed{with_descr("<c16"), "complex128"},
      Malformed{with_descr("|O"), "Python objects"},
      Malformed{with_descr("<U5"), "strings"},
      Malformed{with_descr("<V2"), "bfloat16 has no .npy type"},
      Malformed{with_descr("<f16"), "float128"},
      Malformed{with_descr(""), "unknown type ''"},
      Malformed{with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}"), "structured type"},
      Malformed{with_shape("(2, three)"), "shape must hold non-negative integers, found 'three"},
      Malformed{with_shape("(2, nan)"), "non-negative integers"},
      Malformed{with_shape("(2, -3)"), "non-negative integers, found '-3"},
      Malformed{with_shape("(2, 3.5)"), "non-negative integers"},
      Malformed{with_shape("(2, 3e0)"), "non-negative integers"},
      Malformed{with_shape("(2, '3')"), "non-negative integers"},
      Malformed{with_shape("(6)"), "one dimension is written (n,)"},
      Malformed{with_shape("[2, 3]"), "shape must be a tuple"},
      Malformed{with_shape("6"), "shape must be a tuple"},
      Malformed{with_shape("(,)"), "non-negative integers"},
      Malformed{with_shape("(2, 99999999999999999999)"), "does not fit 63 bits"},
      Malformed{with_shape("(4294967296, 4294967296)"), "its size in bytes does not fit 63 bits"},
      Malformed{with_shape("(0, 4294967296, 4294967296)"), "its size in bytes does not fit 63 bits"},
      Malformed{with_shape("(3074457345618258603, 3)"), "its size in bytes does not fit 63 bits"},
      Malformed{with_header(""), "expected '{', found the end of the header"},
      Malformed{with_header("{'descr': '<f4', 'fortran_order': False}"), "the key 'shape' is missing"},
      Malformed{with_header("{'descr': '<f4', 'shape': (2, 3)}"), "the key 'fortran_order' is missing"},
      Malformed{with_header("{'fortran_order': False, 'shape': (2, 3)}"), "the key 'descr' is missing"},
      Malformed{with_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}"), "True or False, found '0"},
      Malformed{with_header("{'descr': '<f4', 'descr': '<f4'}"), "the key 'descr' is given twice"},
      Malformed{with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}"), "unexpected key 'x'"},
      Malformed{with_header("{'descr': '<f4"), "a string that does not end"},
      Malformed{with_header("{'descr' '<f4'}"), "expected ':'"},
      Malformed{with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3"), "non-negative integers"},
      Malformed{with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} and more"),
                "nothing after the closing '}'"},
      Malformed{with_header(std::string("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\0", 58)),
                "nothing after the closing '}'"},
  };
  for (const Malformed& file : cases) {
    EXPECT_NE(refusal(file.bytes).find(file.message), std::string::npos)
        << "got: " << refusal(file.bytes) << "\nexpected: " << file.message;
  }
}

TEST(Npy, RefusesRanksThatMeanNothing) {
  const auto scalar = npy_file("()", counting(1));
  const auto five = npy_file("(1, 1, 1, 2, 3)", counting(6));
  EXPECT_NE(refusal(scalar).find("shape () (0 dimensions), expected [n, d]"), std::string::npos) << refusal(scalar);
  EXPECT_NE(refusal(five).find("(5 dimensions), expected [n, d]"), std::string::npos);
  EXPECT_NE(refusal(npy_file("(6,)", counting(6))).find("shape (6,) (1 dimensions)"), std::string::npos);
  const auto four = npy_file("(1, 1, 2, 3)", counting(6));
  EXPECT_NE(refusal(four, io::Role::bias).find("expected [n_kv], [heads, n_kv]"), std::string::npos);
  EXPECT_NE(refusal(scalar, io::Role::bias).find("expected [n_kv]"), std::string::npos);
  EXPECT_NE(refusal(five, io::Role::any).find("expected 1 to 4 dimensions"), std::string::npos);
}

TEST(Npy, SaysWhatIsWrongWithPaths) {
  const TemporaryDirectory directory;
  const auto message = [&](const std::string& path) -> std::string {
    try {
      io::read_tensor(path, io::Role::tensor);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message(directory.file("none.npy")),
            directory.file("none.npy") + ": cannot be opened: No such file or directory");
  EXPECT_EQ(message(directory.path()), directory.path() + ": is a directory, expected a file");
  EXPECT_NE(message("/dev/null").find("is not a regular file"), std::string::npos);
}

TEST(Npy, HeaderOfAnyPrefixIsRefusedOrComplete) {
  const std::string good = npy_file("(2, 3)", counting(6));
  const std::size_t header_bytes = good.size() - 24;
  for (std::size_t size = 0; size < header_bytes; ++size) {
    // In memory of exactly this size, so that a checker of addresses sees any read past it.
    std::vector<std::byte> prefix(size);
    std::memcpy(prefix.data(), good.data(), size);
    EXPECT_THROW(io::parse_npy_header(prefix, "x.npy"), Error) << size;
  }
}

// A damaged header is either refused or still says something consistent with the file's size.
RC_GTEST_PROP(Npy, DamagedFilesAreRefusedOrConsistent, ()) {
  std::string bytes = npy_file("(2, 3)", counting(6));
  for (int change = *rc::gen::inRange(1, 4); change > 0; --change) {
    bytes[*rc::gen::inRange<std::size_t>(0, bytes.size() - 24)] = *rc::gen::arbitrary<char>();
  }
  const TemporaryDirectory directory;
  try {
    const io::StoredTensor tensor = io::read_tensor(directory.put("x.npy", bytes), io::Role::any);
    RC_ASSERT(tensor.bytes() <= 24U);
    RC_ASSERT(tensor.dims.size() == tensor.strides.size());
  } catch (const Error& error) {
    RC_ASSERT(error.code() == ErrorCode::invalid_argument);
  }
}

TEST(Npy, WritesWhatItReads) {
  const TemporaryDirectory directory;
  const std::vector<double> values{1.0, -2.5, 3.25, 0.0, 1e300, -0.0};
  const std::string path = directory.file("x.npy");
  for (const std::vector<std::int64_t>& dims :
       {std::vector<std::int64_t>{6}, {2, 3}, {1, 2, 3}, {2, 1, 1, 3}, {0, 4}}) {
    io::StagedFile file(path);
    io::write_npy(file, DType::float64, dims, values.data());
    file.finish();
    file.commit();
    const auto tensor = io::read_tensor(path, io::Role::any);
    EXPECT_EQ(tensor.dims, dims);
    EXPECT_EQ(tensor.dtype, DType::float64);
    EXPECT_FALSE(tensor.fortran_order);
    EXPECT_EQ(std::memcmp(tensor.data, values.data(), tensor.bytes()), 0);
  }
  const auto [shape, read] = parse_npy(io::npy_header(DType::float64, std::vector<std::int64_t>{2, 3}) + raw(values));
  EXPECT_EQ(shape, "(2, 3)");
  EXPECT_EQ(read, values);
}

TEST(Npy, WritesNoBfloat16) {
  try {
    io::npy_header(DType::bfloat16, std::vector<std::int64_t>{2, 3});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("use float16 or float32"), std::string::npos);
  }
}

TEST(Element, Float16AndBfloat16AreExact) {
  EXPECT_EQ(io::float16_value(0x3c00), 1.0);
  EXPECT_EQ(io::float16_value(0xc000), -2.0);
  EXPECT_EQ(io::float16_value(0x7bff), 65504.0);
  EXPECT_EQ(io::float16_value(0x0001), 0x1p-24);
  EXPECT_EQ(io::float16_value(0x0400), 0x1p-14);
  EXPECT_EQ(io::float16_value(0x3555), 0x1.554p-2);
  EXPECT_TRUE(std::signbit(io::float16_value(0x8000)));
  EXPECT_EQ(io::float16_value(0xfc00), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(io::float16_value(0x7e00)));
  EXPECT_EQ(io::bfloat16_value(0x3f80), 1.0);
  EXPECT_EQ(io::bfloat16_value(0xc049), -0x1.92p1);
  EXPECT_EQ(io::bfloat16_value(0x0001), 0x1p-133);
  // Neighbours are one unit in the last place apart.
  for (std::uint16_t bits = 0; bits < 0x7bff; ++bits) {
    const int exponent = std::max(1, bits >> 10);
    EXPECT_EQ(io::float16_value(static_cast<std::uint16_t>(bits + 1)) - io::float16_value(bits),
              std::ldexp(1.0, exponent - 25));
  }
}

}  // namespace
}  // namespace polyattn::test
