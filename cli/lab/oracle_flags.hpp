#pragma once

/// How attention answers the lab's questions.

#include "command.hpp"
#include "polyattn/options.hpp"

#include <optional>
#include <string>

namespace polyattn::cli {

struct OracleFlags {
  std::optional<std::string> engine, arithmetic, threads, max_memory;
};

/// `usual_engine` says in words what answers unless --engine is given.
void add_oracle_flags(CLI::App& app, OracleFlags& flags, const char* usual_engine);
/// Throws UsageError.
Options oracle_options(const OracleFlags& flags, Engine usual_engine);

}  // namespace polyattn::cli
