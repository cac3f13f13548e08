// The SVG writer: escaping, style sheet, shapes (methods.md §8).
#include "retrieval/svg.h"

#include <fmt/format.h>

#include "engine/core/error.h"

namespace swath {
namespace {

// Light colours first; a viewer in dark mode takes the second block. Series colours keep a contrast of at least 3 with
// either paper.
constexpr std::string_view kStyle = R"(<style>
svg{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",Arial,sans-serif}
.paper{fill:#ffffff}.ink{fill:#1c2026}.soft{fill:#5b6470}.good{fill:#1c7c3c}.bad{fill:#c62828}
.axis{stroke:#5b6470;stroke-width:1;fill:none}.grid{stroke:#e3e6ea;stroke-width:1;fill:none}
.panel{fill:#f5f6f8}.frame{stroke:#1c2026;stroke-width:2;fill:none}
.wide{stroke-width:2;fill:none;stroke-linejoin:round;stroke-linecap:round}
.dash{stroke-dasharray:6 4}.area{fill-opacity:.28;stroke-width:2;stroke-linejoin:round}.both{fill:#5b6470;fill-opacity:.45;stroke:none}
.s0{fill:#1f77b4}.s1{fill:#d1600a}.s2{fill:#2b8a3e}.s3{fill:#c2255c}.s4{fill:#7048c8}.s5{fill:#8a6100}.s6{fill:#0b7f8c}.s7{fill:#6b7280}
.l0{stroke:#1f77b4}.l1{stroke:#d1600a}.l2{stroke:#2b8a3e}.l3{stroke:#c2255c}.l4{stroke:#7048c8}.l5{stroke:#8a6100}.l6{stroke:#0b7f8c}.l7{stroke:#6b7280}
@media (prefers-color-scheme:dark){
.paper{fill:#14171c}.ink{fill:#e8eaed}.soft{fill:#a3abb6}.good{fill:#6fd08c}.bad{fill:#ff7b72}
.axis{stroke:#a3abb6}.grid{stroke:#2c323a}.panel{fill:#1d2128}.frame{stroke:#e8eaed}.both{fill:#c3c9d1}
.s0{fill:#5aa9e6}.s1{fill:#ff9a4d}.s2{fill:#69c57b}.s3{fill:#f472a0}.s4{fill:#b197fc}.s5{fill:#e0b040}.s6{fill:#4cc9d6}.s7{fill:#a8b0bb}
.l0{stroke:#5aa9e6}.l1{stroke:#ff9a4d}.l2{stroke:#69c57b}.l3{stroke:#f472a0}.l4{stroke:#b197fc}.l5{stroke:#e0b040}.l6{stroke:#4cc9d6}.l7{stroke:#a8b0bb}
}
</style>
)";

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Bytes of the UTF-8 character at the front of `text`, 0 when there is none that XML 1.0 allows.
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 || lead == '\t' || lead == '\n' || lead == '\r' ? 1 : 0;
  const std::size_t size = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (size == 0 || lead > 0xF4 || text.size() < size) return 0;
  unsigned code = lead & (0xFFu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  const bool allowed = !(code >= 0xD800 && code <= 0xDFFF) && code != 0xFFFE && code != 0xFFFF && code <= 0x10FFFF;
  return overlong || !allowed ? 0 : size;
}

/// Two decimals at most, without trailing zeros.
std::string number(double value) {
  std::string text = fmt::format("{:.2f}", value);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

/// Outline of a marker about the origin, for a radius of 1: a closed path of x, y pairs.
std::vector<std::pair<double, double>> marker_outline(int shape) {
  constexpr double kArm = 1.05, kThin = 0.35;
  const std::vector<std::pair<double, double>> plus = {{-kThin, -kArm}, {kThin, -kArm}, {kThin, -kThin}, {kArm, -kThin},
                                                       {kArm, kThin},   {kThin, kThin}, {kThin, kArm},   {-kThin, kArm},
                                                       {-kThin, kThin}, {-kArm, kThin}, {-kArm, -kThin}, {-kThin, -kThin}};
  switch (shape) {
    case 1:
      return {{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}};
    case 2:
      return {{0, -1.2}, {1.15, 0.85}, {-1.15, 0.85}};
    case 3:
      return {{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}};
    case 4:
      return {{0, 1.2}, {1.15, -0.85}, {-1.15, -0.85}};
    case 5:
      return plus;
    case 6: {
      std::vector<std::pair<double, double>> turned;
      for (const auto& [x, y] : plus) turned.emplace_back((x - y) * 0.75, (x + y) * 0.75);
      return turned;
    }
    default:
      return {{-1.2, -0.5}, {1.2, -0.5}, {1.2, 0.5}, {-1.2, 0.5}};
  }
}

/// The end of an element: with a title that viewers show under the pointer, or empty.
std::string end_of(std::string_view element, std::string_view hover) {
  return hover.empty() ? "/>\n" : fmt::format("><title>{}</title></{}>\n", svg_escape(hover), element);
}

std::string point_list(const std::vector<std::pair<double, double>>& points) {
  std::string text;
  for (const auto& [x, y] : points) text += fmt::format("{}{},{}", text.empty() ? "" : " ", number(x), number(y));
  return text;
}

}  // namespace

std::string base64(const std::vector<std::uint8_t>& bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const unsigned group = static_cast<unsigned>(bytes[i]) << 16 | (left > 1 ? static_cast<unsigned>(bytes[i + 1]) << 8 : 0u) |
                           (left > 2 ? static_cast<unsigned>(bytes[i + 2]) : 0u);
    out += kDigits[group >> 18 & 63];
    out += kDigits[group >> 12 & 63];
    out += left > 1 ? kDigits[group >> 6 & 63] : '=';
    out += left > 2 ? kDigits[group & 63] : '=';
  }
  return out;
}

std::string svg_escape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    switch (bytes == 1 ? text[0] : '\0') {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += bytes ? text.substr(0, bytes) : kReplacement;
    }
    text.remove_prefix(bytes ? bytes : 1);
  }
  return out;
}

Svg::Svg(double width, double height, std::string_view title) : width_(width), height_(height), title_(title) {}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  body_ += fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n", svg_escape(css_class), number(x1),
                       number(y1), number(x2), number(y2));
}

void Svg::polyline(const std::vector<std::pair<double, double>>& points, std::string_view css_class) {
  body_ += fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", svg_escape(css_class), point_list(points));
}

void Svg::polygon(const std::vector<std::pair<double, double>>& points, std::string_view css_class) {
  body_ += fmt::format("<polygon class=\"{}\" points=\"{}\"/>\n", svg_escape(css_class), point_list(points));
}

void Svg::rect(double x, double y, double width, double height, std::string_view css_class) {
  body_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", svg_escape(css_class), number(x),
                       number(y), number(width), number(height));
}

void Svg::circle(double x, double y, double radius, std::string_view css_class) {
  body_ += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>\n", svg_escape(css_class), number(x), number(y),
                       number(radius));
}

void Svg::marker(double x, double y, double radius, int shape, std::string_view css_class, std::string_view hover) {
  if (shape == 0) {
    body_ += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{}\" r=\"{}\"", svg_escape(css_class), number(x), number(y),
                         number(radius));
    body_ += end_of("circle", hover);
    return;
  }
  std::vector<std::pair<double, double>> points = marker_outline(shape);
  for (auto& [px, py] : points) px = x + radius * px, py = y + radius * py;
  body_ += fmt::format("<polygon class=\"{}\" points=\"{}\"", svg_escape(css_class), point_list(points));
  body_ += end_of("polygon", hover);
}

void Svg::cell(double x, double y, double width, double height, std::string_view css_class, double opacity,
               std::string_view hover) {
  body_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{}\"",
                       svg_escape(css_class), number(x), number(y), number(width), number(height), number(opacity));
  body_ += end_of("rect", hover);
}

void Svg::text(double x, double y, std::string_view text, const TextStyle& style) {
  const char* anchor = style.anchor == TextAnchor::start ? "start" : style.anchor == TextAnchor::middle ? "middle" : "end";
  body_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" font-size=\"{}\" text-anchor=\"{}\"", svg_escape(style.css_class),
                       number(x), number(y), number(style.size), anchor);
  if (style.bold) body_ += " font-weight=\"600\"";
  if (style.rotate != 0) body_ += fmt::format(" transform=\"rotate({} {} {})\"", number(style.rotate), number(x), number(y));
  body_ += fmt::format(">{}</text>\n", svg_escape(text));
}

void Svg::image(double x, double y, double width, double height, const std::vector<std::uint8_t>& png) {
  body_ += fmt::format("<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" xlink:href=\"data:image/png;base64,{}\"/>\n",
                       number(x), number(y), number(width), number(height), base64(png));
}

std::string_view svg_style() {
  constexpr std::string_view kOpen = "<style>", kClose = "</style>\n";
  return kStyle.substr(kOpen.size(), kStyle.size() - kOpen.size() - kClose.size());
}

std::string inline_svg(std::string_view file) {
  const auto between = [&](std::string_view from, std::string_view to) {
    const std::size_t begin = file.find(from), end = file.find(to, begin);
    SWATH_CHECK(end != std::string_view::npos, "no file of the SVG writer");
    return file.substr(begin + from.size(), end - begin - from.size());
  };
  const std::string_view element = between("<svg ", ">"), title = between("<title>", "</title>");
  const std::string_view body = file.substr(file.find("</style>") + 8);
  return fmt::format("<svg {} aria-label=\"{}\">{}", element, title, body);
}

std::string Svg::str() const {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{0}\" height=\"{1}\" "
      "viewBox=\"0 0 {0} {1}\" role=\"img\">\n<title>{2}</title>\n{3}<rect class=\"paper\" x=\"0\" y=\"0\" width=\"{0}\" "
      "height=\"{1}\"/>\n{4}</svg>\n",
      number(width_), number(height_), svg_escape(title_), kStyle, body_);
}

}  // namespace swath
