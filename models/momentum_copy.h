// The key network of MoCo: a second network of the same form whose parameters follow the first's (methods.md §6 "Fast MoCo").
#pragma once
#include <string>
#include <vector>

#include "engine/io/checkpoint.h"
#include "models/embedder.h"

namespace swath {

/// Parameters θ_k and running statistics of its own, no gradients. Runs in training mode: batch statistics, dropout.
class MomentumCopy {
 public:
  MomentumCopy(Device& device, const ModelOptions& options, std::int64_t in_channels, const std::vector<HeadSpec>& heads,
               float momentum);

  /// Takes the values of the network it copies, running statistics included. `source` may hold more (the losses' parameters),
  /// behind the network's.
  void start(const ParameterBlock& source);
  /// As Embedder::forward on a training tape; nothing is recorded.
  std::vector<Tensor> forward(Tape& tape, const Tensor& images, RandomKey key) const;
  /// θ_k ← μ θ_k + (1 − μ) θ_q: parameters only.
  void follow(const ParameterBlock& source);
  /// Parameters and running statistics as `<name>.<their name>`.
  void visit_state(StateVisitor& visitor, const std::string& name = "key");

 private:
  /// The network's part of the source's flat array. Throws InternalError when the layouts differ.
  Tensor part_of(const ParameterBlock& source) const;

  ParameterBlock block_;
  Embedder embedder_;
  Tensor momentum_;
};

}  // namespace swath
