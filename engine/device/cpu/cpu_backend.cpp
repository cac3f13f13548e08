#include "engine/device/cpu/cpu_backend.h"

#include <cblas.h>
#include <dnnl.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "engine/core/error.h"
#include "engine/device/conv_problem.h"
#include "engine/device/cpu/allocator.h"
#include "engine/device/cpu/subsample.h"
#include "kernels/parallel.h"

namespace swath::cpu {

namespace {

// The pixels that a strided 1×1 convolution reads, copied side by side.
Tensor dense_pixels(const ConvGeometry& geometry, const Tensor& x) {
  const Tensor pixels = Tensor::empty(x.device(), dense_geometry(geometry).input_shape(), geometry.dtype, Tag::workspace);
  gather_pixels(geometry, x.raw(), pixels.raw());
  return pixels;
}

// One thread cannot use all the memory bandwidth; small blocks are not worth a team.
constexpr std::int64_t kChunk = std::int64_t{1} << 20;

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

}  // namespace

void CpuBackend::conv_forward(const ConvGeometry& geometry, const Tensor& x, const Tensor& w, const Tensor& y) {
  expect_arrays(ConvPass::forward, geometry, x, w, y, DType::f32);
  if (geometry.n == 0) return;
  if (!is_subsampling(geometry) || !has_large_matrix(dense_geometry(geometry)))
    return convolutions_.forward(geometry, x.raw(), w.data<float>(), y.raw());
  const Tensor pixels = dense_pixels(geometry, x);
  convolutions_.forward(dense_geometry(geometry), pixels.raw(), w.data<float>(), y.raw());
}

void CpuBackend::conv_backward_data(const ConvGeometry& geometry, const Tensor& dy, const Tensor& w, const Tensor& dx) {
  expect_arrays(ConvPass::backward_data, geometry, dx, w, dy, DType::f32);
  if (geometry.n) convolutions_.backward_data(geometry, dy.raw(), w.data<float>(), dx.raw());
}

void CpuBackend::conv_backward_weight(const ConvGeometry& geometry, const Tensor& x, const Tensor& dy, const Tensor& dw,
                                      GradMode mode) {
  expect_arrays(ConvPass::backward_weight, geometry, x, dw, dy, DType::f32);
  if (mode == GradMode::skip) return;
  if (geometry.n == 0) {
    if (mode == GradMode::overwrite) dw.fill_zero();
    return;
  }
  if (!is_subsampling(geometry)) return convolutions_.backward_weight(geometry, x.raw(), dy.raw(), dw.data<float>(), mode);
  // oneDNN takes up to twice the time over strided pixels for this gradient.
  const Tensor pixels = dense_pixels(geometry, x);
  convolutions_.backward_weight(dense_geometry(geometry), pixels.raw(), dy.raw(), dw.data<float>(), mode);
}

void CpuBackend::copy(void* to, const void* from, std::size_t bytes) {
  kernels::parallel_chunks(static_cast<std::int64_t>(bytes), kChunk, [&](std::int64_t begin, std::int64_t end) {
    std::memmove(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                 static_cast<std::size_t>(end - begin));
  });
}

void CpuBackend::fill_zero(void* to, std::size_t bytes) {
  kernels::parallel_chunks(static_cast<std::int64_t>(bytes), kChunk, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(to) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}

void CpuBackend::copy_from_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }

void CpuBackend::copy_to_host(void* to, const void* from, std::size_t bytes) { copy(to, from, bytes); }

MemoryInfo CpuBackend::memory_info() const { return system_memory(); }

std::vector<std::string> CpuBackend::versions() const {
  const dnnl_version_t* const dnn = dnnl_version();
  return {fmt::format("cpu {}{}", processor(), has_bf16() ? ", bf16" : ""),
          fmt::format("onednn {}.{}.{}", dnn->major, dnn->minor, dnn->patch), fmt::format("blas {}", openblas_get_config())};
}

}  // namespace swath::cpu
