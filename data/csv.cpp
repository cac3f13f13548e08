#include "data/csv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "engine/core/error.h"

namespace swath {

namespace {
constexpr int kEnd = -1;
}

CsvReader::CsvReader(const std::string& path, CsvLimits limits)
    : path_(path), limits_(limits), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), buffer_(1 << 16) {
  if (file_.get() < 0 || !is_file(path)) throw DataError(fmt::format("{} cannot be opened as a file", path));
  for (const int expected : {0xef, 0xbb, 0xbf}) {  // byte-order mark, whole or not at all
    if (get() != expected) {
      position_ = 0;
      break;
    }
  }
}

std::string CsvReader::where() const { return fmt::format("{} line {}", path_, record_line_); }

void CsvReader::fail(const std::string& why) const { throw DataError(fmt::format("{} {}", where(), why)); }

int CsvReader::get() {
  if (position_ == filled_) {
    ssize_t n;
    do n = ::read(file_.get(), buffer_.data(), buffer_.size());
    while (n < 0 && errno == EINTR);
    if (n < 0) fail("cannot be read: " + system_message());
    if (n == 0) return kEnd;
    position_ = 0;
    filled_ = static_cast<std::size_t>(n);
  }
  return static_cast<unsigned char>(buffer_[position_++]);
}

void CsvReader::count(std::size_t bytes) {
  record_bytes_ += bytes;
  if (record_bytes_ > limits_.line_bytes) fail(fmt::format("is longer than {} bytes", limits_.line_bytes));
}

void CsvReader::quoted(std::string& field) {
  for (;;) {
    const int c = get();
    if (c == kEnd) fail("has a quote that is not closed");
    if (c == 0) fail("holds a NUL byte");
    count(1);
    if (c == '\n') ++line_;
    if (c != '"') {
      field.push_back(static_cast<char>(c));
      continue;
    }
    const int after = get();
    if (after == '"') {
      field.push_back('"');
      continue;
    }
    if (after != kEnd && after != ',' && after != '\n' && after != '\r') fail("has text after a closing quote");
    if (after != kEnd) --position_;
    return;
  }
}

bool CsvReader::record(std::vector<std::string>& fields) {
  fields.assign(1, {});
  record_line_ = line_;
  record_bytes_ = 0;
  bool any = false, start_of_field = true;
  for (;;) {
    const int c = get();
    if (c == kEnd) return any;
    if (c == 0) fail("holds a NUL byte");
    if (c == '\n') {
      ++line_;
      return true;
    }
    any = true;
    count(1);
    if (c == ',') {
      if (fields.size() >= limits_.fields) fail(fmt::format("has more than {} fields", limits_.fields));
      fields.emplace_back();
      start_of_field = true;
    } else if (c == '"' && start_of_field) {
      quoted(fields.back());
      start_of_field = false;
    } else if (c == '\r') {
      const int after = get();
      if (after != kEnd) --position_;
      if (after != '\n' && after != kEnd) fields.back().push_back('\r');
    } else {
      fields.back().push_back(static_cast<char>(c));
      start_of_field = false;
    }
  }
}

bool CsvReader::next(std::vector<std::string>& fields) {
  while (record(fields))
    if (fields.size() > 1 || !fields[0].empty()) return true;
  return false;
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (const std::string& field : fields) {
    if (!line.empty() || &field != &fields.front()) line += ',';
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      line += field;
      continue;
    }
    line += '"';
    for (const char c : field) {
      if (c == '"') line += '"';
      line += c;
    }
    line += '"';
  }
  return line + '\n';
}

}  // namespace swath
