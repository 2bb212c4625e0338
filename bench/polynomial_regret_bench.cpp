// What the planner's choice costs beside the best one, on some 240 problems of all sizes and dimensions.

#include "polynomial/regret.hpp"
#include "support/driver.hpp"

#include <vector>

namespace polyattn::bench {

namespace {

void declare() {
  static const std::vector<polynomial::RegretProblem> problems = polynomial::regret_problems();
  polynomial::declare_regret(problems);
}

void figures(const Rows& rows, Figures& figures) { polynomial::add_regret_figures(rows, "regret", figures); }

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
