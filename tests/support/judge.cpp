#include "support/judge.hpp"

#include <algorithm>
#include <cmath>

namespace polyattn::test {
namespace {

/// The next double above: `x` was rounded from a wider type.
double up(double x) { return std::nextafter(x, kInfinity); }

enum class Doubt : std::uint8_t { against, in_favour };

/// |computed - exact|, where `exact` is itself off by at most `doubt`: at most, or at least, what is returned.
template <class Real>
double distance(double computed, Real exact, double doubt, Doubt of) {
  if (Real(computed) == exact) {
    return of == Doubt::against && doubt > 0.0 ? doubt : 0.0;  // infinities among them
  }
  const Real difference = Real(computed) < exact ? exact - Real(computed) : Real(computed) - exact;
  if (of == Doubt::against) {
    return up(static_cast<double>(difference) + doubt);
  }
  const auto sure = static_cast<double>(difference - Real(doubt));
  return std::isnan(sure) ? sure : std::max(0.0, sure);
}

/// The larger; NaN wins.
double worse(double a, double b) { return std::isnan(a) || a > b ? a : b; }

template <class Real>
Verdict judge_against(const Truth<Real>& truth, const Problem& problem, const Result& result, Doubt doubt) {
  Verdict verdict;
  const auto n_q = static_cast<std::size_t>(problem.q.shape[2]);
  const auto value_dim = static_cast<std::size_t>(problem.v.shape[3]);
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const std::vector<double> lse = result.lse ? values_of(*result.lse) : std::vector<double>{};
  const std::vector<double> lse_bounds = result.lse_bound ? values_of(*result.lse_bound) : std::vector<double>{};
  for (std::size_t row = 0; row < bounds.size(); ++row) {
    const Certificate& certificate = result.report.heads.at(row / n_q).certificate;
    RowVerdict found;
    found.certified = up(bounds[row] + certificate.storage);
    for (std::size_t e = row * value_dim; e < (row + 1) * value_dim; ++e) {
      const double error = distance(output[e], truth.output[e], truth.doubt[e], doubt);
      found.measured = worse(error, found.measured);
      if (std::isfinite(certificate.relative)) {
        const double allowed =
            up(certificate.relative * up(static_cast<double>(truth.magnitude[e])) + certificate.storage);
        verdict.worst_relative = std::max(verdict.worst_relative, clearance(error, allowed));
      }
    }
    if (!lse.empty()) {
      found.lse_measured = distance(lse[row], truth.lse[row], truth.lse_doubt[row], doubt);
      found.lse_certified = lse_bounds.at(row);
      verdict.worst_lse = std::max(verdict.worst_lse, clearance(found.lse_measured, found.lse_certified));
    }
    const double head_bound = up(certificate.bound());
    verdict.worst = std::max(verdict.worst, clearance(found.measured, found.certified));
    const bool covered = bounds[row] <= head_bound;
    verdict.worst_head = std::max({verdict.worst_head, covered ? 0.0 : clearance(bounds[row], head_bound),
                                   clearance(found.measured, up(head_bound + certificate.storage))});
    verdict.worst_measured = std::max(verdict.worst_measured, found.measured);
    verdict.rows.push_back(found);
  }
  return verdict;
}

}  // namespace

double clearance(double measured, double certified) {
  if (measured == 0.0 && certified >= 0.0) {
    return 0.0;
  }
  if (std::isnan(measured) || !(certified > 0.0)) {
    return kInfinity;
  }
  if (std::isinf(certified)) {
    return std::isinf(measured) ? kInfinity : 0.0;
  }
  return measured / certified;
}

Verdict judge_in_quad(const Problem& problem, const Result& result) {
  return judge_against(truth_of<Quad>(problem), problem, result, Doubt::in_favour);
}

Verdict judge(const Problem& problem, const Result& result) {
  return judge(problem, result, truth_of<long double>(problem));
}

Verdict judge(const Problem& problem, const Result& result, const Truth<long double>& truth) {
  const Verdict verdict = judge_against(truth, problem, result, Doubt::against);
  const double closest = std::max({verdict.worst, verdict.worst_lse, verdict.worst_relative, verdict.worst_head});
  return closest > 0.25 ? judge_in_quad(problem, result) : verdict;
}

testing::AssertionResult within_bounds(const Verdict& verdict) {
  const auto failure = [](const char* what, double ratio) {
    return testing::AssertionFailure() << what << ": measured / certified = " << ratio;
  };
  for (std::size_t row = 0; row < verdict.rows.size(); ++row) {
    const RowVerdict& found = verdict.rows[row];
    if (!(clearance(found.measured, found.certified) <= 1.0)) {
      return failure("row bound", clearance(found.measured, found.certified))
             << " in row " << row << " (" << found.measured << " against " << found.certified << ")";
    }
    if (!(clearance(found.lse_measured, found.lse_certified) <= 1.0)) {
      return failure("log-sum-exp", clearance(found.lse_measured, found.lse_certified))
             << " in row " << row << " (" << found.lse_measured << " against " << found.lse_certified << ")";
    }
  }
  if (!(verdict.worst_relative <= 1.0)) {
    return failure("relative bound", verdict.worst_relative);
  }
  if (!(verdict.worst_head <= 1.0)) {
    return failure("head certificate", verdict.worst_head);
  }
  return testing::AssertionSuccess();
}

testing::AssertionResult within_bounds(const Problem& problem, const Options& base) {
  Options options = base;
  options.want_row_bounds = true;
  options.want_lse = true;
  return within_bounds(judge(problem, attend(problem, options)));
}

double largest_bound(const Report& report) {
  double largest = 0.0;
  for (const HeadReport& head : report.heads) {
    largest = std::max(largest, head.certificate.bound() + head.certificate.storage);
  }
  return largest;
}

double value_range(const Problem& problem) {
  double range = 0.0;
  const std::int64_t group = problem.q.shape[1] / problem.k.shape[1];
  for (std::int64_t b = 0; b < problem.v.shape[0]; ++b) {
    for (std::int64_t h = 0; h < problem.q.shape[1]; ++h) {
      for (std::int64_t c = 0; c < problem.v.shape[3]; ++c) {
        double low = kInfinity;
        double high = -kInfinity;
        for (std::int64_t j = 0; j < problem.v.shape[2]; ++j) {
          if (problem.bias) {
            const Shape& shape = problem.bias->shape;
            if (*problem.bias->row(shape[0] == 1 ? 0 : b, shape[1] == 1 ? 0 : h, j) == -kInfinity) {
              continue;
            }
          }
          low = std::min(low, problem.v.row(b, h / group, j)[c]);
          high = std::max(high, problem.v.row(b, h / group, j)[c]);
        }
        range = std::max(range, high - low);
      }
    }
  }
  return range;
}

}  // namespace polyattn::test
