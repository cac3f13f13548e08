// Progress on stderr: one line that is rewritten on a terminal, plain lines from time to time elsewhere.
#pragma once
#include <chrono>
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

/// "42 s", "3:07", "1:02:03".
std::string duration(double seconds);
/// "512 MiB", "1.5 GiB".
std::string bytes(double count);

}  // namespace swath::app
