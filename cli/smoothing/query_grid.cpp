#include "smoothing/query_grid.hpp"

#include "io/element.hpp"
#include "numbers.hpp"
#include "polyattn/error.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <limits>

namespace polyattn::cli {

namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = text.find(separator, begin);
    parts.push_back(text.substr(begin, end == std::string::npos ? end : end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

std::vector<std::pair<double, double>> parse_box(const std::string& text) {
  std::vector<std::pair<double, double>> box;
  for (const std::string& side : split(text, ',')) {
    const std::vector<std::string> ends = split(side, ':');
    if (ends.size() != 2) refuse_flag("--box", text, "LOW:HIGH for each axis, separated by commas");
    box.emplace_back(parse_real("--box", ends[0]), parse_real("--box", ends[1]));
    if (!(box.back().first <= box.back().second)) refuse_flag("--box", text, "each LOW to be at most its HIGH");
    if (!std::isfinite(box.back().second - box.back().first)) refuse_flag("--box", text, "sides float64 can hold");
  }
  return box;
}

std::pair<double, double> side_of(const ConstView& points, std::int64_t axis) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (std::int64_t row = 0; row < points.shape[2]; ++row) {
    if ((row & 0xfffff) == 0) stop_if_interrupted();
    const double x = io::element(points, 0, 0, row, axis);
    if (!std::isfinite(x)) continue;
    low = std::min(low, x);
    high = std::max(high, x);
  }
  return low <= high ? std::pair{low, high} : std::pair{0.0, 0.0};
}

std::vector<double> coordinates(double low, double high, std::int64_t count) {
  std::vector<double> axis(static_cast<std::size_t>(count));
  if (count == 1) {
    axis[0] = 0.5 * low + 0.5 * high;
    return axis;
  }
  const double last = static_cast<double>(count - 1);
  for (std::int64_t k = 0; k < count; ++k) {
    const double share = static_cast<double>(k) / last;
    axis[static_cast<std::size_t>(k)] = (1.0 - share) * low + share * high;  // both ends exactly
  }
  return axis;
}

}  // namespace

std::vector<std::int64_t> QueryGrid::dims() const {
  std::vector<std::int64_t> counts;
  for (const auto& axis : axes) counts.push_back(static_cast<std::int64_t>(axis.size()));
  return counts;
}

ConstView QueryGrid::view() const {
  const auto dim = static_cast<std::int64_t>(axes.size());
  return matrix(points.data(), static_cast<std::int64_t>(points.size()) / dim, dim);
}

std::optional<GridRequest> grid_request(const GridFlags& flags) {
  if (!flags.on_grid) {
    if (flags.box || flags.margin) throw UsageError(std::string(flags.box ? "--box" : "--margin") + " needs --on-grid");
    return std::nullopt;
  }
  GridRequest request;
  std::int64_t total = 1;
  for (const std::string& count : split(*flags.on_grid, 'x')) {
    try {
      request.counts.push_back(parse_integer("--on-grid", count, 1, std::int64_t{1} << 40));
    } catch (const UsageError&) {
      refuse_flag("--on-grid", *flags.on_grid, "numbers of points along each axis, e.g. 200x200");
    }
    if (__builtin_mul_overflow(total, request.counts.back(), &total)) {
      refuse_flag("--on-grid", *flags.on_grid, "fewer than 2^63 points in all");
    }
  }
  if (flags.box && flags.margin) throw UsageError("--box and --margin exclude each other");
  if (flags.box) request.box = parse_box(*flags.box);
  if (flags.margin) {
    request.margin = parse_real("--margin", *flags.margin);
    if (request.margin < 0.0) refuse_flag("--margin", *flags.margin, "a number that is not negative");
  }
  return request;
}

void check_grid(const GridRequest& request, std::int64_t dim, std::int64_t columns, std::uint64_t most_bytes) {
  const auto check = [&](const char* flag, std::size_t count) {
    if (std::cmp_not_equal(count, dim)) {
      throw UsageError(fmt::format("{} has {} axes; the points have {}", flag, count, dim));
    }
  };
  check("--on-grid", request.counts.size());
  if (!request.box.empty()) check("--box", request.box.size());
  double total = 1.0;
  for (const std::int64_t count : request.counts) total *= static_cast<double>(count);
  const double bytes = 8.0 * total * static_cast<double>(dim + columns);
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  const double allowed = std::min(static_cast<double>(most_bytes), memory);
  if (bytes > allowed) {
    throw Error(
        ErrorCode::out_of_memory,
        fmt::format("--on-grid: {:.0f} points and their results need {:.3g} GB, {} {:.3g} GB", total, 1e-9 * bytes,
                    allowed < memory ? "--max-memory allows" : "the machine has", 1e-9 * allowed));
  }
}

QueryGrid make_grid(const GridRequest& request, const ConstView& points, const std::vector<double>& bandwidth) {
  QueryGrid grid;
  std::size_t total = 1;
  for (std::size_t l = 0; l < request.counts.size(); ++l) {
    auto [low, high] = request.box.empty() ? side_of(points, static_cast<std::int64_t>(l)) : request.box[l];
    const double wider = request.margin * bandwidth[bandwidth.size() == 1 ? 0 : l];
    if (!std::isfinite(low - wider) || !std::isfinite(high + wider)) {
      throw UsageError("--margin takes the grid beyond the numbers float64 can hold");
    }
    grid.axes.push_back(coordinates(low - wider, high + wider, request.counts[l]));
    total *= grid.axes.back().size();
  }
  const std::size_t dim = grid.axes.size();
  grid.points.resize(total * dim);
  std::size_t repeat = total;  // how many consecutive points share a coordinate
  for (std::size_t l = 0; l < dim; ++l) {
    const std::vector<double>& axis = grid.axes[l];
    repeat /= axis.size();
    for (std::size_t k = 0; k < total; ++k) grid.points[k * dim + l] = axis[k / repeat % axis.size()];
  }
  return grid;
}

}  // namespace polyattn::cli
