// The names by which configurations choose a miner and a loss.
#include <algorithm>
#include <functional>

#include "losses/bce.h"
#include "losses/loss_choice.h"
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

struct LossEntry {
  const char* name;
  LossRows rows;
  bool index;
  std::function<std::unique_ptr<Loss>(const LossContext&)> make;
};

const std::vector<LossEntry>& losses() {
  static const std::vector<LossEntry> entries{
      {"margin", LossRows::triplets, false,
       [](const LossContext& c) { return std::make_unique<MarginLoss>(c.block, c.margin, c.classes); }},
      {"binomial", LossRows::categories, false,
       [](const LossContext& c) { return std::make_unique<BinomialLoss>(c.block, std::vector{c.width}, c.binomial); }},
      {"nca", LossRows::images, true,
       [](const LossContext& c) {
         return std::make_unique<NcaLoss>(c.device, c.nca, c.labels, c.images, c.classes, c.width, c.seed, "nca", c.ranks);
       }},
      {"bce", LossRows::images, false,
       [](const LossContext& c) { return std::make_unique<BceLoss>(c.block, c.width, c.classes, c.seed); }},
  };
  return entries;
}

template <class Entry>
std::vector<std::string> names_of(const std::vector<Entry>& entries) {
  std::vector<std::string> names;
  for (const Entry& entry : entries) names.emplace_back(entry.name);
  return names;
}

template <class Entry>
const Entry& named(const std::vector<Entry>& entries, const char* kind, const std::string& name) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return name == entry.name; });
  if (found == entries.end())
    throw UserError(fmt::format("unknown {} \"{}\"; there are: {}", kind, name, fmt::join(names_of(entries), ", ")));
  return *found;
}

}  // namespace

std::vector<std::string> MinerOptions::miner_names() { return names_of(miners()); }

std::unique_ptr<Miner> make_miner(const MinerOptions& options) { return named(miners(), "miner", options.name).make(options); }

std::vector<std::string> LossOptions::loss_names() { return names_of(losses()); }

LossRows loss_rows(const LossOptions& options) { return named(losses(), "loss", options.name).rows; }

bool loss_reads_index(const LossOptions& options) { return named(losses(), "loss", options.name).index; }

std::unique_ptr<Loss> make_loss(const LossOptions& options, const LossContext& context) {
  return named(losses(), "loss", options.name).make(context);
}

}  // namespace swath
