#include "engines/finite.hpp"

#include "base/error.hpp"

#include <cmath>
#include <string>

namespace polyattn::engines {

void require_finite(const HeadProblem& problem, const char* tensor, const double* rows, std::int64_t first,
                    std::int64_t count, std::int64_t columns) {
  if (problem.non_finite == NonFinite::propagate) {
    return;
  }
  double poison = 0.0;  // one pass without branches: 0 * x is NaN exactly where x is not finite
  for (std::int64_t i = 0; i < count * columns; ++i) {
    poison += 0.0 * rows[i];
  }
  if (poison == 0.0) {
    return;
  }
  for (std::int64_t i = 0; i < count * columns; ++i) {
    if (!std::isfinite(rows[i])) {
      base::fail(ErrorCode::non_finite, tensor, "finite numbers",
                 std::string(std::isnan(rows[i]) ? "NaN" : "infinity") + " at batch " + std::to_string(problem.batch) +
                     ", head " + std::to_string(problem.head) + ", row " + std::to_string(first + i / columns) +
                     ", column " + std::to_string(i % columns));
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
