// True softmax in few dimensions: scores scale <q, k> with |s| <= S, queries and keys uniform on [-1, 1]^d, so scale =
// S / d. The planner's choice, and the grid asked for by name: where the planner takes another engine, the share of
// rows that the grid would have certified is still of interest.

#include "grid/against_exact.hpp"
#include "grid/parts.hpp"

#include <cstdint>

namespace polyattn::bench::grid {

namespace {

using polynomial::Cloud;

struct SoftmaxCase {
  const char* name;
  std::int64_t d;
  double largest;  ///< score
  Engine engine;
};

constexpr std::int64_t kTokens = 100'000;

constexpr SoftmaxCase kCases[] = {
    {"grid/softmax/d2_s20/auto", 2, 20.0, Engine::automatic}, {"grid/softmax/d2_s20/grid", 2, 20.0, Engine::grid},
    {"grid/softmax/d3_s20/auto", 3, 20.0, Engine::automatic}, {"grid/softmax/d3_s20/grid", 3, 20.0, Engine::grid},
    {"grid/softmax/d2_s80/auto", 2, 80.0, Engine::automatic}, {"grid/softmax/d2_s80/grid", 2, 80.0, Engine::grid},
    {"grid/softmax/d3_s80/auto", 3, 80.0, Engine::automatic}, {"grid/softmax/d3_s80/grid", 3, 80.0, Engine::grid},
};

void declare() {
  for (const SoftmaxCase& which : kCases) {
    declare_case(which.name, repetitions(kPairs), [&which](benchmark::State& state) {
      const double scale = which.largest / static_cast<double>(which.d);
      measure_against_exact(state, {kTokens, which.d, 1, Cloud::cube, scale, kTolerance, kFrequency}, which.engine);
    });
  }
}

void figures(const Rows& rows, Figures& figures) {
  for (const SoftmaxCase& which : kCases) add_figures(rows, which.name, figures);
}

}  // namespace

const Part kSoftmax{declare, figures};

}  // namespace polyattn::bench::grid
