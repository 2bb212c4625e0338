#pragma once

/// What tests of the lab share: attention by its definition, and oracles that err.

#include "lab/oracle.hpp"
#include "polyattn/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace polyattn::lab::test {

/// The definition of attention in long double.
inline std::vector<long double> textbook(std::span<const float> queries, const TripleKeys& keys) {
  const auto dim = static_cast<std::size_t>(keys.dim);
  std::vector<long double> outputs;
  for (std::size_t i = 0; i < queries.size() / dim; ++i) {
    std::vector<std::pair<long double, long double>> terms;  // score, value
    long double top = -std::numeric_limits<long double>::infinity();
    for (std::size_t j = 0; j < keys.values[0].size(); ++j) {
      for (std::size_t k = 0; k < keys.values[1].size(); ++k) {
        long double score = 0.0L;
        for (std::size_t l = 0; l < dim; ++l) {
          score += static_cast<long double>(queries[i * dim + l]) *
                   static_cast<long double>(keys.keys[0][j * dim + l]) *
                   static_cast<long double>(keys.keys[1][k * dim + l]);
        }
        score *= static_cast<long double>(keys.scale);
        const bool real = keys.values[0][j] == 1.0F && keys.values[1][k] == 1.0F;
        terms.emplace_back(score, real ? 1.0L : 0.0L);
        top = std::max(top, score);
      }
    }
    long double numerator = 0.0L;
    long double denominator = 0.0L;
    for (const auto& [score, value] : terms) {
      numerator += std::exp(score - top) * value;
      denominator += std::exp(score - top);
    }
    outputs.push_back(numerator / denominator);
  }
  return outputs;
}

/// Every query of a problem, [rows, dim].
inline std::vector<float> queries_of(const TripleAttention& problem) {
  const auto dim = static_cast<std::size_t>(problem.dim);
  std::vector<float> queries(static_cast<std::size_t>(problem.rows) * dim);
  for (std::int64_t i = 0; i < problem.rows; ++i) {
    problem.query(i, std::span(queries).subspan(static_cast<std::size_t>(i) * dim, dim));
  }
  return queries;
}

/// What a plan of all rows against all keys says at this absolute tolerance.
inline HeadPlan plan_of(const TripleAttention& problem, double tolerance) {
  const TripleKeys keys = keys_of(problem, {{{0, problem.real[0]}, {0, problem.real[1]}}});
  const std::vector<float> queries = queries_of(problem);
  const auto length = [&](std::size_t set) { return static_cast<std::int64_t>(keys.values[set].size()); };
  const std::array key_views{matrix(keys.keys[0].data(), length(0), problem.dim),
                             matrix(keys.keys[1].data(), length(1), problem.dim)};
  const std::array value_views{matrix(keys.values[0].data(), length(0), 1),
                               matrix(keys.values[1].data(), length(1), 1)};
  Options options;
  options.score = Dot{problem.scale};
  options.tolerance.value = tolerance;
  return plan(matrix(queries.data(), problem.rows, problem.dim), key_views, value_views, options).report().heads.at(0);
}

/// Wrong by `error`, in the direction that does harm if any does.
inline Oracle wrong_by(double error) {
  return [error](std::span<const float> queries, const TripleKeys& keys, const Decision& decision, const Progress&) {
    Answers answers;
    for (const long double truth : textbook(queries, keys)) {
      const auto output = static_cast<double>(truth);
      answers.outputs.push_back(output + (output > decision.threshold ? -error : error));
    }
    answers.absolute = error;
    answers.relative = std::numeric_limits<double>::infinity();
    return answers;
  };
}

/// Wrong by `error` times the output.
inline Oracle wrong_by_share(double error) {
  return [error](std::span<const float> queries, const TripleKeys& keys, const Decision& decision, const Progress&) {
    Answers answers;
    for (const long double truth : textbook(queries, keys)) {
      const auto output = static_cast<double>(truth);
      answers.outputs.push_back(output * (output > decision.threshold ? 1.0 - error : 1.0 + error));
    }
    answers.absolute = 1.0;
    answers.relative = error;
    return answers;
  };
}

}  // namespace polyattn::lab::test
