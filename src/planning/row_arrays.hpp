#pragma once

/// Per-row results of a head, and what is read off them: which rows meet what was asked, the certificate and counts of
/// the report, the distance to the constant answer.

#include "base/memory.hpp"
#include "base/parallel.hpp"
#include "engines/problem.hpp"
#include "planning/request.hpp"
#include "polyattn/report.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace polyattn::planning {

/// Per-row results of a head that the report and later stages need.
struct RowArrays {
  RowArrays(std::int64_t rows, bool want_lse, bool want_storage, bool want_relative, base::MemoryMeter* memory)
      : approximation(rows, 0.0, memory),
        rounding(rows, std::numeric_limits<double>::infinity(), memory),
        storage(want_storage ? rows : 0, 0.0, memory),
        relative(want_relative ? rows : 0, std::numeric_limits<double>::infinity(), memory),
        lse(want_lse ? rows : 0, memory),
        lse_bound(want_lse ? rows : 0, memory),
        engine(base::usize(rows), Engine::exact) {}
  base::Buffer<double> approximation;
  base::Buffer<double> rounding;
  base::Buffer<double> storage;   ///< or none: the output is not of a 16-bit type
  base::Buffer<double> relative;  ///< or none: not known of some row
  base::Buffer<double> lse;
  base::Buffer<double> lse_bound;
  std::vector<Engine> engine;

  [[nodiscard]] double bound(std::int64_t i) const noexcept {
    return approximation[base::usize(i)] + rounding[base::usize(i)];
  }
  [[nodiscard]] double stored(std::int64_t i) const noexcept {
    return storage.size() == 0 ? 0.0 : storage[base::usize(i)];
  }
};

/// Whether rows must meet anything at all.
bool asks_for_bound(const Request& request) noexcept;

/// Whether row i meets the tolerances of the request; `tolerance` is that of the output, resolved, 0 for none.
bool row_meets(const Request& request, const RowArrays& rows, double tolerance, std::int64_t i) noexcept;

/// Throws Error (not_reachable): `count` of `all` rows of the report's head miss its tolerance. `engine` in words.
[[noreturn]] void fail_not_reachable(const HeadReport& report, DType output, std::int64_t count, std::int64_t all,
                                     const char* engine);
/// The same where what the rows miss is known: names the tolerance of the output if one of them misses it, with their
/// worst bound, else that of log-sum-exp likewise, else that of the denominators. `missing` is not empty.
[[noreturn]] void fail_not_reachable(const HeadReport& report, const Request& request, const RowArrays& rows,
                                     const std::vector<std::int64_t>& missing, const char* engine);

/// `count` rows of the list, which has `rows` of them, evenly spaced; 0 < count <= rows.
engines::RowList some_of(const engines::RowList& list, std::int64_t rows, std::int64_t count);

/// After exact in T has answered the rows of the list, for the report's head: they are its rows now. Returns those that
/// are to be answered once more or are not reachable: that miss what was asked or, unless this was the `last`
/// arithmetic, have no bound. Throws Error (non_finite) where they have none because this was float32, and last, and
/// NaN and infinity are not to propagate.
template <class T>
engines::RowList missed_by_exact(const engines::RowList& list, const Request& request, const HeadReport& report,
                                 NonFinite non_finite, bool last, RowArrays& rows);

/// The report of a head whose approximate engine, the planner's choice, certified no row: exact has answered all.
void credit_exact(HeadReport& report);

/// Certificate of the worst row, rows by engine and bound of log-sum-exp into the report; bounds and engines of rows to
/// where the caller wants them, if anywhere.
void summarise(const RowArrays& rows, std::int64_t count, HeadReport& report, double* row_bounds, Engine* row_engine);

/// max over rows and columns of |T~ - mean(V)|, read back from the output. Rows whose bound is 0 are passed over: they
/// see no key or, at order 2, all keys of the head have one value, which is the mean. At order k >= 3 rounding of the
/// products keeps the bound of a row that sees a tuple above 0, unless all products are 0, as the mean is then.
double distance_from_mean(const base::RowSink& output, std::int64_t count, const RowArrays& arrays,
                          const std::vector<double>& mean, const base::Context& context);

}  // namespace polyattn::planning
