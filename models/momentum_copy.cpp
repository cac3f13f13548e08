#include "models/momentum_copy.h"

#include "kernels/ema.h"

namespace swath {

MomentumCopy::MomentumCopy(Device& device, const ModelOptions& options, std::int64_t in_channels,
                           const std::vector<HeadSpec>& heads, float momentum)
    : embedder_(block_, options, in_channels, heads, 0),
      momentum_(Tensor::from_host(device, {1}, std::vector<float>{momentum}, Tag::other)) {
  for (Parameter& p : block_.parameters()) p.trainable = Trainable::no;
  block_.allocate(device, BlockUse::copy);
}

Tensor MomentumCopy::part_of(const ParameterBlock& source) const {
  for (const Parameter& p : block_.parameters()) {
    const Parameter* other = source.find(p.name);
    SWATH_CHECK(other && other->place == p.place && other->shape == p.shape, "{} lies elsewhere in the block it is copied from",
                p.name);
  }
  return source.values().rows(0, block_.values().numel());
}

void MomentumCopy::start(const ParameterBlock& source) {
  block_.values().copy_from(part_of(source));
  for (Buffer& b : block_.buffers()) {
    const Buffer* other = source.find_buffer(b.name);
    SWATH_CHECK(other && other->shape == b.shape, "{} is missing in the block it is copied from", b.name);
    b.value.copy_from(other->value);
  }
}

std::vector<Tensor> MomentumCopy::forward(Tape& tape, const Tensor& images, RandomKey key) const {
  const Tape::NoGradient constant(tape);
  std::vector<Tensor> parts;
  for (const Var& part : embedder_.forward(tape, Var(images), key)) parts.push_back(part.value());
  return parts;
}

void MomentumCopy::follow(const ParameterBlock& source) {
  const Tensor query = part_of(source);
  const kernels::EmaArgs args{.n = query.numel(),
                              .source = query.data<float>(),
                              .target = block_.values().data<float>(),
                              .mu = momentum_.data<float>()};
  query.device().run([&](auto exec) { kernels::ema(args, exec); });
}

void MomentumCopy::visit_state(StateVisitor& visitor, const std::string& name) {
  for (Parameter& p : block_.parameters()) visitor.tensor(name + "." + p.name, p.value);
  for (Buffer& b : block_.buffers()) visitor.tensor(name + "." + b.name, b.value);
}

}  // namespace swath
