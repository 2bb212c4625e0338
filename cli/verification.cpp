#include "verification.hpp"

#include "io/element.hpp"
#include "progress_bar.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>

namespace polyattn::cli {

namespace {

/// Half a unit in the last place of a 16-bit `stored`: what rounding to nearest may have added. Nothing for an
/// overflow, and nothing for float32, whose rounding is within the tolerance.
double storage_allowance(double stored, DType dtype) {
  if (!std::isfinite(stored)) return 0.0;
  // Below the smallest normal exponent the spacing stays what it is there; ilogb(0) is below everything.
  if (dtype == DType::float16) return std::ldexp(1.0, std::max(std::ilogb(stored), -14) - 11);
  if (dtype == DType::bfloat16) return std::ldexp(1.0, std::max(std::ilogb(stored), -126) - 8);
  return 0.0;
}

/// |a - b|, where equal infinities are equal and NaN equals NaN (they propagate); infinity if only one of them is NaN.
double distance(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0.0;
  const double d = std::abs(a - b);
  return std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
}

struct Comparison {
  const ConstView& output;
  ConstView exact;  ///< float64, its row r is the output's row rows[r]
  const std::vector<std::int64_t>& rows;
  const Allowance& allowance;
};

void compare_head(const Comparison& with, VerifiedHead& result) {
  const std::int64_t columns = with.output.shape[3];
  for (std::size_t r = 0; r < with.rows.size(); ++r) {
    const std::int64_t row = with.rows[r];
    const double base = with.allowance(result.batch, result.head, row) + result.exact_bound;
    bool outside = false;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double got = io::element(with.output, result.batch, result.head, row, c);
      const double expected = io::element(with.exact, result.batch, result.head, static_cast<std::int64_t>(r), c);
      const double error = distance(got, expected);
      const double allowed = base + storage_allowance(got, with.output.dtype);
      if (!(error <= allowed)) outside = true;
      if (error > result.worst || result.worst_row < 0) {
        result.worst = error;
        result.worst_row = row;
        result.worst_column = c;
        result.allowed = allowed;
      }
    }
    result.outside += outside ? 1 : 0;
  }
}

/// By its key bias, or by a mask over pairs that is the same for all rows and so counts as one.
bool hidden_from_every_row(const Mask& mask, std::size_t set, std::int64_t batch, std::int64_t head, std::int64_t key) {
  const auto at = [](std::int64_t size, std::int64_t index) { return size == 1 ? 0 : index; };
  const auto hides = [&](const ConstView& view, std::int64_t row, std::int64_t column) {
    return std::isinf(io::element(view, at(view.shape[0], batch), at(view.shape[1], head), row, column));
  };
  if (!mask.key_bias.empty() && hides(mask.key_bias[set], key, 0)) return true;
  if (mask.additive && mask.additive->shape[2] == 1 && hides(*mask.additive, 0, key)) return true;
  if (!mask.boolean || mask.boolean->shape[2] != 1) return false;
  const ConstBoolView& view = *mask.boolean;
  return view.data[at(view.shape[0], batch) * view.strides[0] + at(view.shape[1], head) * view.strides[1] +
                   key * view.strides[3]] == 0;
}

}  // namespace

Allowance row_bounds(const Tensor& bounds) {
  return [view = bounds.view()](std::int64_t batch, std::int64_t head, std::int64_t row) {
    return static_cast<const double*>(
        view.data)[batch * view.strides[0] + head * view.strides[1] + row * view.strides[2]];
  };
}

std::vector<std::int64_t> draw_rows(std::int64_t n, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> rows;
  if (count >= n) {
    rows.resize(static_cast<std::size_t>(n));
    std::iota(rows.begin(), rows.end(), std::int64_t{0});
    return rows;
  }
  std::mt19937_64 generator(seed);  // and no distribution of std, which differ between libraries
  const auto size = static_cast<std::uint64_t>(n);
  const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / size * size;
  while (std::cmp_less(rows.size(), count)) {
    const std::uint64_t bits = generator();
    if (bits < limit) rows.push_back(static_cast<std::int64_t>(bits % size));
  }
  std::ranges::sort(rows);
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

double unseen_share(std::int64_t rows, std::int64_t heads) {
  const double risk = (1.0 - verification_confidence) / static_cast<double>(heads);
  return -std::expm1(std::log(risk) / static_cast<double>(rows));
}

Verification verify_rows(const ConstView& output, const ConstView& q, const std::vector<ConstView>& keys,
                         const std::vector<ConstView>& values, const Options& options, std::int64_t rows,
                         std::uint64_t seed, const Allowance& allowance) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t n = q.shape[2];
  const std::int64_t batches = q.shape[0];
  const std::int64_t heads = q.shape[1];
  Verification result;
  result.every_row = rows >= n;
  result.rows = std::min(rows, n);
  result.seed = seed;
  const std::vector<std::int64_t> chosen = draw_rows(n, rows, seed);
  if (!result.every_row && batches * heads > 0) result.unseen_share = unseen_share(rows, batches * heads);

  ProgressBar bar("verify");
  Options exact;
  exact.score = options.score;
  exact.mask = options.mask;
  exact.soft_cap = options.soft_cap;
  exact.non_finite = options.non_finite;
  exact.threads = options.threads;
  exact.max_memory = options.max_memory;
  exact.progress = bar.callback();
  const Result truth = attend_rows(q, keys, values, chosen, exact);
  std::vector<double> exact_bounds(static_cast<std::size_t>(batches * heads), 0.0);
  for (const HeadReport& head : truth.report.heads) {
    exact_bounds.at(static_cast<std::size_t>(head.batch * heads + head.head)) = head.certificate.bound();
  }

  const Comparison comparison{output, truth.output.view(), chosen, allowance};
  for (std::int64_t b = 0; b < batches; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      stop_if_interrupted();
      VerifiedHead head{.batch = b, .head = h};
      head.exact_bound = exact_bounds[static_cast<std::size_t>(b * heads + h)];
      compare_head(comparison, head);
      result.worst = std::max(result.worst, head.worst);
      result.outside += head.outside;
      result.heads.push_back(head);
    }
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

namespace {

/// Least and largest value of each column.
struct Columns {
  std::vector<double> low;
  std::vector<double> high;
};

Columns extremes(const ConstView& values, const Options& options, std::size_t set, std::int64_t batch,
                 std::int64_t head, std::int64_t heads) {
  const std::int64_t value_head = head / (heads / values.shape[1]);
  const auto count = static_cast<std::size_t>(values.shape[3]);
  Columns columns{std::vector<double>(count, std::numeric_limits<double>::infinity()),
                  std::vector<double>(count, -std::numeric_limits<double>::infinity())};
  for (std::int64_t j = 0; j < values.shape[2]; ++j) {
    if (hidden_from_every_row(options.mask, set, batch, head, j)) continue;
    for (std::size_t c = 0; c < count; ++c) {
      const double v = io::element(values, batch, value_head, j, static_cast<std::int64_t>(c));
      columns.low[c] = std::min(columns.low[c], v);
      columns.high[c] = std::max(columns.high[c], v);
    }
  }
  return columns;
}

/// Those of products of a value of one set and one of another: at corners.
void multiply(Columns& columns, const Columns& by) {
  for (std::size_t c = 0; c < columns.low.size(); ++c) {
    std::tie(columns.low[c], columns.high[c]) =
        std::minmax({columns.low[c] * by.low[c], columns.low[c] * by.high[c], columns.high[c] * by.low[c],
                     columns.high[c] * by.high[c]});
  }
}

}  // namespace

std::vector<double> value_ranges(const ConstView& q, const std::vector<ConstView>& values, const Options& options) {
  const std::int64_t heads = q.shape[1];
  std::vector<double> ranges;
  for (std::int64_t b = 0; b < q.shape[0]; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      stop_if_interrupted();
      Columns columns;
      bool visible = true;
      for (std::size_t set = 0; set < values.size(); ++set) {
        const Columns own = extremes(values[set], options, set, b, h, heads);
        visible = visible && (own.low.empty() || own.low.front() <= own.high.front());
        if (set == 0) {
          columns = own;
        } else {
          multiply(columns, own);
        }
      }
      double range = 0.0;
      for (std::size_t c = 0; c < columns.low.size() && visible; ++c) {
        range = std::max(range, columns.high[c] - columns.low[c]);
      }
      ranges.push_back(range);
    }
  }
  return ranges;
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

std::string confidence_statement(const Verification& verification) {
  if (verification.every_row) return "every row was checked";
  return fmt::format(
      "with confidence {:.0f} % at most {:.2g} % of the rows of each head have an error above the largest seen",
      100.0 * verification_confidence, 100.0 * verification.unseen_share);
}

std::string describe(const Verification& verification) {
  const std::string drawn = verification.every_row
                                ? fmt::format("all {} rows", verification.rows)
                                : fmt::format("{} random rows (seed {})", verification.rows, verification.seed);
  const auto worst = std::ranges::max_element(verification.heads, {}, &VerifiedHead::worst);
  std::string text =
      fmt::format("verify: {} of each head against exact float64 in {:.2f} s", drawn, verification.seconds);
  if (worst == verification.heads.end() || worst->worst_row < 0) return text + ": nothing to compare\n";
  text += fmt::format(
      "\n  largest error seen {:.3g}, at batch {} head {} row {} column {} where {:.3g} is allowed"
      " ({:.2g} of it for the exact rows themselves)",
      worst->worst, worst->batch, worst->head, worst->worst_row, worst->worst_column, worst->allowed,
      worst->exact_bound);
  text += fmt::format("\n  rows outside: {}\n  {}\n", verification.outside, confidence_statement(verification));
  return text;
}

}  // namespace polyattn::cli
