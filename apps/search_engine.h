// A gallery together with the network that made it: what swath search and swath serve ask.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/trained_model.h"
#include "recipes/embed.h"
#include "recipes/gallery.h"

namespace swath::app {

struct SearchArgs {
  std::string index;
  ModelArgs model;
};
/// --index, --run, --checkpoint, --set, --device, --packed.
void add_search_args(CLI::App* command, SearchArgs& args);

/// A network of the arguments; its packs are not read again to compare checksums.
std::unique_ptr<TrainedModel> open_network(ModelArgs args);
NetworkIdentity identity_of(const TrainedModel& model);

struct Found {
  std::int64_t row;
  float distance;
};

/// One thread at a time, except gallery() and image().
class SearchEngine {
 public:
  /// Throws DataError where the index was made by another network.
  explicit SearchEngine(const SearchArgs& args);
  const Gallery& gallery() const { return *gallery_; }
  /// The form in which images are embedded.
  const ImageSpec& image() const { return model_->split().image(); }
  const std::string& weights() const { return model_->weights; }
  /// The nearest images of one in host memory, of the form image().
  std::vector<Found> nearest_to(const void* pixels, std::int64_t k);
  /// The nearest images of an indexed one, itself left out.
  std::vector<Found> nearest_to_row(std::int64_t row, std::int64_t k);

 private:
  std::vector<Found> nearest(const float* embedding, std::int64_t k);
  std::unique_ptr<Gallery> gallery_;
  std::unique_ptr<TrainedModel> model_;
};

/// [{"row", "id", "distance", "labels"}, …], nearest first.
Json json_of(const Gallery& gallery, const std::vector<Found>& found);

}  // namespace swath::app
