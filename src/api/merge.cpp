// Merging answers to the same queries against disjoint sets of keys: checks, rows, results. The mathematics is in
// merge_row.cpp.

#include "polyattn/merge.hpp"

#include "api/merge_row.hpp"
#include "api/views.hpp"
#include "base/checked.hpp"
#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "base/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace polyattn {

namespace {

using base::fail;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kRowBlock = 256;  // rows handed out at once; no bits depend on it

std::string name_of(std::size_t part, const char* field) { return "parts[" + std::to_string(part) + "]." + field; }

void check_shape(const std::string& name, const ConstView& view, const Shape& shape) {
  if (view.shape != shape) {
    fail(ErrorCode::invalid_argument, name, "shape " + api::text(shape), api::text(view.shape));
  }
  api::check_view(name.c_str(), view);
}

void check(std::span<const Partial> parts, const MergeOptions& options) {
  if (parts.empty()) {
    fail(ErrorCode::invalid_argument, "parts", "at least one", "none");
  }
  const Shape shape = parts.front().output.shape;
  const Shape per_row{shape[0], shape[1], shape[2], 1};
  for (std::size_t p = 0; p < parts.size(); ++p) {
    check_shape(name_of(p, "output"), parts[p].output, shape);
    check_shape(name_of(p, "lse"), parts[p].lse, per_row);
    if (parts[p].row_bounds) {
      check_shape(name_of(p, "row_bounds"), *parts[p].row_bounds, per_row);
    }
    if (parts[p].lse_bound) {
      check_shape(name_of(p, "lse_bound"), *parts[p].lse_bound, per_row);
    }
  }
  if (options.output_dtype && size_of(*options.output_dtype) == 0) {
    fail(ErrorCode::invalid_argument, "output_dtype", "a known dtype",
         std::to_string(static_cast<int>(*options.output_dtype)));
  }
  if (options.threads < 0 || options.threads > 4096) {
    fail(ErrorCode::invalid_argument, "threads", "0 (all) to 4096", std::to_string(options.threads));
  }
}

DType merged_dtype(std::span<const Partial> parts, const MergeOptions& options) {
  const bool wide =
      std::any_of(parts.begin(), parts.end(), [](const Partial& part) { return part.output.dtype == DType::float64; });
  return options.output_dtype.value_or(wide ? DType::float64 : DType::float32);
}

/// One part's rows of one batch and head. A tensor that was not given has no rows.
struct HeadPart {
  base::Rows output;
  base::Rows lse;
  base::Rows row_bounds;
  base::Rows lse_bound;
  api::StorageError storage;
};

std::vector<HeadPart> head_parts(std::span<const Partial> parts, std::int64_t batch, std::int64_t head) {
  const auto rows = [&](const std::optional<ConstView>& view) {
    return view ? base::head_rows(*view, batch, head) : base::Rows{};
  };
  std::vector<HeadPart> head_rows;
  for (const Partial& part : parts) {
    head_rows.push_back({rows(part.output), rows(part.lse), rows(part.row_bounds), rows(part.lse_bound),
                         api::storage_error(part.output.dtype)});
  }
  return head_rows;
}

/// The rows of one batch and head, merged one at a time.
class HeadMerger {
 public:
  HeadMerger(std::span<const Partial> parts, NonFinite non_finite, DType dtype, std::int64_t batch, std::int64_t head)
      : parts_(head_parts(parts, batch, head)),
        columns_(parts.front().output.shape[3]),
        position_(" at batch " + std::to_string(batch) + ", head " + std::to_string(head) + ", row "),
        propagate_(non_finite == NonFinite::propagate),
        to_float32_(dtype == DType::float32),
        values_(
            base::checked_mul(static_cast<std::int64_t>(parts.size()) + 1 + api::kMergeScratch, columns_, "parts")) {}

  /// The output of the row merged last.
  [[nodiscard]] const double* output() const noexcept { return values_.data(); }

  api::RowBounds merge(std::int64_t row) {
    shares_.clear();
    bool meaningful = true;  // every log-sum-exp is a number or -inf
    bool known = true;       // and -inf only where the part is sure to see no key
    double* merged = values_.data();
    double* scratch = merged + columns_;
    double* outputs = scratch + api::kMergeScratch * columns_;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const HeadPart& part = parts_[p];
      const double lse = element(part.lse, row);
      const double lse_bound = bound_of(part.lse_bound, p, "lse_bound", row);
      if (!(lse < kInfinity)) {
        refuse(lse, name_of(p, "lse"), "finite numbers or -infinity", row);
        meaningful = false;
      } else if (lse == -kInfinity) {
        // Taken at its word if no bound was given. An infinite bound is what attend says of scores beyond float32.
        known = known && (part.lse_bound.rows == 0 || lse_bound < kInfinity);
      } else {
        double* output = outputs + static_cast<std::int64_t>(shares_.size()) * columns_;
        base::load_rows(part.output, row, 1, output, columns_);
        for (std::int64_t c = 0; c < columns_; ++c) {
          if (!std::isfinite(output[c])) {
            refuse(output[c], name_of(p, "output"), "finite numbers", row, c);
          }
        }
        shares_.push_back({lse, lse_bound, bound_of(part.row_bounds, p, "row_bounds", row), part.storage});
      }
    }
    if (!meaningful) {
      std::fill_n(merged, columns_, kNan);
      return {kNan, kInfinity, kInfinity};
    }
    api::RowBounds bounds{-kInfinity, 0.0, 0.0};
    if (shares_.empty()) {
      std::fill_n(merged, columns_, 0.0);
    } else {
      bounds = api::merge_row(shares_, outputs, columns_, to_float32_, merged, scratch);
    }
    return known ? bounds : api::RowBounds{bounds.lse, kInfinity, kInfinity};
  }

 private:
  static double element(const base::Rows& column, std::int64_t row) noexcept {
    double value = kNan;  // stays where there are no rows
    base::load_rows(column, row, 1, &value, 1);
    return value;
  }

  /// A bound that was not given, or is NaN, says nothing.
  [[nodiscard]] double bound_of(const base::Rows& column, std::size_t part, const char* field, std::int64_t row) const {
    const double bound = element(column, row);
    if (bound < 0.0) {
      fail(ErrorCode::invalid_argument, name_of(part, field), "numbers of at least 0",
           base::text(bound) + position_ + std::to_string(row));
    }
    return std::isnan(bound) ? kInfinity : bound;
  }

  /// Throws, naming what is not finite, unless that is to be propagated.
  void refuse(double value, const std::string& name, const char* expected, std::int64_t row,
              std::int64_t column = 0) const {
    if (!propagate_) {
      fail(ErrorCode::non_finite, name, expected,
           (std::isnan(value) ? "NaN" : "infinity") + position_ + std::to_string(row) + ", column " +
               std::to_string(column));
    }
  }

  std::vector<HeadPart> parts_;
  std::int64_t columns_;
  std::string position_;
  bool propagate_;
  bool to_float32_;
  std::vector<api::Share> shares_;
  base::Buffer<double> values_;  // the merged row, scratch memory, the parts' rows
};

}  // namespace

Merged merge(std::span<const Partial> parts, const MergeOptions& options) {
  check(parts, options);
  const Shape shape = parts.front().output.shape;
  const Shape per_row{shape[0], shape[1], shape[2], 1};
  const DType dtype = merged_dtype(parts, options);
  Merged merged{Tensor(dtype, shape), Tensor(DType::float64, per_row), Tensor(DType::float64, per_row),
                Tensor(DType::float64, per_row)};
  const std::int64_t blocks = base::blocks_of(shape[2], kRowBlock);
  const base::Context context{options.threads == 0 ? base::hardware_threads() : options.threads};
  base::parallel_for(context, shape[0] * shape[1] * blocks, [&](std::int64_t item, int) {
    const std::int64_t index = item / blocks;
    const std::int64_t batch = index / shape[1];
    const std::int64_t head = index % shape[1];
    HeadMerger rows(parts, options.non_finite, dtype, batch, head);
    const base::RowSink sink = base::head_sink(merged.output.view(), batch, head);
    const std::int64_t first = item % blocks * kRowBlock;
    for (std::int64_t row = first; row < std::min(first + kRowBlock, shape[2]); ++row) {
      const api::RowBounds bounds = rows.merge(row);
      base::store_row(sink, row, rows.output(), shape[3]);
      const std::int64_t at = index * shape[2] + row;
      static_cast<double*>(merged.lse.data())[at] = bounds.lse;
      static_cast<double*>(merged.lse_bound.data())[at] = bounds.lse_bound;
      static_cast<double*>(merged.row_bounds.data())[at] = bounds.row_bound;
    }
  });
  return merged;
}

Partial partial(const Result& result) {
  if (!result.lse) {
    fail(ErrorCode::invalid_argument, "result", "a log-sum-exp (options.want_lse)", "none");
  }
  const auto view = [](const std::optional<Tensor>& tensor) {
    return tensor ? std::optional<ConstView>(tensor->view()) : std::nullopt;
  };
  return {result.output.view(), result.lse->view(), view(result.row_bounds), view(result.lse_bound)};
}

Partial partial(const Merged& merged) {
  return {merged.output.view(), merged.lse.view(), merged.row_bounds.view(), merged.lse_bound.view()};
}

}  // namespace polyattn
