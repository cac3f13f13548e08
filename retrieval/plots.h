// Pictures of a run: training curves, distance densities, label statistics (methods.md §8). Each returns an SVG file's text.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "retrieval/overlap.h"
#include "retrieval/svg.h"

namespace swath {

struct Series {
  std::string name;
  std::vector<double> x;
  std::vector<double> y;  // as long as x; a value that is not finite breaks the line
};
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  ChartSize size{};
};
/// Axes with round ticks, and a legend. Throws UserError when x and y of a series differ in length.
std::string line_chart(const LineChart& chart);

struct BarChart {
  std::string title, value_label;
  std::vector<std::string> names;
  std::vector<double> values;  // ≥ 0, as long as names
};
/// Horizontal bars with the value at their end, for example the share of images per class.
std::string bar_chart(const BarChart& chart);

/// A square matrix of shares with a name per row and column.
struct HeatMap {
  std::string title, row_label, column_label;
  std::vector<std::string> names;
  std::vector<double> values;  // [names][names], in [0, 1]
};
/// Cells as deep as their value, with the percentage in them where there is room, and names and value under the pointer.
/// Throws UserError for a value outside [0, 1] and a count that does not fit.
std::string heat_map(const HeatMap& map);

struct Scatter {
  std::string title, note;
  std::vector<float> points;        // [n][2]
  std::vector<std::int64_t> group;  // [n]; −1: none
  std::vector<std::string> names;   // of the groups
  std::vector<std::string> hover;   // [n], shown under the pointer
};
/// Points of a plane without units, the groups told apart by colour and shape, the most frequent ones first in the legend.
/// Beyond 63 groups the rarest share a grey dot, and beyond 20,000 points evenly spaced ones are shown; the picture says so.
/// Throws UserError for counts that do not fit.
std::string scatter_plot(const Scatter& scatter);

/// Both densities of the distance overlap and their common area.
std::string density_plot(const DistanceOverlap& overlap, const std::string& title = "Distance overlap");

}  // namespace swath
