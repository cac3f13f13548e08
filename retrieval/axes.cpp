// Axes of a chart (methods.md §8).
#include "retrieval/axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "retrieval/text_layout.h"

namespace swath {

Ticks::Ticks(double from, double to, int about) {
  if (!(to > from)) {
    const double pad = from == 0 ? 1 : std::abs(from) * 0.5;
    from -= pad;
    to += pad;
  }
  const double raw = (to - from) / about;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  const double digit = raw / power;
  step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  low = std::floor(from / step + 1e-9) * step;
  high = std::ceil(to / step - 1e-9) * step;
}

int Ticks::count() const { return static_cast<int>(std::lround((high - low) / step)) + 1; }

std::string Ticks::label(int i) const {
  const double v = std::abs(value(i)) < step * 1e-6 ? 0 : value(i);
  const double largest = std::max(std::abs(low), std::abs(high));
  if (largest >= 1e7 || step < 1e-4) return fmt::format("{:.3g}", v);
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  return fmt::format("{:.{}f}", v, decimals);
}

Axes::Axes(const std::string& title, const std::string& x_label, const std::string& y_label, const Ticks& x, const Ticks& y,
           const std::vector<LegendEntry>& legend, ChartSize size)
    : x_(x), y_(y), svg_(size.width, size.height, title), size_(size), right_(size.width - 24), bottom_(size.height - 52) {
  svg_.text(24, 28, text_layout::fit(title, 16, size_.width - 48), {.size = 16, .bold = true});
  top_ = draw_legend(legend) + 16;
  draw_grid(x_label, y_label);
}

double Axes::draw_legend(const std::vector<LegendEntry>& legend) {
  double x = 24, y = 52;
  for (const LegendEntry& entry : legend) {
    const std::string name = text_layout::fit(entry.name, 12, 240);
    const double width = 18 + text_layout::width(name, 12) + 16;
    if (x > 24 && x + width > size_.width - 24) {
      x = 24;
      y += 20;
    }
    svg_.rect(x, y - 9, 12, 10, entry.css_class);
    svg_.text(x + 18, y, name);
    x += width;
  }
  return legend.empty() ? 36 : y;
}

void Axes::draw_grid(const std::string& x_label, const std::string& y_label) {
  for (int i = 0; i < y_.count(); ++i) {
    const double y = at(x_.low, y_.value(i)).second;
    svg_.line(left_, y, right_, y, "grid");
    svg_.text(left_ - 8, y + 4, y_.label(i), {.size = 11, .anchor = TextAnchor::end, .css_class = "soft"});
  }
  for (int i = 0; i < x_.count(); ++i) {
    const double x = at(x_.value(i), y_.low).first;
    svg_.line(x, bottom_, x, bottom_ + 5, "axis");
    svg_.text(x, bottom_ + 18, x_.label(i), {.size = 11, .anchor = TextAnchor::middle, .css_class = "soft"});
  }
  svg_.line(left_, bottom_, right_, bottom_, "axis");
  svg_.text((left_ + right_) / 2, size_.height - 12, x_label, {.anchor = TextAnchor::middle});
  const double middle = (top_ + bottom_) / 2;
  svg_.text(20, middle, y_label, {.anchor = TextAnchor::middle, .rotate = -90});
}

std::pair<double, double> Axes::at(double x, double y) const {
  return {left_ + (x - x_.low) / (x_.high - x_.low) * (right_ - left_),
          bottom_ - (y - y_.low) / (y_.high - y_.low) * (bottom_ - top_)};
}

}  // namespace swath
