// How batch norm cuts its rows for the two executors, so that one workspace query serves both.
#pragma once
#include <algorithm>
#include <cstdint>

namespace swath::kernels::batch_norm_plan {

/// CPU: rows per chunk; about 128 KiB of f32, so that the chunk's partial sums stay small beside it.
inline std::int64_t cpu_chunk_rows(std::int64_t channels) {
  return std::clamp<std::int64_t>(32768 / std::max<std::int64_t>(channels, 1), 16, 1024);
}
inline std::int64_t cpu_chunks(std::int64_t rows, std::int64_t channels) {
  const std::int64_t size = cpu_chunk_rows(channels);
  return (rows + size - 1) / size;
}

/// CUDA: a block takes kCudaLanes vectors of channels × kCudaRowThreads rows at a time.
constexpr int kCudaLanes = 16;
constexpr int kCudaRowThreads = 16;

/// CUDA: number of row chunks, each summed by one block per group of channels: enough blocks to fill a large device, at least
/// 64 rows each. At most 8192 rows each would bound the error of a shifted sum; thread sums are 16 times shorter.
inline std::int64_t cuda_chunks(std::int64_t rows, std::int64_t channels, std::int64_t vector) {
  const std::int64_t groups = std::max<std::int64_t>(1, (channels + kCudaLanes * vector - 1) / (kCudaLanes * vector));
  const std::int64_t wanted = std::max<std::int64_t>(1, 132 * 8 / groups);
  const std::int64_t most = std::max<std::int64_t>(1, rows / 64);
  return std::max(std::min(wanted, most), (rows + 8191) / 8192);
}

/// Bytes: two partial sums per chunk and channel, and three coefficients per channel.
inline std::size_t workspace(std::int64_t rows, std::int64_t channels) {
  const std::int64_t chunks = std::max({cpu_chunks(rows, channels), cuda_chunks(rows, channels, 1),
                                        cuda_chunks(rows, channels, 4), cuda_chunks(rows, channels, 8), std::int64_t{1}});
  return static_cast<std::size_t>((2 * chunks + 3) * channels) * sizeof(float);
}

}  // namespace swath::kernels::batch_norm_plan
