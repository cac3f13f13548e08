// Every distinct convolution of ResNet-50 through a device's backend: GFLOP/s of the forward pass and both gradients.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/device/device.h"

namespace {

using swath::ConvGeometry;
using swath::DType;
using swath::Tensor;

struct Shape {
  ConvGeometry geometry;
  int count;  // occurrences in the network
};

// ResNet-50 v1.5: the stem, then four stages of bottlenecks (methods.md §2).
std::vector<Shape> resnet50(std::int64_t batch, std::int64_t size, std::int64_t channels, DType dtype) {
  const auto conv = [&](std::int64_t h, std::int64_t c, std::int64_t k, std::int64_t r, std::int64_t stride) {
    return ConvGeometry{batch, h, h, c, k, r, r, stride, r / 2, dtype};
  };
  std::vector<Shape> shapes = {{conv(size, channels, 64, 7, 2), 1}};
  std::int64_t h = (shapes[0].geometry.out_h() - 1) / 2 + 1, c = 64, width = 64;
  for (const int blocks : {3, 4, 6, 3}) {
    const std::int64_t stride = width == 64 ? 1 : 2;
    shapes.push_back({conv(h, c, width, 1, 1), 1});
    shapes.push_back({conv(h, width, width, 3, stride), 1});
    shapes.push_back({conv(h, c, 4 * width, 1, stride), 1});
    h = (h - 1) / stride + 1;
    c = 4 * width;
    shapes.push_back({conv(h, width, c, 1, 1), blocks});
    shapes.push_back({conv(h, c, width, 1, 1), blocks - 1});
    shapes.push_back({conv(h, width, width, 3, 1), blocks - 1});
    width *= 2;
  }
  return shapes;
}

enum class Clock { wall, process };

double seconds_now(Clock clock) {
  if (clock == Clock::process) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double best_seconds(Clock clock, int repeats, const std::function<void()>& run) {
  run();
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const double start = seconds_now(clock);
    run();
    best = std::min(best, seconds_now(clock) - start);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Times every distinct convolution of ResNet-50."};
  std::int64_t batch = 16, size = 224, channels = 3;
  int repeats = 5;
  std::string dtype_name = "fp32", device_name = "cpu";
  app.add_option("--batch", batch)->capture_default_str();
  app.add_option("--size", size, "height and width of the images")->capture_default_str();
  app.add_option("--channels", channels)->capture_default_str();
  app.add_option("--dtype", dtype_name)->check(CLI::IsMember({"fp32", "bf16"}))->capture_default_str();
  app.add_option("--repeats", repeats)->capture_default_str();
  app.add_option("--device", device_name)->capture_default_str();
  bool process_clock = false;
  app.add_flag("--process-clock", process_clock,
               "time by the process's clock, which a busy machine does not disturb; for OMP_NUM_THREADS=1");
  CLI11_PARSE(app, argc, argv);

  const Clock clock = process_clock ? Clock::process : Clock::wall;
  const DType dtype = dtype_name == "bf16" ? DType::bf16 : DType::f32;
  const auto device = swath::Device::open(device_name);
  swath::Backend& backend = device->backend();
  double totals[3] = {}, work = 0;
  fmt::print("{:<28} {:>5} {:>7} {:>8} {:>8} {:>8}\n", "convolution", "times", "GFLOP", "forward", "data", "weight");
  channels = backend.conv_channels(dtype, channels);
  for (const Shape& shape : resnet50(batch, size, channels, dtype)) {
    const ConvGeometry& g = shape.geometry;
    const Tensor x = Tensor::zeros(*device, g.input_shape(), dtype), dx = Tensor::zeros(*device, g.input_shape(), dtype);
    const Tensor y = Tensor::zeros(*device, g.output_shape(), dtype);
    const Tensor w = Tensor::zeros(*device, g.weight_shape(), backend.conv_weight_type(dtype));
    const Tensor dw = Tensor::zeros(*device, g.weight_shape());
    const bool stem = g.c == channels;
    const double seconds[3] = {
        best_seconds(clock, repeats, [&] { backend.conv_forward(g, x, w, y), device->synchronize(); }),
        stem ? 0 : best_seconds(clock, repeats, [&] { backend.conv_backward_data(g, y, w, dx), device->synchronize(); }),
        best_seconds(clock, repeats,
                     [&] { backend.conv_backward_weight(g, x, y, dw, swath::GradMode::overwrite), device->synchronize(); })};
    const double gflop = 2e-9 * static_cast<double>(g.output_shape().numel() * g.r * g.s * g.c);
    fmt::print("{:<28} {:>5} {:>7.2f}", fmt::format("{}>{} {}x{}/{} @{}", g.c, g.k, g.r, g.s, g.stride, g.h), shape.count,
               gflop);
    for (int i = 0; i < 3; ++i) {
      totals[i] += shape.count * seconds[i];
      fmt::print(" {:>8.0f}", seconds[i] > 0 ? gflop / seconds[i] : 0.0);
    }
    fmt::print("\n");
    work += gflop * shape.count * (stem ? 2 : 3);
  }
  const double total = totals[0] + totals[1] + totals[2];
  fmt::print(
      "seconds of a step: forward {:.3f}, data {:.3f}, weight {:.3f}, together {:.3f}: {:.0f} GFLOP/s, {:.2f} images/s\n",
      totals[0], totals[1], totals[2], total, work / total, static_cast<double>(batch) / total);
}
