#pragma once

/// The monomials of total degree <= g in d variables, enumerated in the plainest way.

#include <cstdint>
#include <vector>

namespace polyattn::test {

/// A monomial as the non-decreasing list of its variables.
using VariableList = std::vector<int>;

/// All of degree t, in lexicographic order.
inline std::vector<VariableList> monomials_of_degree(int dim, int t) {
  if (t == 0) {
    return {{}};
  }
  std::vector<VariableList> all;
  for (int first = 0; first < dim; ++first) {
    for (const VariableList& rest : monomials_of_degree(dim, t - 1)) {
      if (rest.empty() || rest.front() >= first) {
        all.push_back({first});
        all.back().insert(all.back().end(), rest.begin(), rest.end());
      }
    }
  }
  return all;
}

/// Degree by degree: the features in their order.
inline std::vector<VariableList> monomials_up_to(int dim, int degree) {
  std::vector<VariableList> all;
  for (int t = 0; t <= degree; ++t) {
    const auto level = monomials_of_degree(dim, t);
    all.insert(all.end(), level.begin(), level.end());
  }
  return all;
}

}  // namespace polyattn::test
