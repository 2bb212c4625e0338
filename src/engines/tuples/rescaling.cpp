#include "engines/tuples/rescaling.hpp"

#include "base/checked.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

namespace {

using base::usize;

constexpr std::int64_t kSample = 256;  // rows looked at

/// Per column the mean of |x|^power over rows [seen.first, seen.last) of which at most kSample are looked at; hidden
/// keys are passed over.
std::vector<double> power_means(const base::Rows& rows, KeyRange seen, const KeyBias* bias, int power) {
  std::vector<double> sums(usize(rows.columns), 0.0);
  std::vector<double> row(usize(rows.columns));
  HeadProblem biased;
  if (bias != nullptr) {
    biased.bias = *bias;
  }
  const std::int64_t stride = std::max<std::int64_t>(1, base::blocks_of(seen.size(), kSample));
  double count = 0.0;
  for (std::int64_t i = seen.first + (stride - 1) / 2; i < seen.last; i += stride) {
    double hidden = 0.0;
    if (biased.has_bias()) {
      load_bias(biased, i, 1, &hidden);
    }
    if (hidden == -HUGE_VAL) {
      continue;
    }
    base::load_rows(rows, i, 1, row.data(), rows.columns);
    count += 1.0;
    for (std::size_t l = 0; l < row.size(); ++l) {
      const double square = row[l] * row[l];
      double term = square;
      for (int p = 2; p < power; p += 2) {
        term *= square;
      }
      sums[l] += term;
    }
  }
  for (double& sum : sums) {
    sum /= count;
  }
  return sums;
}

bool usable(double mean) noexcept { return mean > 1e-200 && mean < 1e200; }

}  // namespace

Rescaling rescale(const TupleProblem& problem, const std::vector<KeyRange>& seen) {
  const std::size_t dim = usize(problem.dim());
  const std::size_t sets = problem.sets.size();
  const double root = 0.5 / static_cast<double>(sets);
  Rescaling out;
  out.query.assign(dim, 1.0);
  out.keys.assign(sets, out.query);
  const std::vector<double> query = power_means(problem.queries, {0, problem.n_q()}, nullptr, 2);
  std::vector<std::vector<double>> keys;
  for (std::size_t s = 0; s < sets; ++s) {
    const KeySet& set = problem.sets[s];
    keys.push_back(power_means(set.keys, seen[s], set.bias.any() ? &set.bias : nullptr, 2 * static_cast<int>(sets)));
  }
  for (std::size_t l = 0; l < dim; ++l) {
    bool all = usable(query[l]);
    double level = std::sqrt(query[l]);
    for (const std::vector<double>& key : keys) {
      all = all && usable(key[l]);
      level *= std::pow(key[l], root);
    }
    if (!all || !usable(level)) {
      continue;
    }
    out.query[l] = std::sqrt(level / query[l]);
    double product = out.query[l];
    for (std::size_t s = 0; s < sets; ++s) {
      out.keys[s][l] = std::pow(level / keys[s][l], root);
      product *= out.keys[s][l];
    }
    out.slack = std::max(out.slack, (1.0 + 1e-12) / product);
  }
  return out;
}

}  // namespace polyattn::engines
