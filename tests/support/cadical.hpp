#pragma once

/// The SAT solver CaDiCaL, that answers of the lab are compared with.

#include <string>

namespace polyattn::test {

/// Whether `dimacs` is satisfiable. A test that calls it fails if the program `cadical` is not there: scripts/setup
/// installs it. Throws std::runtime_error then.
bool cadical_says_satisfiable(const std::string& dimacs);

}  // namespace polyattn::test
