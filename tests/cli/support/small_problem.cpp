#include "cli/support/small_problem.hpp"

#include <cmath>
#include <limits>

namespace polyattn::test {

namespace {

std::vector<double> sixty_fourths(std::int64_t count, std::uint64_t& state) {
  std::vector<double> values;
  for (std::int64_t k = 0; k < count; ++k) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    values.push_back((static_cast<double>((state >> 33) % 129) - 64.0) / 64.0);
  }
  return values;
}

}  // namespace

SmallProblem SmallProblem::filled() const {
  SmallProblem full = *this;
  std::uint64_t state = 42;
  full.q = sixty_fourths(batch * heads * n * d, state);
  full.k = sixty_fourths(batch * key_heads * m * d, state);
  full.v = sixty_fourths(batch * key_heads * m * d_v, state);
  return full;
}

Definition dot(double scale) {
  return {[scale](const double* q, const double* k, std::int64_t d) {
            long double sum = 0.0L;
            for (std::int64_t l = 0; l < d; ++l) sum += static_cast<long double>(q[l]) * static_cast<long double>(k[l]);
            return static_cast<long double>(scale) * sum;
          },
          [](std::int64_t, std::int64_t) { return true; }, [](std::int64_t, std::int64_t, std::int64_t) { return 0.0; },
          [](std::int64_t, std::int64_t, std::int64_t, std::int64_t) { return 0.0; }};
}

Answer textbook(const SmallProblem& p, const Definition& definition) {
  Answer answer;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t h = 0; h < p.heads; ++h) {
      const std::int64_t key_head = b * p.key_heads + h / (p.heads / p.key_heads);
      for (std::int64_t i = 0; i < p.n; ++i) {
        const double* q = &p.q[static_cast<std::size_t>(((b * p.heads + h) * p.n + i) * p.d)];
        std::vector<long double> sums(static_cast<std::size_t>(p.d_v), 0.0L);
        long double denominator = 0.0L;
        for (std::int64_t j = 0; j < p.m; ++j) {
          if (!definition.sees(i, j)) continue;
          const double* k = &p.k[static_cast<std::size_t>((key_head * p.m + j) * p.d)];
          const auto bias = static_cast<long double>(definition.bias(b, h, j)) +
                            static_cast<long double>(definition.added(b, h, i, j));
          const long double weight = std::exp(definition.score(q, k, p.d) + bias);
          denominator += weight;
          for (std::size_t c = 0; c < sums.size(); ++c) {
            const auto at = static_cast<std::size_t>((key_head * p.m + j) * p.d_v) + c;
            sums[c] += weight * static_cast<long double>(p.v[at]);
          }
        }
        const bool blind = denominator == 0.0L;
        for (const long double sum : sums)
          answer.output.push_back(blind ? 0.0 : static_cast<double>(sum / denominator));
        answer.lse.push_back(static_cast<double>(std::log(denominator)));
      }
    }
  }
  return answer;
}

std::string shape_text(const std::vector<std::int64_t>& dims) {
  std::string text = "(";
  for (std::size_t k = 0; k < dims.size(); ++k) text += (k == 0 ? "" : ", ") + std::to_string(dims[k]);
  return text + (dims.size() == 1 ? ",)" : ")");
}

void put_problem(const TemporaryDirectory& directory, const SmallProblem& p, int rank) {
  const auto put = [&](const char* name, std::vector<std::int64_t> dims, const std::vector<double>& values) {
    dims.erase(dims.begin(), dims.end() - rank);
    directory.put(name, npy_file(shape_text(dims), values));
  };
  put("q.npy", {p.batch, p.heads, p.n, p.d}, p.q);
  put("k.npy", {p.batch, p.key_heads, p.m, p.d}, p.k);
  put("v.npy", {p.batch, p.key_heads, p.m, p.d_v}, p.v);
}

}  // namespace polyattn::test
