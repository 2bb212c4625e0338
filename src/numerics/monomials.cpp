#include "numerics/monomials.hpp"

namespace polyattn::numerics {

namespace {

void visit(Monomials& list, std::vector<std::ptrdiff_t>& counts, int degree, int first) {
  for (int variable = first; variable < list.dim; ++variable) {
    list.steps.push_back({static_cast<std::uint16_t>(degree), static_cast<std::uint16_t>(variable)});
    ++counts[static_cast<std::size_t>(degree)];
    if (degree < list.degree) {
      visit(list, counts, degree + 1, variable);
    }
  }
}

}  // namespace

Monomials monomials(int dim, int degree) {
  Monomials list;
  list.dim = dim;
  list.degree = degree;
  std::vector<std::ptrdiff_t> counts(static_cast<std::size_t>(degree) + 1, 0);
  counts[0] = 1;
  if (degree > 0) {
    visit(list, counts, 1, 0);
  }
  list.offsets.assign(counts.size() + 1, 0);
  for (std::size_t t = 0; t < counts.size(); ++t) {
    list.offsets[t + 1] = list.offsets[t] + counts[t];
  }
  return list;
}

void multinomial_weights(const Monomials& list, const double* z, double* out) {
  const auto levels = static_cast<std::size_t>(list.degree) + 1;
  std::vector<double> weight(levels, 1.0);  // of the latest monomial of each degree
  std::vector<int> last(levels, -1);        // its last variable
  std::vector<int> run(levels, 0);          // and how often that occurs at its end
  std::vector<std::ptrdiff_t> next(list.offsets.begin(), list.offsets.end() - 1);
  out[0] = 1.0;
  for (const MonomialStep& step : list.steps) {
    const std::size_t t = step.degree;
    const int variable = step.variable;
    run[t] = last[t - 1] == variable ? run[t - 1] + 1 : 1;
    last[t] = variable;
    weight[t] = weight[t - 1] * (static_cast<double>(t) / run[t]) * z[step.variable];
    out[next[t]++] = weight[t];
  }
}

}  // namespace polyattn::numerics
