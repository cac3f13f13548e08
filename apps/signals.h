// SIGINT, SIGTERM and SIGUSR1 ask for an orderly stop: a flag that long work polls. A second signal ends the process at once.
#pragma once
#include <atomic>

namespace swath::app {

/// Also lets writes to a closed pipe fail instead of killing the process.
void install_stop_signals();
/// Set by the first signal.
const std::atomic<bool>& stop_requested();
/// Throws Preempted with the message when a stop was asked for.
void throw_if_stopped(const char* message);

}  // namespace swath::app
