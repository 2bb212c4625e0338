#pragma once

/// Algorithm 1 of [AS24], attention of any order k >= 2 by polynomials: moments of every key set, their Hadamard
/// product (Lemma C.3), and rows read off it, each with its certificate. Attention of order k is attention of order 2
/// over the virtual keys k^1_j1 o ... o k^m_jm, m = k - 1, with values v^1_j1 o ... and biases b^1_j1 + ...;
/// docs/proofs/tuples.md has statement and proof.
///
/// A call: make_tuple_frame once, predict_tuples for the choices that might do, polynomial_tuples for the one taken.
/// Rows that are not answered are the exact engine's. Prepared keys keep a frame and, by sum_tuples, what is summed.

#include "engines/polynomial/evaluate.hpp"
#include "engines/tuple_problem.hpp"
#include "engines/tuples/frame.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <variant>
#include <vector>

namespace polyattn::engines {

/// How rows are answered.
struct TupleChoice {
  int degree = 2;       ///< 0 to 64
  bool single = false;  ///< products in float32; only where single_allowed()
  bool spread = false;  ///< second moments weighted with the values too: sharper bounds for more columns
  bool operator==(const TupleChoice&) const = default;
};

/// Whether this head can be answered by moments in float32: not where rows see different keys, whose sums are one
/// chain.
bool single_allowed(const TupleProblem& problem) noexcept;

/// C(dim + degree, degree), or infinity where moments of that rank could not be held at all and beyond degree 64.
double tuple_rank(const TupleProblem& problem, int degree) noexcept;
/// Multiply-adds of a call, moments and rows; of the arithmetic chosen.
double tuple_work(const TupleProblem& problem, const TupleChoice& choice) noexcept;
/// Of so many rows alone, where every row sees every key.
double tuple_row_work(const TupleProblem& problem, const TupleChoice& choice, double rows) noexcept;
/// Working memory beside the frame.
std::int64_t tuple_bytes(const TupleProblem& problem, const TupleChoice& choice, int threads) noexcept;

/// What is expected of a choice. Only `a_priori` is proved.
struct TuplePrediction {
  double approximation = 0.0;  ///< of the worst of some rows, those of largest norm among them
  double rounding = 0.0;
  double bound = std::numeric_limits<double>::infinity();      ///< largest approximation + rounding of these rows
  double lse_bound = std::numeric_limits<double>::infinity();  ///< largest of theirs
  double served = 0.0;  ///< share of these rows that are expected to meet the acceptance
  double a_priori = std::numeric_limits<double>::infinity();  ///< every row errs by at most this; or infinity
  double work = 0.0;                                          ///< as tuple_work
  std::int64_t bytes = 0;                                     ///< as tuple_bytes
  double rank = 0.0;
};

/// Cost: moments of some hundred keys of each set, and some sixty rows. Degrees whose rank is beyond kMostRank are
/// not tried: the prediction says infinity.
TuplePrediction predict_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, DType output, const base::Context& context);

/// More features than this are never taken.
inline constexpr double kMostRank = 0x1p24;

struct TupleSummary {
  std::int64_t answered = 0;
  double smallest_denominator = std::numeric_limits<double>::infinity();  ///< D_low / W over answered rows
  double rank = 0.0;
  double radius = 0.0;         ///< bound on |score|, after the coordinates were rescaled
  double radius_before = 0.0;  ///< the same of the coordinates as given
};

/// What is the same for every row, where every row sees every key: the Hadamard product of the moments, ready to be
/// read.
struct TupleSums {
  TupleChoice choice;
  Frame units;  ///< of the virtual keys, weights in units of 2^exponent; no log weights
  std::variant<PreparedMoments<float>, PreparedMoments<double>> moments;
};

/// Sums over all keys of all sets; null if they serve no row: the radius of the frame or the rank is infinite, or a set
/// has no key that is not hidden. Rows beyond the extents of the frame's queries will not be answered by them. Time of
/// the keys' part of tuple_work.
std::shared_ptr<const TupleSums> sum_tuples(const TupleFrame& frame, const TupleChoice& choice,
                                            const base::Context& context);

/// As below, from sums of the same frame, which may have been made for other queries of the same keys.
TupleSummary answer_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleSums& sums,
                           const Acceptance& acceptance, const HeadOutputs& out, std::vector<std::uint8_t>& answered,
                           const base::Context& context);

/// Answers the rows whose certificate meets `acceptance`: output, log-sum-exp with bound, certificates. answered[row]
/// (n_q of them, 0 before) becomes 1 for these; other rows of `out` are left untouched. Row maxima are not known here.
/// Time tuple_work, memory tuple_bytes; the bits of a row do not depend on threads or instruction set.
TupleSummary polynomial_tuples(const TupleProblem& problem, const TupleFrame& frame, const TupleChoice& choice,
                               const Acceptance& acceptance, const HeadOutputs& out,
                               std::vector<std::uint8_t>& answered, const base::Context& context);

}  // namespace polyattn::engines
