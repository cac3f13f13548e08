// From source integers to a network's input: rotation, crop, flip, standardisation (methods.md §1). No state, no workspace.
#pragma once
#include "kernels/exec.h"

namespace swath::kernels {

/// train: random crop and one flip, horizontal or vertical with equal chance; evaluate: centre crop, no flip.
enum class AugmentMode : std::uint8_t { train, evaluate };
/// random_quarter: a random multiple of 90° (counter-clockwise) before the crop; square images only.
enum class AugmentRotation : std::uint8_t { none, random_quarter };

/// out[r] = the crop of an image, per channel (v − mean) / (population standard deviation + 1e-8) over the crop.
/// u8 is divided by 255 first. A constant channel gives exactly 0. Channels from `channels` to `out_channels` are 0.
/// The draws depend on (seed, step, view, row_id[r]) alone and are the same on every device.
struct AugmentArgs {
  std::int64_t rows = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t crop_height = 0;              // 1 … height
  std::int64_t crop_width = 0;               // 1 … width
  std::int64_t out_channels = 0;             // ≥ channels
  DType source_type = DType::u8;             // u8 or u16
  DType out_type = DType::f32;               // f32, bf16 or f16
  const void* images = nullptr;              // images × height × width × channels
  const std::int64_t* source_row = nullptr;  // rows: which image becomes row r; null: image r
  const std::int64_t* row_id = nullptr;      // rows: the key of the draws; null: row_offset + r. Not read when evaluating
  std::int64_t row_offset = 0;               // first row's number in the whole batch
  std::uint64_t seed = 0;
  const std::uint64_t* step = nullptr;  // 1, device; not read when evaluating without rotation
  std::uint32_t view = 0;               // another view of the same row in the same step has other draws
  AugmentMode mode = AugmentMode::train;
  AugmentRotation rotation = AugmentRotation::none;
  void* out = nullptr;  // rows × crop_height × crop_width × out_channels
};
void augment(const AugmentArgs&, CudaStream);
void augment(const AugmentArgs&, Cpu);

}  // namespace swath::kernels

// Cost: reads the crop twice, the second time from cache, writes it once; 1 launch; no workspace.
// Budget: augment_kernel 64 registers, 7208 bytes shared.
