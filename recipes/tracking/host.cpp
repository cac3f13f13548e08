#include "recipes/tracking/host.h"

#include <unistd.h>

#include <array>
#include <chrono>

namespace swath {

double unix_time() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace swath
