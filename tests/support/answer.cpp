#include "support/answer.hpp"

#include <cmath>

namespace polyattn::test {

Options with_certificates(Options options) {
  options.want_lse = true;
  options.want_row_bounds = true;
  options.output_dtype = DType::float64;
  return options;
}

Answer answer_of(const Result& result) {
  return {values_of(result.output), values_of(result.row_bounds.value()), values_of(result.lse.value()),
          values_of(result.lse_bound.value()), static_cast<std::size_t>(result.output.shape()[3])};
}

Answer answer(const Problem& problem, const Options& base) {
  return answer_of(attend(problem, with_certificates(base)));
}

testing::AssertionResult agree(const Answer& a, const Answer& b, double shift) {
  if (a.bounds.size() != b.bounds.size() || a.output.size() != b.output.size()) {
    return testing::AssertionFailure() << "sizes differ";
  }
  for (std::size_t row = 0; row < a.bounds.size(); ++row) {
    const double allowed = a.bounds[row] + b.bounds[row];
    for (std::size_t e = row * a.columns; e < (row + 1) * a.columns; ++e) {
      if (!(std::abs(a.output[e] - b.output[e]) <= allowed)) {
        return testing::AssertionFailure() << "row " << row << ": " << a.output[e] << " and " << b.output[e]
                                           << " differ by more than " << a.bounds[row] << " + " << b.bounds[row];
      }
    }
    const bool both_see_nothing = a.lse[row] == -kInfinity && b.lse[row] == -kInfinity;
    // Adding the shift rounds once.
    const double lse_allowed =
        a.lse_bounds[row] + b.lse_bounds[row] + 0x1p-52 * (std::abs(b.lse[row]) + std::abs(shift));
    if (!both_see_nothing && !(std::abs(a.lse[row] - (b.lse[row] + shift)) <= lse_allowed)) {
      return testing::AssertionFailure() << "row " << row << ": log-sum-exps " << a.lse[row] << " and "
                                         << b.lse[row] + shift << " differ by more than " << lse_allowed;
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace polyattn::test
