// The grid engine against exact, under Gaussian scores and true softmax, against nonuniform Fourier transforms, and as
// the number of points and the bandwidth change. bench/grid has the parts.

#include "grid/parts.hpp"
#include "support/driver.hpp"

namespace polyattn::bench {

namespace {

constexpr const Part* kParts[] = {&grid::kSpeedups, &grid::kSoftmax, &grid::kPeers, &grid::kGrowth};

void declare() {
  for (const Part* part : kParts) part->declare();
}

void figures(const Rows& rows, Figures& figures) {
  for (const Part* part : kParts) part->figures(rows, figures);
}

}  // namespace

}  // namespace polyattn::bench

int main(int argc, char** argv) {
  return polyattn::bench::run_driver(argc, argv, {1, polyattn::bench::declare, polyattn::bench::figures});
}
