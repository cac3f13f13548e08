#include "apps/evaluation_files.h"

#include <algorithm>

#include "data/csv.h"
#include "data/file.h"
#include "engine/io/file.h"
#include "recipes/gallery.h"
#include "retrieval/confusion.h"
#include "retrieval/plots.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

std::vector<std::string> joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// Of the images that carry the row's class, the share that carries the column's too.
std::vector<double> shares_together(const LabelStatistics& statistics) {
  const std::size_t classes = statistics.images.size();
  std::vector<double> shares(classes * classes);
  for (std::size_t a = 0; a < classes; ++a)
    for (std::size_t b = 0; b < classes && statistics.images[a] > 0; ++b)
      shares[a * classes + b] =
          static_cast<double>(statistics.together[a * classes + b]) / static_cast<double>(statistics.images[a]);
  return shares;
}

}  // namespace

FileTexts metric_files(const Evaluation& evaluation) {
  return {{"metrics.csv", evaluation.table.to_csv()}, {"metrics.json", evaluation.table.to_json().dump(2) + "\n"}};
}

FileTexts overlap_files(const DistanceOverlap& overlap) {
  return {{"overlap.svg", density_plot(overlap)}, {"overlap.json", overlap.to_json().dump(2) + "\n"}};
}

FileTexts confusion_files(const Evaluation& evaluation, LabelView queries, LabelView gallery,
                          const std::vector<std::string>& classes) {
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
  return {{"confusion.svg", heat_map({"Label confusion, nearest neighbour", "class of the query",
                                      "class of the neighbour; off the diagonal one that the query lacks", classes, shares})},
          {"confusion.csv", matrix},
          {"class_recall.svg",
           bar_chart({"Recall@1 per class", "share of the class's queries whose nearest neighbour has it", classes, diagonal})},
          {"class_recall.csv", recalls}};
}

FileTexts tsne_files(const TsneMap& map) {
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
  return {{"tsne.svg", scatter_plot(scatter)}, {"tsne.csv", csv}};
}

FileTexts sample_files(const Evaluation& evaluation, const SampleSplits& splits, std::int64_t count) {
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
  return {{"retrieved.svg", samples_picture(samples)}};
}

FileTexts label_files(const std::string& part, const LabelStatistics& statistics, const std::vector<std::string>& classes) {
  std::vector<std::string> numbers;
  std::vector<double> images;
  for (std::size_t k = 0; k < statistics.label_counts.size(); ++k) {
    numbers.push_back(fmt::format("{} label{}", k, k == 1 ? "" : "s"));
    images.push_back(static_cast<double>(statistics.label_counts[k]));
  }
  return {{"labels-" + part + ".svg", bar_chart({"Images per class, " + part, "share of images", classes, statistics.share})},
          {"label-counts-" + part + ".svg",
           bar_chart({fmt::format("Labels per image, {}: {:.2f} on average", part, statistics.mean_labels), "images", numbers,
                      images})},
          {"cooccurrence-" + part + ".svg",
           heat_map({"Classes that occur together, " + part, "images that carry this class",
                     "the share of them that carries this one too", classes, shares_together(statistics)})}};
}

std::vector<std::string> write_files(const FileTexts& files, const std::string& folder) {
  make_folder(folder);
  std::vector<std::string> names;
  for (const auto& [name, text] : files) {
    names.push_back(folder + "/" + name);
    atomic_write(names.back(), text);
  }
  return names;
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
