#include "support/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <variant>

namespace polyattn::test {
namespace {

template <class Real>
Real absolute(Real x) {
  return x < Real(0) ? -x : x;
}

/// One row of one head.
template <class Real>
struct Row {
  const Problem& problem;
  std::int64_t batch;
  std::int64_t head;
  std::int64_t kv_head;

  /// `size` becomes at least the sum of the absolute terms.
  [[nodiscard]] Real score(const double* q, const double* k, double scale, double& size) const {
    const std::int64_t dim = problem.q.shape[3];
    Real sum = Real(0);
    double absolute_sum = 0.0;
    if (const auto* gaussian = std::get_if<Gaussian>(&problem.score)) {
      for (std::int64_t l = 0; l < dim; ++l) {
        const auto axis = gaussian->bandwidth.size() == 1 ? std::size_t{0} : static_cast<std::size_t>(l);
        const Real difference = (Real(q[l]) - Real(k[l])) / Real(gaussian->bandwidth[axis]);
        sum -= difference * difference;
      }
      size = std::max(size, -static_cast<double>(sum));
      return sum / Real(2);
    }
    for (std::int64_t l = 0; l < dim; ++l) {
      sum += Real(q[l]) * Real(k[l]);
      absolute_sum += std::abs(scale * q[l] * k[l]);
    }
    size = std::max(size, 1.01 * absolute_sum);
    return sum * Real(scale);
  }

  [[nodiscard]] double key_bias(std::int64_t j) const {
    if (!problem.bias) {
      return 0.0;
    }
    const Shape& shape = problem.bias->shape;
    return *problem.bias->row(shape[0] == 1 ? 0 : batch, shape[1] == 1 ? 0 : head, j);
  }

  void answer(std::int64_t i, double scale, Truth<Real>& truth) const {
    const std::int64_t n_q = problem.q.shape[2];
    const std::int64_t n_kv = problem.k.shape[2];
    const std::int64_t value_dim = problem.v.shape[3];
    std::vector<Real> scores;
    std::vector<std::int64_t> keys;
    double size = 1.0;
    for (std::int64_t j = 0; j < visible_keys(problem.causal, i, n_q, n_kv); ++j) {
      const double b = key_bias(j);
      if (b != -kInfinity) {
        scores.push_back(score(problem.q.row(batch, head, i), problem.k.row(batch, kv_head, j), scale, size) + Real(b));
        size = std::max(size, std::abs(b));
        keys.push_back(j);
      }
    }
    if (keys.empty()) {
      truth.output.resize(truth.output.size() + static_cast<std::size_t>(value_dim), Real(0));
      truth.magnitude.resize(truth.magnitude.size() + static_cast<std::size_t>(value_dim), Real(0));
      truth.doubt.resize(truth.doubt.size() + static_cast<std::size_t>(value_dim), 0.0);
      truth.lse.push_back(Real(-kInfinity));
      truth.lse_doubt.push_back(0.0);
      truth.row_max.push_back(Real(-kInfinity));
      return;
    }
    const Real largest = *std::max_element(scores.begin(), scores.end());
    // A score has dim + 4 roundings of terms that sum to at most 2 size with its bias, and so has the largest; each
    // weight is then off by this relative error, exp included, and sums add one rounding a key.
    const double weight_error = 8.0 * static_cast<double>(problem.q.shape[3] + 6) * size * kUnitRoundoff<Real>;
    const double doubt = 2.0 * (weight_error + static_cast<double>(keys.size() + 4) * kUnitRoundoff<Real>);
    Real denominator = Real(0);
    for (Real& s : scores) {
      s = exp_of(s - largest);
      denominator += s;
    }
    for (std::int64_t c = 0; c < value_dim; ++c) {
      Real sum = Real(0);
      Real magnitude = Real(0);
      for (std::size_t j = 0; j < keys.size(); ++j) {
        const Real value = Real(problem.v.row(batch, kv_head, keys[j])[c]);
        sum += scores[j] * value;
        magnitude += scores[j] * absolute(value);
      }
      truth.output.push_back(sum / denominator);
      truth.magnitude.push_back(magnitude / denominator);
      truth.doubt.push_back(2.0 * doubt * static_cast<double>(magnitude / denominator));
    }
    truth.lse.push_back(log_of(denominator) + largest);
    truth.lse_doubt.push_back(doubt);
    truth.row_max.push_back(largest);
  }
};

}  // namespace

std::int64_t visible_keys(Causal causal, std::int64_t row, std::int64_t n_q, std::int64_t n_kv) {
  switch (causal) {
    case Causal::none:
      break;
    case Causal::upper_left:
      return std::min(row + 1, n_kv);
    case Causal::lower_right:
      return std::clamp<std::int64_t>(row + n_kv - n_q + 1, 0, n_kv);
  }
  return n_kv;
}

template <class Real>
Truth<Real> truth_of(const Problem& problem) {
  double scale = 1.0 / std::sqrt(static_cast<double>(problem.q.shape[3]));
  if (const auto* dot = std::get_if<Dot>(&problem.score); dot != nullptr && dot->scale) {
    scale = *dot->scale;
  }
  Truth<Real> truth;
  for (std::int64_t b = 0; b < problem.q.shape[0]; ++b) {
    for (std::int64_t h = 0; h < problem.q.shape[1]; ++h) {
      const Row<Real> row{problem, b, h, h / (problem.q.shape[1] / problem.k.shape[1])};
      for (std::int64_t i = 0; i < problem.q.shape[2]; ++i) {
        row.answer(i, scale, truth);
      }
    }
  }
  return truth;
}

template Truth<long double> truth_of<long double>(const Problem&);
#if defined(POLYATTN_TEST_FLOAT128)
template Truth<Quad> truth_of<Quad>(const Problem&);
#endif

}  // namespace polyattn::test
