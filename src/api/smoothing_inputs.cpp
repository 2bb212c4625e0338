#include "api/smoothing_inputs.hpp"

#include "api/views.hpp"
#include "base/checked.hpp"
#include "base/error.hpp"
#include "base/rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace polyattn::api {

namespace {

using base::fail;
using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kMostAxes = 65535;  // as attend

void same(const char* first, const char* second, const char* what, std::int64_t a, std::int64_t b) {
  if (a != b) {
    fail(ErrorCode::invalid_argument, std::string(first) + " and " + second + ": expected the same number of " + what +
                                          ", got " + std::to_string(a) + " and " + std::to_string(b));
  }
}

/// Which points have a weight of 0. Throws unless every other log-weight is finite and there is one.
std::vector<bool> hidden_points(const ConstView& weights, std::int64_t n) {
  if (weights.shape != Shape{1, 1, n, 1}) {
    fail(ErrorCode::invalid_argument, "log_weights", "one for each point, " + text({1, 1, n, 1}), text(weights.shape));
  }
  check_view("log_weights", weights);
  std::vector<double> loaded(usize(n));
  base::load_rows(base::head_rows(weights, 0, 0), 0, n, loaded.data(), 1);
  std::vector<bool> hidden(usize(n));
  bool any = false;
  for (std::int64_t j = 0; j < n; ++j) {
    const double weight = loaded[usize(j)];
    if (!(weight < kInfinity)) {
      fail(ErrorCode::non_finite, "log_weights", "finite numbers or -infinity",
           std::string(std::isnan(weight) ? "NaN" : "infinity") + " at row " + std::to_string(j));
    }
    hidden[usize(j)] = weight == -kInfinity;
    any = any || weight > -kInfinity;
  }
  if (!any) {
    fail(ErrorCode::invalid_argument, "log_weights", "at least one above -infinity", "none");
  }
  return hidden;
}

}  // namespace

ConstView no_values(const ConstView& points) noexcept {
  const Shape shape{1, 1, points.shape[2], 0};
  return {points.data, points.dtype, shape, contiguous_strides(shape)};
}

void check_matrix(const char* name, const ConstView& view, const char* columns) {
  if (view.shape[0] != 1 || view.shape[1] != 1) {
    fail(ErrorCode::invalid_argument, name, std::string("a matrix [1, 1, rows, ") + columns + "]", text(view.shape));
  }
  check_view(name, view);
  if (view.shape[3] < 1 || view.shape[3] > kMostAxes) {
    fail(ErrorCode::invalid_argument, name, "1 to " + std::to_string(kMostAxes) + " columns",
         std::to_string(view.shape[3]));
  }
}

void require_finite(const char* name, const ConstView& view, const std::vector<bool>* hidden) {
  const std::int64_t columns = view.shape[3];
  const std::int64_t block = std::max<std::int64_t>(1, 8192 / columns);
  const base::Rows rows = base::head_rows(view, 0, 0);
  std::vector<double> some(usize(block * columns));
  for (std::int64_t first = 0; first < view.shape[2]; first += block) {
    const std::int64_t count = std::min(block, view.shape[2] - first);
    base::load_rows(rows, first, count, some.data(), columns);
    double poison = 0.0;  // one pass without branches: 0 * x is NaN exactly where x is not finite
    for (std::int64_t i = 0; i < count * columns; ++i) {
      poison += 0.0 * some[usize(i)];
    }
    for (std::int64_t i = 0; poison != 0.0 && i < count * columns; ++i) {
      const std::int64_t row = first + i / columns;
      if (!std::isfinite(some[usize(i)]) && (hidden == nullptr || !(*hidden)[usize(row)])) {
        fail(ErrorCode::non_finite, name, "finite numbers",
             std::string(std::isnan(some[usize(i)]) ? "NaN" : "infinity") + " at row " + std::to_string(row) +
                 ", column " + std::to_string(i % columns));
      }
    }
  }
}

SmoothingInputs check_inputs(const ConstView& points, const ConstView* values, const ConstView& queries,
                             const std::optional<ConstView>& log_weights) {
  check_matrix("points", points, "d");
  check_matrix("queries", queries, "d");
  same("points", "queries", "columns", points.shape[3], queries.shape[3]);
  if (points.shape[2] == 0) {
    fail(ErrorCode::invalid_argument, "points", "at least one", "none");
  }
  if (values != nullptr) {
    check_matrix("values", *values, "columns");
    same("points", "values", "rows", points.shape[2], values->shape[2]);
  }
  SmoothingInputs inputs{points, values != nullptr ? *values : no_values(points), queries, log_weights, {}, 0};
  inputs.visible = inputs.n();
  std::vector<bool> hidden;
  if (log_weights) {
    hidden = hidden_points(*log_weights, inputs.n());
    inputs.visible = std::count(hidden.begin(), hidden.end(), false);
  }
  const std::vector<bool>* unread = log_weights ? &hidden : nullptr;
  const bool themselves = queries.data == points.data && queries.dtype == points.dtype &&
                          queries.shape == points.shape && queries.strides == points.strides;
  // As queries, points of weight 0 are read.
  require_finite("points", points, themselves ? nullptr : unread);
  if (values != nullptr) {
    require_finite("values", *values, unread);
  }
  if (!themselves) {
    require_finite("queries", queries);
  }
  return inputs;
}

void require_two_points(const ConstView& points, const char* what) {
  if (points.shape[2] < 2) {
    fail(ErrorCode::invalid_argument, "points", std::string("at least two ") + what, std::to_string(points.shape[2]));
  }
}

std::vector<double> check_bandwidth(const std::vector<double>& bandwidth, std::int64_t d) {
  if (bandwidth.size() != 1 && static_cast<std::int64_t>(bandwidth.size()) != d) {
    fail(ErrorCode::invalid_argument, "bandwidth", "one number or one per axis (" + std::to_string(d) + ")",
         std::to_string(bandwidth.size()));
  }
  for (const double h : bandwidth) {
    // 2/H^2 is what squared weights need.
    if (!(std::isfinite(h) && h > 0.0) || !std::isfinite(2.0 / (h * h)) || 1.0 / (h * h) == 0.0) {
      fail(ErrorCode::invalid_argument, "bandwidth", "positive numbers whose squares neither vanish nor overflow",
           base::text(h));
    }
  }
  std::vector<double> each = bandwidth;
  each.resize(usize(d), bandwidth.front());
  return each;
}

}  // namespace polyattn::api
