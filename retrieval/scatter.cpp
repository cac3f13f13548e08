// Points of a plane with a legend of their groups (methods.md §8, t-SNE).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "retrieval/plots.h"
#include "retrieval/text_layout.h"

namespace swath {
namespace {

constexpr std::int64_t kColours = 8, kMarks = kColours * Svg::kMarkers - 1, kMost = 20000;
constexpr double kMargin = 24, kHead = 64, kSide = 700, kRow = 17, kFont = 11, kLongest = 330;
constexpr std::string_view kRest = "soft";  // of points without a group and of the rarest groups

struct Mark {
  int shape = 0;
  std::string css_class{kRest};
};

Mark mark_of(std::int64_t rank) {
  if (rank < 0 || rank >= kMarks) return {};
  return {static_cast<int>(rank / kColours), fmt::format("s{}", rank % kColours)};
}

struct Ranks {
  std::vector<std::int64_t> order;   // groups with points, the most frequent first, then the lower index
  std::vector<std::int64_t> of;      // [groups], −1 without points
  std::vector<std::int64_t> counts;  // [groups]
  std::int64_t none = 0;             // points without a group
};

Ranks rank(const Scatter& s) {
  Ranks ranks{{}, std::vector<std::int64_t>(s.names.size(), -1), std::vector<std::int64_t>(s.names.size()), 0};
  for (const std::int64_t group : s.group) ++(group < 0 ? ranks.none : ranks.counts[group]);
  for (std::size_t g = 0; g < s.names.size(); ++g)
    if (ranks.counts[g] > 0) ranks.order.push_back(static_cast<std::int64_t>(g));
  std::stable_sort(ranks.order.begin(), ranks.order.end(),
                   [&](std::int64_t a, std::int64_t b) { return ranks.counts[a] > ranks.counts[b]; });
  for (std::size_t r = 0; r < ranks.order.size(); ++r) ranks.of[ranks.order[r]] = static_cast<std::int64_t>(r);
  return ranks;
}

void check(const Scatter& s) {
  const std::size_t n = s.group.size();
  if (s.points.size() != 2 * n || s.hover.size() != n)
    throw UserError(fmt::format("a scatter plot of {} groups got {} coordinates and {} texts; give 2 and 1 each", n,
                                s.points.size(), s.hover.size()));
  for (const std::int64_t group : s.group)
    if (group < -1 || group >= static_cast<std::int64_t>(s.names.size()))
      throw UserError(fmt::format("group {} has no name; there are {}", group, s.names.size()));
}

/// From data to the panel, one scale for both axes.
class Panel {
 public:
  explicit Panel(const std::vector<float>& points) {
    float low[2] = {HUGE_VALF, HUGE_VALF}, high[2] = {-HUGE_VALF, -HUGE_VALF};
    for (std::size_t i = 0; i < points.size(); ++i) {
      low[i % 2] = std::min(low[i % 2], points[i]);
      high[i % 2] = std::max(high[i % 2], points[i]);
    }
    const double extent = points.empty() ? 1 : std::max<double>(high[0] - low[0], high[1] - low[1]);
    scale_ = (kSide - 24) / (extent > 0 ? extent : 1);
    for (int a = 0; a < 2; ++a) centre_[a] = points.empty() ? 0 : (static_cast<double>(low[a]) + high[a]) / 2;
  }
  double x(float v) const { return kMargin + kSide / 2 + (v - centre_[0]) * scale_; }
  double y(float v) const { return kHead + kSide / 2 - (v - centre_[1]) * scale_; }

 private:
  double scale_ = 1, centre_[2] = {};
};

/// "Bare rock (12)", the name cut where both are too long.
std::string counted(const std::string& name, std::int64_t count) {
  const std::string tail = fmt::format(" ({})", count);
  return text_layout::fit(name, kFont, kLongest - text_layout::width(tail, kFont)) + tail;
}

void draw_legend(Svg& svg, const Scatter& s, const Ranks& ranks, double x) {
  double y = kHead + 10;
  const auto entry = [&](const Mark& mark, const std::string& name) {
    svg.marker(x + 5, y - 4, 4.5, mark.shape, mark.css_class);
    svg.text(x + 16, y, name, {.size = kFont});
    y += kRow;
  };
  std::int64_t rest = ranks.none;
  for (std::size_t r = 0; r < ranks.order.size(); ++r) {
    const std::int64_t group = ranks.order[r];
    if (static_cast<std::int64_t>(r) < kMarks)
      entry(mark_of(static_cast<std::int64_t>(r)), counted(s.names[group], ranks.counts[group]));
    else
      rest += ranks.counts[group];
  }
  if (rest > 0) entry({}, counted(rest > ranks.none ? "other" : "none", rest));
}

}  // namespace

std::string scatter_plot(const Scatter& s) {
  check(s);
  const Ranks ranks = rank(s);
  const auto n = static_cast<std::int64_t>(s.group.size()), shown = std::min(n, kMost);
  double names = 60;
  for (const std::int64_t g : ranks.order)
    names = std::max(names, text_layout::width(counted(s.names[g], ranks.counts[g]), kFont));
  const double entries = static_cast<double>(std::min<std::int64_t>(kMarks, std::ssize(ranks.order)) + 1);
  const double width = 2 * kMargin + kSide + 36 + names;
  Svg svg(width, std::max(kHead + kSide, kHead + kRow * entries) + kMargin, s.title);
  svg.text(kMargin, 28, text_layout::fit(s.title, 16, width - 2 * kMargin), {.size = 16, .bold = true});
  const std::string note = shown < n ? fmt::format("{}; {} of {} points are shown", s.note, shown, n) : s.note;
  svg.text(kMargin, 50, text_layout::fit(note, 12, width - 2 * kMargin), {.css_class = "soft"});
  svg.rect(kMargin, kHead, kSide, kSide, "panel");
  const Panel panel(s.points);
  const double radius = shown <= 1500 ? 3.2 : shown <= 6000 ? 2.2 : 1.5;
  for (std::int64_t k = 0; k < shown; ++k) {
    const std::int64_t i = k * n / shown;
    const Mark mark = mark_of(s.group[i] < 0 ? -1 : ranks.of[s.group[i]]);
    svg.marker(panel.x(s.points[2 * i]), panel.y(s.points[2 * i + 1]), radius, mark.shape, mark.css_class, s.hover[i]);
  }
  draw_legend(svg, s, ranks, kMargin + kSide + 16);
  return svg.str();
}

}  // namespace swath
