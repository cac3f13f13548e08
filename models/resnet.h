// ResNet v1.5 (K. He et al. 2016; the stride sits in the 3×3 convolution of a bottleneck, as in torchvision).
// methods.md §2.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd/conv_block.h"
#include "engine/nn/parameter.h"

namespace swath {

struct ResNetOptions {
  std::string depth = "resnet50";
  std::int64_t in_channels = 3;
};

/// Names of the depths that exist: resnet18, resnet34, resnet50, resnet101.
const std::vector<std::string>& resnet_depths();

class ResNet {
 public:
  /// Declares the parameters as `<prefix>conv1.weight`, `<prefix>layer1.0.bn1.weight`, … (torchvision's names) in the
  /// group backbone. Convolution weights are stored K×R×S×C. Throws UserError for an unknown depth.
  ResNet(ParameterBlock& block, const ResNetOptions& options, std::uint64_t seed, const std::string& prefix = "backbone.");

  /// N×H×W×C images (f32, bf16 or f16) → N×features() f32 after global average pooling.
  Var forward(Tape& tape, const Var& images) const;
  /// Width of the pooled feature: 512 or 2048.
  std::int64_t features() const { return features_; }

 private:
  struct Block {
    std::vector<ConvNorm> convs;     // two (basic) or three (bottleneck)
    std::vector<ConvNorm> shortcut;  // one where the shape changes, else none
  };
  struct Builder;

  ConvNorm stem_;
  std::vector<Block> blocks_;
  std::int64_t features_ = 0;
};

}  // namespace swath
