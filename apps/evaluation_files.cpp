#include "apps/evaluation_files.h"

#include <algorithm>

#include "data/file.h"
#include "engine/io/file.h"
#include "retrieval/overlap.h"
#include "retrieval/plots.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

std::int64_t band_number(const PackedSplit& split, const std::string& name) {
  const std::vector<std::string>& bands = split.image().bands;
  const auto found = std::find(bands.begin(), bands.end(), name);
  return found == bands.end() ? -1 : found - bands.begin();
}

Thumbnail picture_of(const PackedSplit& split, std::int64_t row) {
  const ImageSpec& image = split.image();
  if (image.dtype == kernels::DType::u8 && image.channels == 3)
    return thumbnail_rgb8(split.row(row), image.height, image.width);
  if (image.dtype != kernels::DType::u16)
    throw UserError(fmt::format("no picture can be made of images with {} bands of {}", image.channels, name_of(image.dtype)));
  // Sentinel-2 by name; any other archive shows its first bands.
  std::int64_t red = band_number(split, "B04"), green = band_number(split, "B03"), blue = band_number(split, "B02");
  if (red < 0 || green < 0 || blue < 0) {
    red = 0;
    green = std::min<std::int64_t>(1, image.channels - 1);
    blue = std::min<std::int64_t>(2, image.channels - 1);
  }
  return thumbnail_sentinel2({.data = reinterpret_cast<const std::uint16_t*>(split.row(row)),
                              .height = image.height,
                              .width = image.width,
                              .channels = image.channels,
                              .red = red,
                              .green = green,
                              .blue = blue});
}

}  // namespace

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

std::string write_samples(const Evaluation& evaluation, const PackedSplit& split, std::int64_t queries,
                          const std::string& folder) {
  make_folder(folder);
  const LabelView labels{split.labels().data(), split.rows(), split.labels().classes()};
  RetrievedSamples samples;
  const std::int64_t count = std::min(queries, split.rows());
  for (std::int64_t i = 0; i < count; ++i) samples.queries.push_back(i * split.rows() / count);
  samples.neighbours = &evaluation.neighbours;
  samples.columns = std::min<std::int64_t>(samples.columns, evaluation.neighbours.k);
  samples.query_labels = samples.gallery_labels = labels;
  samples.class_names = split.class_names();
  samples.query_image = samples.gallery_image = [&](std::int64_t row) { return picture_of(split, row); };
  const std::string file = folder + "/retrieved.svg";
  atomic_write(file, samples_picture(samples));
  return file;
}

}  // namespace swath::app
