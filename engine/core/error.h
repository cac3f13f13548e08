// Errors of the library and the exit codes that the program maps them to. The library throws; only main exits.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace swath {

/// Exit codes of the program, documented in docs/exit-codes.md.
enum class ExitCode : int {
  ok = 0,
  usage = 2,       // wrong option, key or shape
  data = 3,        // unreadable, missing or corrupt input
  device = 4,      // device absent or out of memory
  nan = 5,         // a loss or gradient that is not finite
  rank = 6,        // another rank failed
  port = 7,        // the port is taken
  slower = 8,      // a benchmark is slower than its reference
  internal = 70,   // a bug, or a vendor library that failed
  preempted = 75,  // stopped by a signal after saving; start again with --resume
};

class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

/// The caller's mistake: one sentence that names the key, option or shape and the remedy.
struct UserError : Error {
  explicit UserError(const std::string& message) : Error(ExitCode::usage, message) {}
};
/// A file that is missing, unreadable, corrupt or of the wrong form: one sentence that names it and the remedy.
struct DataError : Error {
  explicit DataError(const std::string& message) : Error(ExitCode::data, message) {}
};
/// The device is absent or its memory is exhausted.
struct DeviceError : Error {
  explicit DeviceError(const std::string& message) : Error(ExitCode::device, message) {}
};
/// A value that is not finite where training needs one.
struct NanError : Error {
  explicit NanError(const std::string& message) : Error(ExitCode::nan, message) {}
};
/// A signal asked for a stop; the state has been saved.
struct Preempted : Error {
  explicit Preempted(const std::string& message) : Error(ExitCode::preempted, message) {}
};
/// Another process of the same training failed, or does not answer.
struct RankError : Error {
  explicit RankError(const std::string& message) : Error(ExitCode::rank, message) {}
};
/// A bug of swath or a failure of a vendor library.
struct InternalError : Error {
  explicit InternalError(const std::string& message) : Error(ExitCode::internal, message) {}
};

[[noreturn]] void throw_check_failure(const char* expression, const char* file, int line, const std::string& detail);

}  // namespace swath

/// Throws InternalError with expression, file and line: for what only a bug can violate.
#define SWATH_CHECK(condition, ...)                                                                                \
  do {                                                                                                             \
    if (!(condition)) ::swath::throw_check_failure(#condition, __FILE__, __LINE__, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
