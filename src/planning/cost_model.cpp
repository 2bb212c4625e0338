#include "planning/cost_model.hpp"

#include "engines/polynomial/causal.hpp"
#include "engines/polynomial/products.hpp"
#include "numerics/rank.hpp"
#include "planning/predict.hpp"

#include <algorithm>

namespace polyattn::planning {

namespace {

// Ratios fitted by bench/fit_costs.py to the rows of bench/costs_bench.cpp (Zen 4, AVX-512), all speeds scaled alike to
// those of a core with two multiply-adds of 512 bits a cycle; a calibration says what a machine really does.
constexpr double kBytes = 1.25e10;
constexpr double kGaussian = 1.3;  ///< multiply-adds an axis of the Gaussian score in float64; float32 hides the rest
constexpr double kExactRow = 3.3e-8;   ///< seconds, of a query
constexpr double kExactCall = 3.2e-6;  ///< seconds
/// Of a row that a query and outer keys make at order k: seconds, and seconds an axis or column.
constexpr double kTupleRow = 1.2e-8;
constexpr double kTupleAxis = 8e-10;
/// Polynomials at order k: what a multiply-add takes beside that at full speed, monomials included; seconds of a moment
/// that is multiplied, scaled and charged; seconds of a call.
constexpr double kTupleWork = 1.5;
constexpr double kTupleMoment32 = 1e-8;
constexpr double kTupleMoment64 = 2e-8;
constexpr double kTupleCall = 4e-5;
/// Of a row or key of the polynomial engine: seconds an axis, a column, a column and degree, and all else.
struct TokenSeconds {
  double axis, column, degree, row;
  double feature;  ///< of a product that makes monomials
};
constexpr TokenSeconds kToken32{2.2e-10, 5.8e-10, 9.1e-11, 4.8e-9, 2.2e-11};
constexpr TokenSeconds kToken64{3.1e-10, 6.9e-10, 4.7e-11, 3.8e-9, 4.5e-11};
constexpr double kPolynomialCall = 1e-5;  ///< seconds
/// Pairs that joining a row's exact part to the other costs, and keys that are summed at once.
constexpr double kJoinedKeys = 20.0;
constexpr std::int64_t kKeyGroup = 16;
/// Planning runs on the baseline of the processor family: seconds an axis of a row, or of a row and a key.
constexpr double kTryAxis = 3e-10;
constexpr std::int64_t kTriedRows = 9 * kSampledRows;  // so many strata (draw_sample.cpp)

}  // namespace

CostModel::Speeds CostModel::speeds_of(const Speeds& usual, double fma, double exp, double polynomial,
                                       double scale) noexcept {
  const double proportion = fma > 0.0 ? fma / usual.fma : 1.0;
  return {scale * proportion * usual.fma, scale * (exp > 0.0 ? exp : proportion * usual.exp),
          scale * (polynomial > 0.0 ? polynomial : proportion * usual.polynomial)};
}

CostModel::CostModel(const std::optional<Calibration>& calibration, int threads) noexcept {
  constexpr Speeds kFloat32{1.0e11, 1.22e10, 1.04e11};
  constexpr Speeds kFloat64{5.7e10, 4.2e9, 5.1e10};
  const Calibration given = calibration.value_or(Calibration{});
  const double scale = std::max(1, threads);
  float32_ = speeds_of(kFloat32, given.float32_fma, given.float32_exp, given.float32_polynomial, scale);
  float64_ = speeds_of(kFloat64, given.float64_fma, given.float64_exp, given.float64_polynomial, scale);
  bytes_ = given.memory_bytes > 0.0 ? given.memory_bytes : kBytes;
  slowness32_ = kFloat32.fma / float32_.fma;
  slowness64_ = kFloat64.fma / float64_.fma;
  feature32_ = kFloat32.polynomial / float32_.polynomial;
  feature64_ = kFloat64.polynomial / float64_.polynomial;
}

double score_pairs(const engines::HeadProblem& problem) noexcept {
  return engines::visible_pairs(problem, engines::RowList{});
}

double CostModel::exact_seconds(const engines::HeadProblem& problem, double pairs,
                                Arithmetic arithmetic) const noexcept {
  const auto dim = static_cast<double>(problem.dim());
  const auto columns = static_cast<double>(problem.value_dim());
  const double slowness = arithmetic == Arithmetic::float64 ? slowness64_ : slowness32_;
  const bool dear = problem.score.kind == engines::ScoreKind::gaussian && arithmetic == Arithmetic::float64;
  const Speeds& speed = speeds(arithmetic);
  const double work = pairs * (((dear ? kGaussian : 1.0) * dim + columns) / speed.fma + 1.0 / speed.exp);
  const double queries = problem.n_kv() > 0 ? std::min(pairs / static_cast<double>(problem.n_kv()) * 2.0,
                                                       static_cast<double>(problem.n_q()))
                                            : 0.0;
  const double rows = queries + static_cast<double>(problem.n_kv());
  return work + slowness * kExactRow * queries + rows * (dim + columns) * 8.0 / bytes_ + kExactCall;
}

double CostModel::tuple_seconds(const engines::TupleProblem& problem, double tuples, double rows,
                                Arithmetic arithmetic) const noexcept {
  const auto width = static_cast<double>(problem.dim() + problem.value_dim());
  const double slowness = arithmetic == Arithmetic::float64 ? slowness64_ : slowness32_;
  const Speeds& speed = speeds(arithmetic);
  return tuples * (width / speed.fma + 1.0 / speed.exp) + slowness * rows * (kTupleRow + kTupleAxis * width) +
         kExactCall;
}

double CostModel::tuple_polynomial_seconds(const engines::TupleProblem& problem, const engines::TupleChoice& choice,
                                           double work) const noexcept {
  const Arithmetic arithmetic = choice.single ? Arithmetic::float32 : Arithmetic::float64;
  const double slowness = choice.single ? slowness32_ : slowness64_;
  const double moments = engines::tuple_rank(problem, choice.degree) * static_cast<double>(problem.value_dim() + 8);
  return kTupleWork * work / speeds(arithmetic).polynomial +
         slowness * moments * (choice.single ? kTupleMoment32 : kTupleMoment64) + kTupleCall;
}

namespace {

/// Moments of a head: products of features and columns.
double moment_count(const engines::HeadProblem& problem, const PolynomialSize& size) noexcept {
  const auto columns = static_cast<double>(problem.value_dim());
  const auto dim = static_cast<double>(problem.dim());
  const double spread = size.spread ? (dim + 2.0) * (dim + 1.0) / 2.0 * columns : 0.0;
  return static_cast<double>(size.rank) * (columns + 1.0) + spread;
}

}  // namespace

double CostModel::polynomial_seconds(const engines::HeadProblem& problem, double queries, const PolynomialSize& size,
                                     Arithmetic arithmetic) const noexcept {
  const auto columns = static_cast<double>(problem.value_dim() + 1);
  const auto dim = static_cast<double>(problem.dim());
  const auto keys = static_cast<double>(problem.n_kv());
  const double slowness = arithmetic == Arithmetic::float64 ? slowness64_ : slowness32_;
  const TokenSeconds& token = arithmetic == Arithmetic::float64 ? kToken64 : kToken32;
  const double feature = (arithmetic == Arithmetic::float64 ? feature64_ : feature32_) * token.feature;
  const std::int64_t width = (size.spread ? 2 : 1) * problem.value_dim() + 1;
  const bool walk = size.spread || size.layered;
  const int prefix = walk ? 0 : engines::best_prefix_degree(problem.dim(), size.degree, width);
  const double monomials = walk ? engines::walk_work(static_cast<double>(size.rank), width)
                                : engines::monomial_work(problem.dim(), size.degree, width, prefix);
  const double features = moment_count(problem, size) / speeds(arithmetic).polynomial + monomials * feature;
  const double rows = token.axis * dim + columns * (token.column + token.degree * size.degree) + token.row;
  double seconds = (keys + queries) * (features + slowness * rows) + kPolynomialCall;
  if (size.outlying > 0) {
    const double pairs = queries * (kJoinedKeys + static_cast<double>(base::round_up_to(size.outlying, kKeyGroup)));
    seconds += exact_seconds(problem, pairs, arithmetic);
  }
  if (problem.mask.causal) {
    const double moments = moment_count(problem, size);
    const auto block = static_cast<double>(engines::causal_block(problem.dim(), problem.value_dim(), moments));
    // Every block joins lanes and scales all moments anew.
    seconds += keys / block * (moments * 5e-10 + 1e-6);
    seconds +=
        exact_seconds(problem, queries * (0.5 * block + 20.0), size.narrow_pairs ? Arithmetic::float32 : arithmetic);
  }
  return seconds;
}

double CostModel::try_seconds(const engines::HeadProblem& problem) const noexcept {
  const auto dim = static_cast<double>(problem.dim());
  const auto columns = static_cast<double>(problem.value_dim());
  const double pairs = static_cast<double>(kTriedRows * std::min<std::int64_t>(problem.n_kv(), kSampledKeys));
  const auto ranked = static_cast<double>(std::min(problem.n_q(), kRankedRows));
  return kTryAxis * (pairs * (dim + 2.0 * columns + 40.0) + ranked * (3.0 * dim + 100.0)) + 4e-5;
}

double CostModel::search_seconds(const engines::HeadProblem& problem) const noexcept {
  const auto dim = static_cast<double>(problem.dim());
  const auto columns = static_cast<double>(problem.value_dim());
  const auto rows = static_cast<double>(problem.n_q());
  const auto keys = static_cast<double>(problem.n_kv());
  const double passes = (3.0 * rows + 5.0 * keys) * dim + 2.0 * keys * columns + 20.0 * keys;
  const double centres = 20.0 * static_cast<double>(std::min<std::int64_t>(problem.n_q(), 1024)) * dim;
  return kTryAxis * (passes + centres) + try_seconds(problem);
}

std::int64_t polynomial_bytes(const engines::HeadProblem& problem, const PolynomialSize& size, Arithmetic arithmetic,
                              int threads) noexcept {
  const std::int64_t columns = (size.spread ? 2 : 1) * problem.value_dim() + 1;
  const std::int64_t element = arithmetic == Arithmetic::float64 ? 8 : 4;
  const std::int64_t block = engines::evaluation_block(columns);
  const auto moments = static_cast<std::int64_t>(moment_count(problem, size)) * (8 * (1 + threads) + element);
  const int prefix = size.spread || size.layered ? 0 : engines::best_prefix_degree(problem.dim(), size.degree, columns);
  const std::int64_t prefixes = prefix > 0 ? numerics::feature_rank(problem.dim(), prefix) : 0;
  const auto monomials = [&](std::int64_t group) {
    return prefix > 0 ? numerics::feature_rank(problem.dim(), size.degree - prefix) : (size.degree + 1) * group;
  };
  const std::int64_t key_scratch =
      simd::kMomentBlock *
      (problem.dim() + 1 + columns * std::max<std::int64_t>(prefixes, 1) + columns + monomials(simd::kMomentGroup)) *
      element;
  const std::int64_t row_scratch =
      block * (element * (problem.dim() + prefixes + monomials(simd::kEvaluationGroup) + (size.degree + 1) * columns) +
               8 * ((size.degree + 1) * (columns + 2) + 2 * columns + problem.dim() + 32));
  std::int64_t causal = 0;
  if (problem.mask.causal) {  // moments and keys of some blocks, and of every thread the sums of a tile and of its rows
    const std::int64_t stages = 2 * engines::causal_round(threads);
    const std::int64_t key_block =
        engines::causal_block(problem.dim(), problem.value_dim(), moment_count(problem, size));
    const std::int64_t stage = static_cast<std::int64_t>(moment_count(problem, size)) +
                               key_block * (2 * problem.dim() + problem.value_dim() + 1) +
                               simd::kPackedRows * (problem.value_dim() + 16);
    causal = stages * stage * element +
             threads * (simd::kTile * (problem.dim() + problem.value_dim() + 2 * simd::kKeyBlock + 3) * element +
                        8 * block * (columns + 3));
  }
  const std::int64_t outlying =
      size.outlying * (16 + element) * (problem.dim() + problem.value_dim() + 1) +
      (size.outlying > 0
           ? threads * (simd::kTile * (problem.dim() + problem.value_dim() + 2 * simd::kKeyBlock + 3) * element +
                        8 * block * (columns + 3)) +
                 8 * problem.n_kv()
           : 0);
  return moments + threads * (key_scratch + row_scratch) + causal + outlying + 8 * problem.n_kv() + 40 * problem.n_q();
}

}  // namespace polyattn::planning
