#include "api/streaming_bytes.hpp"

#include "base/checked.hpp"
#include "base/crc64.hpp"
#include "base/error.hpp"
#include "numerics/rank.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;
using detail::StreamState;

constexpr std::array<unsigned char, 8> kMagic{0x89, 'P', 'A', 'S', 'T', 'R', 'M', '\n'};
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr std::uint32_t kOtherByteOrder = 0x04030201;
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeader = 24;
constexpr std::size_t kChecksum = 8;
constexpr const char* kName = "saved stream";

class Writer {
 public:
  template <class T>
  void put(const T& value) {
    static_assert(std::is_arithmetic_v<T>);
    put(&value, 1);
  }
  template <class T>
  void put(const T* values, std::size_t count) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values);
    bytes_.insert(bytes_.end(), bytes, bytes + count * sizeof(T));
  }
  void put(const std::vector<double>& list) {
    put(static_cast<std::uint64_t>(list.size()));
    put(list.data(), list.size());
  }
  [[nodiscard]] std::vector<std::byte>& bytes() noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  template <class T>
  T get() {
    T value{};
    get(&value, 1);
    return value;
  }
  template <class T>
  void get(T* values, std::size_t count) {
    if (count > bytes_.size() / sizeof(T)) {
      fail(ErrorCode::invalid_argument, kName, "sizes that agree with each other", "lists longer than the whole");
    }
    if (count != 0) {
      std::memcpy(values, bytes_.data(), count * sizeof(T));
    }
    bytes_ = bytes_.subspan(count * sizeof(T));
  }
  std::vector<double> list() {
    const auto count = get<std::uint64_t>();
    if (count > bytes_.size() / sizeof(double)) {
      fail(ErrorCode::invalid_argument, kName, "sizes that agree with each other", "lists longer than the whole");
    }
    std::vector<double> out(count);
    get(out.data(), out.size());
    return out;
  }
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

void put_region(Writer& out, const StreamingRegion& region) {
  out.put(region.centre);
  out.put(region.half);
  out.put(region.radius);
}

StreamingRegion get_region(Reader& in) {
  StreamingRegion region;
  region.centre = in.list();
  region.half = in.list();
  region.radius = in.get<double>();
  return region;
}

enum class SavedScore : std::uint32_t { dot_default, dot, gaussian };

void put_options(Writer& out, const StreamingOptions& options) {
  for (const std::int64_t size : {options.batch, options.heads, options.dim, options.value_dim}) {
    out.put(size);
  }
  if (const auto* dot = std::get_if<Dot>(&options.score)) {
    out.put(static_cast<std::uint32_t>(dot->scale ? SavedScore::dot : SavedScore::dot_default));
    out.put(dot->scale ? std::vector<double>{*dot->scale} : std::vector<double>{});
  } else {
    out.put(static_cast<std::uint32_t>(SavedScore::gaussian));
    out.put(std::get<Gaussian>(options.score).bandwidth);
  }
  put_region(out, options.queries);
  put_region(out, options.keys);
  out.put(options.value_low);
  out.put(options.value_high);
  out.put(options.tolerance.value);
  out.put(static_cast<std::uint32_t>(options.tolerance.kind));
  out.put(static_cast<std::int64_t>(options.degree.value_or(-1)));
  out.put(options.expected_tokens);
  out.put(options.expected_bias);
  out.put(static_cast<std::uint32_t>(options.output_dtype));
}

StreamingOptions get_options(Reader& in) {
  StreamingOptions options;
  for (std::int64_t* size : {&options.batch, &options.heads, &options.dim, &options.value_dim}) {
    *size = in.get<std::int64_t>();  // checked by heads_size
  }
  const auto score = in.get<std::uint32_t>();
  const std::vector<double> numbers = in.list();
  const bool one = numbers.size() == 1;
  if (score > static_cast<std::uint32_t>(SavedScore::gaussian) ||
      (score == static_cast<std::uint32_t>(SavedScore::dot) && !one)) {
    fail(ErrorCode::invalid_argument, kName, "a known score", std::to_string(score));
  }
  if (score == static_cast<std::uint32_t>(SavedScore::gaussian)) {
    options.score = Gaussian{numbers};
  } else {
    options.score = Dot{one ? std::optional<double>(numbers.front()) : std::nullopt};
  }
  options.queries = get_region(in);
  options.keys = get_region(in);
  options.value_low = in.list();
  options.value_high = in.list();
  options.tolerance.value = in.get<double>();
  const auto kind = in.get<std::uint32_t>();
  const auto degree = in.get<std::int64_t>();
  options.expected_tokens = in.get<std::int64_t>();
  options.expected_bias = in.get<double>();
  const auto dtype = in.get<std::uint32_t>();
  if (kind > 1 || dtype > 255 || degree < 0 || degree > 255) {
    fail(ErrorCode::invalid_argument, kName, "known options", "others");
  }
  options.tolerance.kind = static_cast<ToleranceKind>(kind);
  options.degree = static_cast<int>(degree);
  options.output_dtype = static_cast<DType>(dtype);
  return options;
}

constexpr std::int64_t kHeadNumbers = 5;
constexpr std::int64_t kColumnNumbers = 7;

/// Bytes of all heads.
std::int64_t heads_size(const StreamingOptions& options) {
  const std::int64_t least = std::min({options.batch, options.heads, options.dim});
  const std::int64_t most = std::max({options.batch, options.heads, options.dim, options.value_dim});
  if (least < 1 || options.value_dim < 0 || most > std::int64_t{1} << 48) {
    fail(ErrorCode::invalid_argument, kName, "sizes that can be",
         std::to_string(least) + " to " + std::to_string(most));
  }
  const std::int64_t rank = numerics::feature_rank(options.dim, *options.degree);
  if (rank < 0 || rank > std::numeric_limits<std::int64_t>::max() / 2) {
    fail(ErrorCode::invalid_argument, kName, "a rank that fits memory", "a larger one");
  }
  const std::int64_t padded = base::round_up_to(rank, simd::kStreamingLanes);
  const std::int64_t sums = base::checked_product({2, options.value_dim + 1, padded}, kName);
  const std::int64_t columns = base::checked_mul(kColumnNumbers, options.value_dim, kName);
  std::int64_t numbers = 0;
  if (__builtin_add_overflow(sums, columns, &numbers) || __builtin_add_overflow(numbers, kHeadNumbers, &numbers)) {
    fail(ErrorCode::invalid_argument, kName, "a size that fits 63 bits", "a larger one");
  }
  return base::checked_product({8, options.batch, options.heads, numbers}, kName);
}

void put_head(Writer& out, const engines::StreamHead& head) {
  out.put(head.tokens);
  out.put(head.visible);
  out.put(head.additions);
  out.put(head.exponent);
  out.put(head.terms);
  for (const engines::StreamColumn& column : head.columns) {
    for (const double x : {column.centre, column.low, column.high, column.absolute.sum, column.absolute.error,
                           column.square.sum, column.square.error}) {
      out.put(x);
    }
  }
  out.put(head.sums.data(), head.sums.size());
  out.put(head.errors.data(), head.errors.size());
}

void get_head(Reader& in, engines::StreamHead& head) {
  head.tokens = in.get<std::int64_t>();
  head.visible = in.get<std::int64_t>();
  head.additions = in.get<std::int64_t>();
  head.exponent = in.get<double>();
  head.terms = in.get<double>();
  if (head.visible < 0 || head.tokens < head.visible || head.additions < head.visible) {
    fail(ErrorCode::invalid_argument, kName, "numbers of tokens that can be", std::to_string(head.tokens));
  }
  for (engines::StreamColumn& column : head.columns) {
    for (double* x : {&column.centre, &column.low, &column.high, &column.absolute.sum, &column.absolute.error,
                      &column.square.sum, &column.square.error}) {
      *x = in.get<double>();
    }
  }
  in.get(head.sums.data(), head.sums.size());
  in.get(head.errors.data(), head.errors.size());
}

/// The bytes between header and checksum, which are known to be whole.
std::span<const std::byte> checked_payload(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeader + kChecksum || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(ErrorCode::invalid_argument, kName, "bytes that a stream was saved in",
         bytes.size() < kHeader + kChecksum ? std::to_string(bytes.size()) + " bytes" : "others");
  }
  Reader header(bytes.subspan(kMagic.size()));
  const auto order = header.get<std::uint32_t>();
  const auto version = header.get<std::uint32_t>();
  const auto size = header.get<std::uint64_t>();
  if (order != kByteOrder) {
    fail(order == kOtherByteOrder ? ErrorCode::unsupported : ErrorCode::invalid_argument, kName,
         "numbers in this machine's byte order", order == kOtherByteOrder ? "the other one" : "damaged bytes");
  }
  if (version != kVersion) {
    fail(ErrorCode::unsupported, kName, "format version " + std::to_string(kVersion), std::to_string(version));
  }
  if (size != bytes.size()) {
    fail(ErrorCode::invalid_argument, kName, std::to_string(size) + " bytes, as it says", std::to_string(bytes.size()));
  }
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, bytes.data() + bytes.size() - kChecksum, kChecksum);
  if (checksum != base::crc64(bytes.first(bytes.size() - kChecksum))) {
    fail(ErrorCode::invalid_argument, kName, "bytes as they were saved", "damaged ones: the checksum differs");
  }
  return bytes.subspan(kHeader, bytes.size() - kHeader - kChecksum);
}

}  // namespace

std::vector<std::byte> stream_to_bytes(const StreamState& state) {
  Writer out;
  Writer declaration;
  put_options(declaration, state.options);
  const std::size_t size = kHeader + declaration.bytes().size() + usize(heads_size(state.options)) + kChecksum;
  out.bytes().reserve(size);
  out.put(kMagic.data(), kMagic.size());
  out.put(kByteOrder);
  out.put(kVersion);
  out.put(static_cast<std::uint64_t>(size));
  out.put(declaration.bytes().data(), declaration.bytes().size());
  for (const engines::StreamHead& head : state.heads) {
    put_head(out, head);
  }
  out.put(base::crc64(out.bytes()));
  return std::move(out.bytes());
}

std::unique_ptr<StreamState> stream_from_bytes(std::span<const std::byte> bytes, const StreamingResources& resources) {
  Reader in(checked_payload(bytes));
  const StreamingOptions options = get_options(in);
  // Every size is backed by bytes that are there, before anything is made of it.
  if (static_cast<std::uint64_t>(heads_size(options)) != in.left()) {
    fail(ErrorCode::invalid_argument, kName, std::to_string(heads_size(options)) + " bytes of sums",
         std::to_string(in.left()));
  }
  auto state = std::make_unique<StreamState>(options, resources);
  for (engines::StreamHead& head : state->heads) {
    get_head(in, head);
  }
  return state;
}

bool declared_alike(const StreamingOptions& a, const StreamingOptions& b) {
  Writer first;
  Writer second;
  put_options(first, a);
  put_options(second, b);
  return first.bytes() == second.bytes();
}

}  // namespace polyattn::api
