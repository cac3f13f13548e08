// How a dry run writes shapes.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/exec.h"

namespace swath::kernels {

/// "128×56×56×64 bf16"
inline std::string shape_text(std::initializer_list<std::int64_t> extents, DType type) {
  std::string text;
  for (const std::int64_t extent : extents) text += (text.empty() ? "" : "×") + std::to_string(extent);
  return text + " " + name_of(type);
}

}  // namespace swath::kernels
