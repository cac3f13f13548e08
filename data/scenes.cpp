#include "data/scenes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "data/bigearthnet.h"
#include "data/csv.h"
#include "data/dataset.h"
#include "data/file.h"
#include "data/geotiff.h"
#include "data/rgb_file.h"
#include "data/scene_painter.h"
#include "data/workers.h"
#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath {

namespace {

using scenes::Cover;
using scenes::Painter;

constexpr int kJpegQuality = 90, kPatchSide = 120;

/// Files of an archive are not synced one by one: its labels come last, and they alone make it an archive.
void write_plain(const std::string& path, const void* bytes, std::size_t count) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (file.get() < 0) throw DataError(fmt::format("{} cannot be created: {}", path, system_message()));
  write_at(file, path, bytes, count, 0);
}

/// Reflectance to the 8 bits of a picture: true colour with a mild gamma, as quick-looks have.
std::uint8_t tone(float reflectance) {
  return static_cast<std::uint8_t>(255.0f * std::pow(std::clamp(reflectance / 3500.0f, 0.0f, 1.0f), 0.75f) + 0.5f);
}

void write_jpeg(const Painter& painter, int side, const std::string& path) {
  constexpr int kRedGreenBlue[] = {3, 2, 1};  // B04 B03 B02
  std::vector<std::uint8_t> pixels;
  pixels.reserve(static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      for (const int band : kRedGreenBlue) pixels.push_back(tone(painter.reflectance(y, x, band)));
  const auto jpeg = encode_jpeg(pixels.data(), side, side, kJpegQuality);
  write_plain(path, jpeg.data(), jpeg.size());
}

void write_patch(const Painter& painter, const std::vector<std::string>& labels, const std::string& root,
                 const std::string& patch) {
  const std::string folder = root + "/" + patch;
  make_folder(folder);
  const auto& bands = sentinel2_bands();
  for (std::size_t b = 0; b < bands.size(); ++b) {
    const int side = static_cast<int>(sentinel2_side(bands[b])), step = kPatchSide / side;
    std::vector<std::uint16_t> pixels;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x) {
        float sum = 0;  // a coarser band sees the mean of the fine pixels
        for (int dy = 0; dy < step; ++dy)
          for (int dx = 0; dx < step; ++dx) sum += painter.reflectance(y * step + dy, x * step + dx, static_cast<int>(b));
        pixels.push_back(static_cast<std::uint16_t>(sum / static_cast<float>(step * step) + 0.5f));
      }
    write_geotiff(fmt::format("{}/{}_{}.tif", folder, patch, bands[b]), pixels.data(), side, side);
  }
  const std::string text = nlohmann::ordered_json{{"labels", labels}, {"synthetic", true}}.dump();
  write_plain(fmt::format("{}/{}_labels_metadata.json", folder, patch), text.data(), text.size());
}

std::string note(const ScenesOptions& options, int side) {
  return fmt::format(
      "The images in this folder are SYNTHETIC: landscapes painted by a program, not observations.\n"
      "They demonstrate and test; results on them say nothing about real imagery.\n"
      "layout {}, images {}, side {}, seed {}\n",
      options.layout, options.images, side, options.seed);
}

/// An equal earlier run is written over with equal files; anything else in the folder is the user's.
void claim_folder(const std::string& folder, const std::string& text) {
  if (folder.empty()) throw UserError("scenes.out is not set; name the folder to write");
  make_folder(folder);
  const std::string file = folder + "/SYNTHETIC.txt";
  if (!list_folder(folder).empty() && !(is_file(file) && read_text(file, 1 << 16) == text))
    throw UserError(fmt::format("{} holds other files; name a new folder for the scenes", folder));
  atomic_write(file, text);
}

void write_label_csv(const std::string& root, const std::vector<std::vector<Cover>>& covers, std::int64_t images) {
  std::map<std::string, std::string> text;  // category → rows
  std::vector<std::string> fields{"image"};
  for (int c = 0; c < scenes::kCovers; ++c) fields.emplace_back(scenes::names_of(static_cast<Cover>(c)).plain);
  const std::string header = csv_line(fields);
  for (std::int64_t i = 0; i < images; ++i) {
    const std::string category = scenes::theme_name(static_cast<int>(i % scenes::kThemes));
    fields.assign(static_cast<std::size_t>(scenes::kCovers + 1), "0");
    fields[0] = fmt::format("{}{:06}.jpg", category, i);
    for (const Cover c : covers[static_cast<std::size_t>(i)]) fields[static_cast<std::size_t>(c) + 1] = "1";
    text.try_emplace(category, header).first->second += csv_line(fields);
  }
  for (const auto& [category, rows] : text) atomic_write(fmt::format("{}/labels/{}.csv", root, category), rows);
}

}  // namespace

ScenesResult generate_scenes(const ScenesOptions& options, const std::function<void(std::int64_t, std::int64_t)>& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const bool patches = options.layout == "bigearthnet";
  if (!patches && options.layout != "mlrsnet")
    throw UserError(fmt::format("there is no layout {}; --layout takes mlrsnet or bigearthnet", options.layout));
  if (patches) require_geotiff("writing the BigEarthNet layout");
  const int side = patches ? kPatchSide : options.size > 0 ? options.size : 256;
  if (side < 16) throw UserError(fmt::format("images of {} pixels a side are too small; --size takes 16 or more", side));
  claim_folder(options.out, note(options, side));
  if (!patches) {
    make_folder(options.out + "/labels");
    for (int t = 0; t < scenes::kThemes; ++t) make_folder(fmt::format("{}/Images/{}", options.out, scenes::theme_name(t)));
  }
  std::vector<std::vector<Cover>> covers(static_cast<std::size_t>(options.images));
  run_workers(
      options.images,
      {.workers = options.workers,
       .tick = progress ? [&](std::int64_t done) { progress(done, options.images); } : std::function<void(std::int64_t)>{}},
      [&](std::int64_t i, int) {
        const Painter painter(options.seed, i, side);
        auto& visible = covers[static_cast<std::size_t>(i)];
        visible = painter.visible_covers();
        if (!patches) {
          const char* category = scenes::theme_name(painter.theme());
          return write_jpeg(painter, side, fmt::format("{}/Images/{}/{}{:06}.jpg", options.out, category, category, i));
        }
        std::vector<std::string> labels;
        for (const Cover c : visible) labels.emplace_back(scenes::names_of(c).corine);
        write_patch(painter, labels, options.out, fmt::format("scene_{:06}", i));
      });
  if (!patches) write_label_csv(options.out, covers, options.images);
  ScenesResult result{.images = options.images,
                      .class_names = {},
                      .images_per_class = std::vector<std::int64_t>(scenes::kCovers),
                      .seconds = 0};
  for (int c = 0; c < scenes::kCovers; ++c) {
    const auto& names = scenes::names_of(static_cast<Cover>(c));
    result.class_names.emplace_back(patches ? names.corine : names.plain);
  }
  for (const auto& visible : covers)
    for (const Cover c : visible) ++result.images_per_class[static_cast<std::size_t>(c)];
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace swath
