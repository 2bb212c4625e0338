#pragma once

/// A progress bar on standard error, if that is a terminal and the work lasts over a second.

#include "polyattn/options.hpp"

#include <memory>
#include <string>

namespace polyattn::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  /// Wipes the bar.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ProgressBar(ProgressBar&&) = delete;
  ProgressBar& operator=(ProgressBar&&) = delete;

  /// Draws now and then, and cancels after an interrupt. Usable from any thread, as long as the bar lives.
  Progress callback();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polyattn::cli
