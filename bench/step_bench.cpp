// One training step of ResNet-50 with the margin loss (methods.md §2, 3, 5, 6), timed: images per second and the peak memory,
// of the process on the CPU and of the pool on a GPU, where the step is a replayed graph. The counterpart in PyTorch is
// peers/step_pytorch.py; step_ratio.py runs both in turns.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/device/device.h"
#include "engine/optim/optimizer.h"
#include "kernels/half.h"
#include "losses/margin.h"
#include "losses/miner.h"
#include "models/embedder.h"

namespace {

using swath::DType;
using swath::Tensor;

struct Options {
  std::int64_t batch = 16, size = 224, channels = 3;
  int steps = 8;
  std::string dtype = "fp32", device = "cpu", autotune;
  bool conv_pipeline = false, eager = false, json = false, memory = false;
};

template <class T>
Tensor narrowed(swath::Device& device, const swath::Shape& shape, const std::vector<float>& values) {
  std::vector<T> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), swath::kernels::from_float<T>);
  return Tensor::from_host(device, shape, narrow, swath::Tag::input);
}

Tensor random_images(swath::Device& device, const Options& options) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const DType type = options.dtype == "bf16" ? DType::bf16 : options.dtype == "fp16" ? DType::f16 : DType::f32;
  const std::int64_t channels = device.backend().conv_channels(type, options.channels);
  const swath::Shape shape{options.batch, options.size, options.size, channels};
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::int64_t>(i) % channels < options.channels ? normal(random) : 0.0f;
  if (type == DType::bf16) return narrowed<swath::kernels::bf16>(device, shape, values);
  if (type == DType::f16) return narrowed<swath::kernels::f16>(device, shape, values);
  return Tensor::from_host(device, shape, values, swath::Tag::input);
}

// Everything that lives from step to step. Two rows per class, as the sampler gives them.
struct Training {
  Training(swath::Device& on, const Options& options)
      : device(on),
        images(random_images(on, options)),
        model(block, {}, options.channels, {{"embedding", 512}}, 1),
        loss(block, {}, (options.batch + 1) / 2),
        miner(swath::make_miner({})),
        scalars(on),
        arena(on.pool()) {
    block.allocate(device);
    last_loss = Tensor::zeros(device, {1}, DType::f32, swath::Tag::other);
    optimizer = std::make_unique<swath::Optimizer>(block, swath::OptimizerOptions{});
    block.keep_low_precision_grads(device.backend().conv_weight_type(images.dtype()));
    if (options.dtype == "fp16") scale = std::make_unique<swath::LossScale>(device);
    std::vector<std::int32_t> classes(static_cast<std::size_t>(options.batch));
    for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<std::int32_t>(i / 2);
    row_class = Tensor::from_host(device, {options.batch}, classes);
    row_count = Tensor::from_host(device, {1}, std::vector<std::int32_t>{static_cast<std::int32_t>(options.batch)});
    for (int group = 0; group < swath::kParameterGroups; ++group) {
      const auto which = static_cast<swath::ParameterGroup>(group);
      scalars.set_learning_rate(which, optimizer->options().group(which).lr);
    }
  }

  /// The first step runs eagerly, the second is recorded where the device captures.
  void step(std::uint64_t number, bool eager) {
    scalars.set_step(number);
    scalars.upload();
    if (eager || !device.backend().captures()) return queue();
    if (graph) return graph->launch();
    const swath::ArenaScope scope(arena);
    if (number == 0) return queue();
    graph = device.backend().capture([this] { queue(); });
    graph->launch();
  }

  void queue() {
    block.begin_step();
    swath::Tape tape(device, swath::Phase::train);
    const swath::RandomKey key{1, scalars.step_pointer()};
    const swath::Var rows = model.forward(tape, swath::Var(images), key).front();
    const swath::Triplets triplets =
        miner->mine({.rows = rows.value(), .row_class = row_class, .row_count = row_count, .random = key});
    const swath::LossOutput output =
        loss.forward(tape, {.rows = rows, .row_class = row_class, .row_count = row_count, .triplets = triplets});
    if (scale) {
      tape.backward(output.loss, scale->seed());
    } else {
      tape.backward(output.loss);
    }
    block.end_backward();
    if (scale) scale->check(block);
    optimizer->step(scalars, scale.get());
    last_loss.copy_from(output.loss.value());
  }

  swath::Device& device;
  Tensor images, row_class, row_count, last_loss;
  swath::ParameterBlock block;
  swath::Embedder model;
  swath::MarginLoss loss;
  std::unique_ptr<swath::Miner> miner;
  std::unique_ptr<swath::Optimizer> optimizer;
  std::unique_ptr<swath::LossScale> scale;  // of fp16
  swath::StepScalars scalars;
  swath::PoolArena arena;
  std::unique_ptr<swath::DeviceGraph> graph;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double peak_mib(const swath::Device& device) {
  if (device.is_cuda()) return static_cast<double>(device.pool()->use().peak) / (1 << 20);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

/// Seconds a step: of each step on the CPU, of each of five rounds of steps on a GPU, which is not waited for in between.
std::vector<double> timed_steps(Training& training, const Options& options) {
  using Clock = std::chrono::steady_clock;
  constexpr int kWarmUp = 2;
  const bool cuda = training.device.is_cuda();
  const int rounds = cuda ? 5 : options.steps, steps = cuda ? options.steps : 1;
  std::uint64_t number = 0;
  for (int i = 0; i < kWarmUp; ++i) training.step(number++, options.eager);
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    training.device.synchronize();
    const auto start = Clock::now();
    for (int i = 0; i < steps; ++i) training.step(number++, options.eager);
    training.device.synchronize();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count() / steps);
  }
  return seconds;
}

int run(const Options& options) {
  const auto device = swath::Device::open(
      options.device, {.conv_math = options.dtype == "tf32" ? swath::Float32Math::tf32 : swath::Float32Math::full,
                       .autotune = options.autotune,
                       .conv_pipeline = options.conv_pipeline});
  Training training(*device, options);
  const std::vector<double> seconds = timed_steps(training, options);
  const float loss = training.last_loss.to_host<float>().front();
  const double batch = static_cast<double>(options.batch);
  const double rate = batch / median(seconds), best = batch / *std::min_element(seconds.begin(), seconds.end());
  const std::int64_t kernels = training.graph ? training.graph->size().kernels : 0;
  if (options.memory)
    fmt::print(stderr, "{}{:<12} {:>25.1f}\n", device->pool()->report(), "reserved",
               static_cast<double>(device->pool()->reserved()) / (1 << 20));
  if (options.json) {
    const swath::Json result = {{"program", "swath"},
                                {"device", options.device},
                                {"batch", options.batch},
                                {"size", options.size},
                                {"channels", options.channels},
                                {"dtype", options.dtype},
                                {"conv_pipeline", options.conv_pipeline},
                                {"steps", options.steps},
                                {"graph_kernels", kernels},
                                {"images_per_second", rate},
                                {"best_images_per_second", best},
                                {"loss", loss},
                                {"peak_mib", peak_mib(*device)}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("{:.2f} images/s (best {:.2f}), peak memory {:.0f} MiB, loss {:.4f}\n", rate, best, peak_mib(*device), loss);
  }
  return std::isfinite(loss) ? 0 : static_cast<int>(swath::ExitCode::nan);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Times one training step of ResNet-50."};
  Options options;
  app.add_option("--batch", options.batch)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--size", options.size, "height and width of the images")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--channels", options.channels)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--dtype", options.dtype)->check(CLI::IsMember({"fp32", "tf32", "bf16", "fp16"}))->capture_default_str();
  app.add_option("--steps", options.steps, "timed steps, after two that are not; on a GPU five rounds of them")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--device", options.device)->capture_default_str();
  app.add_option("--autotune", options.autotune, "file of the fastest engines of cuDNN, timed at first use");
  app.add_flag("--conv-pipeline", options.conv_pipeline, "convolutions that normalise; with --dtype fp16");
  app.add_flag("--eager", options.eager, "no graph");
  app.add_flag("--json", options.json, "print one JSON object");
  app.add_flag("--memory", options.memory, "print memory by purpose on stderr");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const swath::Error& error) {
    fmt::print(stderr, "step_bench: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
