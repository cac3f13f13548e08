// Pictures: well-formed SVG, escaped text, thumbnails, PNG (methods.md §8). SWATH_PICTURES names a folder that keeps them.
#include <gtest/gtest.h>
#include <spng.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>

#include "engine/core/error.h"
#include "engine/io/file.h"
#include "retrieval/plots.h"
#include "retrieval/samples.h"
#include "tests/retrieval/retrieval_data.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

class Pictures : public testing::Test {
 protected:
  void SetUp() override {
    const char* kept = std::getenv("SWATH_PICTURES");
    folder_ = kept ? fs::path(kept) : fs::temp_directory_path() / ("swath_pictures_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    keep_ = kept != nullptr;
  }
  void TearDown() override {
    if (!keep_) fs::remove_all(folder_);
  }
  /// Writes the picture and parses it with python's XML parser.
  void expect_well_formed(const std::string& name, const std::string& svg) {
    const std::string file = folder_ / (name + ".svg");
    atomic_write(file, svg);
    if (std::system("python3 -c 'import xml.etree' 2>/dev/null") != 0) GTEST_SKIP() << "python3 is not installed";
    const std::string command =
        "python3 -c 'import sys, xml.etree.ElementTree as e; sys.exit(e.parse(sys.argv[1]).getroot().tag != "
        "\"{http://www.w3.org/2000/svg}svg\")' '" +
        file + "'";
    EXPECT_EQ(std::system(command.c_str()), 0) << file;
  }
  fs::path folder_;
  bool keep_ = false;
};

Thumbnail pattern(std::int64_t seed) {
  std::vector<std::uint8_t> image(96 * 96 * 3);
  for (std::int64_t y = 0; y < 96; ++y)
    for (std::int64_t x = 0; x < 96; ++x)
      for (std::int64_t c = 0; c < 3; ++c)
        image[(y * 96 + x) * 3 + c] = static_cast<std::uint8_t>(
            128 + 100 * std::sin(0.02 * double((c + 1) * (x + seed * 7)) + 0.05 * double(y * (seed % 3))));
  return thumbnail_rgb8(image.data(), 96, 96, 64);
}

TEST_F(Pictures, InAPageKeepTheirNameAndLeaveTheStyleToIt) {
  Svg svg(100, 50, "a \"b\" <c>");
  svg.circle(1, 2, 3, "s0");
  const std::string element = inline_svg(svg.str());
  EXPECT_EQ(element.rfind("<svg ", 0), 0U);
  EXPECT_NE(element.find("aria-label=\"a &quot;b&quot; &lt;c&gt;\">"), std::string::npos) << element;
  EXPECT_NE(element.find("<circle"), std::string::npos);
  for (const char* left : {"<?xml", "<title>", "<style>", "</style>"}) EXPECT_EQ(element.find(left), std::string::npos) << left;
  EXPECT_EQ(svg_style().find('<'), std::string::npos);
  EXPECT_NE(svg_style().find("prefers-color-scheme:dark"), std::string::npos);
  expect_well_formed("inline", element);
}

TEST_F(Pictures, Escape) {
  EXPECT_EQ(svg_escape("<script>alert('a' & \"b\")</script>"),
            "&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;");
  EXPECT_EQ(svg_escape("Küste 海 🛰"), "Küste 海 🛰");
  EXPECT_EQ(svg_escape(std::string("a\0b\x01", 4)),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(svg_escape("\xFF\xC3"), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(svg_escape("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a lone surrogate
  EXPECT_EQ(svg_escape("\xC0\xBC"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong '<'
}

TEST_F(Pictures, LineChart) {
  LineChart chart{"Training", "epoch", "value", {{"train loss", {}, {}}, {"Recall@1", {}, {}}, {"one point", {12}, {0.4}}}};
  for (int e = 0; e <= 40; ++e) {
    chart.series[0].x.push_back(e);
    chart.series[0].y.push_back(0.9 * std::exp(-e / 12.0) + 0.02 * std::sin(e * 1.7));
    chart.series[1].x.push_back(e);
    chart.series[1].y.push_back(e == 20 ? std::numeric_limits<double>::quiet_NaN() : 0.85 - 0.6 * std::exp(-e / 9.0));
  }
  expect_well_formed("line", line_chart(chart));
}

TEST_F(Pictures, ChartsOfLittle) {
  expect_well_formed("empty", line_chart({"Nothing yet", "epoch", "loss", {}}));
  expect_well_formed(
      "flat", line_chart({"Flat", "epoch", "loss", {{"a", {1, 2, 3}, {5e-7, 5e-7, 5e-7}}, {"b", {1, 3}, {NAN, INFINITY}}}}));
  expect_well_formed("many",
                     line_chart({"Sixteen series", "step", "loss", [] {
                                   std::vector<Series> all;
                                   for (int s = 0; s < 16; ++s)
                                     all.push_back({"series number " + std::to_string(s), {0, 1e6}, {double(s), s * 2.0}});
                                   return all;
                                 }()}));
  expect_well_formed("no_bars", bar_chart({"No classes", "share", {}, {}}));
  EXPECT_THROW(line_chart({"", "", "", {{"a", {1, 2}, {1}}}}), UserError);
  EXPECT_THROW(bar_chart({"", "", {"a"}, {}}), UserError);
  EXPECT_THROW(bar_chart({"", "", {"a"}, {-1}}), UserError);
}

TEST_F(Pictures, BarChart) {
  expect_well_formed(
      "bars", bar_chart({"Share of images per class",
                         "share of images",
                         {"Coniferous forest", "Sea and ocean", "<script>alert(1)</script>",
                          "Land principally occupied by agriculture, with significant areas of natural vegetation", "Bogs"},
                         {0.36, 0.24, 0.121, 0.31, 0}}));
}

TEST_F(Pictures, DensityPlot) {
  const auto labels = test::random_labels(400, 9, 3, 2);
  auto rows = test::gaussian_rows(400, 16, 1);
  for (std::int64_t i = 0; i < 400; ++i)
    for (const int c : labels.sets[i]) rows.data[i * 16 + c] += 3;
  expect_well_formed("density", density_plot(distance_overlap(rows.view(), labels.view())));
  expect_well_formed("density_empty", density_plot({}));
}

std::vector<std::string> long_names(int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i)
    names.push_back(i % 5 == 0 ? "Land principally occupied by agriculture, with significant areas of natural vegetation"
                               : "Class number " + std::to_string(i));
  names[1] = "<script>alert('a' & \"b\")</script>";
  return names;
}

TEST_F(Pictures, HeatMap) {
  for (const int classes : {3, 17, 43}) {
    HeatMap map{"Confusion", "class of the query", "class of the neighbour", long_names(classes), {}};
    for (int r = 0; r < classes; ++r)
      for (int c = 0; c < classes; ++c) map.values.push_back(r == c ? 1 - r / 50.0 : (r * 31 + c * 17) % 11 / 40.0);
    const std::string svg = heat_map(map);
    expect_well_formed("heat_map_" + std::to_string(classes), svg);
    EXPECT_EQ(svg.find("<script"), std::string::npos);
    EXPECT_NE(svg.find("alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt; → Class number 2: "), std::string::npos);
    EXPECT_EQ(svg.find(">98</text>") != std::string::npos, classes < 43);  // numbers where there is room
  }
  expect_well_formed("heat_map_0", heat_map({"Nothing", "a", "b", {}, {}}));
  EXPECT_THROW(heat_map({"", "", "", {"a"}, {}}), UserError);
  EXPECT_THROW(heat_map({"", "", "", {"a"}, {1.5}}), UserError);
  EXPECT_THROW(heat_map({"", "", "", {"a"}, {NAN}}), UserError);
}

TEST_F(Pictures, ScatterPlot) {
  const auto count = [](const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
  };
  const auto scatter = [](int rows, int classes) {
    const auto places = test::tight_clusters(rows, 2, classes, 0.2F, 4);
    Scatter s{"t-SNE", "a note", places.data, {}, long_names(classes), {}};
    for (int i = 0; i < rows; ++i) {
      s.group.push_back(i % 19 == 18 ? -1 : i % classes);
      s.hover.push_back("image <" + std::to_string(i) + ">");
    }
    return s;
  };
  const std::string svg = scatter_plot(scatter(900, 43));
  expect_well_formed("scatter", svg);
  EXPECT_EQ(count(svg, "<title>image &lt;"), 900u);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_NE(svg.find(">none (47)<"), std::string::npos);
  const std::string many = scatter_plot(scatter(21000, 80));
  expect_well_formed("scatter_many", many);
  EXPECT_EQ(count(many, "<title>image &lt;"), 20000u);
  EXPECT_NE(many.find("20000 of 21000 points are shown"), std::string::npos);
  EXPECT_NE(many.find(">other ("), std::string::npos);
  expect_well_formed("scatter_one", scatter_plot({"One", "", {1, 1}, {0}, {"a"}, {"x"}}));
  expect_well_formed("scatter_none", scatter_plot({"None", "", {}, {}, {}, {}}));
  EXPECT_THROW(scatter_plot({"", "", {1}, {0}, {"a"}, {"x"}}), UserError);
  EXPECT_THROW(scatter_plot({"", "", {1, 1}, {1}, {"a"}, {"x"}}), UserError);
}

TEST_F(Pictures, RetrievedSamples) {
  const auto rows = test::gaussian_rows(60, 8, 1);
  const auto labels = test::random_labels(60, 7, 4, 2);
  const Neighbours found = make_cpu_retriever()->search_all(rows.view(), 6);
  RetrievedSamples samples;
  samples.queries = {0, 3, 11};
  samples.neighbours = &found;
  samples.columns = 6;
  samples.query_labels = samples.gallery_labels = labels.view();
  samples.class_names = {"airplane", "bare soil",     "buildings", "<script>", "Land principally occupied by agriculture",
                         "sea",      "trees & shrubs"};
  samples.query_image = samples.gallery_image = pattern;
  const std::string svg = samples_picture(samples);
  expect_well_formed("samples", svg);
  EXPECT_EQ(svg.find("<script"), std::string::npos);
  EXPECT_NE(svg.find("&lt;script&gt;"), std::string::npos);
  // The first neighbour's count, from the sets.
  const auto shared = reference::intersection(labels.sets[0], labels.sets[found.row(0)[0]]).size();
  EXPECT_NE(svg.find(std::to_string(shared) + " of " + std::to_string(labels.sets[found.row(0)[0]].size()) + " correct"),
            std::string::npos);

  samples.columns = 7;
  EXPECT_THROW(samples_picture(samples), UserError);
  samples.columns = 6;
  samples.queries = {60};
  EXPECT_THROW(samples_picture(samples), UserError);
  samples.queries = {1};
  samples.class_names.pop_back();
  EXPECT_THROW(samples_picture(samples), UserError);
}

TEST_F(Pictures, ThumbnailsAverageAreas) {
  std::vector<std::uint8_t> image(4 * 6 * 3);
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::uint8_t>(i * 3);
  const Thumbnail half = thumbnail_rgb8(image.data(), 4, 6, 3);
  EXPECT_EQ(half.height, 2);
  EXPECT_EQ(half.width, 3);
  // Pixel (1, 2), green: mean of image rows 2, 3 and columns 4, 5.
  const double want =
      (image[(2 * 6 + 4) * 3 + 1] + image[(2 * 6 + 5) * 3 + 1] + image[(3 * 6 + 4) * 3 + 1] + image[(3 * 6 + 5) * 3 + 1]) / 4.0;
  EXPECT_EQ(half.rgb[(1 * 3 + 2) * 3 + 1], std::lround(want));
  EXPECT_EQ(thumbnail_rgb8(image.data(), 4, 6, 100).rgb, image);
  EXPECT_THROW(thumbnail_rgb8(image.data(), 0, 6), UserError);
}

TEST_F(Pictures, Sentinel2BandsScaleAlone) {
  const std::vector<std::uint16_t> image = {0, 100, 5000, 0, 0, 50, 10000, 0};  // 1 × 2 × 4
  const Thumbnail shown =
      thumbnail_sentinel2({.data = image.data(), .height = 1, .width = 2, .channels = 4, .red = 2, .green = 1, .blue = 0});
  EXPECT_EQ(shown.rgb, (std::vector<std::uint8_t>{128, 255, 0, 255, 128, 0}));
  EXPECT_THROW(thumbnail_sentinel2({.data = image.data(), .height = 1, .width = 2, .channels = 4, .red = 4}), UserError);
}

TEST_F(Pictures, PngHoldsTheImage) {
  const Thumbnail image = pattern(3);
  const auto png = encode_png(image.rgb.data(), image.height, image.width);
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> decoder(spng_ctx_new(0), spng_ctx_free);
  ASSERT_EQ(spng_set_png_buffer(decoder.get(), png.data(), png.size()), 0);
  spng_ihdr header{};
  ASSERT_EQ(spng_get_ihdr(decoder.get(), &header), 0);
  EXPECT_EQ(header.width, 64u);
  std::vector<std::uint8_t> back(image.rgb.size());
  ASSERT_EQ(spng_decode_image(decoder.get(), back.data(), back.size(), SPNG_FMT_RGB8, 0), 0);
  EXPECT_EQ(back, image.rgb);
}

TEST_F(Pictures, SvgToPng) {
  const std::string svg = folder_ / "a 'quoted' name.svg", png = folder_ / "-out.png";
  atomic_write(svg, line_chart({"t", "x", "y", {{"a", {0, 1}, {0, 1}}}}));
  if (std::system("rsvg-convert --version >/dev/null 2>&1") != 0) {
    EXPECT_THROW(svg_to_png(svg, png), UserError);
    GTEST_SKIP() << "rsvg-convert is not installed";
  }
  svg_to_png(svg, png);
  char magic[5] = {};
  std::ifstream(png, std::ios::binary).read(magic, 4);
  EXPECT_EQ(std::string(magic + 1, 3), "PNG");
  EXPECT_THROW(svg_to_png(folder_ / "missing.svg", png), DataError);
}

TEST_F(Pictures, WithoutRsvgConvert) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder_.c_str(), 1);
  EXPECT_THROW(svg_to_png("a.svg", "a.png"), UserError);
  EXPECT_THROW(require_svg_to_png(), UserError);
  setenv("PATH", path.c_str(), 1);
}

TEST_F(Pictures, WriteRefusesABadFolder) { EXPECT_THROW(atomic_write(folder_ / "none" / "a.svg", "x"), DataError); }

}  // namespace
}  // namespace swath
