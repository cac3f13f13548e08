// Files of an archive: names resolved below a root, whole reads with a limit, folders.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath {

/// A path that leaves the data root: never skipped, always an error.
struct UnsafePath : DataError {
  using DataError::DataError;
};

/// root/relative. Throws UnsafePath that names `where` (file and line) when `relative` is empty, absolute, has a `..` part, a
/// backslash, a NUL or another control character, or begins with /vsi.
std::string safe_join(const std::string& root, const std::string& relative, const std::string& where);

/// The whole of a regular file. Throws DataError when it is missing, not a regular file, or larger than `limit` bytes.
std::vector<std::uint8_t> read_file(const std::string& path, std::size_t limit);
/// As above, into a buffer that keeps its capacity from call to call.
void read_file(const std::string& path, std::size_t limit, std::vector<std::uint8_t>& out);
std::string read_text(const std::string& path, std::size_t limit);

/// rename + fsync of the folder.
void rename_file(const std::string& from, const std::string& to);

/// Makes the folder and its parents; UserError when that is not possible.
void make_folder(const std::string& path);
/// Names in a folder, sorted, without . and ..; DataError when it cannot be listed.
std::vector<std::string> list_folder(const std::string& path);
bool is_folder(const std::string& path);
bool is_file(const std::string& path);

/// A line for each name, ended by a newline; and back.
std::string lines_of(const std::vector<std::string>& names);
std::vector<std::string> lines_in(const std::string& text);

/// pwrite of everything at `offset`; DataError that names the file when the disk is full or fails.
void write_at(const FileDescriptor& file, const std::string& path, const void* bytes, std::size_t count, std::uint64_t offset);
/// "No space left on device" for the present errno.
std::string system_message();

}  // namespace swath
