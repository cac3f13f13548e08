#include "apps/search_engine.h"

#include <algorithm>

#include "recipes/run_dir.h"

namespace swath::app {

void add_search_args(CLI::App* command, SearchArgs& args) {
  command->add_option("--index", args.index, "Folder that swath index wrote")->type_name("DIR");
  command->add_option("--run", args.model.run, "Folder of the run that made the index (default: where it was then)")
      ->type_name("DIR");
  command->add_option("--checkpoint", args.model.checkpoint, "The checkpoint that made the index (default: where it was then)")
      ->type_name("NAME|FILE");
  add_config_args(command, args.model.config, Shorthands::both);
}

std::unique_ptr<TrainedModel> open_network(ModelArgs args) {
  args.config.assignments.insert(args.config.assignments.begin(), "pack.verify=never");
  return open_model(args);
}

NetworkIdentity identity_of(const TrainedModel& model) {
  return identity_of(model.block, model.options, model.split().image(), model.split().class_names(),
                     model.recipe->embedding_width());
}

SearchEngine::SearchEngine(const SearchArgs& args) {
  if (args.index.empty()) throw UserError("which index? give --index DIR, a folder that swath index wrote");
  gallery_ = Gallery::open(args.index);
  const GalleryInfo& info = gallery_->info();
  ModelArgs model = args.model;
  if (model.run.empty() && model.config.file.empty()) {
    model.run = info.run;
    if (!model.run.empty() && !RunDir::exists(model.run))
      throw DataError(fmt::format("the run {} that made {} is not there any more; give --run DIR", model.run, args.index));
    if (model.checkpoint.empty()) model.checkpoint = info.checkpoint;
  }
  if (model.checkpoint.empty()) model.checkpoint = "best";
  model_ = open_network(std::move(model));
  const std::string difference = info.network.difference(identity_of(*model_));
  if (!difference.empty())
    throw DataError(
        fmt::format("{} was made by another network than {}, which has {}; make it again with swath index, or give "
                    "--run and --checkpoint of the network that made it",
                    args.index, model_->weights, difference));
}

std::vector<Found> SearchEngine::nearest_to(const void* pixels, std::int64_t k) {
  const std::vector<float> embedding =
      embed_images(*model_->device, *model_->recipe, image(), pixels, 1, embed_options(model_->options));
  return nearest(embedding.data(), k);
}

std::vector<Found> SearchEngine::nearest_to_row(std::int64_t row, std::int64_t k) {
  std::vector<Found> found = nearest(gallery_->embedding(row), k + 1);
  std::erase_if(found, [&](const Found& one) { return one.row == row; });
  if (static_cast<std::int64_t>(found.size()) > k) found.pop_back();  // more than k equal images come before it
  return found;
}

std::vector<Found> SearchEngine::nearest(const float* embedding, std::int64_t k) {
  const Neighbours neighbours = gallery_->search(embedding, 1, k);
  std::vector<Found> found;
  for (std::int64_t j = 0; j < neighbours.k; ++j)
    found.push_back({neighbours.ids[static_cast<std::size_t>(j)], neighbours.distances[static_cast<std::size_t>(j)]});
  return found;
}

Json json_of(const Gallery& gallery, const std::vector<Found>& found) {
  Json list = Json::array();
  for (const Found& one : found)
    list.push_back({{"row", one.row},
                    {"id", gallery.info().ids[static_cast<std::size_t>(one.row)]},
                    {"distance", one.distance},
                    {"labels", gallery.labels(one.row)}});
  return list;
}

}  // namespace swath::app
