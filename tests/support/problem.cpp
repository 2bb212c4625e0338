#include "support/problem.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace polyattn::test {
namespace {

/// A binary floating-point format of 16 bits: `fraction` explicit bits, exponents from `lowest` (subnormal below).
struct Format16 {
  int fraction;
  int lowest;
  int highest;
};
constexpr Format16 kHalf{10, -14, 15};
constexpr Format16 kBfloat{7, -126, 127};

double round_to_format(const Format16& format, double value) {
  if (value == 0.0 || !std::isfinite(value)) {
    return value;
  }
  const int exponent = std::max(std::ilogb(value), format.lowest);
  const double unit = std::ldexp(1.0, exponent - format.fraction);
  const double rounded = std::nearbyint(value / unit) * unit;  // both scalings are by powers of two, hence exact
  const double largest = std::ldexp(2.0 - std::ldexp(1.0, -format.fraction), format.highest);
  return std::abs(rounded) > largest ? std::copysign(kInfinity, value) : rounded;
}

/// The bits of a value that the format holds.
std::uint16_t encode(const Format16& format, double value) {
  const int exponent_bits = 15 - format.fraction;
  const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
  const std::uint32_t top = ((1U << static_cast<unsigned>(exponent_bits)) - 1U)
                            << static_cast<unsigned>(format.fraction);
  if (std::isnan(value)) {
    return static_cast<std::uint16_t>(sign | top | 1U);
  }
  if (std::isinf(value)) {
    return static_cast<std::uint16_t>(sign | top);
  }
  if (value == 0.0) {
    return static_cast<std::uint16_t>(sign);
  }
  const double magnitude = std::abs(value);
  const int exponent = std::max(std::ilogb(magnitude), format.lowest);
  const auto significand = static_cast<std::uint32_t>(std::ldexp(magnitude, format.fraction - exponent));
  const std::uint32_t hidden = 1U << static_cast<unsigned>(format.fraction);
  const std::uint32_t biased = significand < hidden ? 0U : static_cast<std::uint32_t>(exponent - format.lowest + 1);
  return static_cast<std::uint16_t>(sign | (biased << static_cast<unsigned>(format.fraction)) |
                                    (significand & (hidden - 1U)));
}

double decode(const Format16& format, std::uint16_t bits) {
  const unsigned fraction_bits = static_cast<unsigned>(format.fraction);
  const std::uint32_t fraction = bits & ((1U << fraction_bits) - 1U);
  const std::uint32_t biased = (bits & 0x7fffU) >> fraction_bits;
  const std::uint32_t top = (1U << (15U - fraction_bits)) - 1U;
  double magnitude = 0.0;
  if (biased == top) {
    magnitude = fraction == 0 ? kInfinity : std::numeric_limits<double>::quiet_NaN();
  } else if (biased == 0) {
    magnitude = std::ldexp(static_cast<double>(fraction), format.lowest - format.fraction);
  } else {
    magnitude = std::ldexp(static_cast<double>(fraction + (1U << fraction_bits)),
                           format.lowest + static_cast<int>(biased) - 1 - format.fraction);
  }
  return (bits & 0x8000U) != 0U ? -magnitude : magnitude;
}

std::int64_t offset_of(const Shape& strides, const Shape& index) {
  std::int64_t offset = 0;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    offset += strides[axis] * index[axis];
  }
  return offset;
}

void write_at(void* data, DType dtype, std::int64_t offset, double value) {
  auto* bytes = static_cast<std::byte*>(data) + offset * static_cast<std::int64_t>(size_of(dtype));
  if (dtype == DType::float64) {
    std::memcpy(bytes, &value, sizeof value);
  } else if (dtype == DType::float32) {
    const auto narrow = static_cast<float>(value);
    std::memcpy(bytes, &narrow, sizeof narrow);
  } else {
    const Format16& format = dtype == DType::float16 ? kHalf : kBfloat;
    const std::uint16_t bits = encode(format, round_to_format(format, value));
    std::memcpy(bytes, &bits, sizeof bits);
  }
}

double read_at(const void* data, DType dtype, std::int64_t offset) {
  const auto* bytes = static_cast<const std::byte*>(data) + offset * static_cast<std::int64_t>(size_of(dtype));
  if (dtype == DType::float64) {
    double value = 0.0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  if (dtype == DType::float32) {
    float value = 0.0F;
    std::memcpy(&value, bytes, sizeof value);
    return static_cast<double>(value);
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, bytes, sizeof bits);
  return decode(dtype == DType::float16 ? kHalf : kBfloat, bits);
}

std::size_t count_of(const Shape& shape) { return static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]); }

}  // namespace

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::float16:
      return round_to_format(kHalf, value);
    case DType::bfloat16:
      return round_to_format(kBfloat, value);
    case DType::float32:
      return static_cast<double>(static_cast<float>(value));
    case DType::float64:
      break;
  }
  return value;
}

ConstView Stored::view() const { return {bytes.data(), dtype, shape, contiguous_strides(shape)}; }

const double* Stored::row(std::int64_t batch, std::int64_t head, std::int64_t i) const {
  return values.data() + offset_of(contiguous_strides(shape), {batch, head, i, 0});
}

Stored store(DType dtype, const Shape& shape, const std::vector<double>& values) {
  Stored stored{dtype, shape, {}, {}};
  const std::size_t count = count_of(shape);
  stored.values.resize(count);
  stored.bytes.resize(count * size_of(dtype) + 1);  // one more, so that an empty tensor has an address
  for (std::size_t i = 0; i < count; ++i) {
    write_at(stored.bytes.data(), dtype, static_cast<std::int64_t>(i), values[i]);
    stored.values[i] = read_at(stored.bytes.data(), dtype, static_cast<std::int64_t>(i));
  }
  return stored;
}

void write_element(const View& view, const Shape& index, double value) {
  write_at(view.data, view.dtype, offset_of(view.strides, index), value);
}

double read_element(const ConstView& view, const Shape& index) {
  return read_at(view.data, view.dtype, offset_of(view.strides, index));
}

std::vector<double> values_of(const ConstView& view) {
  std::vector<double> values;
  values.reserve(count_of(view.shape));
  for (std::int64_t b = 0; b < view.shape[0]; ++b) {
    for (std::int64_t h = 0; h < view.shape[1]; ++h) {
      for (std::int64_t i = 0; i < view.shape[2]; ++i) {
        for (std::int64_t c = 0; c < view.shape[3]; ++c) {
          values.push_back(read_element(view, {b, h, i, c}));
        }
      }
    }
  }
  return values;
}

std::vector<double> values_of(const Tensor& tensor) { return values_of(tensor.view()); }

std::vector<std::byte> bits_of(const Tensor& tensor) {
  const auto* bytes = static_cast<const std::byte*>(tensor.data());
  return tensor.bytes() == 0 ? std::vector<std::byte>{} : std::vector<std::byte>(bytes, bytes + tensor.bytes());
}

Options Problem::options(Options base) const {
  base.score = score;
  base.mask.visibility.causal = causal;
  if (bias) {
    ConstView view = bias->view();
    view.strides[0] = view.shape[0] == 1 ? 0 : view.strides[0];
    view.strides[1] = view.shape[1] == 1 ? 0 : view.strides[1];
    base.mask.key_bias = {view};
  }
  return base;
}

Result attend(const Problem& problem, const Options& base) {
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  return polyattn::attend(problem.q.view(), keys, values, problem.options(base));
}

Plan plan(const Problem& problem, const Options& base) {
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  return polyattn::plan(problem.q.view(), keys, values, problem.options(base));
}

Problem random_problem(const RandomShape& shape, double radius, DType dtype, std::uint64_t seed) {
  Random random(seed);
  const std::int64_t kv_heads = shape.kv_heads == 0 ? shape.heads : shape.kv_heads;
  const double side = std::sqrt(radius);
  const auto fill = [&](const Shape& of) {
    std::vector<double> values(count_of(of));
    for (double& value : values) {
      value = random.uniform(-side, side);
    }
    return store(dtype, of, values);
  };
  Problem problem;
  problem.q = fill({shape.batch, shape.heads, shape.n_q, shape.dim});
  problem.k = fill({shape.batch, kv_heads, shape.n_kv, shape.dim});
  const Shape value_shape{shape.batch, kv_heads, shape.n_kv, shape.value_dim};
  std::vector<double> values;
  for (std::int64_t row = 0; row < shape.batch * kv_heads * shape.n_kv; ++row) {
    for (std::int64_t c = 0; c < shape.value_dim; ++c) {
      const double key = problem.k.values[static_cast<std::size_t>(row * shape.dim + c % shape.dim)] / side;
      values.push_back(std::sin(3.0 * key * static_cast<double>(1 + c / shape.dim)) + 0.1 * random.normal());
    }
  }
  problem.v = store(dtype, value_shape, values);
  problem.score = Dot{1.0 / static_cast<double>(shape.dim)};
  return problem;
}

Stored random_bias(const Problem& problem, double low, double high, std::uint64_t seed) {
  Random random(seed);
  const Shape shape{problem.q.shape[0], problem.q.shape[1], problem.k.shape[2], 1};
  std::vector<double> values(count_of(shape));
  for (double& value : values) {
    value = random.uniform(low, high);
  }
  return store(DType::float64, shape, values);
}

}  // namespace polyattn::test
