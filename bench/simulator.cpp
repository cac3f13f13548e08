#include "bench/simulator.h"

#include <dlfcn.h>

#include <vector>

#include "engine/core/config.h"

namespace swath::bench {

namespace {

void* symbol(const char* name) { return dlsym(RTLD_DEFAULT, name); }

}  // namespace

bool simulator_present() { return symbol("gpusim_stats_json") != nullptr; }

void reset_simulator_counts() {
  if (const auto reset = reinterpret_cast<void (*)()>(symbol("gpusim_stats_reset"))) reset();
}

SimulatorCounts simulator_counts() {
  const auto read = reinterpret_cast<int (*)(char*, int)>(symbol("gpusim_stats_json"));
  if (!read) return {};
  std::vector<char> text(static_cast<std::size_t>(read(nullptr, 0)) + 1);
  read(text.data(), static_cast<int>(text.size()));
  const Json counts = Json::parse(text.data());
  return {counts.at("kernel_launches"), counts.at("warp_instructions"), counts.at("sectors"), counts.at("bank_conflicts")};
}

}  // namespace swath::bench
