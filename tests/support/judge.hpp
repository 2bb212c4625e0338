#pragma once

/// Measured error against certificate.

#include "support/oracle.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace polyattn::test {

/// measured / certified: 0 for an error of 0, infinity where the bound is 0 or NaN and the error is not, or the error
/// is NaN. Anything above 1 refutes the certificate.
double clearance(double measured, double certified);

struct RowVerdict {
  double measured = 0.0;   ///< max_c |T~ - T|; NaN if any entry is
  double certified = 0.0;  ///< the row's bound, and the head's for storage where the output is 16 bits wide
  double lse_measured = 0.0;
  double lse_certified = 0.0;
};

struct Verdict {
  std::vector<RowVerdict> rows;  ///< batch-major
  double worst = 0.0;            ///< largest clearance over rows
  double worst_lse = 0.0;
  double worst_relative = 0.0;  ///< over entries, of |T~ - T| <= eta sum p|v|, where the report claims an eta
  double worst_head = 0.0;      ///< measured against the head's certificate; above 1 if that is below a row's
  double worst_measured = 0.0;
};

/// Judges in long double, and again in binary128 unless errors are below a quarter of their bounds even with all that
/// long double may have rounded away. Result must have row bounds; log-sum-exp is judged if present.
Verdict judge(const Problem& problem, const Result& result);
Verdict judge(const Problem& problem, const Result& result, const Truth<long double>& truth);
/// Always in binary128. Errors are measured less what binary128 may have rounded away: more than the bound refutes it.
Verdict judge_in_quad(const Problem& problem, const Result& result);

/// Attends with row bounds and log-sum-exp asked for, and says where a bound is broken.
testing::AssertionResult within_bounds(const Problem& problem, const Options& base = {});
testing::AssertionResult within_bounds(const Verdict& verdict);

/// Largest bound over the heads of a report, storage included.
double largest_bound(const Report& report);
/// Largest max - min over a column of the visible values of any head.
double value_range(const Problem& problem);

}  // namespace polyattn::test
