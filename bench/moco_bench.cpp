// Fast MoCo's loss and gradient (methods.md §6) on the CPU, timed: one JSON object per case. The counterpart in PyTorch is
// peers/moco_pytorch.py.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>
#include <random>
#include <vector>

#include "kernels/moco_loss.h"

namespace {

using swath::kernels::Cpu;
using swath::kernels::MocoLossArgs;

constexpr std::int64_t kQueueBatches = 30;

std::vector<float> unit_rows(std::int64_t rows, std::int64_t width, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows * width));
  for (std::size_t begin = 0; begin < x.size(); begin += static_cast<std::size_t>(width)) {
    double squares = 0;
    for (std::size_t k = begin; k < begin + static_cast<std::size_t>(width); ++k) {
      x[k] = normal(random);
      squares += static_cast<double>(x[k]) * static_cast<double>(x[k]);
    }
    for (std::size_t k = begin; k < begin + static_cast<std::size_t>(width); ++k)
      x[k] /= static_cast<float>(std::sqrt(squares));
  }
  return x;
}

void measure(std::int64_t batch, std::int64_t width, double seconds) {
  const std::vector<float> queries = unit_rows(batch, width, 1), keys = unit_rows(batch, width, 2),
                           queue = unit_rows(kQueueBatches * batch, width, 3);
  std::vector<float> d_queries(queries.size());
  float loss = 0;
  MocoLossArgs args{.queries = queries.data(),
                    .keys = keys.data(),
                    .queue = queue.data(),
                    .loss = &loss,
                    .d_queries = d_queries.data(),
                    .rows = batch,
                    .cols = width,
                    .capacity = kQueueBatches * batch,
                    .queries_ld = width,
                    .keys_ld = width,
                    .d_queries_ld = width};
  args.workspace = ::operator new (moco_loss_workspace(args), std::align_val_t{64});
  using Clock = std::chrono::steady_clock;
  moco_loss(args, Cpu{});
  std::vector<double> times;
  for (const auto begun = Clock::now();
       times.size() < 3 || std::chrono::duration<double>(Clock::now() - begun).count() < seconds;) {
    const auto start = Clock::now();
    moco_loss(args, Cpu{});
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  ::operator delete (args.workspace, std::align_val_t{64});
  std::sort(times.begin(), times.end());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(
      "{{\"program\": \"swath\", \"batch\": {}, \"width\": {}, \"queue\": {}, \"calls\": {}, \"milliseconds\": {:.4f}, "
      "\"best_milliseconds\": {:.4f}, \"loss\": {:.6f}, \"peak_mib\": {:.1f}}}\n",
      batch, width, kQueueBatches * batch, times.size(), 1e3 * times[times.size() / 2], 1e3 * times[0], loss,
      static_cast<double>(usage.ru_maxrss) / 1024);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::int64_t> batches{112, 512, 2048}, widths{128, 512};
  double seconds = 2;
  CLI::App app{"Times Fast MoCo's loss and gradient on the CPU"};
  app.add_option("--batch", batches, "rows of a batch; the queue holds 30 batches");
  app.add_option("--width", widths, "width of a row");
  app.add_option("--seconds", seconds, "time to spend on a case, after one call that is not timed");
  CLI11_PARSE(app, argc, argv);
  for (const std::int64_t width : widths)
    for (const std::int64_t batch : batches) measure(batch, width, seconds);
}
