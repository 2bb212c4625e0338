#include "engines/tuples/exact_rows.hpp"

#include "base/checked.hpp"
#include "simd/exact_kernels.hpp"

#include <algorithm>

namespace polyattn::engines {

using base::usize;

OuterRows::OuterRows(const TupleProblem& problem, std::span<const OuterSet> sets, double factor)
    : problem_(problem),
      sets_(sets),
      factor_(factor),
      query_(usize(problem.dim())),
      prefix_(usize(problem.dim())),
      values_(usize(problem.value_dim())),
      ranges_(sets.size()),
      position_(sets.size()) {}

std::int64_t OuterRows::count(std::span<const KeyRange> ranges) {
  std::int64_t rows = 1;
  for (const KeyRange& range : ranges) {
    rows = base::checked_mul(rows, range.size(), "keys");
  }
  return rows;
}

void OuterRows::open(std::int64_t query, std::span<const KeyRange> ranges, std::int64_t first) {
  base::load_rows(problem_.queries, query, 1, query_.data(), problem_.dim());
  for (double& q : query_) {
    q *= factor_;
  }
  std::copy(ranges.begin(), ranges.end(), ranges_.begin());
  for (std::size_t s = ranges.size(); s-- > 0;) {
    position_[s] = ranges[s].first + first % ranges[s].size();
    first /= ranges[s].size();
  }
  moved_ = true;
}

/// What the next rows share.
void OuterRows::load_prefix() {
  const std::int64_t d = problem_.dim();
  const std::int64_t d_v = problem_.value_dim();
  std::copy(query_.begin(), query_.end(), prefix_.begin());
  run_ = {};
  run_.prefix = prefix_.data();
  for (std::size_t s = 0; s + 1 < sets_.size(); ++s) {
    const OuterSet& set = sets_[s];
    const std::int64_t j = position_[s];
    const double* key = set.key_block(j, d);
    for (std::int64_t l = 0; l < d; ++l) {
      prefix_[usize(l)] *= key[l * kOuterBlock];
    }
    const double* value = set.values.data() + j * d_v;
    for (std::int64_t c = 0; c < d_v; ++c) {
      values_[usize(c)] = s == 0 ? value[c] : values_[usize(c)] * value[c];
    }
    run_.values = values_.data();
    run_.power += set.power[usize(j)];
    run_.factor *= set.factor[usize(j)];
    run_.bias += set.bias[usize(j)];
  }
  moved_ = false;
}

OuterRun OuterRows::next(std::int64_t most) {
  if (moved_) {
    load_prefix();
  }
  if (sets_.empty()) {
    run_.lanes = 1;
    return run_;
  }
  std::int64_t& at = position_.back();
  run_.at = at;
  run_.keys = sets_.back().key_block(at, problem_.dim());
  run_.lanes = std::min({most, ranges_.back().last - at, kOuterBlock - at % kOuterBlock});
  at += run_.lanes;
  for (std::size_t s = sets_.size(); s-- > 0 && position_[s] == ranges_[s].last;) {
    position_[s] = ranges_[s].first;
    moved_ = true;
    if (s > 0) {
      ++position_[s - 1];
    }
  }
  return run_;
}

template <class T>
void pack_run(const OuterRun& run, std::int64_t dim, T* queries, double* squares) noexcept {
  double square[simd::kTile] = {};
  for (std::int64_t l = 0; l < dim; ++l) {
    const double q = run.prefix[l];
    T* out = queries + l * simd::kTile;
    if (run.keys == nullptr) {
      out[0] = static_cast<T>(q);
      square[0] += q * q;
      continue;
    }
    const double* keys = run.keys + l * kOuterBlock;
    for (std::int64_t t = 0; t < run.lanes; ++t) {
      const double x = q * keys[t];
      out[t] = static_cast<T>(x);
      square[t] += x * x;
    }
  }
  std::copy_n(square, run.lanes, squares);
}

template void pack_run<float>(const OuterRun&, std::int64_t, float*, double*) noexcept;
template void pack_run<double>(const OuterRun&, std::int64_t, double*, double*) noexcept;

}  // namespace polyattn::engines
