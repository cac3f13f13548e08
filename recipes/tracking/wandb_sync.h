// The user's own `wandb sync` as a process in the background. It finds its key itself; swath neither reads nor passes one.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <vector>

namespace swath {

class WandbSync {
 public:
  /// The program wandb in PATH; empty: none.
  static std::filesystem::path find_program();

  /// `log` takes what the program prints, of the last upload.
  WandbSync(std::filesystem::path program, std::filesystem::path log);
  /// Leaves an upload that is under way running.
  ~WandbSync() = default;
  WandbSync(const WandbSync&) = delete;
  WandbSync& operator=(const WandbSync&) = delete;

  /// Begins to upload .wandb files of one run. Warns when the program cannot be started.
  void start(std::vector<std::filesystem::path> files);
  /// Whether an upload is under way. Warns, once per upload, that one has failed.
  bool running();
  /// Waits for the end of the upload; past the limit it says so, leaves it running and returns false.
  bool wait(std::chrono::seconds limit);

 private:
  void report(int status) const;

  std::filesystem::path program_, log_;
  std::vector<std::filesystem::path> files_;
  pid_t process_ = -1;
};

}  // namespace swath
