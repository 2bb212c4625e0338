#pragma once

/// What was decided, what it cost and how far the answer may be from the truth.

#include "polyattn/export.hpp"
#include "polyattn/options.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace polyattn {

enum class CertificateKind : std::uint8_t {
  certified,  ///< proved for every row
  sampled,    ///< statistical, from random exact rows
};

/// What a sampled guarantee rests on: `rows` of the `population` of rows that polynomials answered, drawn uniformly
/// with replacement after all had been computed, and answered by exact in float64. Rows that exact answered in the
/// first place are proved.
struct SampleEvidence {
  std::int64_t rows = 0;        ///< m; 0: nothing was sampled
  std::int64_t population = 0;  ///< rows that were drawn from
  double share = 0.0;           ///< p: at most this share of the rows errs by more than the certificate's bound()
  double confidence = 1.0;      ///< with which that holds, for all heads of the call together
  double largest = 0.0;         ///< largest error seen, the proved bound of the exact row included
  double proved = 0.0;          ///< largest proved bound of the rows that exact answered
  int attempts = 0;             ///< degrees tried; each has a part of the risk
  std::uint64_t seed = 0;
};

/// Bounds on max |T~ - T| over the rows and columns of a head: proved ones, and with kind `sampled` one that all but a
/// share of the rows keep.
struct Certificate {
  double approximation = 0.0;  ///< from replacing exp by a polynomial (0 for exact and reference)
  double rounding = 0.0;       ///< from floating-point computing, weights and transforms included, and a float32 output
  double storage = 0.0;        ///< from the final rounding to 16-bit storage; not counted against the tolerance
  /// eta with |T~ - T| <= eta * sum_j p_ij |v_j|, for exact and reference; infinity where no such bound is proved.
  double relative = std::numeric_limits<double>::infinity();
  CertificateKind kind = CertificateKind::certified;
  SampleEvidence sample{};  ///< for kind `sampled`

  /// Proved for every row whatever the kind; for kind `sampled` beyond the tolerance.
  [[nodiscard]] double proved_bound() const noexcept { return approximation + rounding; }
  /// What is compared with the tolerance.
  [[nodiscard]] double bound() const noexcept {
    return kind == CertificateKind::certified ? proved_bound()
                                              : (sample.largest > sample.proved ? sample.largest : sample.proved);
  }
};

/// Measured properties of one head's inputs that decide which engine can serve it.
struct InputStatistics {
  std::int64_t queries = 0;
  std::int64_t keys = 0;                     ///< all keys of all sets, masked ones included
  std::int64_t visible_keys = 0;             ///< keys whose bias is not -inf
  std::vector<std::int64_t> keys_per_set{};  ///< order 3 and above
  std::int64_t dim = 0;
  std::int64_t value_dim = 0;
  double max_abs_query = 0.0;  ///< with max_abs_key the papers' B: largest entry
  double max_abs_key = 0.0;
  double max_abs_value = 0.0;
  double value_range = 0.0;    ///< largest max - min over a value column, visible keys; of products at order >= 3
  double radius_before = 0.0;  ///< bound on |s_ij| as given
  double radius_after = 0.0;   ///< bound on |s_ij| after centring, or after scaling the axes at order >= 3
};

/// One (engine, arithmetic) the planner looked at.
struct Candidate {
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  int degree = -1;               ///< polynomial only
  std::int64_t rank = 0;         ///< polynomial only: number of features, C(dim + degree, degree) or, in layers, fewer
  double seconds = 0.0;          ///< predicted, rows expected to fall to exact included
  double bytes = 0.0;            ///< predicted allocation
  double predicted_bound = 0.0;  ///< of the rows this engine would answer
  double fallback_share = 0.0;   ///< expected share of rows answered by exact instead
  double a_priori_bound = 0.0;   ///< proved before looking at any denominator; infinity where there is none
  double papers_bound = 0.0;     ///< the papers' own (eps_A + eps_D) * max|V| for this degree, infinity if vacuous
  CertificateKind kind = CertificateKind::certified;  ///< sampled: `predicted_bound` estimates the error itself
  bool usable = false;
  bool chosen = false;
  std::string reason;
};

/// The plan for one head.
struct HeadPlan {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  int order = 2;                  ///< one more than there are key sets
  bool statistics_known = false;  ///< small problems go to exact without a statistics pass
  InputStatistics statistics;
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  int degree = -1;
  std::int64_t rank = 0;
  double tolerance = 0.0;  ///< absolute, after `of_value_range` was resolved (where the range is known)
  double predicted_seconds = 0.0;
  double predicted_bytes = 0.0;
  double predicted_bound = 0.0;
  double fallback_share = 0.0;                        ///< expected share of rows left to exact
  CertificateKind kind = CertificateKind::certified;  ///< what the answer is expected to carry
  double exact_seconds = 0.0;  ///< predicted time of the cheapest exact arithmetic that meets the tolerance
  /// Estimate, from at most 64 exact rows, of max |T - mean(V)|; NaN when it was not asked for.
  double mean_answer_error = std::numeric_limits<double>::quiet_NaN();
  int mean_answer_rows = 0;
  std::vector<Candidate> candidates;
  std::string why;
};

struct PlanReport {
  std::vector<HeadPlan> heads;
  std::string instruction_set;
  int threads = 1;
  double predicted_seconds = 0.0;
  double predicted_bytes = 0.0;
};

/// What one tolerance would take.
struct SweepRow {
  double asked = 0.0;      ///< as given
  double tolerance = 0.0;  ///< absolute
  bool reachable = true;   ///< whether any allowed engine is expected to meet it
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  int degree = -1;
  std::int64_t rank = 0;
  double predicted_bound = 0.0;
  double predicted_seconds = 0.0;
  double predicted_bytes = 0.0;
  double exact_seconds = 0.0;   ///< predicted time of the cheapest exact arithmetic that meets the tolerance
  double fallback_share = 0.0;  ///< expected share of rows left to exact; 1 where exact answers all
  CertificateKind kind = CertificateKind::certified;
  std::string why;
};

/// One head under several tolerances, in the order they were given.
struct HeadSweep {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  int order = 2;
  InputStatistics statistics;
  bool statistics_known = false;
  double mean_answer_error = std::numeric_limits<double>::quiet_NaN();  ///< as in HeadPlan
  std::vector<SweepRow> rows;
};

struct SweepReport {
  std::vector<HeadSweep> heads;
  std::string instruction_set;
  int threads = 1;
  double planning_seconds = 0.0;
};

/// What happened to one head.
struct HeadReport {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  int order = 2;  ///< one more than there are key sets
  Engine engine = Engine::exact;
  Arithmetic arithmetic = Arithmetic::float32;
  std::string why;
  int degree = -1;
  std::int64_t rank = 0;
  double radius_before = 0.0;
  double radius_after = 0.0;
  std::int64_t rows_total = 0;
  std::int64_t rows_reference = 0;
  std::int64_t rows_exact = 0;  ///< float32 and float64 together, handed-over rows included
  std::int64_t rows_polynomial = 0;
  std::int64_t rows_grid = 0;
  std::int64_t rows_clustered = 0;
  double tolerance = 0.0;  ///< absolute
  Certificate certificate;
  double lse_bound = 0.0;  ///< largest over rows, when log-sum-exp was asked for
  double smallest_denominator = std::numeric_limits<double>::quiet_NaN();  ///< least certified D_i over W (causal: over
                                                                           ///< the computed D_i); polynomial rows
  double mean_answer_error = 0.0;  ///< max |T~ - mean(V)|: what the constant answer would have cost
  double value_range = 0.0;
  double predicted_seconds = 0.0;
  double seconds = 0.0;
};

struct Report {
  std::vector<HeadReport> heads;
  std::string instruction_set;
  int threads = 1;
  double seconds = 0.0;
  double planning_seconds = 0.0;
  std::uint64_t peak_bytes = 0;  ///< most bytes held in buffers at any time, inputs and outputs excluded
};

/// The report or plan in words, a few lines per head.
POLYATTN_EXPORT std::string describe(const PlanReport& plan);
POLYATTN_EXPORT std::string describe(const Report& report);
/// A table for each head, and one of all heads together where there are several; of many heads only the latter.
POLYATTN_EXPORT std::string describe(const SweepReport& sweep);
/// "with confidence 95 % at most 1 % of the rows err by more than ..."; empty for a certificate that is proved.
POLYATTN_EXPORT std::string confidence_statement(const Certificate& certificate);

}  // namespace polyattn
