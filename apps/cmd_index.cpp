// swath index: embeds a folder of images, or a packed split, for swath search and swath serve.
#include <filesystem>

#include "apps/packing.h"
#include "apps/progress.h"
#include "apps/search_engine.h"
#include "apps/signals.h"
#include "data/image_folder.h"
#include "data/workers.h"
#include "engine/core/log.h"

namespace swath::app {

namespace {

constexpr const char* kStopped = "stopped while indexing; the index was not written";

struct IndexArgs {
  ModelArgs model;
  std::string images, out;
};

/// Embeds the images of a folder, a batch at a time, and leaves out those that cannot be read.
class FolderIndexer {
 public:
  FolderIndexer(TrainedModel& model, const std::string& root, GalleryWriter& writer, GalleryInfo& info)
      : model_(model), root_(root), writer_(writer), info_(info), image_(model.split().image()) {}

  std::vector<float> run() {
    const std::vector<std::string> names = list_images(root_, image_, info_.skipped);
    const auto batch = static_cast<std::size_t>(model_.options.validation.batch_size);
    for (std::size_t begin = 0; begin < names.size(); begin += batch) {
      throw_if_stopped(kStopped);
      add(names, begin, std::min(batch, names.size() - begin));
      const auto done = static_cast<std::int64_t>(std::min(begin + batch, names.size()));
      const auto total = static_cast<std::int64_t>(names.size());
      progress_.update(fmt::format("index {}/{}  {}", done, total, pace_.text(done, total)));
    }
    if (info_.ids.empty())
      throw DataError(fmt::format("{} holds no image that can be read ({} unreadable); give a folder with {}", root_,
                                  info_.skipped.size(), is_rgb(image_) ? "JPEG or PNG files" : "Sentinel-2 patches"));
    return std::move(embeddings_);
  }

 private:
  void add(const std::vector<std::string>& names, std::size_t begin, std::size_t count) {
    std::vector<std::uint8_t> pixels(count * image_.bytes());
    std::vector<std::string> problems(count);
    run_workers(static_cast<std::int64_t>(count), {.workers = model_.options.pack.workers}, [&](std::int64_t i, int) {
      const auto at = static_cast<std::size_t>(i);
      try {
        read_image(root_ + "/" + names[begin + at], image_, pixels.data() + at * image_.bytes());
      } catch (const DataError& problem) {
        problems[at] = problem.what();
      }
    });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!problems[i].empty()) {
        info_.skipped.push_back({names[begin + i], problems[i]});
        continue;
      }
      std::uint8_t* row = pixels.data() + kept++ * image_.bytes();
      std::memmove(row, pixels.data() + i * image_.bytes(), image_.bytes());
      writer_.add(thumbnail_of(image_, row));
      info_.ids.push_back(names[begin + i]);
    }
    const std::vector<float> rows = embed_images(*model_.device, *model_.recipe, image_, pixels.data(),
                                                 static_cast<std::int64_t>(kept), embed_options(model_.options));
    embeddings_.insert(embeddings_.end(), rows.begin(), rows.end());
  }

  TrainedModel& model_;
  const std::string& root_;
  GalleryWriter& writer_;
  GalleryInfo& info_;
  const ImageSpec& image_;
  std::vector<float> embeddings_;
  Progress progress_;
  Pace pace_;
};

std::vector<float> index_split(TrainedModel& model, GalleryWriter& writer, GalleryInfo& info) {
  const PackedSplit& split = model.split();
  info.ids = split.ids();
  info.labels = split.labels();
  info.note = split.info().note;
  std::vector<float> embeddings = embeddings_of(model);
  for (std::int64_t i = 0; i < split.rows(); ++i) {
    throw_if_stopped(kStopped);
    writer.add(thumbnail_of(split.image(), split.row(i)));
  }
  return embeddings;
}

std::string absolute(const std::string& path) { return path.empty() ? "" : std::filesystem::absolute(path).string(); }

void run_index(const IndexArgs& args, Output& output) {
  if (args.out.empty()) throw UserError("swath index needs --out DIR, the folder to write");
  if (!args.images.empty() && !args.model.part.empty())
    throw UserError("--images indexes a folder and --part a packed split; give one of them");
  ModelArgs network = args.model;
  if (network.part.empty()) network.part = "test";
  const std::unique_ptr<TrainedModel> model = args.images.empty() ? open_model(network) : open_network(network);
  GalleryWriter writer(args.out);
  GalleryInfo info;
  info.network = identity_of(*model);
  info.run = absolute(args.model.run);
  info.checkpoint = std::filesystem::is_regular_file(model->weights) ? absolute(model->weights) : model->weights;
  info.source = args.images.empty() ? fmt::format("the part {} of {}", network.part, absolute(model->options.data.packed))
                                    : absolute(args.images);
  const std::vector<float> embeddings =
      args.images.empty() ? index_split(*model, writer, info) : FolderIndexer(*model, args.images, writer, info).run();
  writer.finish(info, embeddings);
  for (const SkipReport::Entry& entry : info.skipped) log::warn("left out: {}", entry.reason);
  output.json() = {{"out", args.out},
                   {"weights", model->weights},
                   {"images", info.ids.size()},
                   {"width", info.network.embedding},
                   {"labelled", info.labels.rows() > 0},
                   {"unreadable", info.skipped.size()}};
  output.json()["skipped"] = skips_of({.unreadable = info.skipped});
  output.text(fmt::format("{}: {} images, width {}, {}; {} unreadable left out\n", args.out, info.ids.size(),
                          info.network.embedding, info.labels.rows() > 0 ? "with labels" : "without labels",
                          info.skipped.size()));
}

}  // namespace

void add_index(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "index", "Embed a folder of images, or a packed split, to search in it",
                                  "  swath index --run runs/demo --part test --out gallery\n"
                                  "  swath index --run runs/demo --images photographs --out gallery\n");
  auto args = std::make_shared<IndexArgs>();
  args->model.part.clear();
  command->add_option("--images", args->images, "Folder of JPEG and PNG files, or of Sentinel-2 patches; with all below it")
      ->type_name("DIR");
  add_model_args(command, args->model);
  command->add_option("--out", args->out, "Folder for the index")->type_name("DIR");
  set_action(command, request, args, run_index);
}

}  // namespace swath::app
