#include "recipes/gallery.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "data/file.h"
#include "data/label_npy.h"
#include "data/rgb_file.h"
#include "engine/io/npy.h"

namespace swath {

namespace {

constexpr int kVersion = 1;
constexpr int kQuality = 85;
constexpr std::size_t kMaxInfoBytes = std::size_t{1} << 30;
constexpr const char* kFiles[] = {"index.json", "embeddings.npy", "labels.npy",
                                  "ids.txt",    "thumbnails.bin", "thumbnail_ends.npy"};

std::string hex_checksum(const void* bytes, std::size_t count) { return fmt::format("{:016x}", checksum(bytes, count)); }

std::string hex_checksum(const Tensor& tensor) {
  std::vector<std::uint8_t> bytes(tensor.bytes());
  if (!bytes.empty()) tensor.copy_to_host(bytes.data());
  return hex_checksum(bytes.data(), bytes.size());
}

Json to_json(const NetworkIdentity& n) {
  return {{"weights", n.weights}, {"recipe", n.recipe}, {"precision", n.precision},
          {"classes", n.classes}, {"bands", n.bands},   {"height", n.height},
          {"width", n.width},     {"crop", n.crop},     {"embedding", n.embedding}};
}

NetworkIdentity identity_from(const Json& json) {
  NetworkIdentity n;
  n.weights = json.at("weights").get<std::string>();
  n.recipe = json.at("recipe").get<std::string>();
  n.precision = json.at("precision").get<std::string>();
  n.classes = json.at("classes").get<std::vector<std::string>>();
  n.bands = json.at("bands").get<std::vector<std::string>>();
  n.height = json.at("height").get<std::int64_t>();
  n.width = json.at("width").get<std::int64_t>();
  n.crop = json.at("crop").get<std::int64_t>();
  n.embedding = json.at("embedding").get<std::int64_t>();
  return n;
}

LabelMasks read_labels(const std::string& file, std::int64_t rows, std::int64_t classes) {
  const NpyFile npy = NpyFile::open(file);
  if (npy.shape() != std::vector<std::int64_t>{rows, classes})
    throw DataError(fmt::format("{} does not hold {} x {} labels; index again", file, rows, classes));
  return read_label_npy(npy, file);
}

/// Channels to show as red, green and blue.
std::array<std::int64_t, 3> shown_channels(const ImageSpec& image) {
  std::array<std::int64_t, 3> channels{};
  const char* const names[] = {"B04", "B03", "B02"};
  for (std::size_t c = 0; c < channels.size(); ++c) {
    const auto found = std::find(image.bands.begin(), image.bands.end(), names[c]);
    if (found == image.bands.end())
      return {0, std::min<std::int64_t>(1, image.channels - 1), std::min<std::int64_t>(2, image.channels - 1)};
    channels[c] = found - image.bands.begin();
  }
  return channels;
}

}  // namespace

std::string NetworkIdentity::difference(const NetworkIdentity& other) const {
  if (recipe != other.recipe) return fmt::format("the recipe {} instead of {}", other.recipe, recipe);
  if (bands != other.bands) return "other bands";
  if (classes != other.classes) return "other classes";
  if (height != other.height || width != other.width)
    return fmt::format("images of {}×{} instead of {}×{}", other.height, other.width, height, width);
  if (crop != other.crop) return fmt::format("a crop of {} instead of {}", other.crop, crop);
  if (precision != other.precision) return fmt::format("the precision {} instead of {}", other.precision, precision);
  if (embedding != other.embedding) return fmt::format("an embedding of {} instead of {}", other.embedding, embedding);
  return weights != other.weights ? "other weights" : "";
}

NetworkIdentity identity_of(const ParameterBlock& block, const TrainOptions& options, const ImageSpec& image,
                            const std::vector<std::string>& classes, std::int64_t embedding) {
  const std::string sums = hex_checksum(block.values()) + hex_checksum(block.buffer_values());
  return {.weights = hex_checksum(sums.data(), sums.size()),
          .recipe = options.recipe,
          .precision = options.precision,
          .classes = classes,
          .bands = image.bands,
          .height = image.height,
          .width = image.width,
          .crop = crop_side(options.crop, image),
          .embedding = embedding};
}

Thumbnail thumbnail_of(const ImageSpec& image, const void* pixels, std::int64_t size) {
  if (image.dtype == kernels::DType::u8 && image.channels == 3)
    return thumbnail_rgb8(static_cast<const std::uint8_t*>(pixels), image.height, image.width, size);
  if (image.dtype != kernels::DType::u16)
    throw UserError(fmt::format("no picture can be made of images with {} bands of {}", image.channels, name_of(image.dtype)));
  const auto [red, green, blue] = shown_channels(image);
  return thumbnail_sentinel2({.data = static_cast<const std::uint16_t*>(pixels),
                              .height = image.height,
                              .width = image.width,
                              .channels = image.channels,
                              .red = red,
                              .green = green,
                              .blue = blue},
                             size);
}

std::vector<std::uint8_t> jpeg_of(const Thumbnail& thumbnail) {
  return encode_jpeg(thumbnail.rgb.data(), thumbnail.height, thumbnail.width, kQuality);
}

GalleryWriter::GalleryWriter(const std::string& folder) : folder_(folder) {
  make_folder(folder);
  for (const std::string& name : list_folder(folder))
    if (std::find(std::begin(kFiles), std::end(kFiles), name) == std::end(kFiles))
      throw UserError(
          fmt::format("{} holds {}, which is no part of an index; give --out an empty or a new folder", folder, name));
  thumbnails_ = std::make_unique<AtomicFile>(folder + "/thumbnails.bin");
}

void GalleryWriter::add(const Thumbnail& thumbnail) {
  const std::vector<std::uint8_t> jpeg = jpeg_of(thumbnail);
  thumbnails_->write(jpeg.data(), jpeg.size());
  ends_.push_back((ends_.empty() ? 0 : ends_.back()) + static_cast<std::int64_t>(jpeg.size()));
}

void GalleryWriter::finish(const GalleryInfo& info, const std::vector<float>& embeddings) {
  const auto rows = static_cast<std::int64_t>(info.ids.size());
  SWATH_CHECK(static_cast<std::int64_t>(ends_.size()) == rows, "{} thumbnails for {} images", ends_.size(), rows);
  SWATH_CHECK(static_cast<std::int64_t>(embeddings.size()) == rows * info.network.embedding);
  // Without index.json the folder is no gallery, so that one which was interrupted cannot be opened.
  for (const char* name : {"index.json", "labels.npy"}) std::filesystem::remove(folder_ + "/" + name);
  thumbnails_->commit();
  write_npy(folder_ + "/thumbnail_ends.npy", {rows}, ends_.data());
  write_npy(folder_ + "/embeddings.npy", {rows, info.network.embedding}, embeddings.data());
  if (info.labels.rows() > 0) write_label_npy(folder_ + "/labels.npy", info.labels);
  atomic_write(folder_ + "/ids.txt", lines_of(info.ids));
  Json skipped = Json::array();
  for (const SkipReport::Entry& entry : info.skipped) skipped.push_back({{"file", entry.file}, {"reason", entry.reason}});
  const Json json{{"version", kVersion},
                  {"source", info.source},
                  {"note", info.note},
                  {"images", rows},
                  {"labelled", info.labels.rows() > 0},
                  {"run", info.run},
                  {"checkpoint", info.checkpoint},
                  {"network", to_json(info.network)},
                  {"embeddings", hex_checksum(embeddings.data(), embeddings.size() * sizeof(float))},
                  {"skipped", skipped}};
  atomic_write(folder_ + "/index.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Gallery::read_info(const std::string& file) {
  try {
    const Json json = Json::parse(read_text(file, kMaxInfoBytes));
    if (const int version = json.at("version").get<int>(); version != kVersion)
      throw DataError(fmt::format("{} has version {}, this program reads {}; index again", file, version, kVersion));
    info_.source = json.at("source").get<std::string>();
    info_.note = json.at("note").get<std::string>();
    info_.run = json.at("run").get<std::string>();
    info_.checkpoint = json.at("checkpoint").get<std::string>();
    info_.network = identity_from(json.at("network"));
    embeddings_checksum_ = json.at("embeddings").get<std::string>();
    info_.labels = LabelMasks(json.at("labelled").get<bool>() ? json.at("images").get<std::int64_t>() : 0, 0);
    for (const Json& entry : json.at("skipped"))
      info_.skipped.push_back({entry.at("file").get<std::string>(), entry.at("reason").get<std::string>()});
  } catch (const nlohmann::json::exception& problem) {
    throw DataError(fmt::format("{} is damaged ({}); index again", file, problem.what()));
  }
}

void Gallery::read_thumbnails(const std::string& folder) {
  const std::string file = folder + "/thumbnail_ends.npy";
  ends_ = NpyFile::open(file).values<std::int64_t>();
  thumbnails_ = std::make_unique<MappedFile>(folder + "/thumbnails.bin");
  const bool whole = static_cast<std::int64_t>(ends_.size()) == rows() && !ends_.empty() && ends_.front() >= 0 &&
                     std::is_sorted(ends_.begin(), ends_.end()) &&
                     ends_.back() == static_cast<std::int64_t>(thumbnails_->size());
  if (!whole) throw DataError(fmt::format("{} does not fit the other files of the index; index again", file));
}

Gallery::Gallery(const std::string& folder, const RetrieverOptions& options) {
  if (!is_file(folder + "/index.json"))
    throw DataError(fmt::format("{} is no index: it holds no index.json; make one with swath index", folder));
  read_info(folder + "/index.json");
  info_.ids = lines_in(read_text(folder + "/ids.txt", kMaxInfoBytes));
  const NpyFile npy = NpyFile::open(folder + "/embeddings.npy");
  if (npy.shape() != std::vector<std::int64_t>{rows(), info_.network.embedding} || rows() < 1)
    throw DataError(fmt::format("{}/embeddings.npy does not fit ids.txt and index.json; index again", folder));
  embeddings_ = npy.values<float>();
  if (hex_checksum(embeddings_.data(), embeddings_.size() * sizeof(float)) != embeddings_checksum_)
    throw DataError(fmt::format("{}/embeddings.npy is corrupt: its checksum differs; index again", folder));
  if (info_.labels.rows() > 0)
    info_.labels = read_labels(folder + "/labels.npy", rows(), static_cast<std::int64_t>(info_.network.classes.size()));
  read_thumbnails(folder);
  index_ = std::make_unique<GalleryIndex>(make_retriever(options),
                                          EmbeddingView{embeddings_.data(), rows(), info_.network.embedding});
}

std::unique_ptr<Gallery> Gallery::open(const std::string& folder, const RetrieverOptions& options) {
  return std::unique_ptr<Gallery>(new Gallery(folder, options));
}

std::vector<std::uint8_t> Gallery::thumbnail(std::int64_t i) const {
  const auto row = static_cast<std::size_t>(i);
  const std::uint8_t* begin = thumbnails_->data() + (i == 0 ? 0 : ends_[row - 1]);
  return {begin, thumbnails_->data() + ends_[row]};
}

std::vector<std::string> Gallery::labels(std::int64_t i) const {
  std::vector<std::string> names;
  for (std::int64_t c = 0; i < info_.labels.rows() && c < info_.labels.classes(); ++c)
    if (info_.labels.has(i, c)) names.push_back(info_.network.classes[static_cast<std::size_t>(c)]);
  return names;
}

Neighbours Gallery::search(const float* queries, std::int64_t count, std::int64_t k) {
  return index_->search({queries, count, info_.network.embedding}, std::min(k, rows()));
}

}  // namespace swath
