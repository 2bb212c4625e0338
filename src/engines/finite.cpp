#include "engines/finite.hpp"

#include "base/error.hpp"

#include <cmath>
#include <string>

namespace polyattn::engines {

namespace {

[[noreturn]] void refuse(const HeadProblem& problem, const char* tensor, double value, std::int64_t row,
                         std::int64_t column) {
  base::fail(ErrorCode::non_finite, tensor, "finite numbers",
             std::string(std::isnan(value) ? "NaN" : "infinity") + " at batch " + std::to_string(problem.batch) +
                 ", head " + std::to_string(problem.head) + ", row " + std::to_string(row) + ", column " +
                 std::to_string(column));
}

/// One pass without branches: 0 * x is NaN exactly where x is not finite.
bool all_finite(const double* x, std::int64_t count) noexcept {
  double poison = 0.0;
  for (std::int64_t i = 0; i < count; ++i) {
    poison += 0.0 * x[i];
  }
  return poison == 0.0;
}

}  // namespace

void require_finite(const HeadProblem& problem, const char* tensor, const double* rows, std::int64_t first,
                    std::int64_t count, std::int64_t columns) {
  if (problem.non_finite == NonFinite::propagate || all_finite(rows, count * columns)) {
    return;
  }
  for (std::int64_t i = 0; i < count * columns; ++i) {
    if (!std::isfinite(rows[i])) {
      refuse(problem, tensor, rows[i], first + i / columns, i % columns);
    }
  }
}

void require_finite_columns(const HeadProblem& problem, const char* tensor, const double* columns_of,
                            std::int64_t first, std::int64_t count, std::int64_t columns, std::int64_t ld) {
  bool finite = true;
  for (std::int64_t c = 0; c < columns; ++c) {
    finite = finite && all_finite(columns_of + c * ld, count);
  }
  if (finite || problem.non_finite == NonFinite::propagate) {
    return;
  }
  for (std::int64_t r = 0; r < count; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      if (!std::isfinite(columns_of[c * ld + r])) {
        refuse(problem, tensor, columns_of[c * ld + r], first + r, c);
      }
    }
  }
}

void require_finite_inputs(const HeadProblem& problem) {
  if (problem.non_finite == NonFinite::propagate) {
    return;
  }
  const auto check = [&](const char* tensor, const base::Rows& rows, bool keys) {
    std::vector<double> row(static_cast<std::size_t>(rows.columns));
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      double bias = 0.0;
      if (keys && problem.has_bias()) {
        load_bias(problem, i, 1, &bias);
      }
      if (bias != -HUGE_VAL) {
        base::load_rows(rows, i, 1, row.data(), rows.columns);
        require_finite(problem, tensor, row.data(), i, 1, rows.columns);
      }
    }
  };
  check("q", problem.queries, false);
  check("keys", problem.keys, true);
  check("values", problem.values, true);
}

}  // namespace polyattn::engines
