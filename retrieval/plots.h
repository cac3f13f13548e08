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

/// Both densities of the distance overlap and their common area.
std::string density_plot(const DistanceOverlap& overlap, const std::string& title = "Distance overlap");

}  // namespace swath
