#pragma once

/// One head with its data in float64, as the private modules take it.

#include "base/parallel.hpp"
#include "engines/problem.hpp"
#include "support/random.hpp"

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// Row-major float64 data; what `problem` describes borrows it.
struct HeadData {
  std::int64_t n_q = 0;
  std::int64_t n_kv = 0;
  std::int64_t dim = 1;
  std::int64_t value_dim = 1;
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> bias;  ///< empty, or n_kv entries
  engines::HeadScore score;
  engines::PositionMask mask;

  [[nodiscard]] engines::HeadProblem problem() const {
    const auto rows_of = [](const std::vector<double>& data, std::int64_t rows, std::int64_t columns) {
      return base::Rows{{{data.data(), DType::float64, 0, rows, columns, 1}}, rows, columns};
    };
    engines::HeadProblem out;
    out.queries = rows_of(q, n_q, dim);
    out.keys = rows_of(k, n_kv, dim);
    out.values = rows_of(v, n_kv, value_dim);
    if (!bias.empty()) {
      out.bias.rows = rows_of(bias, n_kv, 1);
    }
    out.score = score;
    out.mask = mask;
    return out;
  }

  void round_to_float32() {
    for (std::vector<double>* data : {&q, &k, &v}) {
      for (double& x : *data) {
        x = static_cast<double>(static_cast<float>(x));
      }
    }
  }
};

/// Key and query coordinates N(0, spread^2), values N(0, 1), dot score with scale 1.
inline HeadData random_head(std::uint64_t seed, std::int64_t n_q, std::int64_t n_kv, std::int64_t dim,
                            std::int64_t value_dim, double spread = 1.0) {
  Random random(seed);
  HeadData head;
  head.n_q = n_q;
  head.n_kv = n_kv;
  head.dim = dim;
  head.value_dim = value_dim;
  const auto fill = [&](std::vector<double>& data, std::int64_t count, double scale) {
    data.resize(static_cast<std::size_t>(count));
    for (double& x : data) {
      x = scale * random.normal();
    }
  };
  fill(head.q, n_q * dim, spread);
  fill(head.k, n_kv * dim, spread);
  fill(head.v, n_kv * value_dim, 1.0);
  return head;
}

/// One thread, no limit.
inline base::Context serial_context() {
  static base::MemoryMeter shared;
  return {1, &shared, nullptr};
}

}  // namespace polyattn::test
