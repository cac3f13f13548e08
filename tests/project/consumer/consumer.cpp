// Embeds the engine: memory (and with CUDA the stream) of its own, two devices in two threads that train, errors survived.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/config.h"
#include "engine/device/device.h"
#include "engine/io/safetensors.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/step_scalars.h"
#include "losses/margin.h"
#include "models/embedder.h"
#include "recipes/options.h"
#if SWATH_WITH_CUDA
#include <cuda_runtime.h>
#endif

namespace {

/// Counts what the engine holds; host memory, or CUDA memory in a build with CUDA that is given a CUDA device.
class OwnMemory : public swath::Allocator {
 public:
  explicit OwnMemory(bool on_cuda) : on_cuda_(on_cuda) {}
  void* allocate(std::size_t bytes) override {
    void* pointer = nullptr;
#if SWATH_WITH_CUDA
    if (on_cuda_ && cudaMalloc(&pointer, bytes) != cudaSuccess) pointer = nullptr;
#endif
    if (!on_cuda_) pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!pointer) throw swath::DeviceError("the application has no memory left");
    held_ += bytes;
    return pointer;
  }
  void deallocate(void* pointer, std::size_t bytes) noexcept override {
    held_ -= bytes;
#if SWATH_WITH_CUDA
    if (on_cuda_) {
      cudaFree(pointer);
      return;
    }
#endif
    std::free(pointer);
  }
  std::size_t held() const { return held_; }

 private:
  bool on_cuda_;
  std::atomic<std::size_t> held_{0};
};

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

/// Trains a small network on four made-up images of two classes; returns the loss of every step.
std::vector<float> train(swath::Device& device, std::uint64_t seed) {
  using namespace swath;
  constexpr std::int64_t kImages = 4, kSide = 32, kSteps = 3;
  ParameterBlock block;
  ModelOptions model;
  model.backbone = "resnet18";
  model.embedding = 16;
  const Embedder embedder(block, model, 3, {{"embedding", model.embedding}}, seed);
  MarginLoss loss(block, MarginOptions{}, 2);
  block.allocate(device);
  OptimizerOptions rates;
  rates.backbone.lr = rates.head.lr = 1e-3f;
  Optimizer optimizer(block, rates);
  StepScalars scalars(device);
  for (const ParameterGroup group : {ParameterGroup::backbone, ParameterGroup::head, ParameterGroup::beta})
    scalars.set_learning_rate(group, rates.group(group).lr);

  std::vector<float> pixels(kImages * kSide * kSide * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<float>((i * 2654435761u + seed) % 1000) / 500.0f - 1.0f;
  const Tensor images = Tensor::from_host(device, {kImages, kSide, kSide, 3}, pixels, Tag::input);
  const Tensor row_class = Tensor::from_host(device, {kImages}, std::vector<std::int32_t>{0, 0, 1, 1});
  const Tensor row_count = Tensor::from_host(device, {1}, std::vector<std::int32_t>{kImages});
  const std::unique_ptr<Miner> miner = make_miner({});

  std::vector<float> losses;
  for (std::uint64_t step = 0; step < kSteps; ++step) {
    scalars.set_step(step);
    scalars.upload();
    const RandomKey random{seed, scalars.step_pointer()};
    Tape tape(device, Phase::train);
    block.begin_step();
    const Var rows = embedder.forward(tape, Var(images), random).front();
    const Triplets triplets =
        miner->mine({.rows = rows.value(), .row_class = row_class, .row_count = row_count, .random = random});
    const LossOutput out =
        loss.forward(tape, {.rows = rows, .row_class = row_class, .row_count = row_count, .triplets = triplets});
    tape.backward(out.loss);
    block.end_backward();
    optimizer.step(scalars);
    losses.push_back(out.loss.value().to_host<float>().front());
  }
  device.synchronize();
  return losses;
}

template <class Wanted, class F>
void expect_error(const char* what, F&& f) {
  try {
    f();
  } catch (const Wanted& problem) {
    std::printf("survived: %s\n", problem.what());
    return;
  }
  throw std::runtime_error(std::string("no error from ") + what);
}

void provoke_errors() {
  using namespace swath;
  expect_error<UserError>("an unknown key", [] {
    TrainOptions options;
    config_from_json(options, parse_config(R"({"epocs": 3})", "consumer"));
  });
  expect_error<DataError>("a missing file", [] { SafetensorsFile::open("no-such-file.safetensors"); });
  expect_error<UserError>("an unknown device", [] { Device::open("abacus"); });
}

/// One context: its own memory, its own stream, errors in between, training before and after.
void use_engine(const std::string& name, std::uint64_t seed, std::vector<float>& losses) {
  const bool on_cuda = name != "cpu";
  const auto memory = std::make_shared<OwnMemory>(on_cuda);
  swath::DeviceOptions options;
  options.allocator = memory;
#if SWATH_WITH_CUDA
  cudaStream_t stream = nullptr;
  if (on_cuda) {
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "no stream");
    options.stream = stream;
  }
#endif
  {
    const std::unique_ptr<swath::Device> device = swath::Device::open(name, options);
    losses = train(*device, seed);
    require(memory->held() > 0, "the engine did not use the application's memory");
    provoke_errors();
    const std::vector<float> again = train(*device, seed);
    require(again == losses, "the same seed gave another loss after the errors");
  }
#if SWATH_WITH_CUDA
  if (stream) cudaStreamDestroy(stream);
#endif
  require(memory->held() == 0, "the engine kept the application's memory");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string device = argc > 1 ? argv[1] : "cpu";
  std::vector<float> losses[2];
  std::string problems[2];
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      try {
        use_engine(device, 7, losses[i]);
      } catch (const std::exception& problem) {
        problems[i] = problem.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& problem : problems) {
    if (!problem.empty()) {
      std::fprintf(stderr, "consumer: %s\n", problem.c_str());
      return 1;
    }
  }
  if (losses[0] != losses[1]) {
    std::fprintf(stderr, "consumer: two contexts with one seed gave different losses\n");
    return 1;
  }
  std::printf("losses:");
  for (const float loss : losses[0]) std::printf(" %.6f", static_cast<double>(loss));
  std::printf("\n");
  return 0;
}
