#include "lab/sat.hpp"

#include "lab/three_ov_attention.hpp"

#include <stdexcept>

namespace polyattn::lab {

SatAnswer solve_sat(const Cnf& formula, const Oracle& oracle, const Progress& progress) {
  const Cnf simple = simplified(formula);
  const Parts parts = split(simple);
  const ThreeOv instance = list(simple, parts);
  const Search found = search(direct_attention(instance), oracle, progress);
  SatAnswer answer;
  answer.lists = {instance.sets[0].count(), instance.sets[1].count(), instance.sets[2].count()};
  answer.clauses = instance.dimension();
  answer.search = found.report;
  if (found.found) {
    answer.model = assignment(formula, parts, *found.found);
    if (!satisfies(formula, *answer.model)) {
      throw std::logic_error("the oracle said yes to a triple that is not orthogonal: its error is not what it claims");
    }
  }
  return answer;
}

}  // namespace polyattn::lab
