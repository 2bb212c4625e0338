#include "progress_bar.hpp"

#include "signals.hpp"

#include <fmt/core.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <utility>

namespace polyattn::cli {

using Clock = std::chrono::steady_clock;

struct ProgressBar::State {
  std::string label;
  bool terminal = false;
  Clock::time_point start = Clock::now();
  std::mutex drawing;
  Clock::time_point last{};
  bool drawn = false;

  void draw(double done) {
    using std::chrono::milliseconds;
    const std::unique_lock lock(drawing, std::try_to_lock);
    const auto now = Clock::now();
    if (!lock || now - start < milliseconds(1000) || now - last < milliseconds(100)) return;
    constexpr int width = 40;
    const double share = std::clamp(done, 0.0, 1.0);
    const int full = static_cast<int>(share * width);
    const double elapsed = std::chrono::duration<double>(now - start).count();
    const std::string left = share > 0.01 ? fmt::format(", {:.0f} s left", elapsed * (1.0 - share) / share) : "";
    const std::string bar =
        std::string(static_cast<std::size_t>(full), '=') + std::string(static_cast<std::size_t>(width - full), ' ');
    fmt::print(stderr, "\r\033[K{} [{}] {:3.0f} %{}", label, bar, 100.0 * share, left);
    std::fflush(stderr);
    last = now;
    drawn = true;
  }
};

ProgressBar::ProgressBar(std::string label) : state_(std::make_unique<State>()) {
  state_->label = std::move(label);
  state_->terminal = ::isatty(STDERR_FILENO) == 1;
}

ProgressBar::~ProgressBar() {
  if (state_->drawn) std::fputs("\r\033[K", stderr);
}

Progress ProgressBar::callback() {
  return [state = state_.get()](double done) {
    if (state->terminal) state->draw(done);
    return !interrupted();
  };
}

}  // namespace polyattn::cli
