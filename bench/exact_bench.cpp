// The exact engine against what the machine can do: its multiply-adds, its memory, its second core; and masks and odd
// head sizes against none and even ones. bench/exact has the parts.

#include "exact/parts.hpp"
#include "support/driver.hpp"

#include <algorithm>
#include <optional>

namespace polyattn::bench {

namespace {

constexpr const Part* kParts[] = {&exact::kShares, &exact::kHeadSizes, &exact::kMasks, &exact::kThreads,
                                  &exact::kDecoding};

void declare() {
  for (const Part* part : kParts) part->declare();
}

/// The largest of a number read off each row.
template <class Read>
std::optional<double> largest(const Rows& rows, Read&& read) {
  std::optional<double> found;
  for (const Json& row : rows.json()) {
    const std::optional<double> value = read(row);
    if (value) found = std::max(found.value_or(*value), *value);
  }
  return found;
}

std::optional<double> counter(const Json& row, const char* name) {
  return row.contains(name) && row[name].is_number() ? std::optional(row[name].get<double>()) : std::nullopt;
}

void figures(const Rows& rows, Figures& figures) {
  for (const Part* part : kParts) part->figures(rows, figures);
  figures.add("exact_error_over_largest_output",
              largest(rows, [](const Json& row) { return counter(row, "relative_error"); }), "x");
  figures.add(
      "exact_clearance",
      largest(rows, [](const Json& row) { return ratio(counter(row, "measured_error"), counter(row, "bound")); }),
      "measured/certified");
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {3, polyattn::bench::declare, polyattn::bench::figures});
}
