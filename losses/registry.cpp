// The names by which configurations choose a miner.
#include <functional>

#include "losses/miner.h"
#include "losses/miners/semihard.h"

namespace swath {

namespace {

struct MinerEntry {
  const char* name;
  std::function<std::unique_ptr<Miner>()> make;
};

const std::vector<MinerEntry>& miners() {
  static const std::vector<MinerEntry> entries{
      {"semihard", [] { return std::make_unique<SemihardMiner>(); }},
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
    if (options.name == entry.name) return entry.make();
  }
  throw UserError(
      fmt::format("unknown miner \"{}\"; there are: {}", options.name, fmt::join(MinerOptions::miner_names(), ", ")));
}

}  // namespace swath
