// Arrays of a 16-bit type from floats and back.
#pragma once
#include <algorithm>
#include <vector>

#include "kernels/half.h"

namespace swath::testing {

template <class T>
std::vector<T> narrowed(const std::vector<float>& values) {
  std::vector<T> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](float v) { return kernels::from_float<T>(v); });
  return out;
}

template <class T>
std::vector<float> widened(const std::vector<T>& values) {
  std::vector<float> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](T v) { return kernels::to_float(v); });
  return out;
}

}  // namespace swath::testing
