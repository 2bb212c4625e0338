#include "cli/support/small_table.hpp"

#include "cli/support/small_problem.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iomanip>
#include <numbers>
#include <sstream>
#include <stdexcept>

namespace polyattn::test {

namespace {

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

long double kernel(const double* a, const double* b, std::int64_t d, const std::vector<double>& bandwidth) {
  long double exponent = 0.0L;
  for (std::int64_t l = 0; l < d; ++l) {
    const auto h = static_cast<long double>(bandwidth[bandwidth.size() == 1 ? 0 : size(l)]);
    const long double difference = static_cast<long double>(a[l]) - static_cast<long double>(b[l]);
    exponent -= difference * difference / (2.0L * h * h);
  }
  return std::exp(exponent);
}

}  // namespace

SmallTable SmallTable::make(std::int64_t n, std::int64_t d) {
  SmallTable table{n, d, {}, {}};
  std::uint64_t state = 7;
  const auto next = [&] {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<double>(state >> 40) / 8388608.0 - 1.0;
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t l = 0; l < d; ++l) table.x.push_back(next());
    const double first = table.x[size(i * d)];
    table.y.push_back(std::sin(3.0 * first) + 0.1 * next());
    table.y.push_back(2.0 * first + 0.2 * next());
  }
  return table;
}

std::vector<double> SmallTable::regression(const std::vector<double>& queries, const std::vector<double>& bandwidth,
                                           bool exclude_self) const {
  std::vector<double> answers;
  for (std::size_t i = 0; i < queries.size() / size(d); ++i) {
    long double sums[2] = {0.0L, 0.0L};
    long double total = 0.0L;
    for (std::size_t j = 0; j < size(n); ++j) {
      if (exclude_self && i == j) continue;
      const long double weight = kernel(&queries[i * size(d)], &x[j * size(d)], d, bandwidth);
      total += weight;
      for (std::size_t c = 0; c < 2; ++c) sums[c] += weight * static_cast<long double>(y[2 * j + c]);
    }
    for (const long double sum : sums) answers.push_back(static_cast<double>(sum / total));
  }
  return answers;
}

std::vector<double> SmallTable::leave_one_out_error(const std::vector<double>& bandwidth) const {
  const std::vector<double> others = regression(x, bandwidth, true);
  std::vector<double> errors;
  for (std::size_t c = 0; c < 2; ++c) {
    long double sum = 0.0L;
    for (std::size_t i = 0; i < size(n); ++i) {
      const long double difference =
          static_cast<long double>(y[2 * i + c]) - static_cast<long double>(others[2 * i + c]);
      sum += difference * difference;
    }
    errors.push_back(static_cast<double>(sum / static_cast<long double>(n)));
  }
  return errors;
}

std::vector<double> SmallTable::standard_error(const std::vector<double>& queries,
                                               const std::vector<double>& bandwidth) const {
  const std::vector<double> variance = leave_one_out_error(bandwidth);
  std::vector<double> answers;
  for (std::size_t i = 0; i < queries.size() / size(d); ++i) {
    long double sum = 0.0L;
    long double squares = 0.0L;
    for (std::size_t j = 0; j < size(n); ++j) {
      const long double weight = kernel(&queries[i * size(d)], &x[j * size(d)], d, bandwidth);
      sum += weight;
      squares += weight * weight;
    }
    for (const double one : variance) {
      answers.push_back(static_cast<double>(std::sqrt(static_cast<long double>(one) * squares) / sum));
    }
  }
  return answers;
}

std::vector<double> SmallTable::log_sum(const std::vector<double>& queries,
                                        const std::vector<double>& bandwidth) const {
  std::vector<double> answers;
  for (std::size_t i = 0; i < queries.size() / size(d); ++i) {
    long double sum = 0.0L;
    for (std::size_t j = 0; j < size(n); ++j) sum += kernel(&queries[i * size(d)], &x[j * size(d)], d, bandwidth);
    answers.push_back(static_cast<double>(std::log(sum)));
  }
  return answers;
}

std::vector<double> SmallTable::density(const std::vector<double>& queries,
                                        const std::vector<double>& bandwidth) const {
  long double normaliser = static_cast<long double>(n);
  for (std::int64_t l = 0; l < d; ++l) {
    normaliser *= std::sqrt(2.0L * std::numbers::pi_v<long double>) *
                  static_cast<long double>(bandwidth[bandwidth.size() == 1 ? 0 : size(l)]);
  }
  std::vector<double> answers;
  for (std::size_t i = 0; i < queries.size() / size(d); ++i) {
    long double sum = 0.0L;
    for (std::size_t j = 0; j < size(n); ++j) sum += kernel(&queries[i * size(d)], &x[j * size(d)], d, bandwidth);
    answers.push_back(static_cast<double>(sum / normaliser));
  }
  return answers;
}

std::vector<double> SmallTable::scott() const {
  std::vector<double> bandwidth;
  for (std::int64_t l = 0; l < d; ++l) {
    long double sum = 0.0L;
    long double squares = 0.0L;
    for (std::int64_t i = 0; i < n; ++i) sum += static_cast<long double>(x[size(i * d + l)]);
    for (std::int64_t i = 0; i < n; ++i) {
      const long double difference = static_cast<long double>(x[size(i * d + l)]) - sum / static_cast<long double>(n);
      squares += difference * difference;
    }
    bandwidth.push_back(
        static_cast<double>(std::sqrt(squares / static_cast<long double>(n - 1)) *
                            std::pow(static_cast<long double>(n), -1.0L / static_cast<long double>(d + 4))));
  }
  return bandwidth;
}

void SmallTable::put(const TemporaryDirectory& directory) const {
  directory.put("x.npy", npy_file(shape_text({n, d}), x));
  directory.put("y.npy", npy_file(shape_text({n, 2}), y));
  std::ostringstream text;
  text << std::setprecision(17);
  for (std::int64_t l = 0; l < d; ++l) text << static_cast<char>('a' + l) << ',';
  text << "wave,ramp\r\n";
  for (std::size_t i = 0; i < size(n); ++i) {
    for (std::size_t l = 0; l < size(d); ++l) text << x[i * size(d) + l] << ',';
    text << y[2 * i] << ',' << y[2 * i + 1] << "\r\n";
  }
  directory.put("t.csv", text.str());
}

std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream cells(line);
    lines.emplace_back();
    for (std::string cell; std::getline(cells, cell, ',');) lines.back().push_back(cell);
  }
  return lines;
}

std::vector<double> csv_column(const std::string& text, const std::string& name) {
  const auto lines = parse_csv(text);
  const auto found = std::ranges::find(lines.at(0), name);
  if (found == lines[0].end()) throw std::runtime_error("no column " + name);
  std::vector<double> values;
  for (std::size_t row = 1; row < lines.size(); ++row) {
    values.push_back(std::strtod(lines[row].at(size(found - lines[0].begin())).c_str(), nullptr));
  }
  return values;
}

}  // namespace polyattn::test
