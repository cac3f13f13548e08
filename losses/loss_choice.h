// The losses that a configuration can choose by name, each alone on an embedding. What needs more than rows and their labels
// (key networks, sub-embeddings) belongs to the recipes that have it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "losses/binomial.h"
#include "losses/loss.h"
#include "losses/margin.h"
#include "losses/nca.h"

namespace swath {

struct LossOptions {
  std::string name = "margin";

  template <class V>
  void fields(V& v) {
    v("name", name, "loss of the recipe baseline (methods.md §6); the other recipes have their own", OneOf{loss_names()});
  }
  static std::vector<std::string> loss_names();
};

/// The rows that a loss is computed on, and the fields of LossInput that come with them.
enum class LossRows : std::uint8_t {
  triplets,    // rows of one category, or images with a miner of multi-hot labels; row_class, row_count, triplets
  categories,  // rows of one category: row_class, row_count
  images       // the images: labels, and index where the loss reads it
};

/// What a loss is built from.
struct LossContext {
  Device& device;
  ParameterBlock& block;
  std::int64_t width;           // of the rows
  std::int64_t classes;         // of the labels
  std::int64_t images;          // of the training split
  const std::uint64_t* labels;  // images × ⌈classes / 64⌉ on the host (kernels/label_mask.h); read by the constructor
  std::uint64_t seed;
  const MarginOptions& margin;
  const BinomialOptions& binomial;
  const NcaOptions& nca;
  Communicator& ranks = sole_rank();  // that share a batch; outlives the loss
};

/// All throw UserError for an unknown name, listing those that exist; make_loss also as the loss's constructor.
LossRows loss_rows(const LossOptions& options);
/// Whether the loss reads LossInput::index.
bool loss_reads_index(const LossOptions& options);
std::unique_ptr<Loss> make_loss(const LossOptions& options, const LossContext& context);

}  // namespace swath
