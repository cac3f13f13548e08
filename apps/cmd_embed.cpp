// swath embed: embeddings of a split as .npy files, with the images' names.
#include "apps/trained_model.h"
#include "data/file.h"
#include "data/label_npy.h"
#include "engine/io/file.h"
#include "engine/io/npy.h"
#include "retrieval/evaluator.h"

namespace swath::app {

namespace {

struct EmbedArgs {
  ModelArgs model;
  std::string out;
  std::int64_t knn = 0;  // 0: no lists
};

/// neighbours.npy and distances.npy, in the folder `out`.
void write_neighbours(const EmbedArgs& args, EmbeddingView embeddings, const RetrieverOptions& retriever) {
  const Neighbours found = nearest_others(embeddings, args.knn, retriever);
  write_npy(args.out + "/neighbours.npy", {found.queries, found.k}, found.ids.data());
  write_npy(args.out + "/distances.npy", {found.queries, found.k}, found.distances.data());
}

void run_embed(const EmbedArgs& args, Output& output) {
  if (args.out.empty()) throw UserError("swath embed needs --out DIR, the folder to write");
  const std::unique_ptr<TrainedModel> model = open_model(args.model);
  const PackedSplit& split = model->split();
  if (args.knn >= split.rows())
    throw UserError(fmt::format("--knn asks for {} neighbours, but {} has {} images; choose at most {}", args.knn,
                                name_of(model->part), split.rows(), split.rows() - 1));
  const std::vector<float> embeddings = embeddings_of(*model);
  const std::int64_t rows = split.rows(), width = model->recipe->embedding_width(), classes = split.labels().classes();
  make_folder(args.out);
  write_npy(args.out + "/embeddings.npy", {rows, width}, embeddings.data());
  write_label_npy(args.out + "/labels.npy", split.labels());
  atomic_write(args.out + "/ids.txt", lines_of(split.ids()));
  atomic_write(args.out + "/classes.txt", lines_of(split.class_names()));
  if (args.knn > 0) write_neighbours(args, {embeddings.data(), rows, width}, model->options.validation.retrieval.retriever);
  output.json() = {{"out", args.out},
                   {"weights", model->weights},
                   {"part", name_of(model->part)},
                   {"images", rows},
                   {"width", width},
                   {"classes", classes},
                   {"knn", args.knn}};
  output.text(fmt::format("{}: embeddings.npy ({} x {}), labels.npy ({} x {}), ids.txt, classes.txt{}\n", args.out, rows, width,
                          rows, classes,
                          args.knn > 0 ? fmt::format(", neighbours.npy and distances.npy ({} x {})", rows, args.knn) : ""));
}

}  // namespace

void add_embed(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "embed", "Write embeddings, labels and names of a split as .npy and text",
                                  "  swath embed --run runs/demo --part test --out embeddings\n"
                                  "  swath eval --embeddings embeddings/embeddings.npy --labels embeddings/labels.npy\n"
                                  "  swath embed --run runs/demo --part test --out embeddings --knn 10\n");
  auto args = std::make_shared<EmbedArgs>();
  add_model_args(command, args->model);
  command->add_option("--out", args->out, "Folder for embeddings.npy, labels.npy, ids.txt and classes.txt")->type_name("DIR");
  command
      ->add_option("--knn", args->knn,
                   "Also write every image's K nearest others, as eval finds them: neighbours.npy and distances.npy")
      ->check(CLI::PositiveNumber)
      ->type_name("K");
  set_action(command, request, args, run_embed);
}

}  // namespace swath::app
