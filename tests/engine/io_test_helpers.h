// What the tests of files share: a folder of their own, raw bytes, the sentence of an error, the peers' Python.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "engine/core/error.h"

namespace swath::test {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "swath-io-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
inline std::string get(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The sentence of the DataError that `f` throws; empty when it throws none.
template <class F>
std::string data_error(const F& f) {
  try {
    f();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

/// Runs a script of tests/peers; the status of the process, or -1 without SWATH_PEERS_PYTHON.
inline int peer(const std::string& script, const std::string& arguments) {
  const char* python = std::getenv("SWATH_PEERS_PYTHON");
  if (!python || !*python) return -1;
  const auto here = std::filesystem::path(SWATH_PEERS_FOLDER) / script;
  return std::system((std::string(python) + " " + here.string() + " " + arguments).c_str());
}

}  // namespace swath::test
