#pragma once

/// Results as plain numbers with their certificates, to compare two ways of computing the same thing.

#include "support/problem.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace polyattn::test {

struct Answer {
  std::vector<double> output;  ///< float64
  std::vector<double> bounds;  ///< one per row
  std::vector<double> lse;
  std::vector<double> lse_bounds;
  std::size_t columns = 0;
};

/// Asks for row bounds, log-sum-exp and float64 output.
Options with_certificates(Options options);
Answer answer_of(const Result& result);
Answer answer(const Problem& problem, const Options& base);

/// Row by row, |a - b| <= the two certificates together: all that may separate two answers to one question. `shift` is
/// how far the log-sum-exps differ by construction.
testing::AssertionResult agree(const Answer& a, const Answer& b, double shift = 0.0);

}  // namespace polyattn::test
