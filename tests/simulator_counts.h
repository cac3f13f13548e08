// For tests: what a CUDA simulator counted. A GPU counts nothing.
#pragma once
#include <dlfcn.h>

#include <vector>

#include <nlohmann/json.hpp>

namespace swath::testing {

/// Starts counting anew; the counts so far. A null object where no simulator runs.
inline nlohmann::json simulator_counts() {
  const auto reset = reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, "gpusim_stats_reset"));
  const auto read = reinterpret_cast<int (*)(char*, int)>(dlsym(RTLD_DEFAULT, "gpusim_stats_json"));
  if (!reset || !read) return {};
  std::vector<char> text(1 << 16);
  read(text.data(), static_cast<int>(text.size()));
  reset();
  return nlohmann::json::parse(text.data());
}

}  // namespace swath::testing
