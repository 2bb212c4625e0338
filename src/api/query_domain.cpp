#include "api/query_domain.hpp"

#include "base/checked.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace polyattn::api {

namespace {

/// Of a ball in more dimensions than this the corner of its box stands for the ends of its axes.
constexpr std::size_t kMostAxes = 64;

}  // namespace

void check_domain(const QueryDomain& domain, std::int64_t dim) {
  const bool box = !domain.low.empty() || !domain.high.empty();
  const bool ball = !domain.centre.empty();
  if (static_cast<int>(domain.representative.has_value()) + static_cast<int>(box) + static_cast<int>(ball) != 1) {
    base::fail(ErrorCode::invalid_argument, "domain", "one of representative queries, a box, or a ball",
               domain.representative || box || ball ? "several" : "none");
  }
  const auto expect = [&](const char* name, const std::vector<double>& numbers) {
    if (static_cast<std::int64_t>(numbers.size()) != dim ||
        !std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); })) {
      base::fail(ErrorCode::invalid_argument, name, std::to_string(dim) + " finite numbers",
                 std::to_string(numbers.size()) + " numbers");
    }
  };
  if (box) {
    expect("domain.low", domain.low);
    expect("domain.high", domain.high);
    for (std::size_t l = 0; l < domain.low.size(); ++l) {
      if (!(domain.low[l] <= domain.high[l])) {
        base::fail(ErrorCode::invalid_argument, "domain.high", "at least domain.low on every axis",
                   base::text(domain.high[l]) + " below " + base::text(domain.low[l]));
      }
    }
  }
  if (ball) {
    expect("domain.centre", domain.centre);
    if (!(std::isfinite(domain.radius) && domain.radius >= 0.0)) {
      base::fail(ErrorCode::invalid_argument, "domain.radius", "a finite number of at least 0",
                 base::text(domain.radius));
    }
  }
}

engines::QueryExtent declared_extent(const QueryDomain& domain, const std::vector<double>& metric) {
  const std::size_t dim = metric.size();
  engines::QueryExtent extent;
  double square = 0.0;
  double widest = 0.0;
  const bool ball = domain.low.empty();
  for (std::size_t l = 0; l < dim; ++l) {
    const double centre = ball ? domain.centre[l] : 0.5 * domain.low[l] + 0.5 * domain.high[l];
    const double half = ball ? domain.radius : std::max(domain.high[l] - centre, centre - domain.low[l]);
    extent.centre.push_back(centre);
    extent.half.push_back(half * (1.0 + 1e-12));
    square += std::fabs(metric[l]) * half * half;
    widest = std::max(widest, std::fabs(metric[l]));
    extent.max_abs = std::max(extent.max_abs, std::fabs(centre) + half);
  }
  extent.norm = std::sqrt(ball ? widest * domain.radius * domain.radius : square) * (1.0 + 1e-9);
  return extent;
}

std::vector<double> draw_representatives(const QueryDomain& domain, const engines::QueryExtent& extent) {
  constexpr int kPoints = 64;
  const std::size_t dim = extent.centre.size();
  std::mt19937_64 generator(20230226);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<double> points;
  for (int i = 0; i < kPoints; ++i) {
    std::vector<double> direction(dim);
    double norm = 0.0;
    for (double& x : direction) {
      x = uniform(generator);
      norm += x * x;
    }
    const double shrink = domain.low.empty() && norm > 1.0 ? 1.0 / std::sqrt(norm) : 1.0;
    for (std::size_t l = 0; l < dim; ++l) {
      points.push_back(extent.centre[l] + direction[l] * shrink * extent.half[l] * 0.999999);
    }
  }
  return points;
}

std::vector<double> farthest_points(const QueryDomain& domain, const engines::QueryExtent& extent) {
  const std::vector<double>& centre = extent.centre;
  const std::size_t dim = centre.size();
  std::vector<double> points;
  const bool box = !domain.low.empty();
  if (box || dim > kMostAxes) {
    for (std::size_t l = 0; l < dim; ++l) {
      points.push_back(centre[l] + std::copysign(extent.half[l], centre[l]));
    }
  }
  if (box) {
    return points;
  }
  double norm = 0.0;
  for (const double x : centre) {
    norm = std::hypot(norm, x);
  }
  for (const double x : centre) {
    points.push_back(norm > 0.0 ? x + x / norm * domain.radius * (1.0 + 1e-12) : 0.0);
  }
  for (std::size_t l = 0; l < dim && dim <= kMostAxes; ++l) {
    for (const double sign : {-1.0, 1.0}) {
      points.insert(points.end(), centre.begin(), centre.end());
      points[points.size() - dim + l] += sign * extent.half[l];
    }
  }
  return points;
}

bool leaves_domain(const std::vector<planning::Domain>& domains, const std::vector<engines::HeadProblem>& problems,
                   const base::Context& context) {
  for (std::size_t i = 0; i < problems.size(); ++i) {
    const engines::QueryExtent extent = engines::query_extent(problems[i], context);
    const engines::QueryExtent& domain = domains[i].extent;
    for (std::size_t l = 0; l < extent.centre.size(); ++l) {
      const double away = std::fabs(extent.centre[l] - domain.centre[l]) + extent.half[l];
      if (!(away <= domain.half[l])) {
        return true;
      }
    }
  }
  return false;
}

QueryDomain widened(const std::vector<planning::Domain>& domains, const std::vector<engines::HeadProblem>& problems,
                    const base::Context& context) {
  QueryDomain box;
  const std::size_t dim = base::usize(problems.front().dim());
  box.low.assign(dim, std::numeric_limits<double>::infinity());
  box.high.assign(dim, -std::numeric_limits<double>::infinity());
  const auto include = [&](const engines::QueryExtent& extent) {
    for (std::size_t l = 0; l < dim; ++l) {
      box.low[l] = std::min(box.low[l], extent.centre[l] - extent.half[l]);
      box.high[l] = std::max(box.high[l], extent.centre[l] + extent.half[l]);
    }
  };
  for (const planning::Domain& domain : domains) {
    include(domain.extent);
  }
  for (const engines::HeadProblem& problem : problems) {
    include(engines::query_extent(problem, context));
  }
  return box;
}

}  // namespace polyattn::api
