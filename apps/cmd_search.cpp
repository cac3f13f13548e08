// swath search: the nearest indexed images of image files.
#include "apps/search_engine.h"
#include "apps/search_page.h"
#include "data/image_folder.h"
#include "engine/io/file.h"

namespace swath::app {

namespace {

struct SearchCommandArgs {
  SearchArgs search;
  std::vector<std::string> images;
  std::int64_t k = 8;
  std::string html;
};

std::string text_of(const Gallery& gallery, const SearchedImage& query) {
  std::string text = query.name + "\n";
  for (std::size_t j = 0; j < query.found.size(); ++j) {
    const Found& found = query.found[j];
    text += fmt::format("{:>5}  {:.4f}  {}  {}\n", j + 1, found.distance,
                        gallery.info().ids[static_cast<std::size_t>(found.row)], fmt::join(gallery.labels(found.row), ", "));
  }
  return text;
}

void run_search(const SearchCommandArgs& args, Output& output) {
  if (args.images.empty())
    throw UserError("swath search needs images to search with, for example swath search --index DIR a.jpg");
  if (args.k < 1) throw UserError(fmt::format("--k is a number of neighbours from 1 on, not {}", args.k));
  SearchEngine engine(args.search);
  const Gallery& gallery = engine.gallery();
  std::vector<std::uint8_t> pixels(engine.image().bytes());
  std::vector<SearchedImage> queries;
  output.json() = {
      {"index", args.search.index}, {"weights", engine.weights()}, {"images", gallery.rows()}, {"queries", Json::array()}};
  for (const std::string& name : args.images) {
    read_image(name, engine.image(), pixels.data());
    queries.push_back({name, thumbnail_of(engine.image(), pixels.data()), engine.nearest_to(pixels.data(), args.k)});
    output.json()["queries"].push_back({{"image", name}, {"neighbours", json_of(gallery, queries.back().found)}});
    output.text(text_of(gallery, queries.back()));
  }
  if (args.html.empty()) return;
  atomic_write(args.html, search_page(gallery, queries));
  output.json()["html"] = args.html;
  output.text(args.html + "\n");
}

}  // namespace

void add_search(CLI::App& app, Request& request) {
  CLI::App* command =
      add_command(app, request, "search", "List the indexed images nearest to given ones, with distances and labels",
                  "  swath search --index gallery image.jpg other.png\n"
                  "  swath search --index gallery --k 20 --html found.html image.jpg\n");
  auto args = std::make_shared<SearchCommandArgs>();
  args->search.model.checkpoint.clear();
  command->add_option("images", args->images, "JPEG or PNG files, or Sentinel-2 patch folders")->type_name("IMAGE");
  add_search_args(command, args->search);
  command->add_option("--k", args->k, "Neighbours of each image (default: 8)")->type_name("N");
  command->add_option("--html", args->html, "Also draws them, in one page without scripts")->type_name("FILE");
  set_action(command, request, args, run_search);
}

}  // namespace swath::app
