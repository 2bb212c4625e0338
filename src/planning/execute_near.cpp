// Rows answered by the keys near them (near_choice.hpp), and what they leave to exact.

#include "base/error.hpp"
#include "engines/exact/near_rows.hpp"
#include "planning/execution.hpp"
#include "planning/grid_choice.hpp"
#include "planning/near_choice.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace polyattn::planning {
namespace {

using base::usize;

/// Outputs with log-sum-exp, which the certificate is made of, where nobody asked for it.
struct WithSums {
  WithSums(const engines::HeadOutputs& like, std::int64_t rows, base::MemoryMeter* memory) : outputs(like) {
    if (outputs.lse == nullptr) {
      lse = base::Buffer<double>(rows, memory);
      outputs.lse = lse.data();
    }
    if (outputs.lse_bound == nullptr) {
      bound = base::Buffer<double>(rows, memory);
      outputs.lse_bound = bound.data();
    }
  }
  engines::HeadOutputs outputs;
  base::Buffer<double> lse;
  base::Buffer<double> bound;
};

}  // namespace

/// Rows of the tiles in one arithmetic; those that miss the tolerance.
template <class T>
std::vector<std::int64_t> Execution::near_pass(const engines::NearKeys& keys, const engines::PackedKeys<T>& packed,
                                               const engines::NearTiles& tiles, const engines::NearGoal& goal,
                                               Engine engine) {
  const WithSums sums(outputs, problem.n_q(), context.memory);
  engines::near_rows(problem, keys, packed, tiles, goal, 0, 1, sums.outputs, context);
  std::vector<std::int64_t> missing;
  for (const std::int64_t row : tiles.rows.targets) {
    if (rows.bound(row) < std::numeric_limits<double>::infinity() && row_meets(row)) {
      rows.engine[usize(row)] = engine;
    } else {
      missing.push_back(row);
    }
  }
  std::sort(missing.begin(), missing.end());
  return missing;
}

/// The same, float32 first unless that is known not to do; what is missing then.
std::vector<std::int64_t> Execution::near_passes(const NearChoice& choice, Engine engine) {
  std::vector<std::int64_t> missing;
  if (choice.arithmetic == Arithmetic::float32) {
    missing = near_pass(choice.keys, *choice.packed32, choice.tiles, choice.goal, engine);
  } else {
    missing = near_pass(choice.keys, *choice.packed64, choice.tiles, choice.goal, engine);
  }
  if (missing.size() < usize(kFewForNear) || choice.arithmetic == Arithmetic::float64) {
    return missing;
  }
  try {
    const auto packed = engines::pack_near<double>(problem, choice.keys, context);
    const engines::NearTiles tiles = engines::near_tiles(problem, choice.keys, missing, context);
    return near_pass(choice.keys, packed, tiles, choice.goal, engine);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) {
      throw;
    }
  }
  return missing;
}

void Execution::run_near() {
  know_range(decision.near->values.range());
  report.arithmetic = decision.plan.arithmetic;
  hand_over(near_passes(*decision.near, Engine::grid));
}

/// Where memory does not suffice for the keys in order, rows stay as they are.
void Execution::rest_by_near(std::vector<std::int64_t>& missing) {
  try {
    answer_rest(missing);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::out_of_memory) {
      throw;
    }
  }
}

void Execution::answer_rest(std::vector<std::int64_t>& missing) {
  NearChoice choice;
  choice.goal = near_goal(request, tolerance, report.value_range);
  if (!near_for_rest(problem, request, static_cast<std::int64_t>(missing.size()), choice.goal)) {
    return;
  }
  choice.values = decision.grid->values;
  choice.keys = engines::near_keys(problem, choice.values.range(), context);
  choice.arithmetic = first_arithmetic(request, choice.values, tolerance);
  pack_choice(problem, context, choice);
  choice.tiles = engines::near_tiles(problem, choice.keys, missing, context);
  missing = near_passes(choice, Engine::exact);
}

}  // namespace polyattn::planning
