#pragma once

/// The parts of the exact driver: each declares its cases and reads its figures off the rows.

#include "support/rows.hpp"

namespace polyattn::bench::exact {

struct Part {
  void (*declare)() = nullptr;
  void (*figures)(const Rows&, Figures&) = nullptr;
};

extern const Part kShares;     ///< shares of the multiply-add peak
extern const Part kHeadSizes;  ///< head sizes between those the kernels like best
extern const Part kMasks;      ///< masks against none
extern const Part kThreads;    ///< two threads against one
extern const Part kDecoding;   ///< few queries over many keys, as a share of read bandwidth

}  // namespace polyattn::bench::exact
