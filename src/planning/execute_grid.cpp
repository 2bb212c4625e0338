// Heads that the grid answers (grid_choice.hpp).

#include "engines/exact/exact.hpp"
#include "planning/execution.hpp"
#include "planning/grid_choice.hpp"
#include "planning/values.hpp"

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace polyattn::planning {

double grid_work(const engines::HeadProblem& problem, const GridChoice& choice) {
  const double work = engines::grid::head_work(problem, choice.head);
  const double exact =
      engines::exact_work(engines::visible_pairs(problem, engines::RowList{}), problem.dim(), problem.value_dim());
  return work + choice.share * exact;
}

void Execution::run_grid() {
  report.arithmetic = decision.plan.arithmetic;
  report.rank = decision.plan.rank;
  if (decision.near != nullptr) {
    run_near();
    return;
  }
  if (decision.grid == nullptr) {  // no grid serves any row
    std::vector<std::int64_t> all(base::usize(problem.n_q()));
    std::iota(all.begin(), all.end(), std::int64_t{0});
    know_range(value_range(problem, nullptr, 0.0, context).range());
    hand_over(std::move(all));
    return;
  }
  const GridChoice& choice = *decision.grid;
  know_range(choice.values.range());
  engines::Acceptance wanted = acceptance();
  if (request.tolerance.value > 0.0 || request.engine == Engine::grid) {
    wanted.tolerance = tolerance;
  }
  std::vector<std::uint8_t> answered(base::usize(problem.n_q()), 0);
  engines::grid::answer_head(problem, choice.head, choice.charges, wanted, outputs, answered, context);
  keep_answered(answered, Engine::grid);
}

}  // namespace polyattn::planning
