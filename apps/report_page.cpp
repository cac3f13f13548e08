#include "apps/report_page.h"

#include <algorithm>
#include <cmath>

#include "apps/html.h"
#include "apps/pages.h"
#include "apps/progress.h"

namespace swath::app {

namespace {

const std::string* picture(const NetworkReport& network, const std::string& name) {
  for (const auto& [file, text] : network.pictures)
    if (file == name) return &text;
  return nullptr;
}

/// A section of one picture with a sentence about it, where there is the picture.
void add_picture(std::vector<Section>& sections, const NetworkReport* network, const char* file, const Section& about,
                 std::string_view attributes = {}) {
  const std::string* svg = network ? picture(*network, file) : nullptr;
  if (!svg) return;
  sections.push_back(
      {about.id, about.title, fmt::format("<p class=\"about\">{}</p>\n", about.html) + html_figure(*svg, attributes)});
}

struct Card {
  std::string value, what;
};

void add_recall(std::vector<Card>& cards, const RunRecord& run) {
  const std::string& part = run.options.validation.part;
  const auto recall = [](const MetricRecord* record) {
    if (record)
      for (const auto& [name, value] : record->values)
        if (name == "recall@1") return value;
    return double{NAN};
  };
  const std::int64_t best = run.best_epoch();
  const double now = best >= 0 ? recall(run.validation(part, best)) : NAN;
  const MetricRecord* first = run.validation(part, 0);
  if (std::isfinite(now)) cards.push_back({fmt::format("{:.4f}", now), fmt::format("Recall@1 on {}, epoch {}", part, best)});
  if (std::isfinite(recall(first))) cards.push_back({fmt::format("{:.4f}", recall(first)), "the same, untrained"});
}

std::string cards_of(const ReportContent& content) {
  const RunRecord& run = content.run;
  std::vector<Card> cards;
  if (content.network) {
    const MetricTable& table = content.network->evaluation.table;
    for (const auto& [name, values] : table.rows)
      if (name == "recall" && !table.ks.empty())
        cards.push_back({fmt::format("{:.4f}", values[0]), fmt::format("Recall@{} on {}", table.ks[0], content.network->part)});
  }
  add_recall(cards, run);
  cards.push_back({fmt::format("{} of {}", run.epochs(), run.options.epochs), fmt::format("epochs, {} steps", run.steps())});
  if (run.timing.is_object()) {
    const double seconds = run.timing.value("seconds", 0.0);
    cards.push_back({duration(seconds), "training and validation"});
  }
  if (content.network)
    cards.push_back({fmt::format("{:.2f} M", static_cast<double>(content.network->parameters) / 1e6), "parameters"});
  std::string html;
  for (const Card& card : cards)
    html += fmt::format("<li><b>{}</b><span>{}</span></li>\n", svg_escape(card.value), svg_escape(card.what));
  return fmt::format("<ul class=\"cards\">\n{}</ul>\n", html);
}

const char* word_of(RunState state) {
  return state == RunState::finished ? "finished" : state == RunState::under_way ? "under way" : "stopped";
}

std::string header_of(const ReportContent& content) {
  const RunRecord& run = content.run;
  const std::string device = run.versions.is_object() ? run.versions.value("device", std::string()) : "";
  std::string html = fmt::format("<header>\n<h1>{}</h1>\n<p class=\"soft\">{} with {}, {}-wide embeddings{}</p>\n",
                                 svg_escape(run.name), svg_escape(run.options.recipe), svg_escape(run.options.model.backbone),
                                 run.options.model.embedding, device.empty() ? "" : svg_escape(", on " + device));
  if (content.data && !content.data->train.info().note.empty())
    html += fmt::format("<p class=\"soft\">The images are {}.</p>\n", svg_escape(content.data->train.info().note));
  html += fmt::format("<p class=\"status {}\">{}</p>\n", run.state == RunState::under_way ? "running" : word_of(run.state),
                      svg_escape(state_text(run)));
  return html + cards_of(content) + "</header>\n";
}

}  // namespace

std::string state_text(const RunRecord& run) {
  const std::string reached = fmt::format("epoch {} of {}, step {}", run.epochs(), run.options.epochs, run.steps());
  if (run.state != RunState::stopped) return fmt::format("{}: {}", word_of(run.state), reached);
  const Json code = run.status.is_object() ? run.status.value("exit_code", Json()) : Json();
  const std::string error = run.status.is_object() ? run.status.value("error", std::string()) : "";
  if (!code.is_number()) return fmt::format("stopped without a word at {}", reached);
  return fmt::format("stopped at {} with exit code {}: {}", reached, code.dump(), error);
}

std::vector<Section> report_sections(const ReportContent& content) {
  std::vector<Section> sections;
  const NetworkReport* network = content.network;
  if (!content.lacks.empty()) sections.push_back(lacks_section(content.lacks));
  if (network || !content.run.groups().empty()) sections.push_back(metrics_section(content.run, network));
  if (!content.run.records.empty()) sections.push_back(curves_section(content.run));
  add_picture(sections, network, "retrieved.svg",
              {"retrieved", "Retrieved samples",
               "Queries on the left, their nearest images beside them. Class names in red are not among those of the query."});
  add_picture(
      sections, network, "overlap.svg",
      {"overlap", "Distance overlap",
       "Distances of pairs that share a label against those of pairs that share none; the less they overlap, the better."});
  add_picture(sections, network, "tsne.svg",
              {"tsne", "t-SNE", "Name and labels of an image are shown under the pointer, or with the arrow keys."},
              "class=\"points\"");
  add_picture(
      sections, network, "class_recall.svg",
      {"classes", "Recall@1 per class", "Of the images that carry a class, the share whose nearest image carries it too."});
  add_picture(sections, network, "confusion.svg",
              {"confusion", "Label confusion", "What the nearest image carries, per class of the query."});
  if (content.data) sections.push_back(data_section(*content.data));
  if (network || content.run.timing.is_object()) sections.push_back(timing_section(content.run, network));
  sections.push_back(configuration_section(content.run));
  return sections;
}

std::string report_page(const ReportContent& content, const std::vector<Section>& sections) {
  std::string links, body;
  for (const Section& section : sections) {
    links += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", section.id, section.title);
    body += fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
                        section.id, section.title, section.html);
  }
  return html_page(
      {fmt::format("{} - swath report", content.run.name),
       std::string(svg_style()) + kReportCss,
       fmt::format("<div class=\"page\">\n<nav aria-label=\"Sections\">\n<p class=\"brand\">swath report</p>\n<ul>\n{}"
                   "</ul>\n</nav>\n<main>\n{}{}</main>\n</div>\n",
                   links, header_of(content), body),
       {kReportJs, kReportJsSha256}});
}

}  // namespace swath::app
