// SIGINT, SIGTERM and SIGUSR1 ask for an orderly stop: a flag that long work polls. A second one, of
// any of the three kinds, ends the process at once.
#pragma once
#include <atomic>

namespace swath::app {

/// Also lets writes to a closed pipe fail instead of killing the process.
void install_stop_signals();
/// Lets writes beyond the limit on file sizes fail like those to a full disk.
void ignore_file_size_signal();
/// Set by the first signal.
const std::atomic<bool>& stop_requested();
/// Throws Preempted with the message when a stop was asked for.
void throw_if_stopped(const char* message);

}  // namespace swath::app
