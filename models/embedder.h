// The whole network: ResNet trunk, pooling, dropout, heads (methods.md §2).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "models/heads.h"
#include "models/resnet.h"

namespace swath {

struct ModelOptions {
  std::string backbone = "resnet50";
  std::int64_t embedding = 512;
  float dropout = 0.01f;
  bool penultimate = false;
  bool frozen = false;
  std::string pretrained;
  std::int64_t copy_weights = 0;

  template <class V>
  void fields(V& v) {
    v("backbone", backbone, "depth of the ResNet", OneOf{resnet_depths()});
    v("embedding", embedding, "width D of the embedding, all heads together", Range{1, 65536});
    v("dropout", dropout, "dropout before the heads", Range{0, 0.99});
    v("penultimate", penultimate, "embed with the pooled feature itself, normalised, and no head");
    v("frozen", frozen, "backbone parameters stay; its running statistics still follow the data");
    v("pretrained", pretrained, "safetensors file with torchvision's or timm's ResNet weights; empty: random initialisation");
    v("copy_weights", copy_weights, "channel of the pretrained first convolution that every channel beyond the third copies",
      Range{0, 2});
  }
};

class Embedder {
 public:
  /// `heads` is empty when options.penultimate. Declares its parameters in `block`; load_pretrained (pretrained.h) fills
  /// them after block.allocate().
  Embedder(ParameterBlock& block, const ModelOptions& options, std::int64_t in_channels, const std::vector<HeadSpec>& heads,
           std::uint64_t seed);

  /// N×H×W×C standardised images → the heads' unit rows (one N×D matrix for penultimate).
  std::vector<Var> forward(Tape& tape, const Var& images, RandomKey key) const;
  /// Width of the concatenation of what forward() returns.
  std::int64_t width() const { return width_; }
  /// N×H×W×C standardised images → N × features() unit rows: the pooled feature, without a head.
  Var penultimate(Tape& tape, const Var& images) const;
  std::int64_t features() const { return trunk_.features(); }

 private:
  Var pooled(Tape& tape, const Var& images) const;

  ResNet trunk_;
  std::unique_ptr<Heads> heads_;
  bool frozen_;
  std::int64_t width_ = 0;
};

}  // namespace swath
