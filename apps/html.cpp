#include "apps/html.h"

#include <fmt/format.h>

#include "retrieval/svg.h"

namespace swath::app {

namespace {

std::string policy(const HtmlScript& script) {
  std::vector<std::uint8_t> digest;
  for (std::size_t i = 0; i + 1 < script.sha256.size(); i += 2)
    digest.push_back(static_cast<std::uint8_t>(std::stoi(std::string(script.sha256.substr(i, 2)), nullptr, 16)));
  const std::string scripts = script.text.empty() ? "" : fmt::format("; script-src 'sha256-{}'", base64(digest));
  return "default-src 'none'; img-src data:; style-src 'unsafe-inline'" + scripts;
}

}  // namespace

std::string html_page(const HtmlPage& page) {
  const std::string script = page.script.text.empty() ? "" : fmt::format("<script>{}</script>\n", page.script.text);
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n<title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n"
      "<style>\n{}</style>\n</head>\n<body>\n{}{}</body>\n</html>\n",
      policy(page.script), svg_escape(page.title), page.style, page.body, script);
}

std::string html_table(const HtmlTable& table) {
  std::string html = fmt::format("<div class=\"scroll\"><table{}>\n<caption>{}</caption>\n<thead><tr>",
                                 table.numbers ? " class=\"numbers\"" : "", svg_escape(table.caption));
  for (const std::string& name : table.header) html += fmt::format("<th scope=\"col\">{}</th>", svg_escape(name));
  html += "</tr></thead>\n<tbody>\n";
  for (const std::vector<std::string>& row : table.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < row.size(); ++c)
      html += c == 0 ? fmt::format("<th scope=\"row\">{}</th>", svg_escape(row[c]))
                     : fmt::format("<td>{}</td>", svg_escape(row[c]));
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n";
}

std::string html_figure(std::string_view svg_file, std::string_view attributes) {
  return fmt::format("<figure{}{}>{}</figure>\n", attributes.empty() ? "" : " ", attributes, inline_svg(svg_file));
}

std::string html_details(std::string_view summary, std::string_view inner) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", svg_escape(summary), inner);
}

}  // namespace swath::app
