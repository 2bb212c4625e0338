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

/// Arguments are Google Benchmark's, --processes=N and --quick: one process, two repetitions of every case, to see that
/// everything works; its figures mean nothing. Returns 1 if any case failed; a case the library refuses has not.
int run_driver(int argc, char** argv, const Driver& driver);

/// `full`, or 2 if the driver was started with --quick. To be asked when cases are declared.
int repetitions(int full);

}  // namespace polyattn::bench
