// The names by which configurations choose a miner.
#include <functional>

#include "losses/miner.h"
#include "losses/miners/distance.h"
#include "losses/miners/intra_random.h"
#include "losses/miners/multilabel_semihard.h"
#include "losses/miners/random_distance.h"
#include "losses/miners/semihard.h"

namespace swath {

namespace {

struct MinerEntry {
  const char* name;
  std::function<std::unique_ptr<Miner>(const MinerOptions&)> make;
};

const std::vector<MinerEntry>& miners() {
  static const std::vector<MinerEntry> entries{
      {"semihard", [](const MinerOptions&) { return std::make_unique<SemihardMiner>(); }},
      {"distance", [](const MinerOptions& options) { return std::make_unique<DistanceMiner>(options); }},
      {"random_distance", [](const MinerOptions& options) { return std::make_unique<RandomDistanceMiner>(options); }},
      {"intra_random", [](const MinerOptions&) { return std::make_unique<IntraRandomMiner>(); }},
      {"multilabel_semihard", [](const MinerOptions& options) { return std::make_unique<MultilabelSemihardMiner>(options); }},
  };
  return entries;
}

}  // namespace

std::vector<std::string> MinerOptions::miner_names() {
  std::vector<std::string> names;
  for (const MinerEntry& entry : miners()) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Miner> make_miner(const MinerOptions& options) {
  for (const MinerEntry& entry : miners()) {
    if (options.name == entry.name) return entry.make(options);
  }
  throw UserError(
      fmt::format("unknown miner \"{}\"; there are: {}", options.name, fmt::join(MinerOptions::miner_names(), ", ")));
}

}  // namespace swath
