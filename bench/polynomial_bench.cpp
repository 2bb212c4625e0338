// The polynomial engine against what the machine can do, against exact, under a causal mask, and as the number of
// tokens grows. bench/polynomial has the parts.

#include "polynomial/parts.hpp"
#include "support/driver.hpp"

namespace polyattn::bench {

namespace {

constexpr const Part* kParts[] = {&polynomial::kShares, &polynomial::kSpeedups, &polynomial::kCausal,
                                  &polynomial::kGrowth};

void declare() {
  for (const Part* part : kParts) part->declare();
}

void figures(const Rows& rows, Figures& figures) {
  for (const Part* part : kParts) part->figures(rows, figures);
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {3, polyattn::bench::declare, polyattn::bench::figures});
}
