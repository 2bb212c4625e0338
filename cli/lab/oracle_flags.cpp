#include "lab/oracle_flags.hpp"

#include "problem.hpp"

#include <fmt/core.h>

namespace polyattn::cli {

void add_oracle_flags(CLI::App& app, OracleFlags& flags, const char* usual_engine) {
  text_flag(app, "--engine", flags.engine, "NAME",
            fmt::format("The oracle: reference, exact, auto or another engine (default {})", usual_engine));
  text_flag(app, "--arithmetic", flags.arithmetic, "TYPE", "float32 or float64 (default: the cheapest that will do)");
  text_flag(app, "--threads", flags.threads, "N", "Threads (default 0: all there are)");
  text_flag(app, "--max-memory", flags.max_memory, "BYTES", "Refuse to use more; K, M, G, T are powers of 1024");
}

Options oracle_options(const OracleFlags& flags, Engine usual_engine) {
  Options options;
  options.engine = flags.engine ? parse_engine(*flags.engine) : usual_engine;
  if (flags.arithmetic) options.arithmetic = parse_arithmetic(*flags.arithmetic);
  if (flags.threads) options.threads = parse_threads(*flags.threads);
  if (flags.max_memory) options.max_memory = parse_bytes("--max-memory", *flags.max_memory);
  return options;
}

}  // namespace polyattn::cli
