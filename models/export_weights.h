// A network's weights as a safetensors file for PyTorch: torchvision's names and layout (methods.md §2).
#pragma once
#include <map>
#include <string>

#include "engine/nn/parameter.h"

namespace swath {

/// Writes trunk, running statistics and heads as float32, atomically: the trunk under torchvision's names (`conv1.weight`,
/// `layer1.0.bn1.running_mean` …) with convolutions O×I×H×W, heads as `head.<name>.weight` and `.bias`; parameters of losses
/// are left out. load_pretrained() reads the trunk back. Throws DataError when the file cannot be written.
void export_weights(const ParameterBlock& block, const std::string& file, const std::map<std::string, std::string>& metadata);

}  // namespace swath
