// Procedural scenes: reproducible, labelled by what is visible, readable as the layouts they imitate, marked as synthetic.
#include "data/scenes.h"

#include <filesystem>
#include <set>

#include "data/corine.h"
#include "data/geotiff.h"
#include "data/pack.h"
#include "data/scene_painter.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace fs = std::filesystem;

TEST(Scenes, DependOnTheSeedAlone) {
  const TempFolder folder;
  generate_scenes({.out = folder / "a", .images = 14, .size = 48, .seed = 1, .workers = 1});
  generate_scenes({.out = folder / "b", .images = 14, .size = 48, .seed = 1, .workers = 3});
  generate_scenes({.out = folder / "c", .images = 14, .size = 48, .seed = 2, .workers = 1});
  int files = 0, differing = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "a")) {
    if (!entry.is_regular_file()) continue;
    ++files;
    const std::string name = fs::relative(entry.path(), folder / "a").string();
    EXPECT_EQ(read_whole(folder / ("a/" + name)), read_whole(folder / ("b/" + name))) << name;
    differing += read_whole(folder / ("a/" + name)) != read_whole(folder / ("c/" + name));
  }
  EXPECT_EQ(files, 14 + 7 + 1);
  EXPECT_GE(differing, 15);
}

TEST(Scenes, AreAnMlrsnetArchive) {
  const TempFolder folder;
  const auto result = generate_scenes({.out = folder / "s", .images = 140, .size = 32, .seed = 5});
  const auto d = open_dataset({.root = folder / "s", .image_size = 32});
  EXPECT_EQ(d->size(), 140);
  EXPECT_EQ(d->class_names(), result.class_names);
  EXPECT_EQ(d->labels().images_per_class(), result.images_per_class);
  for (const std::int64_t images : result.images_per_class) EXPECT_GE(images, 4);
  const double mean = label_statistics(d->labels()).mean_labels;
  EXPECT_GT(mean, 2);
  EXPECT_LT(mean, 6);
  EXPECT_NE(read_whole(folder / "s/SYNTHETIC.txt").find("SYNTHETIC"), std::string::npos);
  pack_all(prepare_data({.root = folder / "s", .image_size = 32}), folder / "packed");
  EXPECT_EQ(open_packed(folder / "packed").train.info().note, "synthetic");
}

TEST(Scenes, AreABigEarthNetArchive) {
  if (!geotiff_supported()) GTEST_SKIP() << "built without GDAL";
  const TempFolder folder;
  const auto result = generate_scenes({.out = folder / "s", .layout = "bigearthnet", .images = 35, .seed = 5});
  for (const std::string& name : result.class_names) EXPECT_GE(corine_index(name), 0) << name;
  const auto d43 = open_dataset({.root = folder / "s"});
  EXPECT_EQ(d43->size(), 35);
  EXPECT_TRUE(d43->report().unreadable.empty());
  const auto d19 = open_dataset({.root = folder / "s", .classes = 19});
  std::int64_t used = 0;
  for (const std::int64_t images : d19->labels().images_per_class()) used += images > 0;
  EXPECT_GE(used, 10);
  // Open water is darker in the near infrared (B08) than in the green (B03), a forest the other way round.
  std::vector<std::uint16_t> pixels(120 * 120 * 12);
  const auto mean = [&](std::size_t band) {
    double sum = 0;
    for (std::size_t p = 0; p < 120 * 120; ++p) sum += pixels[p * 12 + band];
    return sum / (120 * 120);
  };
  for (std::int64_t i = 0; i < d43->size(); ++i) {
    if (d43->labels().count(i) != 1) continue;
    d43->read(i, pixels.data());
    if (d43->labels().has(i, corine_index("Broad-leaved forest"))) {
      EXPECT_GT(mean(7), 2 * mean(2));
    }
    if (d43->labels().has(i, corine_index("Sea and ocean"))) {
      EXPECT_LT(mean(7), mean(2));
    }
  }
}

TEST(Scenes, LabelWhatCoversFourPercent) {
  const scenes::Painter painter(1, 8, 64);
  const auto covers = painter.visible_covers();
  EXPECT_FALSE(covers.empty());
  EXPECT_LE(covers.size(), 8u);
  for (int y = 0; y < 64; y += 9)
    for (int b = 0; b < 12; ++b) {
      EXPECT_GT(painter.reflectance(y, y, b), 0);
      EXPECT_LT(painter.reflectance(y, y, b), 10000);
    }
}

TEST(Scenes, NeverTouchAFolderThatHoldsSomethingElse) {
  const TempFolder folder;
  write_text(folder / "mine/notes.txt", "keep");
  expect_user_error([&] { generate_scenes({.out = folder / "mine", .images = 1, .size = 32}); }, {"mine", "holds other files"});
  generate_scenes({.out = folder / "s", .images = 2, .size = 32});
  generate_scenes({.out = folder / "s", .images = 2, .size = 32});
  expect_user_error([&] { generate_scenes({.out = folder / "s", .images = 3, .size = 32}); }, {"holds other files"});
  expect_user_error([&] { generate_scenes({}); }, {"scenes.out"});
  expect_user_error([&] { generate_scenes({.out = folder / "t", .images = 1, .size = 8}); }, {"--size takes 16 or more"});
}

}  // namespace swath::test
