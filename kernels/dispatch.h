// From a run-time element type to a compile-time one, on the host.
#pragma once
#include <stdexcept>

#include "kernels/exec.h"
#include "kernels/half.h"

namespace swath::kernels {

/// Calls body(float{}), body(bf16{}) or body(f16{}). Another type is a programmer's error: std::invalid_argument.
template <class Body>
void with_element(DType type, const Body& body) {
  if (type == DType::f32) return body(float{});
  if (type == DType::bf16) return body(bf16{});
  if (type == DType::f16) return body(f16{});
  throw std::invalid_argument("this kernel takes f32, bf16 or f16 elements");
}

template <class T>
const T* typed(const void* p) {
  return static_cast<const T*>(p);
}
template <class T>
T* typed(void* p) {
  return static_cast<T*>(p);
}

}  // namespace swath::kernels
