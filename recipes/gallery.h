// A gallery on disk: embeddings of indexed images with their names, labels and thumbnails, and the network that made them. It
// is searched with that network alone. Files: docs/formats.md.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "engine/core/config.h"
#include "engine/io/file.h"
#include "engine/nn/parameter.h"
#include "recipes/options.h"
#include "retrieval/retriever.h"
#include "retrieval/samples.h"

namespace swath {

/// What decides an embedding. Two networks of equal identity embed an image alike.
struct NetworkIdentity {
  std::string weights;  // checksum of all parameters and buffers
  std::string recipe, precision;
  std::vector<std::string> classes, bands;
  std::int64_t height = 0, width = 0, crop = 0, embedding = 0;

  /// The first thing that differs from `other`, in a few words; empty when both are equal.
  std::string difference(const NetworkIdentity& other) const;
};
/// Of a network whose weights are loaded. `embedding` is Recipe::embedding_width().
NetworkIdentity identity_of(const ParameterBlock& block, const TrainOptions& options, const ImageSpec& image,
                            const std::vector<std::string>& classes, std::int64_t embedding);

/// A picture of an image in host memory: RGB, Sentinel-2 (B04, B03, B02), or the first three of other bands. Throws UserError
/// where none can be made.
Thumbnail thumbnail_of(const ImageSpec& image, const void* pixels, std::int64_t size = 128);

/// The thumbnail as a JPEG file.
std::vector<std::uint8_t> jpeg_of(const Thumbnail& thumbnail);

struct GalleryInfo {
  NetworkIdentity network;
  std::string run, checkpoint;  // where the network lies; run may be empty
  std::string source;           // what was indexed, for people
  std::string note;             // "synthetic" for generated scenes, else empty
  std::vector<std::string> ids;
  LabelMasks labels;  // no rows: the images have no labels
  std::vector<SkipReport::Entry> skipped;
};

/// Writes a gallery piece by piece. It can be opened after finish(); until then the folder holds none.
class GalleryWriter {
 public:
  /// Makes the folder. Throws UserError when it holds anything but an earlier gallery.
  explicit GalleryWriter(const std::string& folder);
  /// The next image's thumbnail, in the order of GalleryInfo::ids.
  void add(const Thumbnail& thumbnail);
  /// `embeddings`: ids.size() × network.embedding. Throws InternalError when the numbers of rows differ, DataError when the
  /// disk is full.
  void finish(const GalleryInfo& info, const std::vector<float>& embeddings);

 private:
  std::string folder_;
  std::unique_ptr<AtomicFile> thumbnails_;
  std::vector<std::int64_t> ends_;
};

class Gallery {
 public:
  /// Throws DataError that names the file where the folder holds no gallery or a damaged one.
  static std::unique_ptr<Gallery> open(const std::string& folder, const RetrieverOptions& options = {});

  const GalleryInfo& info() const { return info_; }
  std::int64_t rows() const { return static_cast<std::int64_t>(info_.ids.size()); }
  /// embedding values of image i.
  const float* embedding(std::int64_t i) const { return embeddings_.data() + i * info_.network.embedding; }
  /// A JPEG file, at most 128 pixels a side.
  std::vector<std::uint8_t> thumbnail(std::int64_t i) const;
  /// Class names of image i; none without labels.
  std::vector<std::string> labels(std::int64_t i) const;
  /// The k nearest of queries × network.embedding values, exact; k is cut to rows(). One thread at a time. Throws UserError
  /// when k < 1 or a value is not finite.
  Neighbours search(const float* queries, std::int64_t count, std::int64_t k);

 private:
  Gallery(const std::string& folder, const RetrieverOptions& options);
  void read_info(const std::string& file);
  void read_thumbnails(const std::string& folder);

  GalleryInfo info_;
  std::string embeddings_checksum_;
  std::vector<float> embeddings_;
  std::vector<std::int64_t> ends_;
  std::unique_ptr<MappedFile> thumbnails_;
  std::unique_ptr<GalleryIndex> index_;
};

}  // namespace swath
