#include "models/export_weights.h"

#include <cstring>

#include "engine/io/safetensors.h"

namespace swath {

namespace {

const std::string kTrunk = "backbone.";

/// Own O×H×W×I → torch's O×I×H×W.
std::vector<float> to_torch_layout(const std::vector<float>& from, const Shape& own) {
  std::vector<float> to(from.size());
  const std::int64_t out = own[0], pixels = own[1] * own[2], in = own[3];
  std::size_t at = 0;
  for (std::int64_t o = 0; o < out; ++o) {
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t p = 0; p < pixels; ++p, ++at) to[at] = from[static_cast<std::size_t>((o * pixels + p) * in + i)];
    }
  }
  return to;
}

SafetensorsItem item_of(const std::string& name, const Tensor& value) {
  const Shape& shape = value.shape();
  std::vector<std::int64_t> extents;
  for (int i = 0; i < shape.rank(); ++i) extents.push_back(shape[i]);
  if (shape.rank() == 4) extents = {shape[0], shape[3], shape[1], shape[2]};
  const auto fill = [value](std::uint8_t* to) {
    std::vector<float> host = value.to_host<float>();
    if (value.shape().rank() == 4) host = to_torch_layout(host, value.shape());
    std::memcpy(to, host.data(), host.size() * sizeof(float));
  };
  const bool of_trunk = name.rfind(kTrunk, 0) == 0;
  return {of_trunk ? name.substr(kTrunk.size()) : name, "F32", extents, static_cast<std::size_t>(value.numel()) * sizeof(float),
          fill};
}

}  // namespace

void export_weights(const ParameterBlock& block, const std::string& file, const std::map<std::string, std::string>& metadata) {
  std::vector<SafetensorsItem> items;
  for (const Parameter& parameter : block.parameters()) {
    const bool of_network = parameter.group == ParameterGroup::backbone || parameter.group == ParameterGroup::head;
    if (of_network) items.push_back(item_of(parameter.name, parameter.value));
  }
  for (const Buffer& buffer : block.buffers()) items.push_back(item_of(buffer.name, buffer.value));
  write_safetensors(file, items, metadata);
}

}  // namespace swath
