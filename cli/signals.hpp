#pragma once

/// Interrupts: the first SIGINT, SIGTERM or SIGHUP asks the work to stop, a second one ends the process at once.
/// Neither leaves a temporary file behind.

namespace polyattn::cli {

void install_signal_handlers();
bool interrupted() noexcept;
/// Throws Error (cancelled) after an interrupt.
void stop_if_interrupted();

}  // namespace polyattn::cli
