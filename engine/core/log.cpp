#include "engine/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cstdlib>

namespace swath::log {

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    spdlog::logger made("swath", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made.set_pattern("%v");
    return made;
  }();
  return instance;
}

void init_from_environment() {
  if (const char* level = std::getenv("SWATH_LOG")) logger().set_level(spdlog::level::from_str(level));
}

}  // namespace swath::log
