// Comma-separated values of untrusted origin (RFC 4180: quotes, CRLF, byte-order mark), read line by line within limits.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/file.h"

namespace swath {

struct CsvLimits {
  std::size_t line_bytes = 1 << 20;
  std::size_t fields = 65536;
};

class CsvReader {
 public:
  /// Throws DataError when the file cannot be opened.
  explicit CsvReader(const std::string& path, CsvLimits limits = {});

  /// The next record that is not empty; false at the end of the file. Throws DataError that names file and line for a line or
  /// field count above the limit, a NUL, or a quote that is not closed or is followed by text.
  bool next(std::vector<std::string>& fields);
  /// Line on which the last record began, from 1.
  std::int64_t line() const { return record_line_; }
  /// "labels.csv line 3".
  std::string where() const;

 private:
  int get();
  bool record(std::vector<std::string>& fields);
  void quoted(std::string& field);
  void count(std::size_t bytes);
  [[noreturn]] void fail(const std::string& why) const;

  std::string path_;
  CsvLimits limits_;
  FileDescriptor file_;
  std::vector<char> buffer_;
  std::size_t position_ = 0, filled_ = 0, record_bytes_ = 0;
  std::int64_t line_ = 1, record_line_ = 1;
};

/// One line, fields quoted where they must be, ended by \n.
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace swath
