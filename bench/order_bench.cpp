// Attention of order 3 and above. bench/order has the parts.

#include "order/parts.hpp"
#include "support/driver.hpp"

namespace polyattn::bench {

namespace {

constexpr const Part* kParts[] = {&order::kExact, &order::kPolynomial};

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
