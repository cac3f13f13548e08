#include "models/resnet.h"

#include <array>

#include "engine/autograd/nn_ops.h"
#include "engine/core/config.h"
#include "engine/nn/init.h"

namespace swath {

namespace {

enum class BlockKind { basic, bottleneck };

struct Depth {
  const char* name;
  BlockKind kind;
  std::array<int, 4> blocks;
};

constexpr Depth kDepths[] = {
    {"resnet18", BlockKind::basic, {2, 2, 2, 2}},
    {"resnet34", BlockKind::basic, {3, 4, 6, 3}},
    {"resnet50", BlockKind::bottleneck, {3, 4, 6, 3}},
    {"resnet101", BlockKind::bottleneck, {3, 4, 23, 3}},
};

const Depth& find_depth(const std::string& name) {
  for (const Depth& depth : kDepths) {
    if (name == depth.name) return depth;
  }
  throw UserError(fmt::format("model.backbone must be one of {}, not \"{}\"", fmt::join(resnet_depths(), ", "), name));
}

}  // namespace

const std::vector<std::string>& resnet_depths() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Depth& depth : kDepths) list.emplace_back(depth.name);
    return list;
  }();
  return names;
}

struct ResNet::Builder {
  ParameterBlock& block;
  std::uint64_t seed;

  ConvNorm declare(const std::string& conv, const std::string& norm, std::int64_t out, std::int64_t kernel, std::int64_t in,
                   std::int64_t stride) const {
    const std::string weight = conv + ".weight";
    Parameter& w =
        block.declare(weight, {out, kernel, kernel, in}, ParameterGroup::backbone, he_normal_init(seed, name_hash(weight)));
    return {&w, BatchNorm::declare(block, norm, out, ParameterGroup::backbone), {.stride = stride, .pad = kernel / 2}};
  }

  Block residual(const std::string& name, BlockKind kind, std::int64_t in, std::int64_t width, std::int64_t stride) const {
    Block made;
    const auto conv = [&](int i, std::int64_t out, std::int64_t kernel, std::int64_t from, std::int64_t s) {
      made.convs.push_back(declare(fmt::format("{}.conv{}", name, i), fmt::format("{}.bn{}", name, i), out, kernel, from, s));
    };
    std::int64_t out = width;
    if (kind == BlockKind::basic) {
      conv(1, width, 3, in, stride);
      conv(2, width, 3, width, 1);
    } else {
      out = 4 * width;
      conv(1, width, 1, in, 1);
      conv(2, width, 3, width, stride);
      conv(3, out, 1, width, 1);
    }
    if (stride != 1 || in != out)
      made.shortcut.push_back(declare(name + ".downsample.0", name + ".downsample.1", out, 1, in, stride));
    return made;
  }
};

ResNet::ResNet(ParameterBlock& block, const ResNetOptions& options, std::uint64_t seed, const std::string& prefix) {
  const Depth& depth = find_depth(options.depth);
  const Builder build{block, seed};
  stem_ = build.declare(prefix + "conv1", prefix + "bn1", 64, 7, options.in_channels, 2);
  const std::int64_t expansion = depth.kind == BlockKind::basic ? 1 : 4;
  std::int64_t channels = 64;
  for (std::size_t stage = 0; stage < 4; ++stage) {
    const std::int64_t width = std::int64_t{64} << stage;
    for (int i = 0; i < depth.blocks[stage]; ++i) {
      const std::string name = fmt::format("{}layer{}.{}", prefix, stage + 1, i);
      blocks_.push_back(build.residual(name, depth.kind, channels, width, stage > 0 && i == 0 ? 2 : 1));
      channels = width * expansion;
    }
  }
  features_ = channels;
}

Var ResNet::forward(Tape& tape, const Var& images) const {
  Var x = conv_norm_pool(tape, images, stem_, {.kernel = 3, .stride = 2, .pad = 1});
  for (const Block& block : blocks_) {
    const Var in = x;
    for (std::size_t i = 0; i + 1 < block.convs.size(); ++i) x = conv_norm(tape, x, block.convs[i], Activation::relu);
    x = block.shortcut.empty() ? conv_norm_add(tape, x, block.convs.back(), in)
                               : conv_norm_add(tape, x, block.convs.back(), in, block.shortcut.front());
  }
  return global_average_pool(tape, x);
}

}  // namespace swath
