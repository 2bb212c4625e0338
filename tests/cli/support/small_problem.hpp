#pragma once

/// Small attention problems with known answers, and their files.

#include "cli/support/files.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace polyattn::test {

/// [batch, heads, n, d] queries, [batch, key_heads, m, d] keys, [batch, key_heads, m, d_v] values. Elements are
/// multiples of 1/64 in [-1, 1], which every storage type holds exactly.
struct SmallProblem {
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t key_heads = 1;
  std::int64_t n = 9;
  std::int64_t m = 11;
  std::int64_t d = 3;
  std::int64_t d_v = 2;
  std::vector<double> q{};
  std::vector<double> k{};
  std::vector<double> v{};

  /// Fills q, k and v.
  SmallProblem filled() const;
};

/// What is computed from it: the score and what rows see, written out.
struct Definition {
  std::function<long double(const double* q, const double* k, std::int64_t d)> score;
  std::function<bool(std::int64_t i, std::int64_t j)> sees;
  std::function<double(std::int64_t b, std::int64_t h, std::int64_t j)> bias;
  std::function<double(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)> added;
};

/// sum_l q_l k_l times `scale`, every key seen, nothing added.
Definition dot(double scale);

struct Answer {
  std::vector<double> output;  ///< [batch, heads, n, d_v]
  std::vector<double> lse;     ///< [batch, heads, n]
};

/// The textbook sums in long double.
Answer textbook(const SmallProblem& problem, const Definition& definition);

/// "(2, 3, 4)" from {2, 3, 4}
std::string shape_text(const std::vector<std::int64_t>& dims);

/// Writes q.npy, k.npy and v.npy in float64, with their last `rank` dimensions.
void put_problem(const TemporaryDirectory& directory, const SmallProblem& problem, int rank);

}  // namespace polyattn::test
