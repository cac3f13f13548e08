#include "apps/search_page.h"

#include "apps/html.h"
#include "apps/pages.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

std::string image_of(const std::vector<std::uint8_t>& jpeg, const std::string& name) {
  return fmt::format("<img alt=\"{}\" src=\"data:image/jpeg;base64,{}\">", svg_escape(name), base64(jpeg));
}

std::string figure_of(const Gallery& gallery, const Found& found) {
  const std::string& name = gallery.info().ids[static_cast<std::size_t>(found.row)];
  std::string labels;
  for (const std::string& label : gallery.labels(found.row)) labels += fmt::format("<li>{}</li>", svg_escape(label));
  return fmt::format(
      "<li><figure>{}<figcaption><div class=\"distance\">{:.3f}</div><div class=\"soft\">{}</div><ul>{}</ul></figcaption>"
      "</figure></li>\n",
      image_of(gallery.thumbnail(found.row), name), found.distance, svg_escape(name), labels);
}

}  // namespace

std::string search_page(const Gallery& gallery, const std::vector<SearchedImage>& queries) {
  std::string body;
  for (const SearchedImage& query : queries) {
    body += fmt::format("<section>\n<h2>{0}</h2>\n<figure class=\"query\">{1}</figure>\n<ol>\n", svg_escape(query.name),
                        image_of(jpeg_of(query.thumbnail), query.name));
    for (const Found& found : query.found) body += figure_of(gallery, found);
    body += "</ol>\n</section>\n";
  }
  const std::string& note = gallery.info().note;
  const std::string head = fmt::format(
      "<header>\n<h1>Nearest images</h1>\n<p class=\"soft\">{} images indexed{}; Euclidean distance</p>\n</header>\n",
      gallery.rows(), note.empty() ? "" : fmt::format(" ({})", svg_escape(note)));
  return html_page({"swath search", kSearchCss, fmt::format("{}<main>\n{}</main>\n", head, body)});
}

}  // namespace swath::app
