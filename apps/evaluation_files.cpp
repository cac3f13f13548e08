#include "apps/evaluation_files.h"

#include <algorithm>

#include "data/csv.h"
#include "data/file.h"
#include "engine/io/file.h"
#include "recipes/gallery.h"
#include "retrieval/confusion.h"
#include "retrieval/overlap.h"
#include "retrieval/plots.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

LabelView view_of(const LabelMasks& labels) { return {labels.data(), labels.rows(), labels.classes()}; }

std::vector<std::string> write_metrics(const Evaluation& evaluation, const std::string& folder) {
  make_folder(folder);
  const std::vector<std::string> files{folder + "/metrics.csv", folder + "/metrics.json"};
  atomic_write(files[0], evaluation.table.to_csv());
  atomic_write(files[1], evaluation.table.to_json().dump(2) + "\n");
  return files;
}

std::vector<std::string> write_overlap(const LabelledEmbeddings& rows, const std::string& folder) {
  make_folder(folder);
  const DistanceOverlap overlap = distance_overlap(rows.embeddings, rows.labels);
  const std::vector<std::string> files{folder + "/overlap.svg", folder + "/overlap.json"};
  atomic_write(files[0], density_plot(overlap));
  atomic_write(files[1], overlap.to_json().dump(2) + "\n");
  return files;
}

std::vector<std::string> write_confusion(const Evaluation& evaluation, LabelView queries, LabelView gallery,
                                         const std::vector<std::string>& classes, const std::string& folder) {
  make_folder(folder);
  std::vector<LabelConfusion> at_k;
  std::vector<std::string> header{"class", "queries"};
  for (const std::int64_t k : evaluation.table.ks) {
    at_k.push_back(label_confusion(evaluation.neighbours, queries, gallery, k));
    header.push_back(fmt::format("recall@{}", k));
  }
  const LabelConfusion nearest = label_confusion(evaluation.neighbours, queries, gallery);
  std::string recalls = csv_line(header), matrix = csv_line(joined({"class", "queries"}, classes));
  std::vector<double> shares, diagonal;
  for (std::int64_t c = 0; c < nearest.classes; ++c) {
    const std::vector<std::string> begin{classes[c], std::to_string(nearest.queries[c])};
    std::vector<std::string> row, recall;
    for (std::int64_t d = 0; d < nearest.classes; ++d) {
      shares.push_back(nearest.share(c, d));
      row.push_back(fmt::format("{}", nearest.share(c, d)));
    }
    for (const LabelConfusion& confusion : at_k) recall.push_back(fmt::format("{}", confusion.recall(c)));
    matrix += csv_line(joined(begin, row));
    recalls += csv_line(joined(begin, recall));
    diagonal.push_back(nearest.recall(c));
  }
  const std::vector<std::string> files{folder + "/confusion.svg", folder + "/confusion.csv", folder + "/class_recall.svg",
                                       folder + "/class_recall.csv"};
  atomic_write(files[0], heat_map({"Label confusion, nearest neighbour", "class of the query",
                                   "class of the neighbour; off the diagonal one that the query lacks", classes, shares}));
  atomic_write(files[1], matrix);
  atomic_write(files[2], bar_chart({"Recall@1 per class", "share of the class's queries whose nearest neighbour has it",
                                    classes, diagonal}));
  atomic_write(files[3], recalls);
  return files;
}

std::vector<std::string> write_tsne(const TsneFiles& map, const std::string& folder) {
  make_folder(folder);
  const LabelView labels = map.rows.labels;
  std::vector<std::int64_t> images(labels.classes);
  for (std::int64_t i = 0; i < labels.rows; ++i)
    for (std::int64_t c = 0; c < labels.classes; ++c) images[c] += labels.has(i, c);
  Scatter scatter{"t-SNE of the embeddings",
                  fmt::format("{} images, perplexity {:g}, KL divergence {:.3f}; an image shows the rarest of its classes",
                              labels.rows, map.perplexity, map.kl),
                  *map.points,
                  {},
                  map.classes,
                  {}};
  std::string csv = csv_line({"image", "x", "y", "class"});
  for (std::int64_t i = 0; i < labels.rows; ++i) {
    std::int64_t rarest = -1;
    std::string names;
    for (std::int64_t c = 0; c < labels.classes; ++c) {
      if (!labels.has(i, c)) continue;
      names += (names.empty() ? "" : ", ") + map.classes[c];
      if (rarest < 0 || images[c] < images[rarest]) rarest = c;
    }
    scatter.group.push_back(rarest);
    scatter.hover.push_back(fmt::format("{}: {}", map.ids[i], names.empty() ? "no class" : names));
    csv += csv_line({map.ids[i], fmt::format("{}", (*map.points)[2 * i]), fmt::format("{}", (*map.points)[2 * i + 1]),
                     rarest < 0 ? "" : map.classes[rarest]});
  }
  const std::vector<std::string> files{folder + "/tsne.svg", folder + "/tsne.csv"};
  atomic_write(files[0], scatter_plot(scatter));
  atomic_write(files[1], csv);
  return files;
}

std::string write_samples(const Evaluation& evaluation, const SampleSplits& splits, std::int64_t count,
                          const std::string& folder) {
  make_folder(folder);
  RetrievedSamples samples;
  const std::int64_t shown = std::min(count, splits.queries.rows());
  for (std::int64_t i = 0; i < shown; ++i) samples.queries.push_back(i * splits.queries.rows() / shown);
  samples.neighbours = &evaluation.neighbours;
  samples.columns = std::min<std::int64_t>(samples.columns, evaluation.neighbours.k);
  samples.query_labels = view_of(splits.queries.labels());
  samples.gallery_labels = view_of(splits.gallery.labels());
  samples.class_names = splits.queries.class_names();
  samples.query_image = [&](std::int64_t row) { return thumbnail_of(splits.queries.image(), splits.queries.row(row)); };
  samples.gallery_image = [&](std::int64_t row) { return thumbnail_of(splits.gallery.image(), splits.gallery.row(row)); };
  const std::string file = folder + "/retrieved.svg";
  atomic_write(file, samples_picture(samples));
  return file;
}

std::vector<std::string> write_pngs(const std::vector<std::string>& files) {
  std::vector<std::string> pictures;
  for (const std::string& file : files) {
    if (!file.ends_with(".svg")) continue;
    pictures.push_back(file.substr(0, file.size() - 3) + "png");
    svg_to_png(file, pictures.back());
  }
  return pictures;
}

}  // namespace swath::app
