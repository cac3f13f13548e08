#include "engine/core/trace.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "engine/core/log.h"
#include "engine/device/device.h"
#include "kernels/nonfinite.h"

#if SWATH_WITH_CUDA
#include <nvtx3/nvToolsExt.h>
#endif

namespace swath {

namespace {

bool switched_on(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value && std::strcmp(value, "0") != 0;
}

std::vector<float> values_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return tensor.to_host<float>();
  std::vector<float> values;
  if (tensor.dtype() == DType::bf16) {
    for (const kernels::bf16 v : tensor.to_host<kernels::bf16>()) values.push_back(kernels::to_float(v));
  } else if (tensor.dtype() == DType::f16) {
    for (const kernels::f16 v : tensor.to_host<kernels::f16>()) values.push_back(kernels::to_float(v));
  }
  return values;
}

}  // namespace

const TraceSwitches& trace_switches() {
  static const TraceSwitches switches{switched_on("SWATH_NVTX"), switched_on("SWATH_CHECK_NAN"),
                                      switched_on("SWATH_DEBUG_TAPE")};
  return switches;
}

TraceRange::TraceRange(const char* name) : open_(trace_switches().nvtx) {
#if SWATH_WITH_CUDA
  if (open_) nvtxRangePushA(name);
#else
  static_cast<void>(name);
#endif
}

TraceRange::~TraceRange() {
#if SWATH_WITH_CUDA
  if (open_) nvtxRangePop();
#endif
}

void require_finite(const Tensor& tensor, const char* what) {
  const DType type = tensor.dtype();
  if (type != DType::f32 && type != DType::bf16 && type != DType::f16) return;
  const Tensor count = Tensor::zeros(tensor.device(), {1}, DType::i32, Tag::workspace);
  const kernels::NonfiniteArgs args{
      .n = tensor.numel(), .dtype = tensor.dtype(), .x = tensor.raw(), .count = count.data<std::int32_t>()};
  tensor.device().run([&](auto exec) { kernels::nonfinite(args, exec); });
  if (count.to_host<std::int32_t>()[0] == 0) return;
  const std::vector<float> values = values_of(tensor);
  const auto first = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  SWATH_CHECK(first != values.end());
  throw NanError(fmt::format("{} holds {} at element {} of {}; lower the learning rate or check the input", what, *first,
                             first - values.begin(), tensor.shape().str()));
}

void print_summary(const char* op, const char* what, const Tensor& tensor) {
  double sum = 0, largest = 0;
  const std::vector<float> values = values_of(tensor);
  for (const float v : values) sum += v, largest = std::max(largest, std::abs(static_cast<double>(v)));
  log::info("{} {} {} {} mean {:.6g} absmax {:.6g}", op, what, tensor.shape().str(), kernels::name_of(tensor.dtype()),
            values.empty() ? 0.0 : sum / static_cast<double>(values.size()), largest);
}

}  // namespace swath
