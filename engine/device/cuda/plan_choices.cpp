#include "engine/device/cuda/plan_choices.h"

#include <cudnn.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath::cuda {

namespace {

std::string description(const Context& context) {
  const cudaDeviceProp& p = context.properties();
  int driver = 0;
  cudaDriverGetVersion(&driver);
  return fmt::format("{}, sm_{}{}, {} multiprocessors, cuDNN {}, driver {}", p.name, p.major, p.minor, p.multiProcessorCount,
                     cudnnGetVersion(), driver);
}

}  // namespace

PlanChoices::PlanChoices(std::string file, const Context& context) : file_(std::move(file)) {
  if (!enabled()) return;
  device_ = description(context);
  choices_ = read();
}

PlanChoices::ByDevice PlanChoices::read() const {
  if (!std::filesystem::exists(file_)) return {};
  try {
    std::ifstream in(file_);
    return nlohmann::json::parse(in).get<ByDevice>();
  } catch (const nlohmann::json::exception& e) {
    throw DataError(
        fmt::format("{} is no file of timed engines: delete it, or name another as autotune ({})", file_, e.what()));
  }
}

std::string PlanChoices::engine(const std::string& convolution) const {
  const auto device = choices_.find(device_);
  if (device == choices_.end()) return {};
  const auto found = device->second.find(convolution);
  return found == device->second.end() ? std::string() : found->second;
}

void PlanChoices::keep(const std::string& convolution, const std::string& engine) {
  choices_ = read();
  choices_[device_][convolution] = engine;
  atomic_write(file_, nlohmann::json(choices_).dump(1) + "\n");
}

}  // namespace swath::cuda
