// Diagnostics on stderr. Results never pass through here: they go to stdout.
#pragma once
#include <spdlog/spdlog.h>

namespace swath::log {

/// Level from SWATH_LOG (trace, debug, info, warn, error, off); info otherwise. Called once by the program; a host
/// application that embeds the library configures its own sink with set_sink.
void init_from_environment();

/// The library's logger; messages carry no colour or prefix unless the host changes its sinks.
spdlog::logger& logger();

template <class... Args>
void debug(fmt::format_string<Args...> f, Args&&... args) {
  logger().debug(f, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
  logger().info(f, std::forward<Args>(args)...);
}
template <class... Args>
void warn(fmt::format_string<Args...> f, Args&&... args) {
  logger().warn(f, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> f, Args&&... args) {
  logger().error(f, std::forward<Args>(args)...);
}

}  // namespace swath::log
