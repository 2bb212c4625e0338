#pragma once

/// What tests of the lab share: attention by its definition, and oracles that err.

#include "lab/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
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
