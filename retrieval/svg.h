// A small writer of SVG pictures: shapes, escaped text, embedded PNG images; colours follow light and dark mode.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace swath {

/// Text with & < > " ' escaped, and what XML 1.0 forbids or is not UTF-8 replaced by U+FFFD.
std::string svg_escape(std::string_view text);

enum class TextAnchor { start, middle, end };

/// Base64 with padding (RFC 4648), for data URIs.
std::string base64(const std::vector<std::uint8_t>& bytes);

/// A class of the picture's style sheet. Series colours are kSeries 0 … 7.
struct TextStyle {
  double size = 12;
  TextAnchor anchor = TextAnchor::start;
  std::string css_class = "ink";  // ink, soft, good, bad, s0 … s7
  bool bold = false;
  double rotate = 0;  // degrees about (x, y)
};

/// Of a chart, in pixels.
struct ChartSize {
  double width = 760, height = 440;
};

class Svg {
 public:
  static constexpr int kMarkers = 8;
  Svg(double width, double height, std::string_view title);
  void line(double x1, double y1, double x2, double y2, std::string_view css_class);
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view css_class);
  void polygon(const std::vector<std::pair<double, double>>& points, std::string_view css_class);
  void rect(double x, double y, double width, double height, std::string_view css_class);
  void circle(double x, double y, double radius, std::string_view css_class);
  /// One of kMarkers shapes, about as large as a circle of the radius; `hover` is shown by viewers under the pointer.
  void marker(double x, double y, double radius, int shape, std::string_view css_class, std::string_view hover = {});
  /// A rectangle whose fill shows as much as `opacity` in [0, 1] says.
  void cell(double x, double y, double width, double height, std::string_view css_class, double opacity,
            std::string_view hover = {});
  void text(double x, double y, std::string_view text, const TextStyle& style = {});
  /// `png` is a whole PNG file; it is embedded as a data URI.
  void image(double x, double y, double width, double height, const std::vector<std::uint8_t>& png);
  std::string str() const;

 private:
  double width_, height_;
  std::string title_, body_;
};

/// An SVG file as an element of an HTML page: its title as the accessible name, its style sheet left to the page, which has
/// svg_style() once.
std::string inline_svg(std::string_view file);
std::string_view svg_style();

/// Throws UserError when rsvg-convert cannot be started.
void require_svg_to_png();
/// Converts an SVG file with rsvg-convert (librsvg2-bin). Throws UserError when the program is missing, DataError when
/// it fails. No shell is involved.
void svg_to_png(const std::string& svg_file, const std::string& png_file);

/// PNG file of an image: uint8 [height][width][3], RGB.
std::vector<std::uint8_t> encode_png(const std::uint8_t* rgb, std::int64_t height, std::int64_t width);

}  // namespace swath
