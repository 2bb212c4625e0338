// polyattn lab: the theory as programs. Here: the table of its commands.

#include "command.hpp"
#include "exit_codes.hpp"
#include "lab/commands.hpp"

#include <fmt/core.h>
#include <algorithm>
#include <string>
#include <vector>

namespace polyattn::cli {

namespace {

const std::vector<const Command*>& lab_commands() {
  static const std::vector<const Command*> commands{
      &lab_sat_command,   &lab_ov_command,      &lab_disjoint_command,
      &lab_maxip_command, &lab_nearest_command, &lab_threshold_command,
  };
  return commands;
}

std::string help() {
  std::string text =
      "polyattn lab: lower bounds that run, and the threshold measured\n\nUsage: polyattn lab COMMAND "
      "...\n\nCommands:\n";
  for (const Command* command : lab_commands()) text += fmt::format("  {:10}{}\n", command->name, command->summary);
  return text + "\n'polyattn lab COMMAND --help' explains a command.\n";
}

int run(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--help" || name == "-h" || name == "help") {
    print(help());
    return exit_done;
  }
  const auto found = std::ranges::find(lab_commands(), name, [](const Command* c) { return std::string(c->name); });
  if (found != lab_commands().end()) return (*found)->run(argc - 1, argv + 1);
  std::string known;
  for (const Command* command : lab_commands()) known += (known.empty() ? "" : ", ") + std::string(command->name);
  throw UsageError((name.empty() ? "lab: a command is needed" : "lab: unknown command '" + name + "'") +
                   "; there are " + known + " (polyattn lab --help)");
}

}  // namespace

const Command lab_command{"lab", "the theory as programs: SAT and nearest neighbours by attention, the threshold", run};

}  // namespace polyattn::cli
