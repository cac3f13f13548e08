// MLRSNet layout and the generic manifest: labels, decoding, bad files.
#include <cstdlib>
#include <filesystem>

#include "data/geotiff.h"
#include "data/resample.h"
#include "data/rgb_file.h"
#include "data/split.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace fs = std::filesystem;

namespace {

/// Two categories whose files order the classes differently.
void make_archive(const std::string& root, std::int64_t side = 256) {
  write_text(root + "/labels/beach.csv", "image,sand,sea,trees\nb0.jpg,1,1,0\nb1.jpg,1,0,0\n\"b,2.jpg\",0,0,1\n");
  write_text(root + "/labels/forest.csv", "image,trees,pavement,sea\r\nf0.jpg,1,0,0\r\nf1.jpg,0,1,1\r\nf2.jpg,0,0,0\r\n");
  for (const char* name :
       {"beach/b0.jpg", "beach/b1.jpg", "beach/b,2.jpg", "forest/f0.jpg", "forest/f1.jpg", "forest/f2.jpg"}) {
    fs::create_directories(fs::path(root) / "Images" / fs::path(name).parent_path());
    write_picture(root + "/Images/" + name, side, side, static_cast<std::uint32_t>(name[7]));
  }
}

std::vector<std::string> names_of_image(const Dataset& d, const std::string& id) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < d.size(); ++i)
    for (std::int64_t c = 0; d.ids()[static_cast<std::size_t>(i)] == id && c < d.labels().classes(); ++c)
      if (d.labels().has(i, c)) names.push_back(d.class_names()[static_cast<std::size_t>(c)]);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST(Mlrsnet, OrdersClassesByNameAcrossFiles) {
  const TempFolder root;
  make_archive(root.path());
  const auto d = open_dataset({.root = root.path()});
  EXPECT_EQ(d->name(), "mlrsnet");
  EXPECT_EQ(d->class_names(), (Names{"pavement", "sand", "sea", "trees"}));
  EXPECT_EQ(d->ids(), (Names{"beach/b,2.jpg", "beach/b0.jpg", "beach/b1.jpg", "forest/f0.jpg", "forest/f1.jpg"}));
  EXPECT_EQ(names_of_image(*d, "beach/b0.jpg"), (Names{"sand", "sea"}));
  EXPECT_EQ(names_of_image(*d, "forest/f1.jpg"), (Names{"pavement", "sea"}));
  EXPECT_EQ(d->report().without_class, 1);
  EXPECT_EQ(d->image().bytes(), 256u * 256 * 3);
  EXPECT_EQ(d->image().bands, (Names{"R", "G", "B"}));
}

TEST(Mlrsnet, AcceptsTheParentFolder) {
  const TempFolder root;
  make_archive(root / "MLRSNet");
  EXPECT_EQ(open_dataset({.root = root.path()})->size(), 5);
  EXPECT_EQ(open_dataset({.root = root.path()})->fingerprint(), open_dataset({.root = root / "MLRSNet"})->fingerprint());
}

TEST(Mlrsnet, DecodesToInterleavedRgb) {
  const TempFolder root;
  make_archive(root.path());
  const auto d = open_dataset({.root = root.path()});
  std::vector<std::uint8_t> pixels(d->image().bytes());
  d->read(1, pixels.data());
  const auto original = picture(256, 256, '0');
  double error = 0;
  for (std::size_t p = 0; p < pixels.size(); ++p) error += std::abs(double{1} * pixels[p] - original[p]);
  EXPECT_LT(error / static_cast<double>(pixels.size()), 2.0);  // JPEG at quality 90 of a smooth picture
}

TEST(Mlrsnet, ResizesWhatDiffers) {
  const TempFolder root;
  make_archive(root.path(), 200);
  const auto d = open_dataset({.root = root.path(), .image_size = 64});
  std::vector<std::uint8_t> pixels(d->image().bytes()), whole(200 * 200 * 3), expected(64 * 64 * 3);
  d->read(1, pixels.data());
  read_rgb(root / "Images/beach/b0.jpg", 200, 200, whole.data());
  resample_bilinear(
      {.from = whole.data(), .from_height = 200, .from_width = 200, .to = expected.data(), .to_height = 64, .to_width = 64});
  EXPECT_EQ(pixels, expected);
}

TEST(Mlrsnet, ReadsGreyAndRefusesTruncatedAndForeignFiles) {
  const TempFolder root;
  make_archive(root.path());
  const auto d = open_dataset({.root = root.path()});
  std::vector<std::uint8_t> pixels(d->image().bytes());
  cut(root / "Images/beach/b0.jpg", 2000);
  expect_data_error([&] { d->read(1, pixels.data()); }, {"beach/b0.jpg", "corrupt JPEG"});
  write_text(root / "Images/beach/b0.jpg", "GIF89a");
  expect_data_error([&] { d->read(1, pixels.data()); }, {"beach/b0.jpg", "neither JPEG nor PNG"});
  write_text(root / "Images/beach/b0.jpg", "\xff\xd8\xff");
  expect_data_error([&] { d->read(1, pixels.data()); }, {"beach/b0.jpg", "corrupt JPEG"});
  fs::remove(root / "Images/beach/b0.jpg");
  expect_data_error([&] { d->read(1, pixels.data()); }, {"beach/b0.jpg", "cannot be opened"});
}

TEST(Mlrsnet, RefusesAnImageThatClaimsTooManyPixels) {
  // Start of image, then a baseline frame header of 65,500 × 65,500 × 1.
  const TempFolder root;
  const std::string frame("\xff\xd8\xff\xc0\x00\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\x00", 15);
  write_text(root / "bomb.jpg", frame + std::string("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", 10));
  std::vector<std::uint8_t> pixels(3 * 64 * 64);
  expect_data_error([&] { read_rgb(root / "bomb.jpg", 64, 64, pixels.data()); }, {"bomb.jpg", "64 Mpixel"});
}

TEST(Mlrsnet, SkipsBadRowsUpToTheShareAndListsThem) {
  const TempFolder root;
  make_archive(root.path());
  write_text(root / "labels/beach.csv", "image,sand,sea,trees\nb0.jpg,1,1\nb1.jpg,1,0,0\nb,2.jpg,yes,0,1\nb9.jpg,1,0,0\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); },
                    {"2 of 7 label rows", "beach.csv line 2", "max_unreadable_share"});
  const auto d = open_dataset({.root = root.path(), .max_unreadable_share = 0.5});
  EXPECT_EQ(d->size(), 3);
  ASSERT_EQ(d->report().unreadable.size(), 3u);
  EXPECT_NE(d->report().unreadable[0].reason.find("3 fields, where 4 are expected"), std::string::npos);
  EXPECT_NE(d->report().unreadable[1].reason.find("5 fields"), std::string::npos);
  EXPECT_EQ(d->report().unreadable[2].file, "beach/b9.jpg");
}

TEST(Mlrsnet, SkipsAMalformedLabelFileUpToTheShare) {
  const TempFolder root;
  make_archive(root.path());
  write_text(root / "labels/beach.csv", "image,sand,sand\nb0.jpg,1,1\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"1 of 2 label files", "labels/beach.csv", "\"sand\" twice"});
  const auto d = open_dataset({.root = root.path(), .max_unreadable_share = 0.5});
  EXPECT_EQ(d->size(), 2);
  write_text(root / "labels/beach.csv", "image,sand\n" + std::string(2 << 20, 'x'));
  EXPECT_EQ(open_dataset({.root = root.path(), .max_unreadable_share = 0.5})->size(), 2);
}

TEST(Mlrsnet, NeverSkipsAnUnsafePath) {
  for (const std::string bad : {"../../secret.jpg", "/etc/passwd", "/vsizip/a.zip/b.jpg", "sub/b0.jpg"}) {
    const TempFolder root;
    make_archive(root.path());
    write_text(root / "labels/beach.csv", "image,sand\n" + bad + ",1\n");
    expect_data_error([&] { open_dataset({.root = root.path(), .max_unreadable_share = 1}); }, {"beach.csv line 2", bad});
  }
}

TEST(Mlrsnet, NamesWhatIsMissing) {
  const TempFolder root;
  expect_user_error([] { open_dataset({}); }, {"data.root"});
  expect_data_error([&] { open_dataset({.root = root / "none"}); }, {"none", "does not exist"});
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {root.path(), "no archive"});
  expect_data_error([&] { open_dataset({.root = root.path(), .format = "mlrsnet"}); }, {"Images/ and labels/"});
  fs::create_directories(root / "Images");
  fs::create_directories(root / "labels");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"holds no .csv file"});
  write_text(root / "labels/a.csv", "");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"labels/a.csv", "is empty"});
  write_text(root / "labels/a.csv", "image,x\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"no image with a label"});
}

TEST(Manifest, ReadsAnyFolderStructure) {
  const TempFolder root;
  write_text(root / "manifest.csv", "path,water,town\nx/one.jpg,1,0\ny/z/two.jpg,1,1\nthree.jpg,0,0\n");
  for (const char* folder : {"x", "y/z"}) fs::create_directories(root / folder);
  for (const char* name : {"x/one.jpg", "y/z/two.jpg", "three.jpg"}) write_picture(root / name, 40, 50, 3);
  const auto d = open_dataset({.root = root.path(), .image_size = 32});
  EXPECT_EQ(d->name(), "csv");
  EXPECT_EQ(d->class_names(), (Names{"town", "water"}));
  EXPECT_EQ(names_of_image(*d, "y/z/two.jpg"), (Names{"town", "water"}));
  EXPECT_EQ(d->report().without_class, 1);
  std::vector<std::uint8_t> pixels(d->image().bytes());
  d->read(0, pixels.data());
}

TEST(Manifest, RefusesUnsafeRepeatedAndMixedRows) {
  const TempFolder root;
  write_picture(root / "one.jpg", 16, 16, 1);
  write_text(root / "manifest.csv", "path,a\n../one.jpg,1\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"manifest.csv line 2", "leaves its folder"});
  write_text(root / "manifest.csv", "path,a\none.jpg,1\none.jpg,1\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"one.jpg is listed twice"});
  write_text(root / "two.tif", "");
  write_text(root / "manifest.csv", "path,a\none.jpg,1\ntwo.tif,1\n");
  expect_data_error([&] { open_dataset({.root = root.path()}); }, {"GeoTIFF and other images together"});
  expect_data_error([&] { open_dataset({.root = root.path(), .format = "csv", .manifest = "/etc/passwd"}); },
                    {"data.manifest", "absolute"});
}

TEST(Manifest, ReadsGeoTiffOfOneForm) {
  if (!geotiff_supported()) GTEST_SKIP() << "built without GDAL";
  const TempFolder root;
  std::vector<std::uint16_t> values(30 * 20);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(7 * i);
  write_geotiff(root / "a.tif", values.data(), 30, 20);
  write_geotiff(root / "b.tif", values.data(), 20, 30);
  write_text(root / "manifest.csv", "path,x\na.tif,1\nb.tif,1\n");
  const auto d = open_dataset({.root = root.path(), .image_size = 30});
  EXPECT_EQ(d->image().channels, 1);
  EXPECT_EQ(d->image().dtype, kernels::DType::u16);
  EXPECT_EQ(d->image().bands, (Names{"band1"}));
  std::vector<std::uint16_t> pixels(30 * 30);
  d->read(0, pixels.data());
  EXPECT_EQ(pixels.back(), values.back());
}

TEST(Decoding, EqualsPillowAndScalesAsIt) {
  const TempFolder root;
  write_picture(root / "a.jpg", 120, 170, 5);
  std::vector<std::uint8_t> same(120 * 170 * 3), small(64 * 64 * 3), large(256 * 256 * 3);
  read_rgb(root / "a.jpg", 120, 170, same.data());
  read_rgb(root / "a.jpg", 64, 64, small.data());
  read_rgb(root / "a.jpg", 256, 256, large.data());
  write_text(root / "same.bin", std::string(same.begin(), same.end()));
  write_text(root / "small.bin", std::string(small.begin(), small.end()));
  write_text(root / "large.bin", std::string(large.begin(), large.end()));
  const char* script = R"(
import sys, numpy as np
from PIL import Image
folder = sys.argv[1]
image = Image.open(folder + '/a.jpg').convert('RGB')
for name, size, tolerance in (('same', None, 0), ('small', (64, 64), 1), ('large', (256, 256), 1)):
    want = image if size is None else image.resize(size, Image.BILINEAR)
    want = np.asarray(want).astype(int)
    got = np.fromfile(f'{folder}/{name}.bin', np.uint8).reshape(want.shape).astype(int)
    worst = abs(want - got).max()
    assert worst <= tolerance, (name, worst)
Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder + '/grey.jpg', quality=100)
rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
Image.fromarray(rgb).save(folder + '/rgb.png')
Image.fromarray(rgb).convert('P').save(folder + '/palette.png')
rgb.tofile(folder + '/rgb.bin')
np.asarray(Image.open(folder + '/palette.png').convert('RGB')).tofile(folder + '/palette.bin')
Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder + '/deep.png')
Image.fromarray(rgb).convert('CMYK').save(folder + '/cmyk.jpg')
)";
  if (!run_peer(script, {root.path()})) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
  std::vector<std::uint8_t> grey(16 * 16 * 3), png(20 * 30 * 3);
  read_rgb(root / "grey.jpg", 16, 16, grey.data());
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_NEAR(grey[3 * i], static_cast<double>(i), 3);
    EXPECT_EQ(grey[3 * i], grey[3 * i + 2]);
  }
  for (const std::string name : {"rgb", "palette"}) {
    read_rgb(root / (name + ".png"), 20, 30, png.data());
    EXPECT_EQ(std::string(png.begin(), png.end()), read_whole(root / (name + ".bin"))) << name;
  }
  expect_data_error([&] { read_rgb(root / "deep.png", 8, 8, png.data()); }, {"deep.png", "16 bits"});
  expect_data_error([&] { read_rgb(root / "cmyk.jpg", 20, 30, png.data()); }, {"cmyk.jpg", "CMYK"});
  cut(root / "rgb.png", 100);
  expect_data_error([&] { read_rgb(root / "rgb.png", 20, 30, png.data()); }, {"rgb.png", "corrupt PNG"});
}

TEST(Mlrsnet, ReadsUcMerced) {
  if (real_data().empty()) GTEST_SKIP() << "SWATH_DATA is not set";
  const auto d = open_dataset({.root = real_data() + "/UCMerced"});
  EXPECT_EQ(d->size(), 2100);
  EXPECT_EQ(d->class_names().size(), 17u);
  EXPECT_TRUE(d->report().unreadable.empty());
  EXPECT_NEAR(label_statistics(d->labels()).mean_labels, 3.33, 0.01);
  std::vector<std::uint8_t> pixels(d->image().bytes());
  for (std::int64_t i = 0; i < d->size(); i += 50) EXPECT_NO_THROW(d->read(i, pixels.data()));
}

}  // namespace swath::test
