#include "retrieval/tsne.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "retrieval/affinities.h"
#include "retrieval/evaluator.h"
#include "retrieval/principal_plane.h"
#include "retrieval/quadtree.h"

namespace swath {
namespace {

constexpr double kStartDeviation = 1e-4;  // of the first axis
constexpr double kStartNoise = 1e-6;
constexpr double kSmallestGain = 0.01;

std::int64_t neighbours_of(const TsneOptions& options, std::int64_t rows) {
  return std::min(rows - 1, static_cast<std::int64_t>(3 * options.perplexity + 1));
}

void check(EmbeddingView rows, const TsneOptions& options) {
  if (!(options.perplexity >= 1)) throw UserError(fmt::format("the perplexity is {}; choose 1 or more", options.perplexity));
  if (static_cast<double>(rows.rows - 1) <= options.perplexity)
    throw UserError(fmt::format("t-SNE with perplexity {} needs at least {} images, not {}; choose a smaller perplexity",
                                options.perplexity, std::floor(options.perplexity) + 2, rows.rows));
  if (options.iterations < 1 || options.exaggerated_iterations < 0 || !(options.exaggeration >= 1) || !(options.theta >= 0))
    throw UserError(
        fmt::format("t-SNE takes at least 1 iteration, an exaggeration of 1 or more and a theta of 0 or more, not {}, {} "
                    "and {}",
                    options.iterations, options.exaggeration, options.theta));
}

/// Two normal numbers (G. Box, M. Muller, 1958).
Point2 normal_pair(std::uint64_t seed, std::int64_t row) {
  const kernels::Philox4 bits = kernels::philox(seed, 0, kernels::RandomStream::tsne, static_cast<std::uint64_t>(row));
  const double radius = std::sqrt(-2 * std::log(1 - static_cast<double>(kernels::uniform01(bits.v[0]))));
  const double angle = 2 * std::numbers::pi * kernels::uniform01(bits.v[1]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

std::vector<Point2> start(EmbeddingView rows, std::uint64_t seed) {
  std::vector<Point2> points = principal_plane(rows, seed);
  double squares = 0;
  for (const Point2& p : points) squares += p.x * p.x;
  const double deviation = std::sqrt(squares / static_cast<double>(rows.rows));
  const double scale = deviation > 0 ? kStartDeviation / deviation : 0;
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    const Point2 noise = normal_pair(seed, i);
    points[i] = {points[i].x * scale + kStartNoise * noise.x, points[i].y * scale + kStartNoise * noise.y};
  }
  return points;
}

class Descent {
 public:
  Descent(const Affinities& p, std::vector<Point2> points, const TsneOptions& options)
      : p_(p), options_(options), points_(std::move(points)), change_(points_.size()), gains_(points_.size(), {1, 1}) {}

  void step(std::int64_t iteration) {
    const bool early = iteration < options_.exaggerated_iterations;
    const double attraction = early ? options_.exaggeration : 1, momentum = early ? 0.5 : 0.8;
    const double n = static_cast<double>(p_.rows), rate = std::max(50.0, n / (4 * options_.exaggeration));
    if (iteration == options_.exaggerated_iterations) rest();
    tree_.build(points_);
    tree_.repel(options_.theta, repulsion_, z_);
    double z = 0;
    for (const double part : z_) z += part;
    kernels::parallel_for(p_.rows, [&](std::int64_t i) {
      const Point2 pull = attract(i), push = repulsion_[i];
      move(4 * (attraction * pull.x - push.x / z), momentum, rate, change_[i].x, gains_[i].x);
      move(4 * (attraction * pull.y - push.y / z), momentum, rate, change_[i].y, gains_[i].y);
    });
    Point2 mean;
    for (std::int64_t i = 0; i < p_.rows; ++i) {
      points_[i] = {points_[i].x + change_[i].x, points_[i].y + change_[i].y};
      mean = {mean.x + points_[i].x / n, mean.y + points_[i].y / n};
    }
    for (Point2& point : points_) point = {point.x - mean.x, point.y - mean.y};
  }

  /// Σ p_ij log(p_ij / q_ij) with q normalised over all pairs.
  double divergence() {
    tree_.build(points_);
    tree_.repel(0, repulsion_, z_);
    double z = 0, sum = 0;
    for (const double part : z_) z += part;
    std::vector<double> parts(p_.rows);
    kernels::parallel_for(p_.rows, [&](std::int64_t i) {
      for (std::int64_t e = p_.start[i]; e < p_.start[i + 1]; ++e)
        if (p_.values[e] > 0)
          parts[i] += p_.values[e] * std::log(static_cast<double>(p_.values[e]) * z / similarity(i, p_.columns[e]));
    });
    for (const double part : parts) sum += part;
    return sum;
  }

  const std::vector<Point2>& points() const { return points_; }

 private:
  /// What was learned of another objective would carry the points past the optima of this one.
  void rest() {
    change_.assign(points_.size(), {});
    gains_.assign(points_.size(), {1, 1});
  }
  static void move(double gradient, double momentum, double rate, double& change, double& gain) {
    gain = gradient * change < 0 ? gain + 0.2 : std::max(kSmallestGain, gain * 0.8);
    change = momentum * change - rate * gain * gradient;
  }
  double similarity(std::int64_t i, std::int64_t j) const {
    const double dx = points_[i].x - points_[j].x, dy = points_[i].y - points_[j].y;
    return 1 / (1 + dx * dx + dy * dy);
  }
  Point2 attract(std::int64_t i) const {
    Point2 sum;
    for (std::int64_t e = p_.start[i]; e < p_.start[i + 1]; ++e) {
      const Point2& other = points_[p_.columns[e]];
      const double dx = points_[i].x - other.x, dy = points_[i].y - other.y;
      const double weight = static_cast<double>(p_.values[e]) / (1 + dx * dx + dy * dy);
      sum = {sum.x + weight * dx, sum.y + weight * dy};
    }
    return sum;
  }

  const Affinities& p_;
  const TsneOptions& options_;
  std::vector<Point2> points_, change_, gains_, repulsion_;
  std::vector<double> z_;
  Quadtree tree_;
};

}  // namespace

Tsne tsne(EmbeddingView rows, const TsneOptions& options) {
  check(rows, options);
  const std::vector<float> unit = normalised(rows);
  const EmbeddingView view{unit.data(), rows.rows, rows.dim};
  const Affinities p =
      affinities(make_retriever(options.retriever)->search_all(view, neighbours_of(options, rows.rows)), options.perplexity);
  Descent descent(p, start(view, options.seed), options);
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    descent.step(i);
    if (options.progress) options.progress(i + 1, options.iterations);
  }
  Tsne result;
  result.kl = descent.divergence();
  for (const Point2& point : descent.points()) {
    result.points.push_back(static_cast<float>(point.x));
    result.points.push_back(static_cast<float>(point.y));
  }
  return result;
}

}  // namespace swath
