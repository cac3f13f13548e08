#include "engine/core/error.h"

#include <cstring>

namespace swath {

void throw_check_failure(const char* expression, const char* file, int line, const std::string& detail) {
  const char* slash = std::strrchr(file, '/');
  throw InternalError(fmt::format("check failed: {} ({}:{}){}{}", expression, slash ? slash + 1 : file, line,
                                  detail.empty() ? "" : ": ", detail));
}

}  // namespace swath
