#include "apps/report_sections.h"

#include <algorithm>
#include <cmath>

#include "apps/html.h"
#include "apps/progress.h"
#include "recipes/curves.h"
#include "recipes/run_timing.h"

namespace swath::app {

namespace {

constexpr ChartSize kSmall{600, 340};

std::string value_text(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "not finite"; }

double value_in(const MetricRecord* record, const std::string& name) {
  if (record)
    for (const auto& [key, value] : record->values)
      if (key == name) return value;
  return NAN;
}

/// A value with its difference from an earlier one, where there is one.
std::string compared(double value, double before) {
  return value_text(value) + (std::isfinite(before) ? fmt::format(" ({:+.4f})", value - before) : "");
}

std::size_t place_of(std::vector<std::string>& names, const std::string& name) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return i;
  names.push_back(name);
  return names.size() - 1;
}

/// Rows of metrics over columns of K; what has no K is left to the caption.
HtmlTable metric_table(const MetricRecord& record, const MetricRecord* untrained) {
  std::vector<std::string> ks, metrics;
  const auto k_of = [](const std::string& name) { return name.substr(std::min(name.size(), name.find('@'))); };
  for (const auto& entry : record.values)
    if (!k_of(entry.first).empty()) place_of(ks, k_of(entry.first));
  HtmlTable table;
  for (const auto& [name, value] : record.values) {
    if (k_of(name).empty()) {
      table.caption += fmt::format(", {} {}", name, compared(value, value_in(untrained, name)));
      continue;
    }
    const std::size_t row = place_of(metrics, metric_of(name));
    if (row == table.rows.size()) table.rows.emplace_back(ks.size() + 1)[0] = metric_of(name);
    table.rows[row][place_of(ks, k_of(name)) + 1] = compared(value, value_in(untrained, name));
  }
  table.header = ks;
  table.header.insert(table.header.begin(), "metric");
  return table;
}

HtmlTable table_of(const MetricTable& scores) {
  HtmlTable table{"", {"metric"}, {}};
  for (const std::int64_t k : scores.ks) table.header.push_back(fmt::format("@{}", k));
  for (const auto& [name, values] : scores.rows) {
    table.rows.push_back({name});
    for (const double value : values) table.rows.back().push_back(value_text(value));
  }
  return table;
}

std::string chart_of(LineChart chart) {
  chart.size = kSmall;
  return html_figure(line_chart(chart));
}

std::string share(double part, double all) { return fmt::format("{:.1f} %", all > 0 ? 100 * part / all : 0); }

/// Leaves of a configuration by their dotted keys.
void flatten(const Json& json, const std::string& path, std::vector<std::pair<std::string, Json>>& leaves) {
  for (const auto& [key, value] : json.items()) {
    const std::string full = path.empty() ? key : path + "." + key;
    if (value.is_object())
      flatten(value, full, leaves);
    else
      leaves.emplace_back(full, value);
  }
}

std::string plain(const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.empty() ? "(empty)" : text;
}

}  // namespace

Section lacks_section(const std::vector<Lack>& lacks) {
  std::string items;
  for (const Lack& lack : lacks) {
    const std::string command =
        lack.command.empty() ? "" : fmt::format(" To add it: <code>{}</code>", svg_escape(lack.command));
    items += fmt::format("<li><b>{}</b>: {}.{}</li>\n", svg_escape(lack.what), svg_escape(lack.why), command);
  }
  return {"lacks", "What this report lacks", fmt::format("<div class=\"lacks\"><ul>\n{}</ul></div>\n", items)};
}

Section metrics_section(const RunRecord& run, const NetworkReport* network) {
  std::string html;
  if (network) {
    HtmlTable table = table_of(network->evaluation.table);
    table.caption = fmt::format("{} split, {} images against each other, scored now with {}", network->part, network->images,
                                network->weights);
    html += html_table(table);
  }
  const std::int64_t best = run.best_epoch();
  for (const std::string& group : run.groups()) {
    const MetricRecord* record = best >= 0 ? run.validation(group, best) : run.validation(group);
    if (!record) continue;
    const MetricRecord* untrained = record->epoch > 0 ? run.validation(group, 0) : nullptr;
    HtmlTable table = metric_table(*record, untrained);
    const std::string when = record->epoch == 0 ? "the untrained network" : fmt::format("after epoch {}", record->epoch);
    table.caption = fmt::format("{} split, logged in training, {}{}{}{}", group, when, record->epoch == best ? " (best)" : "",
                                table.caption, untrained ? "; in brackets the difference from the untrained network" : "");
    const bool again = network && network->part == group;
    html += again ? html_details(fmt::format("{} during training", group), html_table(table)) : html_table(table);
  }
  return {"metrics", "Metrics", html};
}

Section curves_section(const RunRecord& run) {
  const auto scores_of = [&](const std::string& metric) {
    return chart_of(score_chart(run.records, fmt::format("{} during training", metric),
                                [&](const std::string& name) { return metric_of(name) == metric; }));
  };
  std::string first, others;
  for (const std::string& metric : logged_metrics(run.records)) {
    const bool headline = metric == "recall" || metric == "map" || metric == "overlap";
    (headline ? first : others) += scores_of(metric);
  }
  for (const std::string& name : step_values(run.records)) first += chart_of(step_chart(run.records, name));
  std::string html = fmt::format("<div class=\"charts\">\n{}</div>\n", first);
  if (!others.empty()) html += html_details("The other metrics", fmt::format("<div class=\"charts\">\n{}</div>\n", others));
  return {"curves", "Curves", html};
}

Section data_section(const PackedSet& data) {
  std::vector<LabelStatistics> statistics;
  HtmlTable parts{"Images and labels of the split", {"part", "images", "labels per image"}, {}};
  HtmlTable classes{"Images per class, and their share of the part", {"class"}, {}};
  for (const Part part : kParts) {
    statistics.push_back(label_statistics(data[part].labels()));
    parts.rows.push_back(
        {name_of(part), std::to_string(data[part].rows()), fmt::format("{:.2f}", statistics.back().mean_labels)});
    classes.header.emplace_back(name_of(part));
  }
  const std::vector<std::string>& names = data.train.class_names();
  for (std::size_t c = 0; c < names.size(); ++c) {
    classes.rows.push_back({names[c]});
    for (const Part part : kParts) {
      const auto images = static_cast<double>(statistics[static_cast<std::size_t>(part)].images[c]);
      classes.rows.back().push_back(fmt::format("{:.0f} ({})", images, share(images, static_cast<double>(data[part].rows()))));
    }
  }
  const ImageSpec& image = data.train.image();
  std::string html =
      fmt::format("<p>{}: {} × {} pixels, {} bands ({}), {} classes{}.</p>\n", svg_escape(data.train.info().dataset),
                  image.height, image.width, image.channels, svg_escape(fmt::format("{}", fmt::join(image.bands, ", "))),
                  names.size(), data.train.info().note.empty() ? "" : "; " + svg_escape(data.train.info().note));
  html += fmt::format("<div class=\"tables\">\n{}{}</div>\n", html_table(parts), html_table(classes));
  std::string other_parts;
  for (const Part part : kParts)
    for (const auto& file : label_files(name_of(part), statistics[static_cast<std::size_t>(part)], names))
      (part == Part::train ? html : other_parts) += html_figure(file.second);
  return {"data", "Data", html + html_details("The same pictures of val and test", other_parts)};
}

Section timing_section(const RunRecord& run, const NetworkReport* network) {
  const auto bar = [](double seconds, double all) {
    return fmt::format("<span class=\"bar\" aria-hidden=\"true\"><span style=\"width:{:.1f}%\"></span></span>",
                       all > 0 ? 100 * seconds / all : 0);
  };
  const auto table = [&](const std::string& caption, const std::vector<std::pair<std::string, double>>& spent, double all) {
    std::string rows;
    for (const auto& [what, seconds] : spent)
      rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{:.2f} s</td><td>{}</td><td>{}</td></tr>\n", svg_escape(what),
                          seconds, share(seconds, all), bar(seconds, all));
    return fmt::format(
        "<div class=\"scroll\"><table class=\"numbers\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">spent on</th><th "
        "scope=\"col\">time</th><th scope=\"col\">share</th><th "
        "scope=\"col\"></th></tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n",
        svg_escape(caption), rows);
  };
  std::string html;
  if (run.timing.is_object() && run.timing.contains("phases")) {
    const double all = run.timing.value("seconds", 0.0);
    std::vector<std::pair<std::string, double>> spent;
    double rest = all;
    for (const auto& [phase, seconds] : run.timing["phases"].items()) {
      if (!seconds.is_number()) continue;
      spent.emplace_back(phase, seconds.get<double>());
      rest -= seconds.get<double>();
    }
    spent.emplace_back("everything else", std::max(0.0, rest));
    html += table(fmt::format("Training: {} for {} steps and {} images, in all parts of the run", duration(all),
                              run.timing.value("steps", 0), run.timing.value("images", std::int64_t{0})),
                  spent, all);
  }
  if (network) {
    double all = 0;
    for (const auto& entry : network->spent) all += entry.second;
    html += table(fmt::format("This report: {} images of {}", network->images, network->part), network->spent, all);
  }
  return {"timing", "Timing", html};
}

Section configuration_section(const RunRecord& run) {
  std::vector<std::pair<std::string, Json>> values;
  flatten(config_to_json(run.options), "", values);
  const std::vector<ConfigKey> keys = config_keys(TrainOptions{});
  HtmlTable changed{"Keys that differ from the defaults", {"key", "value", "default", "what it is"}, {}, false};
  HtmlTable all{"Every key, as docs/configuration.md explains it", {"key", "value"}, {}, false};
  for (const auto& [key, value] : values) {
    all.rows.push_back({key, plain(value)});
    const auto known = std::find_if(keys.begin(), keys.end(), [&](const ConfigKey& k) { return k.path == key; });
    if (known != keys.end() && known->default_value != value)
      changed.rows.push_back({key, plain(value), plain(known->default_value), known->help});
  }
  HtmlTable versions{"Built of", {"part", "version"}, {}, false};
  if (run.versions.is_object()) {
    std::vector<std::pair<std::string, Json>> parts;
    flatten(run.versions, "", parts);
    for (const auto& [part, version] : parts) {
      if (version.is_array())
        for (const Json& one : version) versions.rows.push_back({part, plain(one)});
      else
        versions.rows.push_back({part, plain(version)});
    }
  }
  std::string html = html_table(changed) + html_details(fmt::format("All {} keys", all.rows.size()), html_table(all));
  if (!versions.rows.empty()) html += html_table(versions);
  return {"configuration", "Configuration", html};
}

}  // namespace swath::app
