#pragma once

/// Causal decoding in constant memory, with a certificate for every answer.
///
/// A `StreamingState` takes keys and values token by token and keeps sums only. A query is answered from them as if it
/// saw every token so far:
///
///     T = sum_j exp(s_j + b_j) v_j / sum_j exp(s_j + b_j)      over the tokens appended before
///
/// in time and memory that do not depend on how many there were: both a token and a query cost rank * (value_dim + 1)
/// operations, rank = C(dim + degree, degree) (Alman and Song 2023, with the smaller rank of docs/theory.md). For that
/// one must say beforehand where queries and keys will lie.

#include "polyattn/attention.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace polyattn {

namespace detail {
struct StreamState;
}  // namespace detail

/// Where queries or keys lie: a box, a ball, or what both have in common. The same for every head.
struct StreamingRegion {
  std::vector<double> centre;  ///< dim numbers; empty: the origin. Near the mean is best
  std::vector<double> half;    ///< |x_l - centre_l| <= half_l: dim numbers, one for all axes, or none: no box
  double radius = std::numeric_limits<double>::infinity();  ///< Euclidean, of the ball; infinity: no ball
};

struct StreamingOptions {
  std::int64_t batch = 1;  ///< at least 1, as are heads and dim
  std::int64_t heads = 1;  ///< of keys and values
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  Score score = Dot{};
  StreamingRegion queries;
  StreamingRegion keys;
  /// low <= v_c <= high: value_dim numbers, or one for all columns; or both empty: not declared. Declared values give
  /// bounds in advance; without, an absolute tolerance cannot be asked for.
  std::vector<double> value_low;
  std::vector<double> value_high;
  /// What every answer must be certified to. `of_value_range` is relative to the declared range or, without one, to the
  /// range seen so far, and then 16 roundings (2^-53) of the largest value are granted beside it. 0: none, and the
  /// degree must be given.
  Tolerance tolerance;
  /// By default the lowest degree at which `tolerance` is sure to be met in the whole domain. 0 to 30.
  std::optional<int> degree;
  /// What that default degree counts on: tokens in all, and the largest |bias|. More are taken too.
  std::int64_t expected_tokens = std::int64_t{1} << 20;
  double expected_bias = 0.0;
  DType output_dtype = DType::float64;  ///< of answers
};

/// How a state runs, which is no part of what is saved.
struct StreamingResources {
  int threads = 1;  ///< heads side by side; 0: all the machine offers
  std::uint64_t max_memory = std::numeric_limits<std::uint64_t>::max();  ///< bytes of the state
};

struct StreamingReport {
  int degree = 0;
  std::int64_t rank = 0;
  double radius = 0.0;  ///< bound on |s| after centring
  /// Proved before the first token: no answer's certificate exceeds it while there are at most `expected_tokens`, of
  /// biases within `expected_bias`. Infinite if nothing can be proved. Without a declared range of values a share of
  /// the range seen, 16 roundings (2^-53) of the largest value, and underflow, apart. Rounding to 16-bit storage is not
  /// in it.
  double a_priori_bound = 0.0;
  double tolerance = 0.0;   ///< as asked for
  std::int64_t tokens = 0;  ///< appended so far, hidden ones included
  std::uint64_t bytes = 0;  ///< of buffers, all there will ever be, those of running queries apart
};

/// Answers of one call. Certificates are as in `Result`: `certificate` of the worst row.
struct StreamingAnswer {
  Tensor output;      ///< [batch, query heads, n, value_dim]; zero where there is no visible token
  Tensor lse;         ///< float64 [batch, query heads, n, 1]; -inf where there is no visible token
  Tensor lse_bound;   ///< float64, the same shape
  Tensor row_bounds;  ///< float64, the same shape: approximation + rounding
  Certificate certificate;
};

/// Not thread-safe, but for several queries at once. A moved-from state may only be destroyed or assigned to.
class POLYATTN_EXPORT StreamingState {
 public:
  /// Throws Error: invalid_argument for a declaration that cannot mean anything, not_reachable if no degree is sure to
  /// meet the tolerance (the message says what the best would be), out_of_memory. Cost: the sums of all heads.
  explicit StreamingState(const StreamingOptions& options, const StreamingResources& resources = {});
  StreamingState(StreamingState&& other) noexcept;
  StreamingState& operator=(StreamingState&& other) noexcept;
  StreamingState(const StreamingState&) = delete;
  StreamingState& operator=(const StreamingState&) = delete;
  ~StreamingState();

  /// Adds tokens: `key` [batch, heads, n, dim], `value` [batch, heads, n, value_dim], any dtype and strides, in order.
  /// `key_bias` as in `Mask`; -infinity hides a token, whose key and value are then not read.
  ///
  /// All or nothing: if any token is not finite, leaves the declared domain or has a weight beyond exp(2^40), Error
  /// (non_finite or invalid_argument) names it, and the state is bit for bit what it was. Allocates nothing.
  void append(const ConstView& key, const ConstView& value, const std::optional<ConstView>& key_bias = std::nullopt);

  /// Answers `q` [batch, query heads, n, dim], every row from all tokens so far; query heads a multiple of `heads` as
  /// in `attend`. A row that leaves the declared domain is an Error (invalid_argument), one that cannot be certified to
  /// the tolerance too (not_reachable).
  [[nodiscard]] StreamingAnswer query(const ConstView& q) const;
  /// The same into memory of the caller: output of `output_dtype`, and what else is asked for except `row_max` and
  /// `row_engine`, which streams do not have. Returns the certificate of the worst row.
  Certificate query_into(const Destinations& out, const ConstView& q) const;

  /// Adds all tokens of `other`, which must have been declared alike. Without a declared range of values Error
  /// (invalid_argument) unless one of the two has seen no token.
  void merge(const StreamingState& other);

  [[nodiscard]] StreamingReport report() const;
  [[nodiscard]] const StreamingOptions& options() const noexcept;  ///< `degree` is the one in use

  /// The whole state in a versioned, checksummed format; `load` gives a state with the same bits in every answer, if
  /// the same build runs. Numbers are stored as this machine stores them; a machine of the other byte order refuses
  /// them.
  [[nodiscard]] std::vector<std::byte> save() const;
  /// Into a file: written under another name beside it and renamed when complete. Error (invalid_argument) if that
  /// fails.
  void save(const std::string& path) const;
  /// Error: invalid_argument for bytes that are no such state, cut short or damaged; unsupported for one of a newer
  /// version or of the other byte order.
  [[nodiscard]] static StreamingState load(std::span<const std::byte> bytes, const StreamingResources& resources = {});
  [[nodiscard]] static StreamingState load(const std::string& path, const StreamingResources& resources = {});

 private:
  explicit StreamingState(std::unique_ptr<detail::StreamState> state) noexcept;
  std::unique_ptr<detail::StreamState> state_;
};

}  // namespace polyattn
