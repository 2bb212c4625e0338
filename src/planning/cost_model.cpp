#include "planning/cost_model.hpp"

#include "engines/polynomial/causal.hpp"
#include "planning/predict.hpp"

#include <algorithm>

namespace polyattn::planning {

namespace {

constexpr double kBytes = 1.0e10;
/// Planning runs on the baseline of the processor family: seconds an axis of a row, or of a row and a key.
constexpr double kTryAxis = 6e-10;
constexpr std::int64_t kTriedRows = 9 * kSampledRows;  // so many strata (predict.cpp)

}  // namespace

CostModel::Speeds CostModel::speeds_of(const Speeds& usual, double fma, double exp, double polynomial,
                                       double scale) noexcept {
  const double proportion = fma > 0.0 ? fma / usual.fma : 1.0;
  return {scale * proportion * usual.fma, scale * (exp > 0.0 ? exp : proportion * usual.exp),
          scale * (polynomial > 0.0 ? polynomial : proportion * usual.polynomial)};
}

CostModel::CostModel(const std::optional<Calibration>& calibration, int threads) noexcept {
  constexpr Speeds kFloat32{1.08e11, 9.0e9, 6.6e10};
  constexpr Speeds kFloat64{5.4e10, 4.5e9, 3.3e10};
  const Calibration given = calibration.value_or(Calibration{});
  const double scale = std::max(1, threads);
  float32_ = speeds_of(kFloat32, given.float32_fma, given.float32_exp, given.float32_polynomial, scale);
  float64_ = speeds_of(kFloat64, given.float64_fma, given.float64_exp, given.float64_polynomial, scale);
  bytes_ = given.memory_bytes > 0.0 ? given.memory_bytes : kBytes;
}

double score_pairs(const engines::HeadProblem& problem) noexcept {
  return engines::visible_pairs(problem, engines::RowList{});
}

double CostModel::exact_seconds(const engines::HeadProblem& problem, double pairs,
                                Arithmetic arithmetic) const noexcept {
  const auto dim = static_cast<double>(problem.dim());
  const double score = problem.score.kind == engines::ScoreKind::gaussian ? 1.3 * dim : dim;
  const Speeds& speed = speeds(arithmetic);
  const double work = pairs * ((score + static_cast<double>(problem.value_dim())) / speed.fma + 1.0 / speed.exp);
  const double packing = static_cast<double>(problem.n_kv()) * (dim + static_cast<double>(problem.value_dim())) * 8.0;
  return work + packing / bytes_ + 2e-6;
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
  const auto rank = static_cast<double>(size.rank);
  // A feature costs a load, a product and a store beside its multiply-adds; a token its conversion and its certificate.
  const double features = (keys + queries) * (moment_count(problem, size) + 2.0 * rank);
  const double tokens = (keys + queries) * (90.0 * dim + 150.0 * columns + 30.0 * size.degree * columns + 1200.0);
  double seconds = features / speeds(arithmetic).polynomial + tokens / (1.1 * float32_.fma) + 2e-4;
  if (problem.mask.causal) {
    const double moments = moment_count(problem, size);
    const auto block = static_cast<double>(engines::causal_block(problem.dim(), problem.value_dim(), moments));
    // Every block scales all moments anew.
    seconds += keys / block * (moments * 5e-10 + 3e-6);
    seconds += exact_seconds(problem, queries * (0.5 * block + 20.0), arithmetic);
  }
  return seconds;
}

double CostModel::try_seconds(const engines::HeadProblem& problem) const noexcept {
  const auto dim = static_cast<double>(problem.dim());
  const auto columns = static_cast<double>(problem.value_dim());
  const double pairs = static_cast<double>(kTriedRows * std::min<std::int64_t>(problem.n_kv(), kSampledKeys));
  const auto ranked = static_cast<double>(std::min(problem.n_q(), kRankedRows));
  return kTryAxis * (pairs * (dim + 2.0 * columns + 40.0) + ranked * (3.0 * dim + 100.0)) + 1e-4;
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
  const std::int64_t rows = std::max<std::int64_t>(columns, 128);  // outer monomials times columns
  const std::int64_t key_scratch =
      simd::kMomentBlock * (problem.dim() + 1 + columns + rows + (size.degree + 1) * simd::kMomentGroup) * element;
  const std::int64_t row_scratch =
      block * (element * (problem.dim() + 128 + (size.degree + 1) * (simd::kEvaluationGroup + columns)) +
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
  return moments + threads * (key_scratch + row_scratch) + causal + 8 * problem.n_kv() + 40 * problem.n_q();
}

}  // namespace polyattn::planning
