#include "engine/optim/step_scalars.h"

#include <cstddef>

namespace swath {

StepScalars::StepScalars(Device& device)
    : device_values_(Tensor::zeros(device, {static_cast<std::int64_t>(sizeof(Values))}, DType::u8, Tag::other)) {
  upload();
}

void StepScalars::upload() {
  host_.updates = host_.step + 1;
  device_values_.copy_from_host(&host_);
}

const std::uint64_t* StepScalars::step_pointer() const {
  return reinterpret_cast<const std::uint64_t*>(device_values_.data<std::uint8_t>() + offsetof(Values, step));
}

const std::uint64_t* StepScalars::updates_pointer() const {
  return reinterpret_cast<const std::uint64_t*>(device_values_.data<std::uint8_t>() + offsetof(Values, updates));
}

const float* StepScalars::learning_rate_pointer(ParameterGroup group) const {
  return reinterpret_cast<const float*>(device_values_.data<std::uint8_t>() + offsetof(Values, learning_rate)) +
         static_cast<int>(group);
}

}  // namespace swath
