#pragma once

/// Where the results of one head go, from the destinations of a call.

#include "base/checked.hpp"
#include "planning/execute.hpp"
#include "polyattn/attention.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace polyattn::api {

/// Per-row destinations are filled as plain arrays; a view with gaps is filled through a copy.
class RowTarget {
 public:
  RowTarget(const std::optional<View>& view, std::int64_t batch, std::int64_t head, std::int64_t rows)
      : target_(view ? static_cast<double*>(view->data) + batch * view->strides[0] + head * view->strides[1] : nullptr),
        stride_(view ? view->strides[2] : 1) {
    if (target_ != nullptr && stride_ != 1) {
      copy_.resize(base::usize(rows));
    }
  }
  [[nodiscard]] double* data() noexcept { return copy_.empty() ? target_ : copy_.data(); }
  void finish() noexcept {
    for (std::size_t i = 0; i < copy_.size(); ++i) {
      target_[static_cast<std::int64_t>(i) * stride_] = copy_[i];
    }
  }

 private:
  double* target_;
  std::int64_t stride_;
  std::vector<double> copy_;
};

/// All destinations of head number `index` of a call (batch-major).
class HeadTargets {
 public:
  HeadTargets(const Destinations& out, std::int64_t index, std::int64_t batch, std::int64_t head, std::int64_t rows)
      : lse_(out.lse, batch, head, rows),
        lse_bound_(out.lse_bound, batch, head, rows),
        row_max_(out.row_max, batch, head, rows),
        row_bounds_(out.row_bounds, batch, head, rows) {
    head_.output = base::head_sink(out.output, batch, head);
    head_.lse = lse_.data();
    head_.lse_bound = lse_bound_.data();
    head_.row_max = row_max_.data();
    head_.row_bounds = row_bounds_.data();
    if (!out.row_engine.empty()) {
      head_.row_engine = out.row_engine.data() + index * rows;
    }
  }
  [[nodiscard]] const planning::HeadDestinations& destinations() const noexcept { return head_; }
  /// Puts copies where they belong.
  void finish() noexcept {
    for (RowTarget* rows : {&lse_, &lse_bound_, &row_max_, &row_bounds_}) {
      rows->finish();
    }
  }

 private:
  RowTarget lse_;
  RowTarget lse_bound_;
  RowTarget row_max_;
  RowTarget row_bounds_;
  planning::HeadDestinations head_;
};

}  // namespace polyattn::api
