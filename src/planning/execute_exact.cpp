// Exact answers: float32 where it may do, float64 where it must.

#include "base/error.hpp"
#include "engines/exact/certificate.hpp"
#include "engines/exact/exact.hpp"
#include "engines/exact/stream.hpp"
#include "planning/execution.hpp"
#include "planning/some_rows.hpp"
#include "planning/values.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace polyattn::planning {

namespace {

using base::usize;
using engines::KeyStatistics;
using engines::RowList;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
/// Of so many rows one is tried before float32 answers them all: it may cost a few per cent of what it may save.
constexpr std::int64_t kRowsForATry = 32;
constexpr std::int64_t kMostTries = 16;
/// Keys and rows that a first guess looks at, and how far it must be from the tolerance to be believed.
constexpr std::int64_t kGuessKeys = 16;
constexpr std::int64_t kGuessRows = 4;
constexpr double kSurelyMeets = 0.25;
constexpr double kSurelyMisses = 3.0;
/// Under Gaussian scores this wide rows hang on their near keys, whose scores are small, and certificates are far below
/// the guess.
constexpr double kWideScore = 400.0;
constexpr double kSurelyMissesWide = 100.0;
static_assert(kMostTries <= engines::kFewRows);

}  // namespace

/// The range of the values as stored, whatever the engine made of them.
template <class T>
double Execution::range_of(const KeyStatistics& keys) const {
  const bool rounded = std::is_same_v<T, float> && !base::fits_float32(problem.values);
  return rounded ? value_range(problem, nullptr, 0.0, context).range() : keys.value_range();
}

/// The a-priori bound of float32 for a few rows and keys, as a multiple of the tolerance. NaN: nobody knows.
double Execution::guess_of_float32(const RowList& list) const {
  const std::int64_t count = list.count(problem.n_q());
  const SomeRows keys =
      load(problem.keys, visible_keys(problem, std::clamp<std::int64_t>(problem.n_kv() / 8, 1, kGuessKeys)));
  if (!asks_for_bound() || request.lse_tolerance || request.density_tolerance ||
      problem.pairs.additive.data != nullptr || count < kRowsForATry || keys.index.empty()) {
    return kNaN;
  }
  const SomeRows queries =
      load(problem.queries, some_of(list, count, std::clamp<std::int64_t>(count / 32, 1, kGuessRows)).rows);
  const Extremes values = extremes_of(load(problem.values, keys.index), usize(problem.value_dim()));
  const double allowed = absolute_tolerance(request.tolerance, planning::range_of(values));
  return allowed > 0.0 ? likely_float32_bound(problem, request.output, queries, keys, values) / allowed : kNaN;
}

/// Whether Gaussian scores go as low as -kWideScore, going by a few keys.
bool Execution::wide_gaussian() const {
  if (problem.score.kind != engines::ScoreKind::gaussian || problem.n_kv() == 0) {
    return false;
  }
  const std::int64_t some = std::min(problem.n_kv(), kGuessKeys);
  const Extremes keys = extremes_of(load(problem.keys, visible_keys(problem, some)), usize(problem.dim()));
  double square = 0.0;
  for (std::size_t l = 0; l < keys.low.size(); ++l) {
    const double extent = (keys.high[l] - keys.low[l]) / problem.score.bandwidth[l];
    square += extent * extent;
  }
  return 0.5 * square > kWideScore;
}

/// Whether the a-priori bound of float32 meets the tolerance for these rows.
bool Execution::sure_of_float32(const KeyStatistics& keys, const RowList& some) const {
  const engines::ScoreFacts facts{problem.soft_cap, !problem.mask.from_first(), problem.pairs.additive.data != nullptr};
  const Extremes rows_of = extremes_of(load(problem.queries, some.rows), usize(problem.dim()));
  const engines::QueryStatistics asked{rows_of.norm * (1.0 + 1e-12), rows_of.low, rows_of.high,
                                       base::fits_float32(problem.queries)};
  return !facts.pairs && !request.lse_tolerance && !request.density_tolerance &&
         engines::exact_bound<float>(problem.score, keys, asked, request.output, facts).rounding <= tolerance;
}

/// Whether most of a few rows miss the tolerance in float32. Which rows float32 answers then depends on the others;
/// what it answers does not.
template <class T>
bool Execution::most_miss(const RowList& list, const engines::PackedKeys<T>* packed) {
  if (!std::is_same_v<T, float> || !asks_for_bound() || float32_guess <= kSurelyMeets) {
    return false;
  }
  const std::int64_t count = list.count(problem.n_q());
  const std::int64_t most = packed != nullptr ? kMostTries : engines::kSingleRows;
  const std::int64_t tries = std::min(most, count / kRowsForATry);
  if (tries == 0) {
    return false;
  }
  const RowList some = some_of(list, count, tries);
  if (packed != nullptr && sure_of_float32(packed->statistics, some)) {
    return false;
  }
  try {
    if (packed != nullptr) {
      engines::exact_rows(problem, *packed, some, outputs, context);
    } else {
      const KeyStatistics keys = engines::stream_rows<T>(problem, some, outputs, context);
      if (list.all) {
        know_range(range_of<T>(keys));
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::non_finite) {
      throw;
    }
    return false;  // the pass over all rows names the first
  }
  const auto misses =
      std::count_if(some.targets.begin(), some.targets.end(), [&](std::int64_t row) { return !row_meets(row); });
  return 2 * misses > tries;
}

/// One arithmetic over a list of rows; returns those that miss the tolerance. Unless `last`, nothing or little is
/// computed where this arithmetic is seen not to do.
template <class T>
RowList Execution::exact_pass(const RowList& list, bool last) {
  const auto know = [&](const KeyStatistics& keys) {
    if (!list.all) {
      return;  // rows that are left say nothing of the head, whose range is known
    }
    know_range(range_of<T>(keys));
    value_sum = keys.value_sum;
    visible = keys.visible;
  };
  const bool wants = asks_for_bound();
  // A float32 output alone may cost more than the tolerance, or a range of 0 asks for float64: on to the next.
  const auto hopeless = [&](const KeyStatistics& keys) {
    return !last && wants && request.tolerance.value > 0.0 &&
           (report.value_range == 0.0 || tolerance < keys.largest_value() * 0x1p-26);
  };
  if (group.few(list)) {
    if (!last && most_miss<T>(list, nullptr)) {
      return list;
    }
    const KeyStatistics keys = group.few_rows<T>(problem, list, outputs, context);
    know(keys);
    if (hopeless(keys)) {
      return list;
    }
  } else {
    const engines::PackedKeys<T>& packed = group.packed<T>(problem, context);
    know(packed.statistics);
    if (hopeless(packed.statistics) || (!last && most_miss<T>(list, &packed))) {
      return list;
    }
    engines::exact_rows(problem, packed, list, outputs, context);
  }
  return missed_by_exact<T>(list, request, report, problem.non_finite, last, rows);
}

void Execution::run_exact(RowList list, bool handed_over) {
  Arithmetic arithmetic = decision.exact_arithmetic;
  // Rows handed over by an engine with a pinned arithmetic may use whichever suffices.
  if (handed_over && request.engine == Engine::polynomial) {
    arithmetic = Arithmetic::automatic;
  }
  const bool free = arithmetic == Arithmetic::automatic;
  if (free && !asks_for_bound()) {
    arithmetic = request.native_float32 ? Arithmetic::float32 : Arithmetic::float64;
  }
  RowList missing = std::move(list);
  Arithmetic used = Arithmetic::float64;
  float32_guess = free && arithmetic == Arithmetic::automatic ? guess_of_float32(missing) : kNaN;
  const bool in_vain = float32_guess >= kSurelyMisses && (float32_guess >= kSurelyMissesWide || !wide_gaussian());
  if (arithmetic != Arithmetic::float64 && !in_vain) {
    const std::int64_t before = missing.count(problem.n_q());
    missing = exact_pass<float>(missing, !free);
    if (missing.count(problem.n_q()) < before || before == 0) {
      used = Arithmetic::float32;
    }
    if (!free && !missing.rows.empty()) {  // the last pass leaves a list, never all
      fail_not_reachable(report, request, rows, missing.rows, "exact in float32");
    }
  }
  if (missing.all || !missing.rows.empty()) {
    if (missing.count(problem.n_q()) > 0) {
      used = Arithmetic::float64;
    }
    missing = exact_pass<double>(missing, true);
    // Without values only denominators can miss: their best bounds are reported, and density(), which asks for a little
    // more than it needs, judges them itself.
    if (!missing.rows.empty() && problem.value_dim() > 0) {
      fail_not_reachable(report, request, rows, missing.rows, "exact in float64");
    }
  }
  if (!handed_over) {
    report.arithmetic = used;
  }
}

}  // namespace polyattn::planning
