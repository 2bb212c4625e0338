#include "engines/polynomial/table.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

namespace polyattn::engines {

namespace {

TableEntry make_entry(numerics::ExpPolynomial p) {
  const int q = p.moment;
  TableEntry entry;
  entry.q = q;
  entry.slack = q == 0 ? 0.0 : p.absolute_slack;
  entry.moment_error = p.error + (q == 0 ? p.absolute_slack : 0.0);
  const double power = q == 0 ? 1.0 : std::pow(p.radius, 2 * q) * (1.0 + 1e-12);
  entry.uniform = (entry.moment_error * power + entry.slack) * (1.0 + 1e-12);
  entry.coefficients = std::move(p.coefficients);
  return entry;
}

}  // namespace

namespace {

/// Exponent and the first four bits of the mantissa: monotone, and numbers that share it are at most 17/16 apart.
std::uint64_t leading_bits(double x) noexcept { return std::bit_cast<std::uint64_t>(x) >> 48; }

}  // namespace

void PolynomialTable::index_radii() {
  lookup_first = leading_bits(radii.back());
  lookup.clear();
  std::size_t at = radii.size() - 1;
  for (std::uint64_t bits = lookup_first; bits <= leading_bits(radii.front()); ++bits) {
    const double least = std::bit_cast<double>(bits << 48);
    while (at > 0 && radii[at] < least) {
      --at;
    }
    lookup.push_back(static_cast<std::uint8_t>(at));
  }
}

std::size_t PolynomialTable::row_class(double r) const noexcept {
  if (r <= radii.back()) {
    return radii.size() - 1;
  }
  const std::size_t at = lookup[static_cast<std::size_t>(leading_bits(r) - lookup_first)];
  return at - (radii[at] < r ? 1 : 0);
}

PolynomialTable make_table(double radius, int degree, int steps) {
  return TableSeries(radius, degree, steps).table(degree);
}

TableSeries::TableSeries(double radius, int highest_degree, int steps)
    : highest_degree_(highest_degree), steps_(steps), radii_{radius} {
  for (int step = 1; step <= steps * kLadderOctaves && radius > 0.0; ++step) {
    radii_.push_back(radius * std::exp2(-static_cast<double>(step) / steps));
  }
  series_.resize(radii_.size());
}

PolynomialTable TableSeries::table(int degree) {
  PolynomialTable out;
  out.degree = degree;
  out.steps = steps_;
  out.radii = radii_;
  for (std::size_t r = 0; r < radii_.size(); ++r) {
    std::vector<TableEntry> row;
    for (int q = 0; 2 * q <= degree; ++q) {
      if (series_[r].size() <= static_cast<std::size_t>(q)) {
        series_[r].emplace_back(radii_[r], q, highest_degree_);
      }
      row.push_back(make_entry(series_[r][static_cast<std::size_t>(q)].truncated(degree)));
    }
    out.entries.push_back(std::move(row));
  }
  out.index_radii();
  return out;
}

}  // namespace polyattn::engines
