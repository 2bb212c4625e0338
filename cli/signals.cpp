#include "signals.hpp"

#include "exit_codes.hpp"
#include "io/staged_file.hpp"
#include "polyattn/error.hpp"

#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstring>

namespace polyattn::cli {

namespace {

std::atomic<bool> interrupt_seen{false};
static_assert(std::atomic<bool>::is_always_lock_free, "touched by a signal handler");

void on_interrupt(int /*signal*/) {
  if (interrupt_seen.exchange(true)) {
    io::remove_temporary_files();
    ::_exit(exit_interrupted);
  }
}

/// A mapped file that shrinks, or whose disk fails, ends in SIGBUS where its elements are read.
void on_bus_error(int /*signal*/) {
  io::remove_temporary_files();
  constexpr char text[] = "polyattn: error: an input file became shorter or unreadable while it was in use\n";
  static_cast<void>(::write(STDERR_FILENO, text, sizeof text - 1) == 0);
  ::_exit(exit_bad_input);
}

void handle(int signal, void (*handler)(int), bool unless_ignored) {
  struct sigaction old {};
  if (unless_ignored && ::sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  // A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: so it stays.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal, on_interrupt, true);
  handle(SIGBUS, on_bus_error, false);
  // Beyond the limit on file sizes, write must fail with EFBIG instead of ending the process.
  handle(SIGXFSZ, SIG_IGN, false);
}

bool interrupted() noexcept { return interrupt_seen.load(std::memory_order_relaxed); }

void stop_if_interrupted() {
  if (interrupted()) throw Error(ErrorCode::cancelled, "interrupted");
}

}  // namespace polyattn::cli
