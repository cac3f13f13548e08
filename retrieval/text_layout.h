// Estimated widths and line breaks of text in a picture; an SVG viewer measures no text for its writer.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace swath::text_layout {

/// Characters of UTF-8 text.
inline std::size_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

/// Width in pixels at a font size, rounded up for the wider of common sans-serif fonts.
inline double width(std::string_view text, double size) { return 0.62 * size * static_cast<double>(characters(text)); }

/// The first characters that fit, with an ellipsis where some are cut.
inline std::string fit(std::string_view text, double size, double space) {
  if (width(text, size) <= space) return std::string(text);
  const auto room = static_cast<std::size_t>(std::max(1.0, space / (0.62 * size) - 1));
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) != 0x80 && seen++ == room) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

/// Breaks at blanks into lines that fit; a word that is too long is cut.
inline std::vector<std::string> wrap(std::string_view text, double size, double space) {
  std::vector<std::string> lines;
  std::string line;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string word = fit(text.substr(0, end), size, space);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (!line.empty() && width(line + ' ' + word, size) > space) {
      lines.push_back(line);
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  lines.push_back(line);
  return lines;
}

}  // namespace swath::text_layout
