// Runs a script of this folder with the python that SWATH_PEERS_PYTHON names.
#pragma once
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "engine/core/config.h"

namespace swath::test {

/// The JSON that `script` prints about `request`.
inline Json run_peer(const std::string& python, const std::string& script, const Json& request) {
  const std::string file = std::filesystem::temp_directory_path() / ("swath_peer_" + std::to_string(getpid()) + ".json");
  std::ofstream(file) << request.dump();
  const std::string command = "'" + python + "' -W ignore '" SWATH_TEST_FOLDER "/" + script + "' '" + file + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char buffer[4096];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) text += buffer;
  std::filesystem::remove(file);
  return Json::parse(text);
}

}  // namespace swath::test
