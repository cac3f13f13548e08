// Progress on stderr: one line that is rewritten on a terminal, plain lines from time to time elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace swath::app {

class Progress {
 public:
  Progress();
  /// Ends the rewritten line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  enum class When : std::uint8_t { throttled, always };
  /// Shows `line`. Off a terminal, throttled lines appear every ten seconds at most.
  void update(const std::string& line, When when = When::throttled);
  /// A line that stays.
  void line(const std::string& text);

 private:
  void clear();
  bool terminal_;
  bool open_ = false;
  std::chrono::steady_clock::time_point shown_;
};

/// Speed of work that counts up to a total, from the first count it is told: "120 img/s  ETA 1:07". A lower count or another
/// total begins anew.
class Pace {
 public:
  std::string text(std::int64_t done, std::int64_t total);

 private:
  std::int64_t first_ = 0, last_ = 0, total_ = -1;
  std::chrono::steady_clock::time_point started_;
};

/// "42 s", "3:07", "1:02:03".
std::string duration(double seconds);
/// "512 MiB", "1.5 GiB".
std::string bytes(double count);

}  // namespace swath::app
