#include "apps/signals.h"

#include <csignal>

#include "engine/core/error.h"

namespace swath::app {

namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGUSR1};

extern "C" void on_stop_signal(int) {
  stop.store(true, std::memory_order_relaxed);
  for (const int signal : kStopSignals) std::signal(signal, SIG_DFL);
}

}  // namespace

void install_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int signal : kStopSignals) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void ignore_file_size_signal() { std::signal(SIGXFSZ, SIG_IGN); }

const std::atomic<bool>& stop_requested() { return stop; }

void throw_if_stopped(const char* message) {
  if (stop.load(std::memory_order_relaxed)) throw Preempted(message);
}

}  // namespace swath::app
