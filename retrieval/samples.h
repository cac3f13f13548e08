// The picture of retrieved samples: a row per query with its neighbours and their class names (methods.md §8).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "retrieval/retriever.h"
#include "retrieval/svg.h"
#include "retrieval/views.h"

namespace swath {

/// uint8 [height][width][3], RGB.
struct Thumbnail {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<std::uint8_t> rgb;
};

/// uint8 [height][width][3] scaled to fit `size` × `size` by area averaging, aspect kept; never enlarged.
Thumbnail thumbnail_rgb8(const std::uint8_t* image, std::int64_t height, std::int64_t width, std::int64_t size = 128);

/// A Sentinel-2 image: uint16 [height][width][channels], and the channel numbers of B04, B03, B02.
struct Sentinel2Image {
  const std::uint16_t* data = nullptr;
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t red = 0, green = 0, blue = 0;
};
/// Each band scaled by its own maximum in the picture; a band that is all 0 stays black.
Thumbnail thumbnail_sentinel2(const Sentinel2Image& image, std::int64_t size = 128);

struct RetrievedSamples {
  std::string title = "Retrieved samples";
  std::vector<std::int64_t> queries;  // rows of `neighbours`
  const Neighbours* neighbours = nullptr;
  std::int64_t columns = 8;  // neighbours shown, at most neighbours->k
  LabelView query_labels;
  LabelView gallery_labels;
  std::vector<std::string> class_names;
  std::function<Thumbnail(std::int64_t)> query_image;    // row of the queries → picture
  std::function<Thumbnail(std::int64_t)> gallery_image;  // row of the gallery → picture
};
/// SVG text: shared class names in ink, others red; per neighbour the number of correct labels. Throws UserError for
/// rows and counts that do not fit.
std::string samples_picture(const RetrievedSamples& samples);

}  // namespace swath
