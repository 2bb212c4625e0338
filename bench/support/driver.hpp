#pragma once

/// What every driver's main does: runs the cases in processes of their own, writes JSON, prints `figure NAME VALUE
/// UNIT`.

#include "support/rows.hpp"

namespace polyattn::bench {

struct Driver {
  int processes = 1;            ///< the whole set of cases is run this many times, each in a fresh process
  void (*declare)() = nullptr;  ///< registers the cases
  void (*figures)(const Rows&, Figures&) = nullptr;  ///< reads the headline figures off the rows
};

/// Arguments are Google Benchmark's and --processes=N. Returns 1 if any case failed.
int run_driver(int argc, char** argv, const Driver& driver);

}  // namespace polyattn::bench
