#include "data/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "engine/core/error.h"

namespace swath {

namespace fs = std::filesystem;

std::string system_message() { return std::generic_category().message(errno); }

std::string safe_join(const std::string& root, const std::string& relative, const std::string& where) {
  const auto refuse = [&](const char* why) {
    std::string shown = relative.substr(0, 100);
    for (char& c : shown)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    throw UnsafePath(fmt::format("{}: the path \"{}\" {}; use a path below the data root", where, shown, why));
  };
  if (relative.empty()) refuse("is empty");
  if (relative.size() > 4096) refuse("is too long");
  if (std::any_of(relative.begin(), relative.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    refuse("holds a control character");
  if (relative.find('\\') != std::string::npos) refuse("holds a backslash");
  if (relative.rfind("/vsi", 0) == 0) refuse("names a virtual file system");
  if (relative.front() == '/') refuse("is absolute");
  for (std::size_t begin = 0; begin <= relative.size();) {
    const std::size_t end = std::min(relative.find('/', begin), relative.size());
    if (relative.compare(begin, end - begin, "..") == 0) refuse("leaves its folder");
    begin = end + 1;
  }
  return root + "/" + relative;
}

void read_file(const std::string& path, std::size_t limit, std::vector<std::uint8_t>& out) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) throw DataError(fmt::format("{} cannot be opened: {}", path, system_message()));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) throw DataError(fmt::format("{} is not a regular file", path));
  if (static_cast<std::uint64_t>(info.st_size) > limit)
    throw DataError(fmt::format("{} has {} bytes, more than the limit of {}", path, info.st_size, limit));
  out.resize(static_cast<std::size_t>(info.st_size));
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t n = ::read(file.get(), out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw DataError(fmt::format("{} cannot be read: {}", path, system_message()));
    if (n == 0) throw DataError(fmt::format("{} became shorter while it was read", path));
    done += static_cast<std::size_t>(n);
  }
}

std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit) {
  std::vector<std::uint8_t> bytes;
  read_file(path, limit, bytes);
  return bytes;
}

std::string read_text(const std::string& path, std::size_t limit) {
  const auto bytes = read_file(path, limit);
  return std::string(bytes.begin(), bytes.end());
}

std::string lines_of(const std::vector<std::string>& names) { return fmt::format("{}\n", fmt::join(names, "\n")); }

std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

void write_at(const FileDescriptor& file, const std::string& path, const void* bytes, std::size_t count, std::uint64_t offset) {
  const char* p = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t n = ::pwrite(file.get(), p, count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw DataError(fmt::format("{} cannot be written: {}; free some space and run again", path, system_message()));
    p += n;
    offset += static_cast<std::uint64_t>(n);
    count -= static_cast<std::size_t>(n);
  }
}

void rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw DataError(fmt::format("{} cannot be renamed to {}: {}", from, to, system_message()));
  sync_folder_of(to);
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || !is_folder(path))
    throw UserError(fmt::format("the folder {} cannot be made: {}", path, error ? error.message() : "a file has that name"));
}

std::vector<std::string> list_folder(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error) throw DataError(fmt::format("the folder {} cannot be listed: {}", path, error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace swath
