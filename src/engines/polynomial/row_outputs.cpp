#include "engines/polynomial/row_outputs.hpp"

#include "numerics/rounding.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::engines {

namespace {

using base::usize;
using numerics::kU64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct LogSumExp {
  double value = 0.0;
  double bound = 0.0;
};

/// log D_i of the stated score: log of the computed denominator, the weights' scale and the row factor that was
/// dropped.
LogSumExp log_sum_exp(const HeadProblem& problem, const Frame& frame, const RowCertificate& row, double log_scale,
                      const double* centred_query) noexcept {
  LogSumExp out;
  const bool gaussian = problem.score.kind == ScoreKind::gaussian;
  double terms = std::fabs(log_scale);
  double factor = log_scale;
  for (std::int64_t l = 0; l < frame.dim(); ++l) {
    const auto i = usize(l);
    const double q = centred_query[i];
    const double cross = frame.metric[i] * q * (frame.key_centre[i] - (gaussian ? frame.query_centre[i] : 0.0));
    const double square = gaussian ? 0.5 * frame.metric[i] * q * q : 0.0;
    factor += cross - square;
    terms += std::fabs(cross) + std::fabs(square);
  }
  const double log_denominator = std::log(row.denominator);
  out.value = log_denominator + factor;
  const double error = row.rounding_denominator + row.error + row.far;
  const double least = std::min(row.denominator, row.denominator_low);
  out.bound = (error / least + row.perturbation + row.lost / least +
               (static_cast<double>(frame.dim()) + 12.0) * kU64 * (terms + std::fabs(log_denominator))) *
              (1.0 + 1e-13);
  return out;
}

}  // namespace

bool wants_lse(const Acceptance& acceptance, const HeadOutputs& out) noexcept {
  return out.lse != nullptr || std::isfinite(acceptance.lse_tolerance) || std::isfinite(acceptance.density_tolerance);
}

bool accept_row(const HeadProblem& problem, const Frame& frame, const AnswerScale& scale, const Acceptance& acceptance,
                const RowAnswer& row, const HeadOutputs& out) noexcept {
  const RowCertificate& certificate = *row.certificate;
  const double largest = row.largest;
  const double lost = certificate.lost / certificate.denominator_low;
  const StorageRounding stored = storage_of(out.output.dtype);
  const double rounding = (row.rounding + scale.range * (score_movement(certificate.perturbation) + lost) +
                           answer_rounding(scale, largest) + stored.rounding.at(largest)) *
                          (1.0 + 1e-12);
  const double storage = stored.storage.at(largest);
  // Keys left out carry at most far / D of the mass, and that moves an average by at most its share of the range.
  const double approximation =
      (row.approximation + scale.range * (certificate.far / certificate.denominator_low)) * (1.0 + 1e-12);
  if (!(approximation + rounding <= acceptance.tolerance)) {
    return false;
  }
  LogSumExp lse;
  if (wants_lse(acceptance, out)) {
    lse = log_sum_exp(problem, frame, certificate, row.log_scale, row.centred_query);
    const double density =
        std::expm1(lse.bound) * (acceptance.density_absolute ? std::exp(lse.value) : 1.0) * (1.0 + 1e-13);
    if (!(lse.bound <= acceptance.lse_tolerance) || !(density <= acceptance.density_tolerance)) {
      return false;
    }
  }
  const auto put = [&](double* array, double value) {
    if (array != nullptr) {
      array[row.row] = value;
    }
  };
  put(out.lse, lse.value);
  put(out.lse_bound, lse.bound);
  put(out.approximation, approximation);
  put(out.rounding, rounding);
  put(out.storage, storage);
  put(out.relative, kInfinity);
  return true;
}

}  // namespace polyattn::engines
