#pragma once

/// A part of a driver: it declares its cases and reads its figures off the rows.

#include "support/rows.hpp"

namespace polyattn::bench {

struct Part {
  void (*declare)() = nullptr;
  void (*figures)(const Rows&, Figures&) = nullptr;
};

}  // namespace polyattn::bench
