#pragma once
#include <cstddef>
#include <string>

#include "engine/core/error.h"

namespace swath {

/// A pool's device has no memory left for a tensor; the sentence says what was needed, free and in use. A remedy is the
/// caller's to add, who knows what may be smaller. The pool, and what lies in it, can be used further.
struct OutOfMemory : DeviceError {
  OutOfMemory(const std::string& sentence, std::size_t bytes) : DeviceError(sentence), available(bytes) {}
  std::size_t available;  // free bytes and those that the pool held
};

}  // namespace swath
