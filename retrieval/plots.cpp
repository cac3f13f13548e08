// Line charts, bar charts and the density plot of the distance overlap (methods.md §8).
#include "retrieval/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "retrieval/axes.h"
#include "retrieval/text_layout.h"

namespace swath {
namespace {

constexpr std::size_t kColours = 8;

/// Smallest and largest finite value.
struct Extent {
  double low = HUGE_VAL, high = -HUGE_VAL;
  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  Ticks ticks() const { return low <= high ? Ticks(low, high) : Ticks(0, 1); }
};

using Points = std::vector<std::pair<double, double>>;

/// A run of points: a line, or a dot where it is alone.
void draw_run(Svg& svg, Points& run, std::size_t series) {
  const std::size_t colour = series % kColours;
  if (run.size() == 1) svg.circle(run[0].first, run[0].second, 3.5, fmt::format("s{}", colour));
  if (run.size() > 1) svg.polyline(run, fmt::format("wide l{}{}", colour, series < kColours ? "" : " dash"));
  run.clear();
}

/// The outline of a histogram's density, closed on the axis.
Points outline(const Axes& axes, const DistanceOverlap& o, const std::array<double, kOverlapBins>& shares, double width) {
  Points points = {axes.at(o.min_distance, 0)};
  for (int b = 0; b < kOverlapBins; ++b) {
    points.push_back(axes.at(o.min_distance + b * width, shares[b] / width));
    points.push_back(axes.at(o.min_distance + (b + 1) * width, shares[b] / width));
  }
  points.push_back(axes.at(o.min_distance + kOverlapBins * width, 0));
  return points;
}

}  // namespace

std::string line_chart(const LineChart& chart) {
  Extent x, y;
  std::vector<LegendEntry> legend;
  for (const Series& s : chart.series) {
    if (s.x.size() != s.y.size())
      throw UserError(
          fmt::format("series '{}' has {} x and {} y values; give as many of each", s.name, s.x.size(), s.y.size()));
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (!std::isfinite(s.x[i]) || !std::isfinite(s.y[i])) continue;
      x.add(s.x[i]);
      y.add(s.y[i]);
    }
    legend.push_back({s.name, fmt::format("s{}", legend.size() % kColours)});
  }
  Axes axes(chart.title, chart.x_label, chart.y_label, x.ticks(), y.ticks(), legend, chart.size);
  for (std::size_t n = 0; n < chart.series.size(); ++n) {
    const Series& s = chart.series[n];
    Points run;
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (std::isfinite(s.x[i]) && std::isfinite(s.y[i]))
        run.push_back(axes.at(s.x[i], s.y[i]));
      else
        draw_run(axes.svg(), run, n);
    }
    draw_run(axes.svg(), run, n);
  }
  return axes.svg().str();
}

std::string bar_chart(const BarChart& chart) {
  if (chart.names.size() != chart.values.size())
    throw UserError(
        fmt::format("the bar chart has {} names and {} values; give as many of each", chart.names.size(), chart.values.size()));
  constexpr double kFont = 12, kRow = 22, kTop = 64, kBars = 420, kLongest = 360;
  double names = 40, largest = 0;
  for (std::size_t i = 0; i < chart.names.size(); ++i) {
    if (!std::isfinite(chart.values[i]) || chart.values[i] < 0)
      throw UserError(
          fmt::format("the bar '{}' has the value {}; bars take finite values of 0 or more", chart.names[i], chart.values[i]));
    names = std::max(names, std::min(kLongest, text_layout::width(chart.names[i], kFont)));
    largest = std::max(largest, chart.values[i]);
  }
  const double left = 24 + names + 8, width = left + kBars + 72;
  Svg svg(width, kTop + kRow * static_cast<double>(chart.names.size()) + 16, chart.title);
  svg.text(24, 28, text_layout::fit(chart.title, 16, width - 48), {.size = 16, .bold = true});
  svg.text(left, 50, chart.value_label, {.css_class = "soft"});
  for (std::size_t i = 0; i < chart.names.size(); ++i) {
    const double y = kTop + kRow * static_cast<double>(i);
    const double length = largest > 0 ? kBars * chart.values[i] / largest : 0;
    svg.text(left - 8, y + 12, text_layout::fit(chart.names[i], kFont, kLongest), {.size = kFont, .anchor = TextAnchor::end});
    svg.rect(left, y, length, kRow - 6, "s0");
    svg.text(left + length + 6, y + 12, fmt::format("{:.4g}", chart.values[i]), {.size = 11, .css_class = "soft"});
  }
  svg.line(left, kTop - 6, left, kTop + kRow * static_cast<double>(chart.names.size()), "axis");
  return svg.str();
}

std::string density_plot(const DistanceOverlap& o, const std::string& title) {
  const double width = o.bin_width() > 0 ? o.bin_width() : 1.0 / kOverlapBins;
  double densest = 0;
  for (int b = 0; b < kOverlapBins; ++b) densest = std::max({densest, o.intra[b] / width, o.inter[b] / width});
  const std::vector<LegendEntry> legend = {{fmt::format("share a label ({} pairs)", o.intra_pairs), "s0"},
                                           {fmt::format("share none ({} pairs)", o.inter_pairs), "s1"},
                                           {fmt::format("overlap {:.4f}", o.overlap), "both"}};
  Axes axes(title, "Euclidean distance", "density", Ticks(o.min_distance, o.min_distance + kOverlapBins * width),
            Ticks(0, densest > 0 ? densest : 1), legend);
  std::array<double, kOverlapBins> both{};
  for (int b = 0; b < kOverlapBins; ++b) both[b] = std::min(o.intra[b], o.inter[b]);
  axes.svg().polygon(outline(axes, o, both, width), "both");
  axes.svg().polygon(outline(axes, o, o.intra, width), "s0 l0 area");
  axes.svg().polygon(outline(axes, o, o.inter, width), "s1 l1 area");
  return axes.svg().str();
}

}  // namespace swath
