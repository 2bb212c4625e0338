#include "support/masks.hpp"

#include <algorithm>
#include <cmath>
#include <variant>

namespace polyattn::test {
namespace {

using Real = long double;

constexpr double kRoundoff = 0x1p-64;  ///< of long double

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
std::int64_t repeated(std::int64_t size, std::int64_t index) { return size == 1 ? 0 : index; }

/// Strides of `shape` if its axes lie in memory in this order, and the offset of the first element.
std::pair<Shape, std::int64_t> strides_of(const Shape& shape, const Layout& layout) {
  Shape strides{};
  std::int64_t stride = 1;
  for (std::size_t i = 4; i-- > 0;) {
    strides[layout.order[i]] = stride;
    stride *= shape[layout.order[i]];
  }
  if (!layout.reversed) {
    return {strides, 0};
  }
  const std::size_t last = layout.order[3];
  const std::int64_t start = strides[last] * std::max<std::int64_t>(shape[last] - 1, 0);
  strides[last] = -strides[last];
  return {strides, start};
}

/// A number out of [batch|1, heads|1, n_q|1, n_kv].
template <class Values>
auto pair_of(const Values& values, const Shape& shape, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
  const std::int64_t row = (repeated(shape[0], b) * shape[1] + repeated(shape[1], h)) * shape[2];
  return values[at((row + repeated(shape[2], i)) * shape[3] + j)];
}

double key_bias(const Problem& problem, std::int64_t b, std::int64_t h, std::int64_t j) {
  return problem.bias ? *problem.bias->row(repeated(problem.bias->shape[0], b), repeated(problem.bias->shape[1], h), j)
                      : 0.0;
}

double added(const MaskedProblem& masked, std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
  return masked.additive ? pair_of(masked.additive->values, masked.additive->shape, b, h, i, j) : 0.0;
}

/// The sequence a position belongs to.
std::size_t segment_of(const std::vector<std::int64_t>& offsets, std::int64_t position) {
  std::size_t s = 0;
  while (offsets[s + 1] <= position) {
    ++s;
  }
  return s;
}

bool sees_position(const MaskedProblem& masked, std::int64_t row, std::int64_t key) {
  std::int64_t rows = masked.problem.q.shape[2];
  std::int64_t keys = masked.problem.k.shape[2];
  if (masked.segments) {
    const auto& [query_offsets, key_offsets] = *masked.segments;
    const std::size_t s = segment_of(query_offsets, row);
    if (s != segment_of(key_offsets, key)) {
      return false;
    }
    rows = query_offsets[s + 1] - query_offsets[s];
    keys = key_offsets[s + 1] - key_offsets[s];
    row -= query_offsets[s];
    key -= key_offsets[s];
  }
  const Causal causal = masked.problem.causal;
  const std::int64_t diagonal = row + (causal == Causal::lower_right ? keys - rows : 0);
  if (causal != Causal::none && key > diagonal) {
    return false;
  }
  return masked.window == 0 || std::abs(key - diagonal) < masked.window;
}

/// One row of one head.
struct Truth {
  bool blind = true;    ///< sees no key
  bool broken = false;  ///< sees something that is not finite
  std::vector<Real> output;
  double doubt = 0.0;  ///< of the weights, relative, and of log-sum-exp
  std::vector<double> magnitude;
  Real lse = -std::numeric_limits<Real>::infinity();
  Real row_max = -std::numeric_limits<Real>::infinity();
};

/// The score before bias and masks; `size` becomes at least the sum of the absolute terms.
Real score_of(const MaskedProblem& masked, const double* q, const double* k, double& size) {
  const std::int64_t dim = masked.problem.q.shape[3];
  Real sum = 0.0L;
  Real absolute = 0.0L;
  if (const auto* gaussian = std::get_if<Gaussian>(&masked.problem.score)) {
    for (std::int64_t l = 0; l < dim; ++l) {
      const Real z = (static_cast<Real>(q[l]) - static_cast<Real>(k[l])) /
                     static_cast<Real>(gaussian->bandwidth[gaussian->bandwidth.size() == 1 ? 0 : at(l)]);
      sum -= z * z / 2;
    }
    absolute = -sum;
  } else {
    const auto scale = static_cast<Real>(
        std::get<Dot>(masked.problem.score).scale.value_or(1.0 / std::sqrt(static_cast<double>(dim))));
    for (std::int64_t l = 0; l < dim; ++l) {
      const Real term = scale * static_cast<Real>(q[l]) * static_cast<Real>(k[l]);
      sum += term;
      absolute += std::fabs(term);
    }
  }
  size = std::max(size, 1.01 * static_cast<double>(absolute));
  const auto cap = static_cast<Real>(masked.soft_cap);
  return masked.soft_cap > 0.0 ? cap * std::tanh(sum / cap) : sum;
}

bool all_finite(const double* x, std::int64_t count) {
  return std::all_of(x, x + count, [](double value) { return std::isfinite(value); });
}

Truth truth_of(const MaskedProblem& masked, std::int64_t b, std::int64_t h, std::int64_t i) {
  const Problem& problem = masked.problem;
  const std::int64_t dim = problem.q.shape[3];
  const std::int64_t value_dim = problem.v.shape[3];
  const std::int64_t kv_head = h / (problem.q.shape[1] / problem.k.shape[1]);
  Truth truth;
  truth.output.assign(at(value_dim), 0.0L);
  truth.magnitude.assign(at(value_dim), 0.0);
  std::vector<std::int64_t> keys;
  std::vector<Real> scores;
  double size = 1.0;
  for (std::int64_t j = 0; j < problem.k.shape[2]; ++j) {
    if (!masked.sees(b, h, i, j)) {
      continue;
    }
    const double* k = problem.k.row(b, kv_head, j);
    const double bias = key_bias(problem, b, h, j);
    const double extra = added(masked, b, h, i, j);
    truth.broken = truth.broken || !all_finite(k, dim) || !all_finite(problem.v.row(b, kv_head, j), value_dim) ||
                   !std::isfinite(extra);
    keys.push_back(j);
    scores.push_back(score_of(masked, problem.q.row(b, h, i), k, size) + static_cast<Real>(bias) +
                     static_cast<Real>(extra));
  }
  truth.blind = keys.empty();
  if (truth.blind || truth.broken) {
    return truth;
  }
  truth.row_max = *std::max_element(scores.begin(), scores.end());
  Real denominator = 0.0L;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    // Offsets of keys that matter are no larger than the scores they lead to; others weigh nothing, however rounded.
    if (scores[j] > truth.row_max - 100) {
      size = std::max(size, std::fabs(static_cast<double>(scores[j])) + size);
      size = std::max(size, std::fabs(key_bias(problem, b, h, keys[j])));
    }
    scores[j] = std::exp(scores[j] - truth.row_max);
    denominator += scores[j];
  }
  for (std::int64_t c = 0; c < value_dim; ++c) {
    for (std::size_t j = 0; j < keys.size(); ++j) {
      const auto v = static_cast<Real>(problem.v.row(b, kv_head, keys[j])[c]);
      truth.output[at(c)] += scores[j] * v;
      truth.magnitude[at(c)] += static_cast<double>(scores[j] / denominator * std::fabs(v));
    }
    truth.output[at(c)] /= denominator;
  }
  truth.lse = truth.row_max + std::log(denominator);
  // dim + 12 roundings of a score and its parts, the same of the largest; sums add one a key.
  truth.doubt = (8.0 * static_cast<double>(dim + 12) * size + 4.0 * static_cast<double>(keys.size() + 4)) * kRoundoff;
  return truth;
}

/// |computed - exact| <= allowed, which NaN is not.
bool within(double computed, Real exact, double allowed) {
  return static_cast<Real>(computed) == exact ||
         std::fabs(static_cast<Real>(computed) - exact) <= static_cast<Real>(allowed);
}

}  // namespace

LaidOut lay_out(const Stored& stored, const Layout& layout) {
  LaidOut laid;
  laid.bytes.resize(stored.bytes.size());
  const auto [strides, start] = strides_of(stored.shape, layout);
  laid.view = {laid.bytes.data() + start * static_cast<std::int64_t>(size_of(stored.dtype)), stored.dtype, stored.shape,
               strides};
  const View target{const_cast<void*>(laid.view.data), stored.dtype, stored.shape, strides};
  const Shape& s = stored.shape;
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (std::int64_t h = 0; h < s[1]; ++h) {
      for (std::int64_t i = 0; i < s[2]; ++i) {
        for (std::int64_t c = 0; c < s[3]; ++c) {
          write_element(target, {b, h, i, c}, stored.row(b, h, i)[c]);
        }
      }
    }
  }
  return laid;
}

bool MaskedProblem::sees(std::int64_t batch, std::int64_t head, std::int64_t row, std::int64_t key) const {
  return sees_position(*this, row, key) && !(exclude_self && row == key) &&
         !(boolean && pair_of(boolean->bytes, boolean->shape, batch, head, row, key) == 0) &&
         key_bias(problem, batch, head, key) != -kInfinity && added(*this, batch, head, row, key) != -kInfinity;
}

Result attend(const MaskedProblem& masked, const Options& base) {
  const LaidOut q = lay_out(masked.problem.q, masked.layout);
  const LaidOut k = lay_out(masked.problem.k, masked.layout);
  const LaidOut v = lay_out(masked.problem.v, masked.layout);
  Options options = masked.problem.options(base);
  options.mask.exclude_self = masked.exclude_self;
  options.mask.visibility.segments = masked.segments;
  if (masked.window > 0) {
    options.mask.visibility.window = {masked.window};
  }
  if (masked.soft_cap > 0.0) {
    options.soft_cap = masked.soft_cap;
  }
  LaidOut additive;
  if (masked.additive) {
    additive = lay_out(*masked.additive, masked.layout);
    options.mask.additive = additive.view;
  }
  std::vector<std::uint8_t> boolean;
  if (masked.boolean) {
    const Shape& shape = masked.boolean->shape;
    const auto [strides, start] = strides_of(shape, masked.layout);
    boolean.resize(masked.boolean->bytes.size() + 1);
    for (std::int64_t e = 0; e < static_cast<std::int64_t>(masked.boolean->bytes.size()); ++e) {
      std::int64_t rest = e;
      std::int64_t offset = start;
      for (std::size_t axis = 4; axis-- > 0; rest /= shape[axis]) {
        offset += rest % shape[axis] * strides[axis];
      }
      boolean[at(offset)] = masked.boolean->bytes[at(e)];
    }
    options.mask.boolean = ConstBoolView{boolean.data() + start, shape, strides};
  }
  const std::array keys{k.view};
  const std::array values{v.view};
  return polyattn::attend(q.view, keys, values, options);
}

testing::AssertionResult answers(const MaskedProblem& masked, const Result& result, bool finite_bounds) {
  const Shape& shape = result.output.shape();
  const std::vector<double> output = values_of(result.output);
  const std::vector<double> bounds = values_of(result.row_bounds.value());
  const std::vector<double> lse = values_of(result.lse.value());
  const std::vector<double> lse_bounds = values_of(result.lse_bound.value());
  const std::vector<double> row_max = result.row_max ? values_of(*result.row_max) : std::vector<double>{};
  for (std::int64_t r = 0; r < shape[0] * shape[1] * shape[2]; ++r) {
    const std::int64_t i = r % shape[2];
    const std::int64_t h = r / shape[2] % shape[1];
    const std::int64_t b = r / shape[2] / shape[1];
    const Truth truth = truth_of(masked, b, h, i);
    const auto failure = [&] {
      return testing::AssertionFailure() << "batch " << b << ", head " << h << ", row " << i << ": ";
    };
    if (truth.broken) {
      if (!std::all_of(output.begin() + r * shape[3], output.begin() + (r + 1) * shape[3],
                       [](double x) { return std::isnan(x); })) {
        return failure() << "sees what is not finite, but is not NaN";
      }
      continue;
    }
    const double storage = result.report.heads.at(at(b * shape[1] + h)).certificate.storage;
    const bool resolved = std::fabs(truth.row_max) < 1e6L;  // float64 has digits left behind the point
    if (finite_bounds && (truth.blind || resolved) &&
        !(std::isfinite(bounds[at(r)]) && std::isfinite(lse_bounds[at(r)]))) {
      return failure() << "no bound: " << bounds[at(r)] << ", of log-sum-exp " << lse_bounds[at(r)];
    }
    for (std::int64_t c = 0; c < shape[3]; ++c) {
      const double computed = output[at(r * shape[3] + c)];
      const double allowed = bounds[at(r)] + storage + 4.0 * truth.doubt * truth.magnitude[at(c)];
      if (!within(computed, truth.output[at(c)], allowed)) {
        return failure() << "column " << c << " is " << computed << ", not " << static_cast<double>(truth.output[at(c)])
                         << " up to " << allowed;
      }
    }
    if (!within(lse[at(r)], truth.lse, lse_bounds[at(r)] + truth.doubt)) {
      return failure() << "log-sum-exp is " << lse[at(r)] << ", not " << static_cast<double>(truth.lse) << " up to "
                       << lse_bounds[at(r)] + truth.doubt;
    }
    // The largest score is perturbed by no more than the whole sum, up to its own rounding.
    if (!row_max.empty() && !within(row_max[at(r)], truth.row_max, lse_bounds[at(r)] + truth.doubt)) {
      return failure() << "the row maximum is " << row_max[at(r)] << ", not " << static_cast<double>(truth.row_max);
    }
  }
  return testing::AssertionSuccess();
}

}  // namespace polyattn::test
