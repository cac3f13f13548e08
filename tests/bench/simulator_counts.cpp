// Guards what CUDA kernels ask of a device, without one: every benchmark runs once at a small shape on the simulator, and its
// counts are compared with bench/simulator_counts.json and with the formula that the benchmark declares.
//   simulator_counts FILE [--update]
// Ends with 77 (skipped) where no simulator runs.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#include "bench/plan.h"
#include "bench/simulator.h"
#include "engine/core/config.h"

namespace {

using namespace swath;
using namespace swath::bench;

constexpr double kChange = 0.10;                             // of a count, either way
constexpr double kSectorsAbove = 1.25, kSectorsBelow = 0.6;  // times the declared number
constexpr std::int64_t kSmall = 128;                         // a difference that is not a change

struct Counted {
  std::string shape;
  double declared_sectors = 0;
  SimulatorCounts counts;
};

Counted count(Device& device, const Plan& plan) {
  Arena arena(device);
  const Sizes sizes = plan.counted_shape();
  const Job job = plan.benchmark->prepare(arena, sizes);
  device.synchronize();
  reset_simulator_counts();
  job.run();
  device.synchronize();
  return {sizes.text(), job.cost.sectors, simulator_counts()};
}

Json json_of(const Counted& counted) {
  return {{"shape", counted.shape},
          {"launches", counted.counts.launches},
          {"instructions", counted.counts.instructions},
          {"sectors", counted.counts.sectors},
          {"bank_conflicts", counted.counts.bank_conflicts}};
}

/// Differences from the file; how many there are.
int compare(const std::string& name, const Counted& counted, const Json& kept) {
  if (!kept.contains(name)) {
    fmt::print("{}: not in the file yet; --update adds it\n", name);
    return 1;
  }
  int differences = 0;
  const Json now = json_of(counted), &before = kept.at(name);
  if (before.at("shape") != now.at("shape")) {
    fmt::print("{}: counted at {}, the file has {}\n", name, counted.shape, before.at("shape").get<std::string>());
    return 1;
  }
  for (const char* key : {"launches", "instructions", "sectors", "bank_conflicts"}) {
    const auto was = before.at(key).get<std::int64_t>(), is = now.at(key).get<std::int64_t>();
    const auto allowed = key == std::string("launches") ? 0.0 : std::max<double>(kSmall, kChange * static_cast<double>(was));
    if (static_cast<double>(std::abs(is - was)) <= allowed) continue;
    ++differences;
    fmt::print("{} ({}): {} were {}, are {} ({:+.1f} %)\n", name, counted.shape, key, was, is,
               was > 0 ? 100.0 * static_cast<double>(is - was) / static_cast<double>(was) : INFINITY);
  }
  return differences;
}

/// 1 when the kernel moves more than its formula says, or the formula says more than the kernel moves.
int check_sectors(const std::string& name, const Counted& counted) {
  if (counted.declared_sectors <= 0) {
    fmt::print("{}: its benchmark declares no sectors (Cost::sectors)\n", name);
    return 1;
  }
  const double ratio = static_cast<double>(counted.counts.sectors) / counted.declared_sectors;
  fmt::print("{:<26} {:<40} {:>3} launches {:>9} instructions {:>8} sectors, {:.2f} of the formula's {:.0f}, {} conflicts\n",
             name, counted.shape, counted.counts.launches, counted.counts.instructions, counted.counts.sectors, ratio,
             counted.declared_sectors, counted.counts.bank_conflicts);
  if (ratio >= kSectorsBelow && ratio <= kSectorsAbove) return 0;
  fmt::print("{} ({}): {} sectors are {:.2f} times what its benchmark's formula says ({:.0f}); allowed {} to {}\n", name,
             counted.shape, counted.counts.sectors, ratio, counted.declared_sectors, kSectorsBelow, kSectorsAbove);
  return 1;
}

int run(const std::string& file, bool update) {
  const std::unique_ptr<Device> device = Device::open("cuda");
  Json kept = Json::object(), now = Json::object();
  if (!update) kept = load_config(file);
  int failures = 0;
  for (const Benchmark& benchmark : benchmarks()) {
    if (benchmark.composite) continue;
    const Counted counted = count(*device, Plan(benchmark));
    failures += check_sectors(benchmark.name, counted);
    now[benchmark.name] = json_of(counted);
    if (!update) failures += compare(benchmark.name, counted, kept);
  }
  for (const auto& [name, counts] : kept.items())
    if (!now.contains(name)) {
      fmt::print("{}: in the file, but no benchmark has that name\n", name);
      ++failures;
    }
  if (update && !(std::ofstream(file) << now.dump(2) << "\n")) throw DataError(fmt::format("cannot write {}", file));
  if (failures)
    fmt::print(
        "{} failures. Where a change is meant, refresh {} by running this program with --update and say why in the commit.\n",
        failures, file);
  return failures ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (!simulator_present()) {
    fmt::print("no simulator: nothing is counted\n");
    return 77;
  }
  // The simulator counts accesses only with a file to write them to, which it looks for when it is loaded.
  if (!std::getenv("PTXSIM_STATS_FILE")) {
    setenv("PTXSIM_STATS_FILE", "/dev/null", 1);
    execv("/proc/self/exe", argv);
  }
  if (argc < 2 || (argc == 3 && std::string(argv[2]) != "--update") || argc > 3) {
    fmt::print("usage: simulator_counts FILE [--update]\n");
    return 2;
  }
  try {
    return run(argv[1], argc == 3);
  } catch (const std::exception& problem) {
    fmt::print("simulator_counts: {}\n", problem.what());
    return 1;
  }
}
