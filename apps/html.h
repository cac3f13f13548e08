// Pieces of HTML pages that need no network. All text is escaped.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace swath::app {

struct HtmlScript {
  std::string_view text, sha256;  // the digest in hexadecimal digits
};
struct HtmlPage {
  std::string title;
  std::string style;
  std::string body;     // HTML
  HtmlScript script{};  // empty: none may run
};
/// A whole file; its policy lets the browser load nothing and run the one script alone.
std::string html_page(const HtmlPage& page);

struct HtmlTable {
  std::string caption;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // of texts; the first of a row is its header
  bool numbers = true;                         // right-aligned cells
};
std::string html_table(const HtmlTable& table);

/// A picture of the SVG writer; `attributes` of the figure are HTML.
std::string html_figure(std::string_view svg_file, std::string_view attributes = {});
/// What is folded away until it is asked for; `inner` is HTML.
std::string html_details(std::string_view summary, std::string_view inner);

}  // namespace swath::app
