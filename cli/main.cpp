// polyattn: attention with a tolerance, from the command line. Here: the table of commands, and the one place where
// errors become exit codes.

#include "command.hpp"
#include "exit_codes.hpp"
#include "io/staged_file.hpp"
#include "polyattn/attention.hpp"
#include "signals.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

namespace polyattn::cli {

namespace {

constexpr std::array commands{&attend_command, &smooth_command, &density_command, &plan_command,  &verify_command,
                              &info_command,   &poly_command,   &factors_command, &order_command, &lab_command};

std::string help() {
  std::string text =
      "polyattn: attention with a tolerance and a proved error bound\n\n"
      "Usage: polyattn COMMAND ...\n\nCommands:\n";
  for (const Command* command : commands) text += fmt::format("  {:9}{}\n", command->name, command->summary);
  return text +
         "\nFiles are FILE.npy or FILE.safetensors:NAME, of shape [n, d], [heads, n, d] or [batch, heads, n, d];\n"
         "smooth and density read tables, FILE.csv, too.\n\n"
         "Examples:\n"
         "  polyattn attend q.npy k.npy v.npy -o out.npy --tolerance 1e-3\n"
         "  polyattn attend q.npy k1.npy k2.npy v1.npy v2.npy -o out.npy --scale-rule inverse-dim --tolerance 1e-3\n"
         "  polyattn smooth flights.csv --x hour,distance --y delay --bandwidth cv -o fit.csv\n"
         "  polyattn density points.npy --on-grid 200x200 --bandwidth scott -o density.npy\n"
         "  polyattn plan q.npy k.npy v.npy --tolerance 1e-3\n"
         "  polyattn verify q.npy k.npy v.npy out.npy --tolerance 1e-3 --rows 1000\n"
         "  polyattn order q.npy k.npy --scale-rule inverse-dim\n\n"
         "'polyattn COMMAND --help' explains a command, 'polyattn --version' prints the version.\n"
         "Exit codes: 0 done, 1 verify or --verify found a row outside (lab disjoint: the protocol failed), 2 usage,\n"
         "3 bad input, 4 tolerance not reachable, 5 anything else, 130 interrupted.\n";
}

int dispatch(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    print(help());
    return exit_done;
  }
  if (name == "--version") {
    print(fmt::format("polyattn {}\n", version()));
    return exit_done;
  }
  const auto found =
      std::ranges::find(commands, name, [](const Command* command) { return std::string(command->name); });
  if (found != commands.end()) return (*found)->run(argc - 1, argv + 1);
  std::string known;
  for (const Command* command : commands) known += (known.empty() ? "" : ", ") + std::string(command->name);
  throw UsageError((name.empty() ? "a command is needed" : "unknown command '" + name + "'") + "; there are " + known +
                   " (polyattn --help)");
}

int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::non_finite:
      return exit_bad_input;
    case ErrorCode::unsupported:  // the flags ask for something no engine, or not the forced one, can do
      return exit_usage;
    case ErrorCode::not_reachable:
      return exit_not_reachable;
    case ErrorCode::out_of_memory:
      return exit_failed;
    case ErrorCode::cancelled:
      return exit_interrupted;
  }
  return exit_failed;
}

/// The library's messages begin with the argument at fault; these arguments are numbers from flags, whose ranges the
/// library knows.
bool concerns_flag(const Error& error) {
  const std::string_view message = error.what();
  constexpr std::array flags{"degree", "threads", "tolerance", "scale", "bandwidth"};
  return error.code() == ErrorCode::invalid_argument &&
         std::ranges::any_of(flags, [&](const char* flag) { return message.starts_with(std::string(flag) + ":"); });
}

/// One line on standard error.
int report(std::string message, int code) {
  std::ranges::replace(message, '\n', ' ');
  std::fputs(("polyattn: error: " + message + "\n").c_str(), stderr);
  return code;
}

int run(int argc, char** argv) {
  try {
    install_signal_handlers();
    return dispatch(argc, argv);
  } catch (const UsageError& error) {
    return report(error.what(), exit_usage);
  } catch (const CLI::ParseError& error) {
    return report(fmt::format("{} (polyattn {} --help)", error.what(), argc > 1 ? argv[1] : ""), exit_usage);
  } catch (const Error& error) {
    if (concerns_flag(error)) return report(std::string("--") + error.what(), exit_usage);
    return report(error.what(), exit_code(error.code()));
  } catch (const std::bad_alloc&) {
    return report("out of memory", exit_failed);
  } catch (const std::exception& error) {
    return report(error.what(), exit_failed);
  }
}

}  // namespace

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print(app.help());
    return exit_done;
  }
  return std::nullopt;
}

void print(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) throw io::WriteError("standard output: " + std::generic_category().message(errno));
}

}  // namespace polyattn::cli

int main(int argc, char** argv) { return polyattn::cli::run(argc, argv); }
