// Vector loads and stores of floating elements, and a grid-stride loop over a dense range in vectors.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>

#include "kernels/half.h"
#include "kernels/launch.cuh"

namespace swath::kernels {

/// V elements as floats.
template <int V>
struct Vector {
  float v[V];
};

/// Elements of T in 16 bytes.
template <class T>
constexpr int kVector = 16 / sizeof(T);

template <int kBytes>
struct Word;
template <>
struct Word<2> {
  using type = unsigned short;
};
template <>
struct Word<4> {
  using type = unsigned int;
};
template <>
struct Word<8> {
  using type = uint2;
};
template <>
struct Word<16> {
  using type = uint4;
};

/// How V elements of T travel: whole words of at most 16 bytes.
template <int V, class T>
struct Words {
  static constexpr int kBytes = V * sizeof(T) < 16 ? V * sizeof(T) : 16;
  static constexpr int kCount = V * sizeof(T) / kBytes;
  using type = typename Word<kBytes>::type;
};

/// p must be aligned to V elements, 16 bytes at most.
template <int V, class T>
__device__ __forceinline__ Vector<V> load_vector(const T* p) {
  using W = Words<V, T>;
  typename W::type words[W::kCount];
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) words[i] = reinterpret_cast<const typename W::type*>(p)[i];
  T raw[V];
  memcpy(raw, words, sizeof words);
  Vector<V> out;
#pragma unroll
  for (int i = 0; i < V; ++i) out.v[i] = to_float(raw[i]);
  return out;
}

template <int V, class T>
__device__ __forceinline__ void store_vector(T* p, const Vector<V>& in) {
  using W = Words<V, T>;
  T raw[V];
#pragma unroll
  for (int i = 0; i < V; ++i) raw[i] = from_float<T>(in.v[i]);
  typename W::type words[W::kCount];
  memcpy(words, raw, sizeof words);
#pragma unroll
  for (int i = 0; i < W::kCount; ++i) reinterpret_cast<typename W::type*>(p)[i] = words[i];
}

/// body(p), where p has the element type that `type` names: a floating one.
template <class Body>
__device__ __forceinline__ auto with_floats(const void* p, DType type, const Body& body) {
  if (type == DType::bf16) return body(static_cast<const bf16*>(p));
  if (type == DType::f16) return body(static_cast<const f16*>(p));
  return body(static_cast<const float*>(p));
}

/// Whether all pointers (null ones aside) are aligned to 16 bytes.
inline bool aligned16(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0) return false;
  return true;
}

/// body.run<V>(i) handles elements i … i + V − 1; the last n mod V come one by one.
template <int V, class Body>
__global__ void __launch_bounds__(256) map_kernel(std::int64_t n, Body body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, whole = n / V;
  for (std::int64_t i = first; i < whole; i += stride) body.template run<V>(i * V);
  if constexpr (V > 1) {
    if (first < n - whole * V) body.template run<1>(whole * V + first);
  }
}

/// One launch over n elements; V at a time where the pointers allow it.
template <int V, class Body>
void map_elements(std::int64_t n, bool aligned, const Body& body, CudaStream exec) {
  if (n == 0) return;
  if (aligned && n >= V) return launch(map_kernel<V, Body>, grid_for(ceil_div(n, V), 256), 256, 0, exec, n, body);
  launch(map_kernel<1, Body>, grid_for(n, 256), 256, 0, exec, n, body);
}

}  // namespace swath::kernels
