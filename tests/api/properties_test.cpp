// Properties of attention that hold for all inputs. Inputs are multiples of 1/64, so that shifting, permuting and
// squaring them is exact; two answers may differ by their two certificates and by nothing else.

#include "polyattn/attention.hpp"
#include "support/answer.hpp"
#include "support/choices.hpp"
#include "support/judge.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace polyattn::test {
namespace {

// The same cases in every run, unless RC_PARAMS says otherwise.
[[maybe_unused]] const int kSeeded = setenv("RC_PARAMS", "seed=2023 max_success=60", 0);

struct Drawn {
  Choice choice{};
  Problem problem;
  Options options;
  Random random{0};
};

double dyadic(Random& random, double limit) {
  return static_cast<double>(
             random.integer(static_cast<std::int64_t>(-64 * limit), static_cast<std::int64_t>(64 * limit))) /
         64.0;
}

std::vector<double> dyadics(Random& random, std::int64_t count, double limit) {
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) {
    value = dyadic(random, limit);
  }
  return values;
}

Stored reshaped(const Stored& stored, const std::vector<double>& values) {
  Shape shape = stored.shape;
  shape[2] = static_cast<std::int64_t>(values.size()) / std::max<std::int64_t>(1, shape[3]);
  return store(stored.dtype, shape, values);
}

Drawn draw() {
  Drawn drawn;
  drawn.choice = choices().at(*rc::gen::inRange<std::size_t>(0, choices().size()));
  drawn.random = Random(*rc::gen::arbitrary<std::uint64_t>());
  const auto n_q = *rc::gen::inRange<std::int64_t>(1, 14);
  const auto n_kv = *rc::gen::inRange<std::int64_t>(1, 80);
  const auto dim = *rc::gen::inRange<std::int64_t>(1, 6);
  const auto value_dim = *rc::gen::inRange<std::int64_t>(1, 5);
  const DType dtype = *rc::gen::element(DType::float32, DType::float64);
  drawn.problem.q = store(dtype, {1, 1, n_q, dim}, dyadics(drawn.random, n_q * dim, 1.0));
  drawn.problem.k = store(dtype, {1, 1, n_kv, dim}, dyadics(drawn.random, n_kv * dim, 1.0));
  drawn.problem.v = store(dtype, {1, 1, n_kv, value_dim}, dyadics(drawn.random, n_kv * value_dim, 4.0));
  if (*rc::gen::arbitrary<bool>()) {
    drawn.problem.bias = store(DType::float64, {1, 1, n_kv, 1}, dyadics(drawn.random, n_kv, 3.0));
  }
  drawn.problem.score = Dot{*rc::gen::element(0.5, 1.0, -0.25)};
  drawn.options = forced(drawn.choice, 8);
  drawn.options.threads = 1;
  return drawn;
}

/// The rows `order` of a tensor of one head.
Stored picked(const Stored& stored, const std::vector<std::int64_t>& order) {
  std::vector<double> values;
  for (const std::int64_t row : order) {
    values.insert(values.end(), stored.row(0, 0, row), stored.row(0, 0, row) + stored.shape[3]);
  }
  return reshaped(stored, values);
}

Problem with_keys(const Problem& problem, const std::vector<std::int64_t>& order) {
  Problem result = problem;
  result.k = picked(problem.k, order);
  result.v = picked(problem.v, order);
  if (problem.bias) {
    result.bias = picked(*problem.bias, order);
  }
  return result;
}

std::vector<std::int64_t> all_keys(const Problem& problem) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(problem.k.shape[2]));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

void require(const testing::AssertionResult& result) {
  if (!result) {
    RC_FAIL(result.message());
  }
}

RC_GTEST_PROP(Property, AnswersAreWithinTheirBounds, ()) {
  Drawn drawn = draw();
  drawn.problem.causal = *rc::gen::element(Causal::none, Causal::upper_left, Causal::lower_right);
  require(within_bounds(drawn.problem, drawn.options));
}

RC_GTEST_PROP(Property, OrderOfKeysDoesNotMatter, ()) {
  Drawn drawn = draw();
  std::vector<std::int64_t> order = all_keys(drawn.problem);
  for (std::size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[static_cast<std::size_t>(drawn.random.integer(0, static_cast<std::int64_t>(i) - 1))]);
  }
  require(agree(answer(drawn.problem, drawn.options), answer(with_keys(drawn.problem, order), drawn.options)));
}

RC_GTEST_PROP(Property, ShiftingAllKeysDoesNotMatter, ()) {
  Drawn drawn = draw();
  const std::vector<double> shift = dyadics(drawn.random, drawn.problem.k.shape[3], 8.0);
  std::vector<double> keys = drawn.problem.k.values;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    keys[i] += shift[i % shift.size()];
  }
  Problem shifted = drawn.problem;
  shifted.k = reshaped(drawn.problem.k, keys);
  Answer a = answer(drawn.problem, drawn.options);
  Answer b = answer(shifted, drawn.options);
  // Row i's log-sum-exp moves by its own score with the shift, exact in float64.
  const double scale = std::get<Dot>(drawn.problem.score).scale.value();
  for (std::size_t row = 0; row < a.lse.size(); ++row) {
    double moved = 0.0;
    for (std::size_t l = 0; l < shift.size(); ++l) {
      moved += scale * shift[l] * drawn.problem.q.row(0, 0, static_cast<std::int64_t>(row))[l];
    }
    b.lse[row] -= moved;
    b.lse_bounds[row] += 0x1p-53 * std::abs(b.lse[row]);
  }
  require(agree(a, b));
}

RC_GTEST_PROP(Property, ShiftingAllScoresDoesNotMatter, ()) {
  Drawn drawn = draw();
  const double constant = dyadic(drawn.random, 500.0);
  if (!drawn.problem.bias) {
    const std::int64_t n_kv = drawn.problem.k.shape[2];
    drawn.problem.bias =
        store(DType::float64, {1, 1, n_kv, 1}, std::vector<double>(static_cast<std::size_t>(n_kv), 0.0));
  }
  std::vector<double> moved = drawn.problem.bias->values;
  for (double& b : moved) {
    b += constant;
  }
  Problem shifted = drawn.problem;
  shifted.bias = reshaped(*drawn.problem.bias, moved);
  require(agree(answer(shifted, drawn.options), answer(drawn.problem, drawn.options), constant));
}

RC_GTEST_PROP(Property, HidingAKeyIsRemovingIt, ()) {
  Drawn drawn = draw();
  std::vector<std::int64_t> kept;
  std::vector<double> moved(static_cast<std::size_t>(drawn.problem.k.shape[2]), 0.0);
  if (drawn.problem.bias) {
    moved = drawn.problem.bias->values;
  }
  for (std::size_t j = 0; j < moved.size(); ++j) {
    if (drawn.random.chance(0.4)) {
      moved[j] = -kInfinity;
    } else {
      kept.push_back(static_cast<std::int64_t>(j));
    }
  }
  const Problem removed = with_keys(drawn.problem, kept);
  Problem hidden = drawn.problem;
  hidden.bias = store(DType::float64, {1, 1, drawn.problem.k.shape[2], 1}, moved);
  require(agree(answer(removed, drawn.options), answer(hidden, drawn.options)));
}

RC_GTEST_PROP(Property, EveryKeyTwiceIsEveryKeyOnce, ()) {
  Drawn drawn = draw();
  std::vector<std::int64_t> twice = all_keys(drawn.problem);
  twice.insert(twice.end(), twice.begin(), twice.end());
  require(agree(answer(with_keys(drawn.problem, twice), drawn.options), answer(drawn.problem, drawn.options),
                0.693147180559945309));
}

RC_GTEST_PROP(Property, OutputsLieInTheHullOfTheValues, ()) {
  Drawn drawn = draw();
  const Answer found = answer(drawn.problem, drawn.options);
  const auto columns = static_cast<std::size_t>(drawn.problem.v.shape[3]);
  for (std::size_t c = 0; c < columns; ++c) {
    double low = kInfinity;
    double high = -kInfinity;
    for (std::size_t e = c; e < drawn.problem.v.values.size(); e += columns) {
      low = std::min(low, drawn.problem.v.values[e]);
      high = std::max(high, drawn.problem.v.values[e]);
    }
    for (std::size_t row = 0; row < found.bounds.size(); ++row) {
      const double value = found.output[row * columns + c];
      // The polynomial engine clips; the others may round outside.
      const double slack = drawn.choice.engine == Engine::polynomial ? 0.0 : found.bounds[row];
      RC_ASSERT(value >= low - slack);
      RC_ASSERT(value <= high + slack);
    }
  }
}

RC_GTEST_PROP(Property, OutputsAreAffineInTheValues, ()) {
  Drawn drawn = draw();
  std::vector<double> values = drawn.problem.v.values;
  const double factor = *rc::gen::element(-2.0, 0.5, 64.0);
  const double offset = dyadic(drawn.random, 4.0);
  for (double& v : values) {
    v = factor * v + offset;
  }
  Problem mapped = drawn.problem;
  mapped.v = reshaped(drawn.problem.v, values);
  Answer before = answer(drawn.problem, drawn.options);
  for (double& value : before.output) {
    value = factor * value + offset;
  }
  for (double& bound : before.bounds) {
    bound = std::abs(factor) * bound + 0x1p-44;  // the line above rounds numbers below 2^9 twice
  }
  require(agree(answer(mapped, drawn.options), before));
}

RC_GTEST_PROP(Property, NegatingQueriesAndScaleDoesNotMatter, ()) {
  Drawn drawn = draw();
  std::vector<double> queries = drawn.problem.q.values;
  for (double& q : queries) {
    q = -q;
  }
  Problem negated = drawn.problem;
  negated.q = reshaped(drawn.problem.q, queries);
  negated.score = Dot{-std::get<Dot>(drawn.problem.score).scale.value()};
  require(agree(answer(negated, drawn.options), answer(drawn.problem, drawn.options)));
}

RC_GTEST_PROP(Property, GaussianIsDotWithABias, ()) {
  Drawn drawn = draw();
  drawn.problem.bias.reset();
  Problem gaussian = drawn.problem;
  gaussian.score = Gaussian{{1.0}};
  drawn.problem.score = Dot{1.0};
  std::vector<double> folded;
  const auto dim = static_cast<std::size_t>(drawn.problem.k.shape[3]);
  for (std::int64_t j = 0; j < drawn.problem.k.shape[2]; ++j) {
    const double* key = drawn.problem.k.row(0, 0, j);
    folded.push_back(-0.5 * std::inner_product(key, key + dim, key, 0.0));  // exact: multiples of 2^-13 below 4
  }
  drawn.problem.bias = store(DType::float64, {1, 1, drawn.problem.k.shape[2], 1}, folded);
  Answer dot = answer(drawn.problem, drawn.options);
  for (std::size_t row = 0; row < dot.lse.size(); ++row) {
    const double* query = drawn.problem.q.row(0, 0, static_cast<std::int64_t>(row));
    dot.lse[row] -= 0.5 * std::inner_product(query, query + dim, query, 0.0);
    dot.lse_bounds[row] += 0x1p-52 * (1.0 + std::abs(dot.lse[row]));
  }
  require(agree(answer(gaussian, drawn.options), dot));
}

RC_GTEST_PROP(Property, CausalRowsAreAttentionOverTheirPrefix, ()) {
  Drawn drawn = draw();
  drawn.problem.causal = *rc::gen::element(Causal::upper_left, Causal::lower_right);
  const std::int64_t n_q = drawn.problem.q.shape[2];
  const std::int64_t n_kv = drawn.problem.k.shape[2];
  const Answer whole = answer(drawn.problem, drawn.options);
  for (std::int64_t i = 0; i < n_q; ++i) {
    std::vector<std::int64_t> prefix = all_keys(drawn.problem);
    prefix.resize(static_cast<std::size_t>(visible_keys(drawn.problem.causal, i, n_q, n_kv)));
    Problem row = with_keys(drawn.problem, prefix);
    row.q = picked(drawn.problem.q, {i});
    row.causal = Causal::none;
    const auto at = static_cast<std::size_t>(i);
    const auto first = whole.output.begin() + static_cast<std::ptrdiff_t>(at * whole.columns);
    const Answer mine{{first, first + static_cast<std::ptrdiff_t>(whole.columns)},
                      {whole.bounds[at]},
                      {whole.lse[at]},
                      {whole.lse_bounds[at]},
                      whole.columns};
    require(agree(mine, answer(row, drawn.options)));
  }
}

RC_GTEST_PROP(Property, PartsOfTheKeysMerge, ()) {
  // T = p T_A + (1 - p) T_B with p = sigmoid(lse_A - lse_B), whose slope is at most 1/4.
  Drawn drawn = draw();
  const std::vector<std::int64_t> order = all_keys(drawn.problem);
  const auto cut = static_cast<std::ptrdiff_t>(drawn.random.integer(1, drawn.problem.k.shape[2]));
  const Answer whole = answer(drawn.problem, drawn.options);
  const Answer a = answer(with_keys(drawn.problem, {order.begin(), order.begin() + cut}), drawn.options);
  const Answer b = answer(with_keys(drawn.problem, {order.begin() + cut, order.end()}), drawn.options);
  Answer merged = whole;
  for (std::size_t row = 0; row < whole.bounds.size(); ++row) {
    const double p = 1.0 / (1.0 + std::exp(b.lse[row] - a.lse[row]));
    const double wrong_p = 0.25 * (a.lse_bounds[row] + b.lse_bounds[row]) + 0x1p-48;
    merged.lse[row] = std::max(a.lse[row], b.lse[row]) + std::log1p(std::exp(-std::abs(a.lse[row] - b.lse[row])));
    merged.lse_bounds[row] = a.lse_bounds[row] + b.lse_bounds[row] + 0x1p-48;
    merged.bounds[row] = a.bounds[row] + b.bounds[row] + 8.0 * wrong_p + 0x1p-48;  // |T_A - T_B| <= 8
    for (std::size_t e = row * whole.columns; e < (row + 1) * whole.columns; ++e) {
      merged.output[e] = p * a.output[e] + (1.0 - p) * b.output[e];
    }
  }
  require(agree(whole, merged));
}

}  // namespace
}  // namespace polyattn::test
