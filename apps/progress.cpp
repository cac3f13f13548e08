#include "apps/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace swath::app {

namespace {
using Clock = std::chrono::steady_clock;
constexpr auto kPlainInterval = std::chrono::seconds(10);
constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1), shown_(Clock::now() - kTerminalInterval) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (open_) std::fputs("\n", stderr);
  open_ = false;
}

void Progress::update(const std::string& line, When when) {
  const Clock::time_point now = Clock::now();
  const bool due = now - shown_ >= (terminal_ ? Clock::duration(kTerminalInterval) : Clock::duration(kPlainInterval));
  if (when == When::throttled && !due) return;
  shown_ = now;
  if (!terminal_) {
    std::fputs((line + "\n").c_str(), stderr);
    return;
  }
  std::fputs(("\r\033[K" + line).c_str(), stderr);
  std::fflush(stderr);
  open_ = true;
}

void Progress::line(const std::string& text) {
  if (open_) std::fputs("\r\033[K", stderr);
  open_ = false;
  std::fputs((text + "\n").c_str(), stderr);
}

std::string Pace::text(std::int64_t done, std::int64_t total) {
  const Clock::time_point now = Clock::now();
  if (total != total_ || done < last_) first_ = done, total_ = total, started_ = now;
  last_ = done;
  const double seconds = std::chrono::duration<double>(now - started_).count();
  const double rate = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
  if (rate <= 0) return "ETA unknown";
  return fmt::format("{:.0f} img/s  ETA {}", rate, duration(static_cast<double>(total - done) / rate));
}

std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::fmax(0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bytes(double count) {
  constexpr double kMebi = 1024.0 * 1024.0;
  if (count < 1024 * kMebi) return fmt::format("{:.0f} MiB", count / kMebi);
  return fmt::format("{:.1f} GiB", count / kMebi / 1024);
}

}  // namespace swath::app
