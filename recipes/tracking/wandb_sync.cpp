#include "recipes/tracking/wandb_sync.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <thread>

#include "engine/core/log.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

constexpr std::chrono::milliseconds kPoll{50};

/// A process of its own group, which a Ctrl-C meant for the training does not reach, with default signals.
int spawn(pid_t& process, const fs::path& program, const char* const* arguments, const fs::path& log) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigfillset(&defaults);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  const int problem =
      ::posix_spawn(&process, program.c_str(), &files, &attributes, const_cast<char* const*>(arguments), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return problem;
}

}  // namespace

fs::path WandbSync::find_program() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path program = fs::path(folder) / "wandb";
    std::error_code none;
    if (!folder.empty() && fs::is_regular_file(program, none) && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

WandbSync::WandbSync(fs::path program, fs::path log) : program_(std::move(program)), log_(std::move(log)) {}

void WandbSync::start(std::vector<fs::path> files) {
  files_ = std::move(files);
  std::vector<const char*> arguments{"wandb", "sync"};
  for (const fs::path& file : files_) arguments.push_back(file.c_str());
  arguments.push_back(nullptr);
  if (const int problem = spawn(process_, program_, arguments.data(), log_); problem != 0) {
    process_ = -1;
    log::warn("cannot start {}: {}; upload the run later with wandb sync {}", program_.string(), std::strerror(problem),
              log_.parent_path().string());
  }
}

bool WandbSync::running() {
  if (process_ < 0) return false;
  int status = 0;
  const pid_t ended = ::waitpid(process_, &status, WNOHANG);
  if (ended == 0) return true;
  process_ = -1;
  report(status);
  return false;
}

// The program returns 0 for most failures, but leaves its marker only after a complete upload.
void WandbSync::report(int status) const {
  for (const fs::path& file : files_) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && fs::exists(file.string() + ".synced")) continue;
    log::warn("wandb sync has not uploaded {}; {} holds its words", file.string(), log_.string());
    return;
  }
}

bool WandbSync::wait(std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (running()) {
    if (std::chrono::steady_clock::now() > end) {
      log::info("wandb sync goes on in the background; {} takes its words", log_.string());
      return false;
    }
    std::this_thread::sleep_for(kPoll);
  }
  return true;
}

}  // namespace swath
