#include "polynomial/outcome.hpp"

#include "support/memory.hpp"

namespace polyattn::bench::polynomial {

namespace {

constexpr std::int64_t kCheckedRows = 200;

}  // namespace

Report describe(benchmark::State& state, const Problem& problem, const View& output) {
  const ResidentWatch resident;
  const AllocationWatch allocated;
  Report report = attend_into(problem, output);
  set_counter(state, "peak_allocated_bytes", static_cast<double>(allocated.peak()));
  if (resident.peak() >= 0) set_counter(state, "peak_resident_bytes", static_cast<double>(resident.peak()));
  const double error = measured_error(problem, output, kCheckedRows);
  const HeadReport& head = report.heads.front();
  set_counter(state, "error_over_bound", error / head.certificate.bound());
  set_counter(state, "mean_answer_error_over_tolerance", head.mean_answer_error / head.tolerance);
  describe_case(state, problem, report, error);
  state.SetLabel(name_of_answer(head) + " " + report.instruction_set);
  return report;
}

std::string name_of_answer(const HeadReport& head) {
  std::string name = std::string(name_of(head.engine)) + " " + name_of(head.arithmetic);
  if (head.degree >= 0) name += " degree " + std::to_string(head.degree);
  return name;
}

}  // namespace polyattn::bench::polynomial
