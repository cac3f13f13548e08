// Initial values of parameters, drawn from Philox so that a seed fixes them on every machine.
#pragma once
#include <cstdint>

#include "engine/nn/parameter.h"

namespace swath {

/// Constant value.
Initializer constant_init(float value);

/// Normal with standard deviation sqrt(2 / fan_out), fan_out = K·R·S of a K×R×S×C weight: He et al. 2015 in the mode
/// that torchvision's ResNet uses (`kaiming_normal_(mode="fan_out", nonlinearity="relu")`).
Initializer he_normal_init(std::uint64_t seed, std::uint64_t stream_index);

/// Uniform in ±1/sqrt(fan_in), as PyTorch's nn.Linear for weight (out×in) and, with `fan_in` given, its bias.
Initializer linear_init(std::uint64_t seed, std::uint64_t stream_index, std::int64_t fan_in);

/// A stable 64-bit number of a parameter's name, so that adding a parameter does not change the others' values.
std::uint64_t name_hash(const std::string& name);

}  // namespace swath
