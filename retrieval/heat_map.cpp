// The picture of a square matrix of shares (methods.md §8: confusion over labels, co-occurrence).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "retrieval/plots.h"
#include "retrieval/text_layout.h"

namespace swath {
namespace {

constexpr double kFont = 11, kLongest = 330, kMargin = 24, kHead = 76;
constexpr double kRoomForNumbers = 22;
constexpr double kDeepest = 0.6;  // text on a deeper cell is hard to read in one of the two modes

void check(const HeatMap& map) {
  const std::size_t n = map.names.size();
  if (map.values.size() != n * n)
    throw UserError(fmt::format("a matrix over {} names holds {} values; give {}", n, map.values.size(), n * n));
  for (const double value : map.values)
    if (!(value >= 0 && value <= 1)) throw UserError(fmt::format("the matrix holds {}; give shares from 0 to 1", value));
}

void draw_scale(Svg& svg, double x, double y) {
  constexpr int kSteps = 5;
  svg.text(x, y + 11, "0 %", {.size = kFont, .css_class = "soft"});
  for (int i = 0; i < kSteps; ++i) svg.cell(x + 28 + 18 * i, y, 18, 14, "s0", kDeepest * i / (kSteps - 1));
  svg.text(x + 28 + 18 * kSteps + 6, y + 11, "100 %", {.size = kFont, .css_class = "soft"});
}

}  // namespace

std::string heat_map(const HeatMap& map) {
  check(map);
  const auto n = static_cast<std::int64_t>(map.names.size());
  double names = 60;
  for (const std::string& name : map.names) names = std::max(names, std::min(kLongest, text_layout::width(name, kFont)));
  const double cell = std::clamp(std::floor(700.0 / static_cast<double>(std::max<std::int64_t>(1, n))), 14.0, 34.0);
  const double side = cell * static_cast<double>(n), left = kMargin + names + 8, top = kHead + names + 8;
  const double width = std::max({left + side + kMargin, 480.0, text_layout::width(map.title, 16) + 2 * kMargin});
  Svg svg(width, top + side + 56, map.title);
  svg.text(kMargin, 28, map.title, {.size = 16, .bold = true});
  svg.text(kMargin, 48, fmt::format("rows: {}", map.row_label), {.css_class = "soft"});
  svg.text(kMargin, 66, fmt::format("columns: {}", map.column_label), {.css_class = "soft"});
  for (std::int64_t i = 0; i < n; ++i) {
    const double middle = (static_cast<double>(i) + 0.5) * cell + 4;
    const std::string name = text_layout::fit(map.names[i], kFont, kLongest);
    svg.text(left - 8, top + middle, name, {.size = kFont, .anchor = TextAnchor::end});
    svg.text(left + middle, top - 8, name, {.size = kFont, .rotate = -90});
  }
  svg.rect(left, top, side, side, "panel");
  for (std::int64_t r = 0; r < n; ++r) {
    for (std::int64_t c = 0; c < n; ++c) {
      const double value = map.values[r * n + c];
      if (value == 0) continue;
      const double x = left + cell * static_cast<double>(c), y = top + cell * static_cast<double>(r);
      svg.cell(x + 0.5, y + 0.5, cell - 1, cell - 1, "s0", kDeepest * value,
               fmt::format("{} → {}: {:.1f} %", map.names[r], map.names[c], 100 * value));
      const auto percent = std::lround(100 * value);
      if (cell >= kRoomForNumbers && percent > 0)
        svg.text(x + cell / 2, y + cell / 2 + 4, fmt::format("{}", percent), {.size = 10.5, .anchor = TextAnchor::middle});
    }
  }
  draw_scale(svg, left, top + side + 20);
  return svg.str();
}

}  // namespace swath
