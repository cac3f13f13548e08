// Executors, element types and gradient modes shared by every kernel. Includes nothing but the standard library.
#pragma once
#include <cstddef>
#include <cstdint>

namespace swath::kernels {

/// Runs a kernel on the calling thread and its OpenMP team; the call returns when the work is done.
struct Cpu {};

/// Runs a kernel on a CUDA stream; the call returns as soon as the work is queued. `stream` is a cudaStream_t.
struct CudaStream {
  void* stream = nullptr;
};

/// What a kernel does with a gradient output: leave it alone, write it, or add to it.
enum class GradMode : std::uint8_t { skip, overwrite, accumulate };

enum class DType : std::uint8_t { f32, bf16, f16, u8, u16, i32, i64, u32, u64 };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::u8:
      return 1;
    case DType::bf16:
    case DType::f16:
    case DType::u16:
      return 2;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::i64:
    case DType::u64:
      return 8;
  }
  return 0;
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::u8:
      return "u8";
    case DType::u16:
      return "u16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
    case DType::u32:
      return "u32";
    case DType::u64:
      return "u64";
  }
  return "?";
}

}  // namespace swath::kernels
