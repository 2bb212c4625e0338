#include "planning/row_arrays.hpp"

#include "base/error.hpp"
#include "engines/columns.hpp"
#include "simd/dispatch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

namespace polyattn::planning {

namespace {

using base::usize;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

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

void fail_not_reachable(const HeadReport& report, DType output, std::int64_t count, std::int64_t all, double worst,
                        const char* engine) {
  base::fail(ErrorCode::not_reachable,
             "tolerance: " + base::text(report.tolerance) + " is not reachable by " + engine +
                 (output == DType::float32 ? " with a float32 output" : "") + " for " + std::to_string(count) + " of " +
                 std::to_string(all) + " rows of batch " + std::to_string(report.batch) + ", head " +
                 std::to_string(report.head) +
                 (std::isfinite(worst) ? "; its best proved bound there is " + base::text(worst) : ""));
}

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
