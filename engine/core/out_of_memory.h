#pragma once
#include <cstddef>
#include <string>

#include "engine/core/error.h"

namespace swath {

/// A pool's device has no memory left for a tensor. The pool, and what lies in it, can be used further.
struct OutOfMemory : DeviceError {
  OutOfMemory(const std::string& sentence, std::size_t bytes)
      : DeviceError(sentence + "; a smaller batch would fit"), facts(sentence), available(bytes) {}
  std::string facts;      // what was needed, free and in use, without a remedy
  std::size_t available;  // free bytes and those that the pool held
};

}  // namespace swath
