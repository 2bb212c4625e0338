#include "planning/outlying.hpp"

#include "engines/polynomial/outlying_keys.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

namespace polyattn::planning {
namespace {

using base::usize;

constexpr std::int64_t kSample = 4096;
/// Keys lie far out if the farthest is so much farther than all but a thousandth.
constexpr double kFar = 1.4;
/// How many may be set apart: all of them are a small part of the keys.
constexpr std::array<std::int64_t, 5> kCounts{16, 64, 256, 1024, engines::kMostOutlying};
constexpr std::int64_t kLeastShare = 16;
/// More are worth a try if those that stay then reach less far, by this factor.
constexpr double kGain = 0.9;

/// Per axis the median of some visible keys, which no few keys move, whatever they weigh.
std::vector<double> middle_of(const std::vector<double>& rows, std::size_t dim) {
  std::vector<double> middle(dim);
  std::vector<double> column(rows.size() / dim);
  for (std::size_t l = 0; l < dim; ++l) {
    for (std::size_t r = 0; r < column.size(); ++r) {
      column[r] = rows[r * dim + l];
    }
    const auto at = column.begin() + static_cast<std::ptrdiff_t>(column.size() / 2);
    std::nth_element(column.begin(), at, column.end());
    middle[l] = *at;
  }
  return middle;
}

/// Visible keys evenly spaced, row after row.
std::vector<double> some_keys(const engines::HeadProblem& problem, const engines::Frame& frame) {
  const std::size_t dim = usize(frame.dim());
  const std::int64_t stride = std::max<std::int64_t>(1, problem.n_kv() / kSample);
  std::vector<double> rows;
  std::vector<double> row(dim);
  for (std::int64_t j = stride / 2; j < problem.n_kv(); j += stride) {
    if (frame.log_weight[usize(j)] != -std::numeric_limits<double>::infinity()) {
      base::load_rows(problem.keys, j, 1, row.data(), frame.dim());
      rows.insert(rows.end(), row.begin(), row.end());
    }
  }
  return rows;
}

/// Squared norms of some keys about `middle`, ascending.
std::vector<double> squares_of(const engines::Frame& frame, const std::vector<double>& rows,
                               const std::vector<double>& middle) {
  std::vector<double> squares;
  for (std::size_t r = 0; r + middle.size() <= rows.size(); r += middle.size()) {
    squares.push_back(engines::centred_square(frame.metric, rows.data() + r, middle));
  }
  std::sort(squares.begin(), squares.end());
  return squares;
}

double quantile(const std::vector<double>& ascending, double share) noexcept {
  return ascending[static_cast<std::size_t>(std::max(share, 0.0) * static_cast<double>(ascending.size() - 1))];
}

/// Whether any key may lie far out. No key is farther from the middle than the farthest from the centre and the way
/// between the two.
bool any_far(const engines::Frame& frame, const std::vector<double>& squares, const std::vector<double>& middle) {
  const double way = std::sqrt(engines::centred_square(frame.metric, frame.key_centre.data(), middle));
  return frame.key_norm + way > kFar * std::sqrt(quantile(squares, 0.999));
}

using Ranked = std::pair<double, std::int64_t>;

/// The farthest visible keys and one more, by falling squared norm about `middle`; of these only keys from `least` on.
std::vector<Ranked> farthest_keys(const engines::HeadProblem& problem, const engines::Frame& frame,
                                  const std::vector<double>& middle, double least, std::size_t most,
                                  const base::Context& context) {
  constexpr std::int64_t kRows = 4096;
  const std::size_t dim = middle.size();
  const std::int64_t blocks = base::blocks_of(problem.n_kv(), kRows);
  std::vector<std::vector<Ranked>> parts(usize(blocks));
  base::parallel_for(context, blocks, [&](std::int64_t block, int) {
    const std::int64_t first = block * kRows;
    const std::int64_t count = std::min(kRows, problem.n_kv() - first);
    std::vector<double> rows(usize(count) * dim);
    base::load_rows(problem.keys, first, count, rows.data(), frame.dim());
    for (std::int64_t r = 0; r < count; ++r) {
      const double square = engines::centred_square(frame.metric, rows.data() + usize(r) * dim, middle);
      if (square >= least && frame.log_weight[usize(first + r)] != -std::numeric_limits<double>::infinity()) {
        parts[usize(block)].emplace_back(square, first + r);
      }
    }
  });
  std::vector<Ranked> all;
  for (const std::vector<Ranked>& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), most + 1));
  std::partial_sort(all.begin(), end, all.end(), [](const Ranked& a, const Ranked& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  });
  all.erase(end, all.end());
  return all;
}

}  // namespace

std::vector<std::vector<std::int64_t>> outlying_sets(const engines::HeadProblem& problem, const engines::Frame& frame,
                                                     const base::Context& context) {
  std::vector<std::vector<std::int64_t>> sets;
  const std::size_t dim = usize(frame.dim());
  const std::vector<double> rows = some_keys(problem, frame);
  const std::int64_t most = std::min(frame.visible_keys / kLeastShare, engines::kMostOutlying);
  if (dim == 0 || rows.empty() || most < kCounts.front()) {
    return sets;
  }
  const std::vector<double> middle = middle_of(rows, dim);
  const std::vector<double> squares = squares_of(frame, rows, middle);
  if (!any_far(frame, squares, middle)) {
    return sets;
  }
  // Twice as many keys, going by the sample, as may be set apart; should they be fewer, fewer are tried.
  const double share = 2.0 * static_cast<double>(most) / static_cast<double>(frame.visible_keys);
  const std::vector<Ranked> far =
      farthest_keys(problem, frame, middle, quantile(squares, 1.0 - share), usize(most), context);
  if (far.empty()) {
    return sets;
  }
  double reached = far.front().first;
  for (const std::int64_t count : kCounts) {
    if (usize(count) >= far.size() || count > most || !std::isfinite(far.front().first)) {
      break;
    }
    const double left = far[usize(count)].first;  // squared
    if (left <= kGain * kGain * reached) {
      std::vector<std::int64_t> set;
      for (std::int64_t i = 0; i < count; ++i) {
        set.push_back(far[usize(i)].second);
      }
      std::sort(set.begin(), set.end());
      sets.push_back(std::move(set));
      reached = left;
    }
  }
  return sets;
}

}  // namespace polyattn::planning
