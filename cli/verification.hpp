#pragma once

/// Comparing an output with exact rows at random indices, and saying what that proves.
///
/// Rows are drawn uniformly with replacement from 0..n-1, the same for every head. If more than a share p of a head's
/// rows had an error above the largest seen, all N draws would have missed them with probability at most (1-p)^N. With
/// p = 1 - (0.05/heads)^(1/N) that is at most 0.05/heads, so with confidence 95 % the statement holds for every head.

#include "polyattn/attention.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace polyattn::cli {

struct VerifiedHead {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  double worst = 0.0;  ///< largest error seen; infinity if an output is NaN where it should not be
  std::int64_t worst_row = -1;
  std::int64_t worst_column = -1;
  double allowed = 0.0;      ///< in that place
  std::int64_t outside = 0;  ///< rows drawn that hold an element beyond what is allowed
  double exact_bound = 0.0;  ///< error of the exact rows themselves, part of `allowed`
};

struct Verification {
  std::int64_t rows = 0;   ///< drawn; or all there are
  bool every_row = false;  ///< as many were asked for as there are, so each was checked once
  std::uint64_t seed = 0;
  double unseen_share = 0.0;  ///< p above; 0 if every row was checked
  double worst = 0.0;
  std::int64_t outside = 0;
  double seconds = 0.0;
  std::vector<VerifiedHead> heads;
};

/// What an element of a row may be away from the truth, before the error of the exact rows and the rounding of 16-bit
/// outputs are added.
using Allowance = std::function<double(std::int64_t batch, std::int64_t head, std::int64_t row)>;

constexpr double verification_confidence = 0.95;

/// `options` are those the output was computed with; only score, masks and resources matter.
Verification verify_rows(const ConstView& output, const ConstView& q, const std::vector<ConstView>& keys,
                         const std::vector<ConstView>& values, const Options& options, std::int64_t rows,
                         std::uint64_t seed, const Allowance& allowance);

/// Each row's own bound, float64 [batch, heads, n, 1], which must live as long as the allowance.
Allowance row_bounds(const Tensor& bounds);

/// Distinct rows, ascending, of `count` uniform draws with replacement from 0..n-1; all of them if count >= n.
std::vector<std::int64_t> draw_rows(std::int64_t n, std::int64_t count, std::uint64_t seed);
/// The share of a head's rows that may be worse than all of `rows` drawn, at the confidence below shared by `heads`.
double unseen_share(std::int64_t rows, std::int64_t heads);

/// Largest max - min over a value column, over keys not hidden from every row by a bias or a mask of one row, for each
/// batch and query head; of several sets, over products of one value of each.
std::vector<double> value_ranges(const ConstView& q, const std::vector<ConstView>& values, const Options& options);

std::uint64_t random_seed();
/// One line of what was seen, one of what it means.
std::string describe(const Verification& verification);
/// "with confidence 95 % at most 0.3 % of the rows of each head have an error above the largest seen"
std::string confidence_statement(const Verification& verification);

}  // namespace polyattn::cli
