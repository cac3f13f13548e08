// Loader (methods.md §1): bytes per second of shuffled batches from a packed split in the page cache against memcpy of the same
// amount on one thread, alternating. Images of 256 × 256 × 3 in batches of 32.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/pack.h"

namespace fs = std::filesystem;
using namespace std::chrono;

namespace {

constexpr std::int64_t kImages = 2000, kSide = 256, kBatch = 32;
constexpr int kRounds = 7;

class Noise final : public swath::Dataset {
 public:
  Noise() {
    name_ = "noise";
    image_ = {.height = kSide, .width = kSide, .channels = 3, .dtype = swath::kernels::DType::u8, .bands = swath::rgb_bands()};
    class_names_ = {"one"};
    labels_ = swath::LabelMasks(kImages, 1);
    for (std::int64_t i = 0; i < kImages; ++i) {
      labels_.set(i, 0);
      ids_.push_back(std::to_string(i));
    }
  }
  void read(std::int64_t i, void* pixels) const override { std::memset(pixels, static_cast<int>(i & 255), image_.bytes()); }
};

double seconds_since(steady_clock::time_point begin) { return duration<double>(steady_clock::now() - begin).count(); }

}  // namespace

int main() {
  std::string folder = (fs::temp_directory_path() / "swath-bench-XXXXXX").string();
  if (!mkdtemp(folder.data())) return 2;
  swath::Prepared prepared;
  prepared.dataset = std::make_unique<Noise>();
  prepared.splits[swath::Part::train].resize(kImages);
  std::iota(prepared.splits[swath::Part::train].begin(), prepared.splits[swath::Part::train].end(), 0);
  prepared.filter = {.kept = {0}, .kept_names = {"one"}, .dropped_names = {}};
  swath::pack_part(prepared, swath::Part::train, folder);
  double loader_best = 0, memcpy_best = 0, waiting = 0;
  {
    const auto split = swath::PackedSplit::open(folder + "/train");
    split.verify();
    const auto sampler = swath::make_sampler({.kind = "shuffled", .batch_size = kBatch}, split.labels(), 1);
    swath::Loader loader(split);
    std::vector<std::uint8_t> target(static_cast<std::size_t>(kBatch) * split.row_bytes(), 1);
    const double bytes = static_cast<double>(kImages) * static_cast<double>(split.row_bytes());
    for (int r = 0; r < kRounds; ++r) {
      sampler->begin_epoch(r);
      auto begin = steady_clock::now();
      loader.start(*sampler);
      while (loader.next()) continue;
      loader_best = std::max(loader_best, bytes / seconds_since(begin));
      begin = steady_clock::now();
      for (std::int64_t i = 0; i < kImages; i += kBatch)
        std::memcpy(target.data(), split.row(i), static_cast<std::size_t>(std::min(kBatch, kImages - i)) * split.row_bytes());
      memcpy_best = std::max(memcpy_best, bytes / seconds_since(begin));
    }
    waiting = loader.seconds_waiting();
  }
  fs::remove_all(folder);
  std::printf("{\"benchmark\":\"loader\",\"bytes_per_second\":%.3g,\"memcpy\":%.3g,\"ratio\":%.2f,\"seconds_waiting\":%.3f}\n",
              loader_best, memcpy_best, loader_best / memcpy_best, waiting);
  return 0;
}
