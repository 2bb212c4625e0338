#pragma once

/// A small table with known smoothings, and its files.

#include "cli/support/files.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {

/// n points in d dimensions, a wave over them and a ramp: what the textbook says of them in long double.
struct SmallTable {
  std::int64_t n = 60;
  std::int64_t d = 2;
  std::vector<double> x;  ///< [n, d] in [-1, 1]
  std::vector<double> y;  ///< [n, 2]

  static SmallTable make(std::int64_t n = 60, std::int64_t d = 2);

  /// sum_j K_j(q) y_j / sum_j K_j(q), [m, 2]; with `exclude_self` of all points but the query's own.
  [[nodiscard]] std::vector<double> regression(const std::vector<double>& queries, const std::vector<double>& bandwidth,
                                               bool exclude_self = false) const;
  /// Mean over the points of the squared error of leaving each out, for each column of y.
  [[nodiscard]] std::vector<double> leave_one_out_error(const std::vector<double>& bandwidth) const;
  /// sqrt(leave-one-out error) sqrt(sum K^2) / sum K, [m, 2].
  [[nodiscard]] std::vector<double> standard_error(const std::vector<double>& queries,
                                                   const std::vector<double>& bandwidth) const;
  [[nodiscard]] std::vector<double> density(const std::vector<double>& queries,
                                            const std::vector<double>& bandwidth) const;
  /// log sum_j K_j(q)
  [[nodiscard]] std::vector<double> log_sum(const std::vector<double>& queries,
                                            const std::vector<double>& bandwidth) const;
  /// Scott's rule.
  [[nodiscard]] std::vector<double> scott() const;

  /// x.npy, y.npy and t.csv with columns a, b, …, wave, ramp.
  void put(const TemporaryDirectory& directory) const;
};

/// The lines of a .csv file without quotes, split at commas.
std::vector<std::vector<std::string>> parse_csv(const std::string& text);
/// The column called `name`.
std::vector<double> csv_column(const std::string& text, const std::string& name);

}  // namespace polyattn::test
