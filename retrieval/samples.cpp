// The picture of retrieved samples (methods.md §8).
#include "retrieval/samples.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/core/error.h"
#include "retrieval/label_bits.h"
#include "retrieval/text_layout.h"

namespace swath {
namespace {

constexpr double kMargin = 16, kTop = 64, kImage = 128, kCell = 144, kQueryGap = 20, kFont = 11, kLine = 14, kRowGap = 18;

struct TextLine {
  std::string text;
  const char* css_class;
  bool bold = false;
};

/// A picture with the lines under it.
struct Cell {
  Thumbnail image;
  std::vector<TextLine> lines;
};

void check(const RetrievedSamples& s) {
  SWATH_CHECK(s.neighbours && s.query_image && s.gallery_image);
  if (s.queries.empty()) throw UserError("retrieved samples need at least one query");
  if (s.columns < 1 || s.columns > s.neighbours->k)
    throw UserError(
        fmt::format("retrieved samples show {} neighbours; choose 1 to {}, the number searched", s.columns, s.neighbours->k));
  for (const std::int64_t q : s.queries)
    if (q < 0 || q >= s.neighbours->queries || q >= s.query_labels.rows)
      throw UserError(fmt::format("query {} is not among the {} rows that were searched", q, s.neighbours->queries));
  const auto classes = static_cast<std::int64_t>(s.class_names.size());
  if (s.query_labels.classes != classes || s.gallery_labels.classes != classes)
    throw UserError(fmt::format("labels of {} and {} classes came with {} class names; give one name per class",
                                s.query_labels.classes, s.gallery_labels.classes, classes));
}

void append_name(std::vector<TextLine>& lines, const std::string& name, const char* css_class) {
  for (const std::string& line : text_layout::wrap(name, kFont, kImage)) lines.push_back({line, css_class});
}

Cell query_cell(const RetrievedSamples& s, std::int64_t query) {
  Cell cell{s.query_image(query), {}};
  const std::uint64_t* labels = s.query_labels.row(query);
  const std::int64_t count = label_bits::count(labels, s.query_labels.words());
  cell.lines.push_back({fmt::format("{} label{}", count, count == 1 ? "" : "s"), "soft", true});
  label_bits::for_each(labels, s.query_labels.words(),
                       [&](std::int64_t c) { append_name(cell.lines, s.class_names[c], "ink"); });
  return cell;
}

Cell neighbour_cell(const RetrievedSamples& s, std::int64_t query, std::int64_t row) {
  if (row < 0 || row >= s.gallery_labels.rows)
    throw UserError(fmt::format("neighbour {} has no labels; give the labels of the searched gallery", row));
  Cell cell{s.gallery_image(row), {}};
  const std::uint64_t *truth = s.query_labels.row(query), *labels = s.gallery_labels.row(row);
  const std::int64_t words = s.gallery_labels.words();
  const std::int64_t right = label_bits::shared(truth, labels, words), all = label_bits::count(labels, words);
  cell.lines.push_back({fmt::format("{} of {} correct", right, all), all > 0 && right == all ? "good" : "soft", true});
  for (const bool shared : {true, false}) {
    label_bits::for_each(labels, words, [&](std::int64_t c) {
      if (s.query_labels.has(query, c) == shared) append_name(cell.lines, s.class_names[c], shared ? "ink" : "bad");
    });
  }
  return cell;
}

void draw(Svg& svg, double x, double y, const Cell& cell) {
  const double largest = static_cast<double>(std::max(cell.image.height, cell.image.width));
  SWATH_CHECK(largest > 0 && std::ssize(cell.image.rgb) == cell.image.height * cell.image.width * 3);
  const double width = kImage * static_cast<double>(cell.image.width) / largest;
  const double height = kImage * static_cast<double>(cell.image.height) / largest;
  svg.image(x + (kImage - width) / 2, y + (kImage - height) / 2, width, height,
            encode_png(cell.image.rgb.data(), cell.image.height, cell.image.width));
  double baseline = y + kImage + kLine + 2;
  for (const TextLine& line : cell.lines) {
    svg.text(x, baseline, line.text, {.size = kFont, .css_class = line.css_class, .bold = line.bold});
    baseline += kLine;
  }
}

double column_x(std::int64_t column) { return kMargin + static_cast<double>(column) * kCell + (column > 0 ? kQueryGap : 0); }

}  // namespace

std::string samples_picture(const RetrievedSamples& samples) {
  check(samples);
  std::vector<std::vector<Cell>> rows;
  std::vector<double> heights;
  double height = kTop;
  for (const std::int64_t query : samples.queries) {
    auto& row = rows.emplace_back();
    row.push_back(query_cell(samples, query));
    for (std::int64_t j = 0; j < samples.columns; ++j)
      row.push_back(neighbour_cell(samples, query, samples.neighbours->row(query)[j]));
    std::size_t lines = 0;
    for (const Cell& cell : row) lines = std::max(lines, cell.lines.size());
    heights.push_back(kImage + kLine * static_cast<double>(lines) + kRowGap);
    height += heights.back();
  }

  const double width =
      std::max(column_x(samples.columns + 1) + kMargin - (kCell - kImage), text_layout::width(samples.title, 16) + 2 * kMargin);
  Svg svg(width, height + 4, samples.title);
  svg.text(kMargin, 28, samples.title, {.size = 16, .bold = true});
  svg.text(kMargin, kTop - 10, "Query", {.size = 12, .css_class = "soft"});
  for (std::int64_t j = 1; j <= samples.columns; ++j)
    svg.text(column_x(j), kTop - 10, fmt::format("{}", j), {.size = 12, .css_class = "soft"});
  double y = kTop;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    if (r > 0) svg.line(kMargin, y - kRowGap / 2, width - kMargin, y - kRowGap / 2, "grid");
    for (std::size_t c = 0; c < rows[r].size(); ++c) draw(svg, column_x(static_cast<std::int64_t>(c)), y, rows[r][c]);
    svg.rect(column_x(0), y, kImage, kImage, "frame");
    y += heights[r];
  }
  return svg.str();
}

}  // namespace swath
