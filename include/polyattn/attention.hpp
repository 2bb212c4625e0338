#pragma once

/// Attention with a tolerance: one call, plan and execute, or prepared keys.
///
/// For queries q_i, keys k_j and values v_j of one head, scores s_ij and key bias b_j,
///
///     T_i = sum_j exp(s_ij + b_j) v_j / sum_j exp(s_ij + b_j)      over the keys row i may see,
///
/// and T~ with max |T~ - T| <= tolerance is returned together with a proved bound.
///
/// Keys and values are lists of k-1 views for attention of order k, 2 to 16: softmax over the tuples (j_1 ... j_(k-1))
/// with one key of each set,
///
///     s_i(j_1 ...) = scale sum_l q_il k1_{j_1 l} k2_{j_2 l} ...,   bias b1_{j_1} + b2_{j_2} + ...,
///
/// and values v1_{j_1} v2_{j_2} ... column by column. A row sees a tuple if it sees each member in its own set. Sets
/// have their own lengths and numbers of heads, and the same dimensions.

#include "polyattn/error.hpp"
#include "polyattn/export.hpp"
#include "polyattn/options.hpp"
#include "polyattn/report.hpp"
#include "polyattn/tensor.hpp"
#include "polyattn/view.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace polyattn {

namespace detail {
struct PlanState;
struct PreparedState;
struct SavedState;
}  // namespace detail

/// Rows answered: [batch, heads, n_q, d_v] and friends, owned.
struct Result {
  Tensor output;                                    ///< [batch, heads, n_q, d_v]
  std::optional<Tensor> lse;                        ///< float64 [batch, heads, n_q, 1], -inf for rows that see no key
  std::optional<Tensor> lse_bound;                  ///< float64 [batch, heads, n_q, 1]
  std::optional<Tensor> row_max;                    ///< float64 [batch, heads, n_q, 1]
  std::optional<Tensor> row_bounds;                 ///< float64 per row: bound on its error, 16-bit storage apart
  std::vector<Engine> row_engine;                   ///< batch-major, if asked for
  std::shared_ptr<const detail::SavedState> saved;  ///< for a later backward pass; opaque
  Report report;
};

/// Caller-owned destinations. Absent views are not written. They may not overlap the inputs; after an error or a cancel
/// their contents are unspecified.
struct Destinations {
  View output;
  std::optional<View> lse;         ///< float64
  std::optional<View> lse_bound;   ///< float64
  std::optional<View> row_max;     ///< float64; needs `want_row_max` in the options, which restricts the engines
  std::optional<View> row_bounds;  ///< float64
  std::span<Engine> row_engine;    ///< empty, or batch * heads * n_q entries
};

/// Shape of the output of attend: Q's batch, heads and length, V's dim.
POLYATTN_EXPORT Shape output_shape(const ConstView& q, std::span<const ConstView> values);
/// Storage type of the output: `options.output_dtype`, else Q's, else float32 for 16-bit Q.
POLYATTN_EXPORT DType output_dtype(const ConstView& q, const Options& options);

POLYATTN_EXPORT Result attend(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
                              const Options& options = {});
POLYATTN_EXPORT Report attend_into(const Destinations& out, const ConstView& q, std::span<const ConstView> keys,
                                   std::span<const ConstView> values, const Options& options = {});

/// Exact attention in float64 for the rows `rows` (indices into the sequence, the same for every batch and head), masks
/// applied as for the full problem. Output [batch, heads, rows.size(), d_v] in float64, always with row bounds, with
/// log-sum-exp and row maximum if asked for. Used to verify.
POLYATTN_EXPORT Result attend_rows(const ConstView& q, std::span<const ConstView> keys,
                                   std::span<const ConstView> values, std::span<const std::int64_t> rows,
                                   const Options& options = {});

/// An immutable decision for one set of inputs, which it borrows. Thread-safe.
class POLYATTN_EXPORT Plan {
 public:
  explicit Plan(std::shared_ptr<const detail::PlanState> state) noexcept;
  [[nodiscard]] const PlanReport& report() const noexcept;
  [[nodiscard]] Result execute() const;
  /// `progress` replaces the one given when planning, if set.
  Report execute(const Destinations& out, const Progress& progress = {}) const;

 private:
  std::shared_ptr<const detail::PlanState> state_;
};

POLYATTN_EXPORT Plan plan(const ConstView& q, std::span<const ConstView> keys, std::span<const ConstView> values,
                          const Options& options = {});

/// What each of `tolerances` would take, of the options' kind; the options' own value is not looked at. As `plan` for
/// each, but what does not depend on the tolerance (statistics, shells of keys, samples) is measured once. Throws Error
/// (invalid_argument) if there are none, or one is negative or not finite.
POLYATTN_EXPORT SweepReport sweep(const ConstView& q, std::span<const ConstView> keys,
                                  std::span<const ConstView> values, std::span<const double> tolerances,
                                  const Options& options = {});

/// Where queries may lie; fixes centres and radii before any query is seen.
struct QueryDomain {
  /// Representative queries [batch, heads, n, dim]; their bounding ball and box are the domain.
  std::optional<ConstView> representative;
  /// Or a box, the same for every head: `low[l] <= q_l <= high[l]`.
  std::vector<double> low;
  std::vector<double> high;
  /// Or a ball, the same for every head.
  std::vector<double> centre;
  double radius = 0.0;
};

/// What to do with a query set that leaves the domain.
enum class OutsideDomain : std::uint8_t {
  exact,      ///< answer the rows outside by the exact engine (default)
  reprepare,  ///< prepare again for the union of the domain and these queries
};

struct PrepareOptions {
  Options options;               ///< score, masks (see `prepare`), tolerance, engine, resources
  bool borrow = false;           ///< keep views of K and V instead of copies
  std::int64_t query_heads = 0;  ///< 0: as many as key heads, of the set that has most
  /// Query rows expected per call; the planner weighs preparing against answering with it. 0: as many as keys.
  std::int64_t expected_queries = 0;
  OutsideDomain outside = OutsideDomain::exact;
};

/// Keys and values ready for many query sets. Immutable and thread-safe; `append` shares storage with the original.
class POLYATTN_EXPORT Prepared {
 public:
  explicit Prepared(std::shared_ptr<const detail::PreparedState> state) noexcept;
  /// How queries inside the domain will be answered.
  [[nodiscard]] const PlanReport& report() const noexcept;
  /// How many keys, of one set; 0 for a set that is not there.
  [[nodiscard]] std::int64_t keys(std::size_t set = 0) const noexcept;
  [[nodiscard]] Plan plan(const ConstView& q) const;
  [[nodiscard]] Result query(const ConstView& q) const;
  Report query_into(const Destinations& out, const ConstView& q) const;
  /// A new object that also holds these keys, values and (if the original had one) key biases. Cost: as to prepare the
  /// new keys alone, unless the head must be planned anew (docs/api.md says when); at order 3 and above all keys are
  /// prepared anew, and sets that do not grow are given views of no keys. Error (invalid_argument) if shapes
  /// do not fit what is prepared, (non_finite) if a visible key or value is not finite.
  [[nodiscard]] Prepared append(std::span<const ConstView> keys, std::span<const ConstView> values,
                                std::span<const ConstView> key_bias = {}) const;

 private:
  std::shared_ptr<const detail::PreparedState> state_;
};

/// Lists of key sets as for `attend`; one set at order 2.
///
/// Masks that belong to one query set (segments, boolean, additive) are refused. Causal masks, windows and exclude_self
/// count rows from the first of each query set and keys from the first of all; they rule out the polynomial engine.
POLYATTN_EXPORT Prepared prepare(std::span<const ConstView> keys, std::span<const ConstView> values,
                                 const QueryDomain& domain, const PrepareOptions& options = {});

/// What an engine can do; the one table read by the planner, the error messages and the documents.
struct Capability {
  Engine engine;
  const char* feature;  ///< e.g. "causal", "key_bias", "order 3 and above", "causal, order 3 and above"
  bool supported;
};
POLYATTN_EXPORT std::vector<Capability> capabilities();

/// "avx512", "avx2", "neon" or "scalar": what runs now. POLYATTN_ISA in the environment forces one.
POLYATTN_EXPORT const char* instruction_set();
/// Every instruction set this build contains and this processor can run, best first.
POLYATTN_EXPORT std::vector<const char*> instruction_sets();

POLYATTN_EXPORT const char* version() noexcept;

}  // namespace polyattn
