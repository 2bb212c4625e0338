// Queries of a stream: checks, one head after the other, the certificate of the worst row.

#include "api/streaming_rows.hpp"
#include "api/streaming_state.hpp"
#include "api/views.hpp"
#include "base/error.hpp"
#include "base/parallel.hpp"
#include "base/rows.hpp"
#include "engines/polynomial/streaming/answer.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;
using detail::StreamState;
using engines::StreamScratch;

/// What the rows of one head's answer need beside their output.
struct RowArrays {
  explicit RowArrays(std::int64_t rows)
      : lse(usize(rows)),
        lse_bound(usize(rows)),
        approximation(usize(rows)),
        rounding(usize(rows)),
        storage(usize(rows)) {}
  std::vector<double> lse;
  std::vector<double> lse_bound;
  std::vector<double> approximation;
  std::vector<double> rounding;
  std::vector<double> storage;
};

double tolerance_now(const StreamState& state, const engines::StreamBounds* bounds) noexcept {
  const Tolerance& tolerance = state.options.tolerance;
  if (tolerance.value == 0.0) {
    return std::numeric_limits<double>::infinity();
  }
  if (tolerance.kind == ToleranceKind::absolute) {
    return tolerance.value;
  }
  if (!state.options.value_low.empty() || bounds == nullptr) {
    return tolerance.value * declared_range(state.options);
  }
  return tolerance.value * bounds->values.range() + 0x1p-49 * bounds->values.max_abs;
}

void store_column(const std::optional<View>& view, std::int64_t b, std::int64_t h, const std::vector<double>& numbers) {
  if (!view) {
    return;
  }
  const base::RowSink sink = base::head_sink(*view, b, h);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    base::store_row(sink, static_cast<std::int64_t>(i), &numbers[i], 1);
  }
}

/// The rows of one query head; the certificate of the worst.
Certificate answer_head(const StreamState& state, const Destinations& out, const ConstView& q, std::int64_t b,
                        std::int64_t h, StreamScratch& scratch) {
  const std::int64_t group = q.shape[1] / state.options.heads;
  const engines::StreamHead& head = state.heads[usize(b * state.options.heads + h / group)];
  const std::int64_t rows = q.shape[2];
  const simd::StreamingKernels& kernels = engines::stream_kernels();
  engines::StreamBounds bounds;
  if (head.visible != 0) {
    bounds = engines::bound_stream(state.model, head);
  }
  const double tolerance = tolerance_now(state, head.visible != 0 ? &bounds : nullptr);
  RowArrays found(rows);
  engines::HeadOutputs outputs;
  outputs.output = base::head_sink(out.output, b, h);
  outputs.lse = found.lse.data();
  outputs.lse_bound = found.lse_bound.data();
  outputs.approximation = found.approximation.data();
  outputs.rounding = found.rounding.data();
  outputs.storage = found.storage.data();
  Certificate worst;
  std::vector<double> row_bounds;
  for (std::int64_t i = 0; i < rows; ++i) {
    load_row(q, b, h, i, scratch.key.data());
    check_finite("q", scratch.key, b, h, i);
    if (!state.model.declared.queries.contains(scratch.key.data())) {
      const auto complaint = state.model.declared.queries.complaint(scratch.key.data());
      fail(ErrorCode::invalid_argument, place("q", b, h, i), complaint.expected, complaint.got);
    }
    const bool proved = engines::answer_query(state.model, head, bounds, i, kernels, scratch, outputs);
    const Certificate here{found.approximation[usize(i)], found.rounding[usize(i)], found.storage[usize(i)]};
    if (!proved || !(here.bound() <= tolerance)) {
      fail(ErrorCode::not_reachable, place("tolerance of q", b, h, i),
           proved ? "at least " + base::text(here.bound()) + ", what is certified"
                  : "a smaller domain: the denominator cannot be bounded",
           base::text(tolerance));
    }
    row_bounds.push_back(here.bound());
    if (here.bound() >= worst.bound()) {
      worst.approximation = here.approximation;
      worst.rounding = here.rounding;
    }
    worst.storage = std::max(worst.storage, here.storage);
  }
  store_column(out.lse, b, h, found.lse);
  store_column(out.lse_bound, b, h, found.lse_bound);
  store_column(out.row_bounds, b, h, row_bounds);
  return worst;
}

void check_query(const StreamState& state, const Destinations& out, const ConstView& q) {
  const StreamingOptions& options = state.options;
  std::vector<ByteRange> taken{check_view("q", q)};
  if (q.shape[0] != options.batch || q.shape[1] % options.heads != 0 || q.shape[3] != options.dim) {
    fail(ErrorCode::invalid_argument, "q",
         "shape [" + std::to_string(options.batch) + ", a multiple of " + std::to_string(options.heads) + ", n, " +
             std::to_string(options.dim) + "] as declared",
         text(q.shape));
  }
  if (out.output.dtype != options.output_dtype) {
    fail(ErrorCode::invalid_argument, "output", name_of(options.output_dtype), name_of(out.output.dtype));
  }
  check_destination("output", out.output, {q.shape[0], q.shape[1], q.shape[2], options.value_dim}, taken);
  taken.push_back(check_view("output", out.output));
  const auto check = [&](const char* name, const std::optional<View>& view) {
    if (!view) {
      return;
    }
    if (view->dtype != DType::float64) {
      fail(ErrorCode::invalid_argument, name, "float64", name_of(view->dtype));
    }
    check_destination(name, *view, {q.shape[0], q.shape[1], q.shape[2], 1}, taken);
    taken.push_back(check_view(name, *view));
  };
  check("lse", out.lse);
  check("lse_bound", out.lse_bound);
  check("row_bounds", out.row_bounds);
  if (out.row_max || !out.row_engine.empty()) {
    fail(ErrorCode::unsupported, "row_max and row_engine: streams have neither");
  }
}

}  // namespace

Certificate answer_queries(const StreamState& state, const Destinations& out, const ConstView& q) {
  check_query(state, out, q);
  const std::int64_t heads = base::checked_mul(q.shape[0], q.shape[1], "q");
  const base::Context context{static_cast<int>(std::clamp<std::int64_t>(heads, 1, state.threads)), nullptr, nullptr};
  std::vector<StreamScratch> scratch;  // not the state's: several queries may run at once
  scratch.reserve(usize(context.threads));
  for (int i = 0; i < context.threads; ++i) {
    scratch.emplace_back(state.model, nullptr);
  }
  std::vector<Certificate> certificates(usize(heads));
  base::parallel_for(context, heads, [&](std::int64_t item, int thread) {
    certificates[usize(item)] =
        answer_head(state, out, q, item / q.shape[1], item % q.shape[1], scratch[usize(thread)]);
  });
  Certificate worst;
  double storage = 0.0;
  for (const Certificate& certificate : certificates) {
    worst = certificate.bound() >= worst.bound() ? certificate : worst;
    storage = std::max(storage, certificate.storage);
  }
  worst.storage = storage;
  return worst;
}

}  // namespace polyattn::api
