// Axes of a chart: round ticks, grid, labels, legend, and the map from data to the picture.
#pragma once
#include <string>
#include <vector>

#include "retrieval/svg.h"

namespace swath {

/// Values at equal round steps (1, 2 or 5 times a power of ten) that enclose [low, high].
struct Ticks {
  double low, high, step;
  Ticks(double low, double high, int about = 6);
  int count() const;
  double value(int i) const { return low + i * step; }
  std::string label(int i) const;
};

struct LegendEntry {
  std::string name;
  std::string css_class;  // of a filled swatch
};

class Axes {
 public:
  Axes(const std::string& title, const std::string& x_label, const std::string& y_label, const Ticks& x, const Ticks& y,
       const std::vector<LegendEntry>& legend, ChartSize size = {});
  std::pair<double, double> at(double x, double y) const;
  Svg& svg() { return svg_; }

 private:
  void draw_grid(const std::string& x_label, const std::string& y_label);
  double draw_legend(const std::vector<LegendEntry>& legend);
  Ticks x_, y_;
  Svg svg_;
  ChartSize size_;
  double left_ = 72, right_, top_ = 0, bottom_;
};

}  // namespace swath
