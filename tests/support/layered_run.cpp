#include "support/layered_run.hpp"

#include "numerics/balancing.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace polyattn::test {

using base::usize;

std::vector<double> second_moments(const std::vector<double>& rows, std::int64_t dim, const std::vector<double>& centre,
                                   const std::vector<double>& factor) {
  std::vector<double> out(usize(dim * dim), 0.0);
  for (std::size_t i = 0; i < rows.size(); i += usize(dim)) {
    for (std::size_t a = 0; a < usize(dim); ++a) {
      for (std::size_t b = 0; b < usize(dim); ++b) {
        out[a * usize(dim) + b] += factor[a] * (rows[i + a] - centre[a]) * factor[b] * (rows[i + b] - centre[b]);
      }
    }
  }
  return out;
}

engines::HeadMaps identity_maps(const engines::Frame& frame) {
  const std::size_t dim = frame.metric.size();
  engines::HeadMaps maps{std::vector<double>(dim * dim, 0.0), std::vector<double>(dim * dim, 0.0)};
  for (std::size_t l = 0; l < dim; ++l) {
    maps.query[l * dim + l] = frame.metric[l];
    maps.key[l * dim + l] = 1.0;
  }
  return maps;
}

engines::HeadMaps balanced_maps(const HeadData& head, const engines::Frame& frame) {
  const std::size_t dim = usize(head.dim);
  std::optional<numerics::Balancing> found = numerics::balance(
      second_moments(head.q, head.dim, frame.query_centre, frame.metric),
      second_moments(head.k, head.dim, frame.key_centre, std::vector<double>(dim, 1.0)), static_cast<int>(dim));
  if (!found) {
    return identity_maps(frame);
  }
  for (std::size_t i = 0; i < dim * dim; ++i) {
    found->query[i] *= frame.metric[i % dim];
  }
  return {found->query, found->key};
}

template <class T>
PolynomialRun run_layers(const HeadData& head, const engines::Frame& frame, const engines::ValueRange& values,
                         const engines::HeadMaps& maps, const engines::LayerShape& shape) {
  const engines::HeadProblem problem = head.problem();
  const base::Context context = serial_context();
  const engines::TurnedHead turned = engines::turn_head(problem, frame, maps, shape.strong, context);
  const double radius = std::min(turned.strong_frame.radius, 300.0);
  const auto layers = engines::prepare_layers<T>(turned, values, shape, radius, context);
  const auto rows = usize(head.n_q);
  PolynomialRun run;
  run.output.resize(rows * usize(head.value_dim));
  run.approximation.resize(rows);
  run.rounding.resize(rows);
  run.answered.assign(rows, 0);
  std::vector<double> storage(rows);
  engines::HeadOutputs out;
  out.output = {run.output.data(), DType::float64, head.value_dim, 1};
  out.approximation = run.approximation.data();
  out.rounding = run.rounding.data();
  out.storage = storage.data();
  run.summary = engines::evaluate_layers<T>(turned, values, layers, {}, out, run.answered, context);
  return run;
}

template PolynomialRun run_layers<float>(const HeadData&, const engines::Frame&, const engines::ValueRange&,
                                         const engines::HeadMaps&, const engines::LayerShape&);
template PolynomialRun run_layers<double>(const HeadData&, const engines::Frame&, const engines::ValueRange&,
                                          const engines::HeadMaps&, const engines::LayerShape&);

}  // namespace polyattn::test
