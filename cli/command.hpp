#pragma once

/// A command of the program: `polyattn NAME …`.

#include "numbers.hpp"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

namespace polyattn::cli {

struct Command {
  const char* name;
  const char* summary;
  /// `argv[0]` is the command's name. Returns an exit code.
  int (*run)(int argc, char** argv);
};

extern const Command attend_command;
extern const Command plan_command;
extern const Command verify_command;
extern const Command info_command;
extern const Command poly_command;
extern const Command factors_command;
extern const Command order_command;
extern const Command smooth_command;
extern const Command density_command;
extern const Command lab_command;

/// A flag whose text is kept as it is, to be parsed strictly later; unset if it was not given.
inline CLI::Option* text_flag(CLI::App& app, const std::string& names, std::optional<std::string>& text,
                              const std::string& type, const std::string& help) {
  return app
      .add_option_function<std::string>(
          names, [&text](const std::string& given) { text = given; }, help)
      ->type_name(type);
}

/// Reads the flags. An exit code if that was all, because help was asked for. Throws CLI::ParseError.
std::optional<int> parse(CLI::App& app, int argc, char** argv);

/// Puts `text` on standard output, flushed; throws io::WriteError if it cannot be written.
void print(const std::string& text);

}  // namespace polyattn::cli
