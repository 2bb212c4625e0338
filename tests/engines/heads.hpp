#pragma once

/// Heads for engine tests: inputs in any storage and strides, answers as plain numbers, and the truth in long double.

#include "base/parallel.hpp"
#include "engines/exact/exact.hpp"
#include "engines/problem.hpp"
#include "engines/reference/reference.hpp"
#include "support/forced_isa.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace polyattn::engines::test {

using polyattn::test::ForcedIsa;

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// A matrix as stored: rounded to its type, with gaps between rows and columns that hold NaN.
class Stored {
 public:
  Stored() = default;
  Stored(const std::vector<double>& numbers, std::int64_t rows, std::int64_t columns, DType type, bool gaps = false)
      : rows_(rows),
        columns_(columns),
        type_(type),
        column_stride_(gaps ? 2 : 1),
        row_stride_(columns * column_stride_ + (gaps ? 3 : 0)) {
    bytes_.resize(static_cast<std::size_t>(rows * row_stride_ + 1) * size_of(type));
    base::RowSink sink{bytes_.data(), type, 1, 1};
    for (std::int64_t i = 0; i <= rows * row_stride_; ++i) {
      base::store_row(sink, i, &kNan, 1);
    }
    sink.row_stride = row_stride_;
    sink.column_stride = column_stride_;
    for (std::int64_t r = 0; r < rows; ++r) {
      base::store_row(sink, r, numbers.data() + r * columns, columns);
    }
  }
  [[nodiscard]] base::Rows view() const {
    base::RowPiece piece{bytes_.data(), type_, 0, rows_, row_stride_, column_stride_};
    return {{piece}, rows_, columns_};
  }
  /// The numbers as stored, [rows][columns].
  [[nodiscard]] std::vector<double> numbers() const {
    std::vector<double> out(static_cast<std::size_t>(rows_ * columns_));
    base::load_rows(view(), 0, rows_, out.data(), columns_);
    return out;
  }

 private:
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  DType type_ = DType::float64;
  std::int64_t column_stride_ = 1;
  std::int64_t row_stride_ = 1;
  std::vector<unsigned char> bytes_;
};

struct Head {
  std::int64_t n_q = 1, n_kv = 1, d = 1, d_v = 1;
  std::vector<double> q, k, v;
  std::vector<double> bias;           // empty: none
  std::vector<double> additive;       // [n_q][n_kv]; empty: none
  std::vector<std::uint8_t> boolean;  // [n_q][n_kv]; empty: none
  HeadScore score;
  double soft_cap = 0.0;
  PositionMask mask;
  DType storage = DType::float64;
  DType output = DType::float64;
  bool gaps = false;
  NonFinite non_finite = NonFinite::error;
};

/// A head ready to run. Keeps the storage alive.
struct Prepared {
  Stored q, k, v, bias, additive;
  HeadProblem problem;

  explicit Prepared(const Head& head)
      : q(head.q, head.n_q, head.d, head.storage, head.gaps),
        k(head.k, head.n_kv, head.d, head.storage, head.gaps),
        v(head.v, head.n_kv, head.d_v, head.storage, head.gaps) {
    problem.queries = q.view();
    problem.keys = k.view();
    problem.values = v.view();
    if (!head.bias.empty()) {
      bias = Stored(head.bias, head.n_kv, 1, DType::float64, head.gaps);
      problem.bias.rows = bias.view();
    }
    if (!head.additive.empty()) {
      additive = Stored(head.additive, head.n_q, head.n_kv, DType::float64, head.gaps);
      const base::Rows rows = additive.view();
      problem.pairs.additive = {rows.pieces[0].data, DType::float64, rows.pieces[0].row_stride,
                                rows.pieces[0].column_stride};
    }
    if (!head.boolean.empty()) {
      problem.pairs.boolean = {head.boolean.data(), head.n_kv, 1};
    }
    problem.score = head.score;
    problem.soft_cap = head.soft_cap;
    problem.mask = head.mask;
    problem.non_finite = head.non_finite;
  }
};

struct Answer {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> output, lse, lse_bound, row_max, approximation, rounding, storage, relative;
};

template <class Run>
Answer collect(std::int64_t rows, std::int64_t columns, DType type, const Run& run) {
  const auto count = static_cast<std::size_t>(rows);
  Answer a{rows,
           columns,
           {},
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan),
           std::vector<double>(count, kNan)};
  Stored sink(std::vector<double>(static_cast<std::size_t>(rows * columns), kNan), rows, columns, type);
  const base::Rows view = sink.view();
  HeadOutputs out;
  out.output = {const_cast<void*>(view.pieces[0].data), type, columns, 1};
  out.lse = a.lse.data();
  out.lse_bound = a.lse_bound.data();
  out.row_max = a.row_max.data();
  out.approximation = a.approximation.data();
  out.rounding = a.rounding.data();
  out.storage = a.storage.data();
  out.relative = a.relative.data();
  run(out);
  a.output = sink.numbers();
  return a;
}

inline Answer reference(const Head& head, int threads = 1) {
  const Prepared prepared(head);
  return collect(head.n_q, head.d_v, head.output, [&](const HeadOutputs& out) {
    reference_rows(prepared.problem, RowList{}, out, base::Context{threads, nullptr, nullptr});
  });
}

template <class T>
Answer exact(const Head& head, int threads = 1, const RowList& list = RowList{}, std::int64_t rows = -1) {
  const Prepared prepared(head);
  return collect(rows < 0 ? head.n_q : rows, head.d_v, head.output, [&](const HeadOutputs& out) {
    const base::Context context{threads, nullptr, nullptr};
    exact_rows<T>(prepared.problem, pack_keys<T>(prepared.problem, context), list, out, context);
  });
}

/// The truth for one row, in long double from the numbers as stored.
struct Truth {
  bool empty = true;
  std::vector<long double> output;
  std::vector<long double> weighted_size;  // sum p |v|
  long double lse = -std::numeric_limits<long double>::infinity();
  long double row_max = -std::numeric_limits<long double>::infinity();
};

inline Truth truth(const Head& head, const Prepared& prepared, std::int64_t row) {
  const std::vector<double> q = prepared.q.numbers();
  const std::vector<double> k = prepared.k.numbers();
  const std::vector<double> v = prepared.v.numbers();
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const KeyRange range = head.mask.range(row, head.n_kv);
  std::vector<long double> s(at(head.n_kv), -std::numeric_limits<long double>::infinity());
  Truth t;
  t.output.assign(at(head.d_v), 0.0L);
  t.weighted_size.assign(at(head.d_v), 0.0L);
  for (std::int64_t j = range.first; j < range.last; ++j) {
    const std::size_t pair = at(row * head.n_kv + j);
    const double bias = head.bias.empty() ? 0.0 : head.bias[at(j)];
    const double added = head.additive.empty() ? 0.0 : head.additive[pair];
    if (bias == -kInfinity || added == -kInfinity || (!head.boolean.empty() && head.boolean[pair] == 0) ||
        (head.mask.exclude_self && j == row)) {
      continue;
    }
    t.empty = false;
    long double sum = 0.0L;
    for (std::int64_t l = 0; l < head.d; ++l) {
      const auto x = static_cast<long double>(q[at(row * head.d + l)]);
      const auto y = static_cast<long double>(k[at(j * head.d + l)]);
      if (head.score.kind == ScoreKind::dot) {
        sum += static_cast<long double>(head.score.scale) * x * y;
      } else {
        const long double z = (x - y) / static_cast<long double>(head.score.bandwidth[at(l)]);
        sum -= z * z / 2;
      }
    }
    if (head.soft_cap > 0.0) {
      sum = static_cast<long double>(head.soft_cap) * std::tanh(sum / static_cast<long double>(head.soft_cap));
    }
    s[at(j)] = sum + static_cast<long double>(bias) + static_cast<long double>(added);
    t.row_max = std::max(t.row_max, s[at(j)]);
  }
  if (t.empty) {
    return t;
  }
  long double denominator = 0.0L;
  for (std::int64_t j = range.first; j < range.last; ++j) {
    const long double w = std::exp(s[at(j)] - t.row_max);
    denominator += w;
    for (std::int64_t c = 0; c < head.d_v && w > 0; ++c) {
      t.output[at(c)] += w * static_cast<long double>(v[at(j * head.d_v + c)]);
      t.weighted_size[at(c)] += w * std::fabs(static_cast<long double>(v[at(j * head.d_v + c)]));
    }
  }
  for (std::int64_t c = 0; c < head.d_v; ++c) {
    t.output[at(c)] /= denominator;
    t.weighted_size[at(c)] /= denominator;
  }
  t.lse = t.row_max + std::log(denominator);
  return t;
}

/// Largest measured / certified.
struct Clearance {
  double output = 0.0, lse = 0.0, relative = 0.0;
  std::int64_t rows = 0, known = 0;

  void print(const char* what) const {
    std::printf(
        "[ clearance] %-28s output %.3f, log-sum-exp %.3f, relative %.3f over %lld rows (%lld with a finite bound)\n",
        what, output, lse, relative, static_cast<long long>(rows), static_cast<long long>(known));
  }
};

inline double ratio(long double error, double bound) {
  if (bound == kInfinity) {
    return 0.0;  // nothing is claimed
  }
  if (std::isnan(error) || std::isnan(bound)) {
    return kInfinity;
  }
  return error == 0.0L ? 0.0 : static_cast<double>(error / static_cast<long double>(bound));
}

/// Every row against the truth; fails where a bound is broken. `stride`: only every so many rows.
inline void judge(const Head& head, const Answer& answer, Clearance& clearance, const std::string& what,
                  std::int64_t stride = 1) {
  const Prepared prepared(head);
  for (std::int64_t i = 0; i < head.n_q; i += stride) {
    const auto row = static_cast<std::size_t>(i);
    const Truth t = truth(head, prepared, i);
    ++clearance.rows;
    ASSERT_EQ(answer.approximation[row], 0.0) << what;
    if (t.empty) {
      ASSERT_EQ(answer.lse[row], -kInfinity) << what << " row " << i;
      ASSERT_EQ(answer.row_max[row], -kInfinity) << what;
      ASSERT_EQ(answer.rounding[row], 0.0) << what;
      for (std::int64_t c = 0; c < head.d_v; ++c) {
        ASSERT_EQ(answer.output[static_cast<std::size_t>(i * head.d_v + c)], 0.0) << what;
      }
      continue;
    }
    clearance.known += std::isfinite(answer.rounding[row]) ? 1 : 0;
    const double bound = answer.rounding[row] + answer.storage[row];
    for (std::int64_t c = 0; c < head.d_v; ++c) {
      const auto column = static_cast<std::size_t>(c);
      const auto computed = static_cast<long double>(answer.output[row * static_cast<std::size_t>(head.d_v) + column]);
      const long double error = std::fabs(computed - t.output[column]);
      const double r = ratio(error, bound);
      ASSERT_LE(r, 1.0) << what << " row " << i << " column " << c << ": error " << static_cast<double>(error)
                        << ", bound " << bound;
      clearance.output = std::max(clearance.output, r);
      if (answer.relative[row] < kInfinity && answer.storage[row] == 0.0) {
        const double s = ratio(error, answer.relative[row] * static_cast<double>(t.weighted_size[column]));
        ASSERT_LE(s, 1.0) << what << " row " << i << " column " << c << " (relative)";
        clearance.relative = std::max(clearance.relative, s);
      }
    }
    const double l = ratio(std::fabs(static_cast<long double>(answer.lse[row]) - t.lse), answer.lse_bound[row]);
    ASSERT_LE(l, 1.0) << what << " row " << i << ": log-sum-exp " << answer.lse[row] << " for "
                      << static_cast<double>(t.lse);
    clearance.lse = std::max(clearance.lse, l);
    if (answer.lse_bound[row] < kInfinity) {
      // The largest score is perturbed by no more than the whole sum, up to its own rounding.
      ASSERT_LE(std::fabs(static_cast<long double>(answer.row_max[row]) - t.row_max),
                static_cast<long double>(answer.lse_bound[row]))
          << what << " row " << i;
    }
  }
}

/// Independent normal numbers.
inline std::vector<double> normal(std::mt19937_64& random, std::int64_t count, double scale = 1.0, double shift = 0.0) {
  std::normal_distribution<double> draw;
  std::vector<double> out(static_cast<std::size_t>(count));
  for (double& x : out) {
    x = shift + scale * draw(random);
  }
  return out;
}

inline Head random_head(std::uint64_t seed, std::int64_t n_q, std::int64_t n_kv, std::int64_t d, std::int64_t d_v,
                        double spread = 1.0) {
  std::mt19937_64 random(seed);
  Head head;
  head.n_q = n_q;
  head.n_kv = n_kv;
  head.d = d;
  head.d_v = d_v;
  head.q = normal(random, n_q * d, spread);
  head.k = normal(random, n_kv * d, spread);
  head.v = normal(random, n_kv * d_v);
  head.score.scale = 1.0 / std::sqrt(static_cast<double>(d));
  return head;
}

inline Head gaussian(Head head, std::vector<double> bandwidth) {
  head.score.kind = ScoreKind::gaussian;
  bandwidth.resize(static_cast<std::size_t>(head.d), bandwidth.back());
  head.score.bandwidth = std::move(bandwidth);
  return head;
}

}  // namespace polyattn::engines::test
