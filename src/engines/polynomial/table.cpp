#include "engines/polynomial/table.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

namespace {

TableEntry make_entry(double radius, int degree, int q) {
  numerics::ExpPolynomial p =
      q == 0 ? numerics::chebyshev(radius, degree) : numerics::moment_matched(radius, degree, q);
  TableEntry entry;
  entry.q = q;
  entry.slack = q == 0 ? 0.0 : p.absolute_slack;
  entry.moment_error = p.error + (q == 0 ? p.absolute_slack : 0.0);
  const double power = q == 0 ? 1.0 : std::pow(radius, 2 * q) * (1.0 + 1e-12);
  entry.uniform = (entry.moment_error * power + entry.slack) * (1.0 + 1e-12);
  entry.coefficients = std::move(p.coefficients);
  return entry;
}

}  // namespace

std::size_t PolynomialTable::row_class(double r) const noexcept {
  if (r <= radii.back()) {
    return radii.size() - 1;
  }
  auto guess = static_cast<std::size_t>(std::max(0.0, std::floor(steps * std::log2(radii.front() / r))));
  guess = std::min(guess, radii.size() - 1);
  while (guess > 0 && radii[guess] < r) {
    --guess;
  }
  return guess;
}

PolynomialTable make_table(double radius, int degree, int steps) {
  PolynomialTable table;
  table.degree = degree;
  table.steps = steps;
  for (int step = 0; step <= steps * kLadderOctaves; ++step) {
    const double r = step == 0 ? radius : radius * std::exp2(-static_cast<double>(step) / steps);
    table.radii.push_back(r);
    std::vector<TableEntry> row;
    for (int q = 0; 2 * q <= degree; ++q) {
      row.push_back(make_entry(r, degree, q));
    }
    table.entries.push_back(std::move(row));
    if (radius == 0.0) {
      break;
    }
  }
  return table;
}

}  // namespace polyattn::engines
