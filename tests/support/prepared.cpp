#include "support/prepared.hpp"

#include "support/answer.hpp"

#include <array>

namespace polyattn::test {

Prepared prepared_for(const Problem& problem, const QueryDomain& domain, const Options& options, PrepareOptions rest) {
  rest.options = problem.options(with_certificates(options));
  rest.query_heads = problem.q.shape[1];
  const std::array keys{problem.k.view()};
  const std::array values{problem.v.view()};
  return prepare(keys, values, domain, rest);
}

Prepared appended(const Prepared& prepared, const Problem& part) {
  const std::array keys{part.k.view()};
  const std::array values{part.v.view()};
  if (!part.bias) {
    return prepared.append(keys, values);
  }
  const std::array biases{part.bias->view()};
  return prepared.append(keys, values, biases);
}

Problem part_of(const Problem& problem, std::int64_t begin, std::int64_t end) {
  Problem part = problem;
  const auto cut = [&](const Stored& stored) {
    std::vector<double> values;
    for (std::int64_t b = 0; b < stored.shape[0]; ++b) {
      for (std::int64_t h = 0; h < stored.shape[1]; ++h) {
        values.insert(values.end(), stored.row(b, h, begin), stored.row(b, h, begin) + (end - begin) * stored.shape[3]);
      }
    }
    return store(stored.dtype, {stored.shape[0], stored.shape[1], end - begin, stored.shape[3]}, values);
  };
  part.k = cut(problem.k);
  part.v = cut(problem.v);
  if (problem.bias) {
    part.bias = cut(*problem.bias);
  }
  return part;
}

Problem joined(const Problem& a, const Problem& b) {
  const auto join = [](const Stored& x, const Stored& y) {
    std::vector<double> values;
    for (std::int64_t at = 0; at < x.shape[0] * x.shape[1]; ++at) {
      for (const Stored* s : {&x, &y}) {
        const double* begin = s->row(at / x.shape[1], at % x.shape[1], 0);
        values.insert(values.end(), begin, begin + s->shape[2] * s->shape[3]);
      }
    }
    return store(x.dtype, {x.shape[0], x.shape[1], x.shape[2] + y.shape[2], x.shape[3]}, values);
  };
  Problem both = a;
  both.k = join(a.k, b.k);
  both.v = join(a.v, b.v);
  if (a.bias) {
    both.bias = join(*a.bias, *b.bias);
  }
  return both;
}

}  // namespace polyattn::test
