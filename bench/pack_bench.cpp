// Packing (methods.md §1): images per second and core of this program against a Python script with Pillow (MLRSNet layout) or
// rasterio (BigEarthNet layout), both on one core, alternating, each into a fresh file on the same disk.
//   pack_bench <archive> <python> <peer script> [rounds]
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "data/pack.h"

namespace fs = std::filesystem;
using namespace std::chrono;

namespace {

double best_of(std::vector<double> values) { return *std::max_element(values.begin(), values.end()); }

/// The peer prints "<images> <seconds>": its own loop, without the start of the interpreter.
double run_peer(const std::string& python, const std::string& script, const std::string& archive, const std::string& out) {
  const std::string command =
      "OMP_NUM_THREADS=1 GDAL_NUM_THREADS=1 '" + python + "' '" + script + "' '" + archive + "' '" + out + "'";
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return 0;
  double images = 0, seconds = 0;
  const int read = std::fscanf(pipe, "%lf %lf", &images, &seconds);
  return pclose(pipe) == 0 && read == 2 && seconds > 0 ? images / seconds : 0;
}

double run_own(const std::string& archive, const std::string& out) {
  const auto begin = steady_clock::now();
  swath::Prepared prepared;
  prepared.dataset = swath::open_dataset({.root = archive, .max_unreadable_share = 1});
  prepared.max_unreadable_share = 1;
  auto& rows = prepared.splits[swath::Part::train];
  rows.resize(static_cast<std::size_t>(prepared.dataset->size()));
  std::iota(rows.begin(), rows.end(), 0);
  prepared.filter.kept.resize(prepared.dataset->class_names().size());
  std::iota(prepared.filter.kept.begin(), prepared.filter.kept.end(), 0);
  prepared.filter.kept_names = prepared.dataset->class_names();
  const auto result = swath::pack_part(prepared, swath::Part::train, out, {.workers = 1});
  return static_cast<double>(result.rows) / duration<double>(steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s <archive> <python> <peer script> [rounds]\n", argv[0]);
    return 2;
  }
  const int rounds = argc > 4 ? std::atoi(argv[4]) : 5;
  std::string folder = (fs::temp_directory_path() / "swath-bench-XXXXXX").string();
  if (!mkdtemp(folder.data())) return 2;
  std::vector<double> own, peer;
  for (int r = 0; r < rounds; ++r) {
    fs::create_directories(folder + "/peer");
    peer.push_back(run_peer(argv[2], argv[3], argv[1], folder + "/peer"));
    own.push_back(run_own(argv[1], folder + "/own"));
    fs::remove_all(folder + "/peer");
    fs::remove_all(folder + "/own");
  }
  fs::remove_all(folder);
  if (best_of(peer) <= 0) {
    std::fprintf(stderr, "the peer's script failed\n");
    return 1;
  }
  std::printf("{\"benchmark\":\"pack\",\"images_per_second_and_core\":%.0f,\"peer\":%.0f,\"ratio\":%.2f,\"rounds\":%d}\n",
              best_of(own), best_of(peer), best_of(own) / best_of(peer), rounds);
  return 0;
}
