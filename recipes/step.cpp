#include "recipes/step.h"

#include "kernels/statistics.h"

namespace swath {

DType activation_type(const std::string& precision) { return precision == "bf16" ? DType::bf16 : DType::f32; }

TrainStep::TrainStep(Device& device, Recipe& recipe, ParameterBlock& block, Optimizer& optimizer, StepScalars& scalars,
                     const TrainOptions& options, const PackedSplit& split)
    : device_(device),
      recipe_(recipe),
      block_(block),
      optimizer_(optimizer),
      scalars_(scalars),
      options_(options),
      split_(split),
      crop_(crop_side(options.crop, split.image())) {
  names_ = {"loss"};
  for (const std::string& name : recipe.statistic_names()) names_.push_back(name);
  SWATH_CHECK(static_cast<std::int64_t>(names_.size()) <= kernels::kStatisticsWidth);
  ring_ = Tensor::zeros(device, {options.run.log_every, kernels::kStatisticsWidth}, DType::f32, Tag::other);
}

void TrainStep::run(const Batch& batch) {
  SWATH_CHECK(static_cast<std::int64_t>(pending_.size()) < ring_.size(0), "the statistics were not drained");
  scalars_.upload();
  const RandomKey random{options_.seed, scalars_.step_pointer()};
  DeviceBatch on_device;
  on_device.views =
      BatchViews(device_, split_.image(), batch.pixels, batch.n, {.crop = crop_, .type = activation_type(options_.precision)});
  on_device.images = on_device.views.make({.mode = AugmentMode::train}, random);
  on_device.labels = Tensor::from_host(device_, {batch.n, split_.labels().words()}, batch.labels, Tag::input);
  if (recipe_.needs_index()) {
    index_.assign(batch.rows, batch.rows + batch.n);
    on_device.index = Tensor::from_host(device_, {batch.n}, index_, Tag::input);
  }
  on_device.tag = batch.tag;
  on_device.random = random;

  Tape tape(device_, Phase::train);
  block_.begin_step();
  const Objective objective = recipe_.objective(tape, on_device);
  on_device.images = {};
  on_device.views = {};
  tape.backward(objective.loss);
  block_.end_backward();
  optimizer_.step(scalars_);
  recipe_.after_step();

  kernels::PushStatisticsArgs push{.step = scalars_.step_pointer(), .ring = ring_.data<float>(), .capacity = ring_.size(0)};
  push.values[0] = objective.loss.value().data<float>();
  SWATH_CHECK(objective.statistics.size() + 1 == names_.size());
  for (std::size_t i = 0; i < objective.statistics.size(); ++i) {
    const Tensor& statistic = objective.statistics[i].second;
    if (statistic.dtype() == DType::i32) {
      push.counts[i + 1] = statistic.data<std::int32_t>();
    } else {
      push.values[i + 1] = statistic.data<float>();
    }
  }
  device_.run([&](auto exec) { kernels::push_statistics(push, exec); });
  pending_.push_back(scalars_.step());
}

std::vector<StepStatistics> TrainStep::drain() {
  std::vector<StepStatistics> drained;
  if (pending_.empty()) return drained;
  const std::vector<float> values = ring_.to_host<float>();
  const auto capacity = static_cast<std::uint64_t>(ring_.size(0));
  for (const std::uint64_t step : pending_) {
    const float* row = values.data() + (step % capacity) * kernels::kStatisticsWidth;
    drained.push_back({step, std::vector<float>(row, row + names_.size())});
  }
  pending_.clear();
  return drained;
}

}  // namespace swath
