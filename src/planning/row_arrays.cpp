#include "planning/row_arrays.hpp"

#include "base/error.hpp"
#include "engines/columns.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace

bool asks_for_bound(const Request& request) noexcept {
  return request.tolerance.value > 0.0 || request.lse_tolerance || request.density_tolerance;
}

bool row_meets(const Request& request, const RowArrays& rows, double tolerance, std::int64_t i) noexcept {
  if (request.tolerance.value > 0.0 && tolerance > 0.0 && !(rows.bound(i) <= tolerance)) {
    return false;
  }
  const bool wants = request.lse_tolerance || request.density_tolerance;
  if (!wants || rows.lse[usize(i)] == -kInfinity) {
    return true;
  }
  const double bound = rows.lse_bound[usize(i)];
  const double density =
      std::expm1(bound) * (request.density_absolute ? std::exp(rows.lse[usize(i)]) : 1.0) * (1.0 + 1e-13);
  return (!request.lse_tolerance || bound <= *request.lse_tolerance) &&
         (!request.density_tolerance || density <= *request.density_tolerance);
}

namespace {

/// What rows miss, in words.
struct Missed {
  std::string what;     ///< the tolerance by name, and its number
  double worst = 0.0;   ///< the rows' worst bound; NaN: not known
  bool narrow = false;  ///< a float32 output may be to blame
  std::int64_t count = 0;
};

[[noreturn]] void fail_on(const Missed& missed, const HeadReport& report, std::int64_t all, const char* engine) {
  base::fail(ErrorCode::not_reachable,
             missed.what + " is not reachable by " + engine + (missed.narrow ? " with a float32 output" : "") +
                 " for " + std::to_string(missed.count) + " of " + std::to_string(all) + " rows of batch " +
                 std::to_string(report.batch) + ", head " + std::to_string(report.head) +
                 (std::isfinite(missed.worst) ? "; its best proved bound there is " + base::text(missed.worst) : ""));
}

}  // namespace

void fail_not_reachable(const HeadReport& report, DType output, std::int64_t count, std::int64_t all,
                        const char* engine) {
  fail_on({"tolerance: " + base::text(report.tolerance), kNaN, output == DType::float32, count}, report, all, engine);
}

void fail_not_reachable(const HeadReport& report, const Request& request, const RowArrays& rows,
                        const std::vector<std::int64_t>& missing, const char* engine) {
  const auto all = static_cast<std::int64_t>(rows.engine.size());
  // Those beyond a tolerance, and the worst of them.
  const auto beyond = [&](const auto& bound, double tolerance) {
    Missed missed;
    for (const std::int64_t row : missing) {
      missed.count += bound(row) <= tolerance ? 0 : 1;
      missed.worst = std::isnan(missed.worst) || bound(row) <= missed.worst ? missed.worst : bound(row);
    }
    return missed;
  };
  if (request.tolerance.value > 0.0 && report.tolerance > 0.0) {
    Missed missed = beyond([&](std::int64_t row) { return rows.bound(row); }, report.tolerance);
    missed.what = "tolerance: " + base::text(report.tolerance);
    missed.narrow = request.output == DType::float32;
    if (missed.count > 0) {
      fail_on(missed, report, all, engine);
    }
  }
  if (request.lse_tolerance) {
    Missed missed = beyond([&](std::int64_t row) { return rows.lse_bound[usize(row)]; }, *request.lse_tolerance);
    missed.what = "lse_tolerance: " + base::text(*request.lse_tolerance);
    if (missed.count > 0) {
      fail_on(missed, report, all, engine);
    }
  }
  fail_on({"density_tolerance: " + base::text(request.density_tolerance.value_or(0.0)), kNaN, false,
           static_cast<std::int64_t>(missing.size())},
          report, all, engine);
}

engines::RowList some_of(const engines::RowList& list, std::int64_t rows, std::int64_t count) {
  engines::RowList some;
  some.all = false;
  const std::int64_t stride = rows / count;
  for (std::int64_t i = 0; i < count; ++i) {
    some.rows.push_back(list.row(i * stride + stride / 2));
    some.targets.push_back(list.target(i * stride + stride / 2));
  }
  return some;
}

template <class T>
engines::RowList missed_by_exact(const engines::RowList& list, const Request& request, const HeadReport& report,
                                 NonFinite non_finite, bool last, RowArrays& rows) {
  engines::RowList missing;
  missing.all = false;
  const bool wants = asks_for_bound(request);
  const std::int64_t count = list.count(static_cast<std::int64_t>(rows.engine.size()));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = list.target(i);
    rows.engine[usize(row)] = Engine::exact;
    const bool known = std::isfinite(rows.rounding[usize(row)]);
    if (last && !known && std::is_same_v<T, float> && non_finite == NonFinite::error) {
      base::fail(ErrorCode::non_finite, "arithmetic", "float64 or auto for numbers of this size",
                 "float32, whose range batch " + std::to_string(report.batch) + ", head " +
                     std::to_string(report.head) + ", row " + std::to_string(row) + " exceeds");
    }
    // NaN or infinity that is to propagate has no bound in any arithmetic.
    const bool hopeless = last && !known && non_finite == NonFinite::propagate;
    if (!hopeless && ((wants && !row_meets(request, rows, report.tolerance, row)) || (!last && !known))) {
      missing.rows.push_back(row);
      missing.targets.push_back(row);
    }
  }
  return missing;
}

template engines::RowList missed_by_exact<float>(const engines::RowList&, const Request&, const HeadReport&, NonFinite,
                                                 bool, RowArrays&);
template engines::RowList missed_by_exact<double>(const engines::RowList&, const Request&, const HeadReport&, NonFinite,
                                                  bool, RowArrays&);

namespace {

/// The first row of the largest bound, or the first whose bound is NaN: in lanes, block by block, then within one
/// block.
std::int64_t worst_row(const RowArrays& rows, std::int64_t count) noexcept {
  constexpr std::int64_t kBlock = 512;
  constexpr std::int64_t kLanes = 8;
  double largest = -kInfinity;
  std::int64_t first = 0;  // of the block that has it
  bool known = true;
  for (std::int64_t begin = 0; begin < count && known; begin += kBlock) {
    const std::int64_t end = std::min(count, begin + kBlock);
    double lanes[kLanes];
    double poison[kLanes];
    std::fill_n(lanes, kLanes, -kInfinity);
    std::fill_n(poison, kLanes, 0.0);
    const auto take = [&](std::int64_t lane, double bound) {
      lanes[lane] = bound > lanes[lane] ? bound : lanes[lane];
      poison[lane] = bound == bound ? poison[lane] : 1.0;
    };
    std::int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        take(lane, rows.bound(i + lane));
      }
    }
    for (; i < end; ++i) {
      take(0, rows.bound(i));
    }
    known = *std::max_element(poison, poison + kLanes) == 0.0;
    const double most = *std::max_element(lanes, lanes + kLanes);
    if (most > largest || !known) {
      largest = most;
      first = begin;
    }
  }
  for (std::int64_t i = first; i < count; ++i) {
    if (known ? rows.bound(i) == largest : std::isnan(rows.bound(i))) {
      return i;
    }
  }
  return 0;
}

}  // namespace

void credit_exact(HeadReport& report) {
  report.why = "engine " + std::string(name_of(report.engine)) + " certified no row: exact answered all";
  report.engine = Engine::exact;
  report.degree = -1;
  report.rank = 0;
}

void summarise(const RowArrays& rows, std::int64_t count, HeadReport& report, double* row_bounds, Engine* row_engine) {
  report.rows_total = count;
  Certificate& certificate = report.certificate;
  const std::int64_t worst = worst_row(rows, count);
  if (count > 0) {
    certificate.approximation = rows.approximation[usize(worst)];
    certificate.rounding = rows.rounding[usize(worst)];
  }
  const auto largest = [](const auto& array) {
    return std::accumulate(array.begin(), array.end(), 0.0, [](double a, double b) { return std::max(a, b); });
  };
  certificate.storage = std::max(certificate.storage, largest(rows.storage));
  certificate.relative = rows.relative.size() > 0 ? largest(rows.relative) : kInfinity;
  const std::array<std::pair<Engine, std::int64_t*>, 4> counts{{{Engine::grid, &report.rows_grid},
                                                                {Engine::exact, &report.rows_exact},
                                                                {Engine::polynomial, &report.rows_polynomial},
                                                                {Engine::reference, &report.rows_reference}}};
  std::int64_t left = count;
  for (const auto& [engine, number] : counts) {
    const std::int64_t found = left > 0 ? std::count(rows.engine.begin(), rows.engine.end(), engine) : 0;
    *number += found;
    left -= found;
  }
  for (std::size_t i = 0; i < rows.lse_bound.size(); ++i) {
    if (rows.lse[i] != -kInfinity) {
      report.lse_bound = std::max(report.lse_bound, rows.lse_bound[i]);
    }
  }
  for (std::int64_t i = 0; i < count && row_bounds != nullptr; ++i) {
    row_bounds[i] = rows.bound(i);
  }
  if (row_engine != nullptr) {
    std::copy(rows.engine.begin(), rows.engine.end(), row_engine);
  }
}

double distance_from_mean(const base::RowSink& output, std::int64_t count, const RowArrays& arrays,
                          const std::vector<double>& mean, const base::Context& context) {
  constexpr std::int64_t kRows = 1024;
  if (mean.empty() || count == 0) {
    return 0.0;
  }
  base::Rows rows;
  rows.pieces.push_back({output.data, output.dtype, 0, count, output.row_stride, output.column_stride});
  rows.rows = count;
  rows.columns = static_cast<std::int64_t>(mean.size());
  std::vector<double> largest(usize(base::blocks_of(count, kRows)), 0.0);
  base::parallel_for(context, static_cast<std::int64_t>(largest.size()), [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t here = std::min(kRows, count - first);
    const std::int64_t ld = base::round_up_to(here, 8);
    std::vector<double> values(usize(ld * rows.columns), 0.0);
    std::vector<double> unused(usize(ld));
    engines::load_columns(rows, first, here, values.data(), ld);
    for (std::size_t c = 0; c < mean.size(); ++c) {
      double* column = values.data() + c * usize(ld);
      for (std::int64_t r = 0; r < ld; ++r) {
        const bool counts = r < here && !(arrays.bound(first + r) == 0.0 && arrays.stored(first + r) == 0.0);
        column[r] = counts ? column[r] : mean[c];
      }
      const double half = simd::kernels().statistics.measure({column, ld, mean[c], 0.0, unused.data()}).half;
      largest[usize(block)] = std::max(largest[usize(block)], half);
    }
  });
  return *std::max_element(largest.begin(), largest.end());
}

}  // namespace polyattn::planning
