// Trunk weights from a safetensors file with torchvision's or timm's ResNet names (methods.md §2).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/nn/parameter.h"

namespace swath {

struct PretrainedOptions {
  std::int64_t copy_weights = 0;
  std::string prefix = "backbone.";
};

/// What a file held beside the trunk, by name: a classifier (`fc.*`), heads (`head.*`, export_weights.h) and counters
/// (`num_batches_tracked`) are expected.
struct PretrainedReport {
  std::vector<std::string> ignored;
};

/// Fills parameters and running statistics named `<prefix><torchvision name>`. Convolutions are stored O×I×H×W in the file.
/// A first convolution with fewer input channels than the model's is widened: the extra channels copy `copy_weights`.
/// Throws DataError that names every missing, surplus or misshapen tensor, or a `copy_weights` the file lacks; a PyTorch .pth
/// is refused with the command that converts it. Nothing is changed when it throws.
PretrainedReport load_pretrained(ParameterBlock& block, const std::string& file, const PretrainedOptions& options = {});

}  // namespace swath
