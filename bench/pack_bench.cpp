// Packing (methods.md §1): images per second of this program against a Python script with Pillow (MLRSNet layout) or rasterio
// (BigEarthNet layout), both on one core, alternating, each into a fresh file on the same disk; by the clock and by processor
// time, which a busy machine or disk distorts less. "read" is opening and decoding alone, without checksum and file.
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

/// Images per second, by the clock and by the processor time of this process.
struct Rate {
  double wall = 0, cpu = 0;
};

class Stopwatch {
 public:
  Rate rate(std::int64_t images) const {
    const auto n = static_cast<double>(images);
    return {n / duration<double>(steady_clock::now() - begin_).count(), n / (cpu_seconds() - cpu_begin_)};
  }

 private:
  static double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
  }
  steady_clock::time_point begin_ = steady_clock::now();
  double cpu_begin_ = cpu_seconds();
};

Rate best_of(const std::vector<Rate>& rates) {
  Rate best;
  for (const Rate& r : rates) best = {std::max(best.wall, r.wall), std::max(best.cpu, r.cpu)};
  return best;
}

/// The peer prints "<images> <seconds> <processor seconds>": its own loop, without the start of the interpreter.
Rate run_peer(const std::string& python, const std::string& script, const std::string& archive, const std::string& out) {
  const std::string command =
      "OMP_NUM_THREADS=1 GDAL_NUM_THREADS=1 '" + python + "' '" + script + "' '" + archive + "' '" + out + "'";
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return {};
  double images = 0, seconds = 0, cpu = 0;
  const int read = std::fscanf(pipe, "%lf %lf %lf", &images, &seconds, &cpu);
  if (pclose(pipe) != 0 || read != 3 || seconds <= 0 || cpu <= 0) return {};
  return {images / seconds, images / cpu};
}

Rate run_own(const std::string& archive, const std::string& out) {
  const Stopwatch watch;
  swath::Prepared prepared;
  prepared.dataset = swath::open_dataset({.root = archive, .max_unreadable_share = 1});
  prepared.max_unreadable_share = 1;
  auto& rows = prepared.splits[swath::Part::train];
  rows.resize(static_cast<std::size_t>(prepared.dataset->size()));
  std::iota(rows.begin(), rows.end(), 0);
  prepared.filter.kept.resize(prepared.dataset->class_names().size());
  std::iota(prepared.filter.kept.begin(), prepared.filter.kept.end(), 0);
  prepared.filter.kept_names = prepared.dataset->class_names();
  return watch.rate(swath::pack_part(prepared, swath::Part::train, out, {.workers = 1}).rows);
}

Rate run_read(const std::string& archive) {
  const auto dataset = swath::open_dataset({.root = archive, .max_unreadable_share = 1});
  std::vector<std::uint8_t> pixels(dataset->image().bytes());
  const Stopwatch watch;
  for (std::int64_t i = 0; i < dataset->size(); ++i) dataset->read(i, pixels.data());
  return watch.rate(dataset->size());
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
  std::vector<Rate> own, peer, read;
  for (int r = 0; r < rounds; ++r) {
    fs::create_directories(folder + "/peer");
    peer.push_back(run_peer(argv[2], argv[3], argv[1], folder + "/peer"));
    own.push_back(run_own(argv[1], folder + "/own"));
    read.push_back(run_read(argv[1]));
    fs::remove_all(folder + "/peer");
    fs::remove_all(folder + "/own");
  }
  fs::remove_all(folder);
  const Rate o = best_of(own), p = best_of(peer), d = best_of(read);
  if (p.wall <= 0) {
    std::fprintf(stderr, "the peer's script failed\n");
    return 1;
  }
  std::printf(
      "{\"benchmark\":\"pack\",\"images_per_second\":%.0f,\"peer\":%.0f,\"ratio\":%.2f,"
      "\"images_per_cpu_second\":%.0f,\"peer_cpu\":%.0f,\"ratio_cpu\":%.2f,\"read_cpu\":%.0f,\"rounds\":%d}\n",
      o.wall, p.wall, o.wall / p.wall, o.cpu, p.cpu, o.cpu / p.cpu, d.cpu, rounds);
  return 0;
}
