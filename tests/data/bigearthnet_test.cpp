// BigEarthNet layout: nomenclatures, GeoTIFF values equal to rasterio's, bad files.
#include "data/bigearthnet.h"

#include <filesystem>
#include <set>

#include "data/corine.h"
#include "data/geotiff.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace fs = std::filesystem;

namespace {

void write_band(const std::string& root, const std::string& patch, const std::string& band, std::int64_t side) {
  std::vector<std::uint16_t> values;
  for (std::int64_t i = 0; i < side * side; ++i)
    values.push_back(static_cast<std::uint16_t>((i * 37 + band.back() * 101) % 5000));
  write_geotiff(root + "/" + patch + "/" + patch + "_" + band + ".tif", values.data(), side, side);
}

void write_labels(const std::string& root, const std::string& patch, const std::string& json) {
  write_text(root + "/" + patch + "/" + patch + "_labels_metadata.json", json);
}

void make_patch(const std::string& root, const std::string& patch, const std::string& labels) {
  write_labels(root, patch, R"({"labels": [)" + labels + "]}");
  for (const std::string& band : sentinel2_bands()) write_band(root, patch, band, sentinel2_side(band));
}

}  // namespace

#define REQUIRE_GDAL() \
  if (!geotiff_supported()) GTEST_SKIP() << "built without GDAL"

TEST(Corine, HasBothNomenclatures) {
  EXPECT_EQ(corine_43().size(), 43u);
  EXPECT_EQ(corine_19().size(), 19u);
  EXPECT_EQ(std::set<std::string>(corine_43().begin(), corine_43().end()).size(), 43u);
  std::set<std::int64_t> used;
  std::set<std::string> nowhere;
  for (std::size_t c = 0; c < 43; ++c) {
    EXPECT_EQ(corine_index(corine_43()[c]), static_cast<std::int64_t>(c));
    const std::int64_t mapped = corine_43_to_19()[c];
    mapped >= 0 ? static_cast<void>(used.insert(mapped)) : static_cast<void>(nowhere.insert(corine_43()[c]));
  }
  EXPECT_EQ(used.size(), 19u);
  EXPECT_EQ(nowhere, (std::set<std::string>{"Road and rail networks and associated land", "Port areas", "Airports",
                                            "Mineral extraction sites", "Dump sites", "Construction sites", "Green urban areas",
                                            "Sport and leisure facilities", "Bare rock", "Burnt areas", "Intertidal flats"}));
  const auto to_19 = [](const char* name) {
    return corine_19()[static_cast<std::size_t>(corine_43_to_19()[static_cast<std::size_t>(corine_index(name))])];
  };
  // Every name of the table in methods.md §1 whose class has another name.
  EXPECT_EQ(to_19("Continuous urban fabric"), "Urban fabric");
  EXPECT_EQ(to_19("Discontinuous urban fabric"), "Urban fabric");
  for (const char* name : {"Non-irrigated arable land", "Permanently irrigated land", "Rice fields"})
    EXPECT_EQ(to_19(name), "Arable land");
  for (const char* name :
       {"Vineyards", "Fruit trees and berry plantations", "Olive groves", "Annual crops associated with permanent crops"})
    EXPECT_EQ(to_19(name), "Permanent crops");
  for (const char* name : {"Natural grassland", "Sparsely vegetated areas"})
    EXPECT_EQ(to_19(name), "Natural grassland and sparsely vegetated areas");
  for (const char* name : {"Moors and heathland", "Sclerophyllous vegetation"})
    EXPECT_EQ(to_19(name), "Moors, heathland and sclerophyllous vegetation");
  EXPECT_EQ(to_19("Transitional woodland/shrub"), "Transitional woodland, shrub");
  for (const char* name : {"Inland marshes", "Peatbogs"}) EXPECT_EQ(to_19(name), "Inland wetlands");
  for (const char* name : {"Salt marshes", "Salines"}) EXPECT_EQ(to_19(name), "Coastal wetlands");
  for (const char* name : {"Water courses", "Water bodies"}) EXPECT_EQ(to_19(name), "Inland waters");
  for (const char* name : {"Coastal lagoons", "Estuaries", "Sea and ocean"}) EXPECT_EQ(to_19(name), "Marine waters");
  for (const char* name : {"Industrial or commercial units", "Pastures", "Complex cultivation patterns", "Agro-forestry areas",
                           "Broad-leaved forest", "Coniferous forest", "Mixed forest", "Beaches, dunes, sands",
                           "Land principally occupied by agriculture, with significant areas of natural vegetation"})
    EXPECT_EQ(to_19(name), name);
}

TEST(BigEarthNet, ReadsLabelsAndDropsClasslessPatches) {
  REQUIRE_GDAL();
  const TempFolder root;
  make_patch(root.path(), "p1", R"("Sea and ocean", "Airports")");
  make_patch(root.path(), "p2", R"("Airports")");
  make_patch(root.path(), "p3", R"("Olive groves", "Vineyards")");
  const auto d43 = open_dataset({.root = root.path()});
  EXPECT_EQ(d43->name(), "bigearthnet-43");
  EXPECT_EQ(d43->size(), 3);
  EXPECT_EQ(d43->labels().count(0), 2);
  const auto d19 = open_dataset({.root = root.path(), .classes = 19});
  EXPECT_EQ(d19->ids(), (std::vector<std::string>{"p1", "p3"}));
  EXPECT_EQ(d19->report().without_class, 1);
  EXPECT_EQ(d19->labels().count(1), 1);  // both are permanent crops
  EXPECT_NE(d43->fingerprint(), d19->fingerprint());
  expect_user_error([&] { open_dataset({.root = root.path(), .classes = 20}); }, {"data.classes", "43 or 19"});
}

TEST(BigEarthNet, RefusesFilesOfAnotherForm) {
  REQUIRE_GDAL();
  const TempFolder root;
  make_patch(root.path(), "p1", R"("Pastures")");
  const auto d = open_dataset({.root = root.path()});
  std::vector<std::uint16_t> pixels(120 * 120 * 12);
  d->read(0, pixels.data());
  write_band(root.path(), "p1", "B05", 30);
  expect_data_error([&] { d->read(0, pixels.data()); }, {"p1_B05.tif", "30 x 30", "60 x 60"});
  write_band(root.path(), "p1", "B05", 60);
  cut(root / "p1/p1_B04.tif", 20000);
  expect_data_error([&] { d->read(0, pixels.data()); }, {"p1_B04.tif", "not a readable GeoTIFF"});
  cut(root / "p1/p1_B04.tif", static_cast<std::int64_t>(fs::file_size(root / "p1/p1_B04.tif")) - 5);
  expect_data_error([&] { d->read(0, pixels.data()); }, {"p1_B04.tif", "not a readable GeoTIFF"});
  fs::remove(root / "p1/p1_B04.tif");
  expect_data_error([&] { d->read(0, pixels.data()); }, {"p1_B04.tif", "missing"});
  write_text(root / "p1/p1_B04.tif", "P5 1 1 255 a");  // a driver that must not be tried
  expect_data_error([&] { d->read(0, pixels.data()); }, {"p1_B04.tif"});
}

TEST(BigEarthNet, RefusesWrongBandCountAndType) {
  REQUIRE_GDAL();
  const TempFolder root;
  make_patch(root.path(), "p1", R"("Pastures")");
  const auto d = open_dataset({.root = root.path()});
  const char* script = R"(
import sys, numpy as np, rasterio
for name, dtype, count in (('two', 'uint16', 2), ('float', 'float32', 1), ('byte', 'uint8', 1)):
    with rasterio.open(f'{sys.argv[1]}/{name}.tif', 'w', driver='GTiff', width=120, height=120, count=count, dtype=dtype) as f:
        f.write(np.zeros((count, 120, 120), dtype))
)";
  if (!run_peer(script, {root.path()})) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
  std::vector<std::uint16_t> pixels(120 * 120 * 12);
  const auto with = [&](const std::string& name) {
    fs::copy_file(root / (name + ".tif"), root / "p1/p1_B08.tif", fs::copy_options::overwrite_existing);
    d->read(0, pixels.data());
  };
  expect_data_error([&] { with("two"); }, {"p1_B08.tif", "2 bands", "1 band"});
  expect_data_error([&] { with("float"); }, {"p1_B08.tif", "Float32"});
  expect_data_error([&] { with("byte"); }, {"p1_B08.tif", "u8", "u16"});
}

TEST(BigEarthNet, SkipsMalformedLabelsUpToTheShare) {
  REQUIRE_GDAL();
  const TempFolder root;
  for (int i = 0; i < 9; ++i) make_patch(root.path(), "p" + std::to_string(i), R"("Pastures")");
  for (const std::string json : {R"({"labels": ["Pastures"]} and more)", R"({"labels": "Pastures"})", R"({"label": []})", "[]",
                                 "", R"({"labels": ["Pasture"]})", R"({"labels": [3]})"}) {
    write_labels(root.path(), "p4", json);
    expect_data_error([&] { open_dataset({.root = root.path()}); }, {"1 of 9 label files", "p4_labels_metadata.json"});
    const auto d = open_dataset({.root = root.path(), .max_unreadable_share = 0.2});
    EXPECT_EQ(d->size(), 8);
    ASSERT_EQ(d->report().unreadable.size(), 1u);
    EXPECT_EQ(d->report().unreadable[0].file, "p4/p4_labels_metadata.json");
  }
  write_labels(root.path(), "p4", std::string(2 << 20, ' '));
  EXPECT_EQ(open_dataset({.root = root.path(), .max_unreadable_share = 0.2})->size(), 8);
}

TEST(BigEarthNet, SaysWhatIsMissingWithoutGdal) {
  if (geotiff_supported()) GTEST_SKIP() << "built with GDAL";
  const TempFolder root;
  write_labels(root.path(), "p1", R"({"labels": ["Pastures"]})");
  expect_user_error([&] { open_dataset({.root = root.path()}); }, {"GDAL", "SWATH_GDAL=ON"});
}

TEST(BigEarthNet, ReadsTheRealSampleExactlyAsRasterio) {
  REQUIRE_GDAL();
  if (real_data().empty()) GTEST_SKIP() << "SWATH_DATA is not set";
  const std::string root = real_data() + "/BigEarthNet";
  const auto d = open_dataset({.root = root});
  EXPECT_EQ(d->size(), 37);
  ASSERT_EQ(d->report().unreadable.size(), 1u);
  EXPECT_NE(d->report().unreadable[0].reason.find("text after it"), std::string::npos);
  EXPECT_EQ(open_dataset({.root = real_data(), .format = "bigearthnet"})->size(), 37);
  const TempFolder folder;
  std::vector<std::uint16_t> pixels(120 * 120 * 12);
  std::string all, ids;
  for (const std::int64_t i : {std::int64_t{0}, std::int64_t{17}, std::int64_t{34}, std::int64_t{35}, std::int64_t{36}}) {
    d->read(i, pixels.data());
    all.append(reinterpret_cast<const char*>(pixels.data()), pixels.size() * 2);
    ids += d->ids()[static_cast<std::size_t>(i)] + "\n";
  }
  write_text(folder / "pixels", all);
  write_text(folder / "ids", ids);
  const char* script = R"(
import sys, numpy as np, rasterio
from rasterio.enums import Resampling
root, folder = sys.argv[1:]
bands = 'B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B11 B12'.split()
ids = open(folder + '/ids').read().split()
got = np.fromfile(folder + '/pixels', np.uint16).reshape(len(ids), 120, 120, 12)
for n, name in enumerate(ids):
    for b, band in enumerate(bands):
        with rasterio.open(f'{root}/{name}/{name}_{band}.tif') as f:
            want = f.read(1, out_shape=(120, 120), resampling=Resampling.bilinear)
        assert (want == got[n, :, :, b]).all(), (name, band)
)";
  if (!run_peer(script, {root, folder.path()})) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
}

}  // namespace swath::test
