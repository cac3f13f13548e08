#include "recipes/tracking/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/core/log.h"
#include "engine/io/file.h"

namespace swath {

namespace fs = std::filesystem;

AppendFile::AppendFile(fs::path path, std::string_view content) : path_(std::move(path)), size_(content.size()) {
  // A reader that looks for logs by their names must not take the half-written file for one.
  const fs::path rewritten = path_.parent_path() / "rewritten";
  atomic_write(rewritten.string(), std::string(content));
  std::error_code problem;
  fs::rename(rewritten, path_, problem);
  if (!problem) fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd_ < 0)
    throw DataError(fmt::format("cannot write {}: {}; check its folder", path_.string(),
                                problem ? problem.message() : std::string(std::strerror(errno))));
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view record) {
  ssize_t written = -1;
  do {
    written = ::write(fd_, record.data(), record.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(record.size())) {
    size_ += record.size();
    return;
  }
  const std::string problem = written < 0 ? std::strerror(errno) : "the disk is full";
  if (written > 0 && ::ftruncate(fd_, static_cast<off_t>(size_)) != 0)
    log::warn("{} ends with a part of a record; a resumed run repairs it", path_.string());
  throw DataError(fmt::format("cannot write {}: {}; free some space on its disk and resume", path_.string(), problem));
}

}  // namespace swath
