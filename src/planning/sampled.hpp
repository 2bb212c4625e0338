#pragma once

/// The statistics of a sampled guarantee. Statement and proof: docs/theory.md, section 9.
///
/// The answers of a head are fixed; then m of its rows are drawn uniformly with replacement and their errors found. If
/// more than a share p of the rows had an error above the largest found, all m draws would have missed them, which has
/// a probability below (1 - p)^m. What may go wrong with probability 1 - confidence in all is split among the heads of
/// the call, and for each head among the degrees it may try, half of the rest for each.

#include <cstdint>
#include <vector>

namespace polyattn::planning {

/// Probability that attempt 1, 2, ... of one of `heads` heads may err with.
double attempt_risk(double confidence, std::int64_t heads, int attempt) noexcept;

/// Fewest rows m with (1 - share)^m <= risk; the largest integer if there is none below it.
std::int64_t rows_to_sample(double share, double risk) noexcept;

/// The p with (1 - p)^rows = risk, rounded up.
double unseen_share(std::int64_t rows, double risk) noexcept;

/// Names a draw: draws of different names are independent.
struct DrawName {
  std::uint64_t seed = 0;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  int attempt = 1;
};

/// Indices of `count` uniform draws with replacement from 0 .. population - 1, ascending, each once however often it
/// was drawn. The same on every machine. `population` is positive.
std::vector<std::int64_t> draw_indices(const DrawName& name, std::int64_t population, std::int64_t count);

}  // namespace polyattn::planning
